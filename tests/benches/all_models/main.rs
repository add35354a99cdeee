//! Every model beside PyTorch and ONNX Runtime, all in turns, so that whatever else the machine does meets all alike.
//!
//!     PYTHON=python3 cargo bench --bench all-models                  # the table; without PYTHON, ours alone
//!     cargo bench --bench all-models -- --rows clip-b32,vae          # names of rows begin like one of these; --list
//!     cargo bench --bench all-models -- --cpu-time                   # one thread, processor time: on a shared machine
//!     cargo bench --bench all-models -- --simd avx2                  # beside itself without wider vectors
//!     cargo bench --bench all-models -- --against OTHER              # beside another build of this benchmark
//!     cargo bench --bench all-models -- --layers                     # below each row, where its time goes
//!     cargo bench --bench all-models -- --plan nf4 | --long-script   # no table: memory of Flux, of a long script
//!
//! Prints the medians over the turns of times and of ratios, GFLOP/s, the share of the matrix product's speed that the
//! fastest side reached in the same turn, and what bounds the row ([`bound`]). Weights are random unless Kokoro's real ones
//! are there; speed does not depend on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

mod bound;
mod clip;
mod flux;
mod kokoro;
mod liveportrait;
mod options;
mod others;
mod random;
mod rows;
mod spans;
mod table;
mod turns;

use clap::Parser;

use self::options::Options;
use self::others::Other;
use self::rows::Case;
use self::spans::Spans;
use self::table::Table;

fn main() {
    let options = Options::parse();
    rayon::ThreadPoolBuilder::new().num_threads(options.threads()).build_global().unwrap();
    let cases = rows::chosen(&options);
    if let Some(precision) = &options.plan {
        return flux::compare_with_plan(precision);
    }
    if options.long_script {
        return kokoro::long_script_and_speeds(&options);
    }
    if options.list {
        cases.iter().flat_map(Case::rows).for_each(|row| println!("{row}"));
        return;
    }
    if options.answer {
        return others::answer(&options);
    }
    let spans = Spans::install();
    let mut others = Other::start_all(&options);
    let bandwidth = bound::bandwidth();
    let mut table = Table::begin(&options, &others, bandwidth);
    for case in &cases {
        let (measured, layers) = turns::measure(case, &mut others, &options, &spans, bandwidth);
        measured.iter().for_each(|row| table.row(row));
        if options.layers {
            layers.iter().for_each(|(row, found)| table.layers(row, found));
        }
    }
    table.end();
}
