//! Times of one case, all sides in turns.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use vortex_node::clock::now;
use vortex_node::models::kernels::panels::{Finish, Kept, Panels};
use vortex_node::models::noise::Noise;

use crate::bound::Shares;
use crate::options::Options;
use crate::others::{Other, Side};
use crate::rows::{Case, Ours};
use crate::spans::{Layer, Spans};

/// Long enough to reach the speed that large products have, short enough to repeat in every turn.
const PRODUCT: usize = 1536;
/// Between runs: threads of the other side that wait by spinning have gone to sleep by then.
pub const REST: Duration = Duration::from_millis(30);
/// After this a case takes no more turns than it must, which is three.
const LONG: Duration = Duration::from_secs(60);
const LEAST: usize = 3;

/// One row's figures: medians over the turns.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub row: String,
    pub turns: usize,
    /// Seconds of ours.
    pub ours: f64,
    /// Seconds of the other sides by name.
    pub theirs: BTreeMap<String, f64>,
    /// Of each turn's times, ours over a peer's; of a narrower way of ours, its over ours.
    pub ratios: BTreeMap<String, f64>,
    pub gflop: f64,
    pub gflop_per_second: f64,
    /// Of the product's speed.
    pub of_peak: f64,
    /// The product's speed itself.
    pub peak_gflop_per_second: f64,
    #[serde(flatten)]
    pub shares: Shares,
    pub bound: String,
}

/// One turn: seconds of each side (for each precision, where it has several), of ours with the share of its threads' time
/// that they ran, and the fastest product.
struct Turn {
    theirs: Vec<Vec<f64>>,
    ours: Vec<(f64, f64)>,
    product: f64,
}

/// Seconds that `work` took, and the share of `threads`' time in which this process ran.
pub fn clocked(cpu_time: bool, work: impl FnOnce()) -> (f64, f64) {
    let processor = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (start, start_processor) = (now(), processor());
    work();
    let (wall, ran) = (now().duration_since(start).as_secs_f64(), processor() - start_processor);
    let share = ran / (wall * rayon::current_num_threads() as f64);
    if cpu_time { (ran, 1.0) } else { (wall, share) }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Rows of a case, and the layers of each.
pub fn measure(
    case: &Case,
    others: &mut [Other],
    options: &Options,
    spans: &Spans,
    bandwidth: f64,
) -> (Vec<Row>, Vec<(String, Vec<Layer>)>) {
    let mut gflop = case.gflop;
    let mut lacks = Vec::new();
    for other in &mut *others {
        let answer = other.load(case);
        if let Some(counted) = answer["gflop"].as_f64() {
            if (counted / gflop - 1.0).abs() > 0.02 {
                eprintln!("{}: PyTorch counts {counted:.1} GFLOP, this file {gflop}", case.name);
            }
            gflop = counted;
        }
        lacks.push(answer);
    }
    let mut sides = Other::sides(others, options);
    sides.retain(|side| side.run.is_none_or(|run| lacks[side.other][run].is_null()));
    let mut works: Vec<Ours> = case.precisions.iter().map(|precision| (case.build)(precision)).collect();
    let noise = Noise::new(options.seed, 0).normals(PRODUCT * PRODUCT);
    let square = Panels::pack(&noise, PRODUCT, PRODUCT, Kept::F32);
    let mut turns = Vec::new();
    let began = now();
    for index in 0..=options.turns {
        if index > LEAST && now().duration_since(began) > LONG {
            break;
        }
        turns.push(turn(case, &sides, others, &mut works, options.cpu_time, &|| {
            drop(square.multiply(&noise, Finish::default()));
        }));
    }
    // The first only warms up.
    turns.remove(0);
    let mut layers = Vec::new();
    let mut rows = Vec::new();
    for (index, (name, work)) in case.rows().zip(&mut works).enumerate() {
        let found = spans.of(|| (work.run)());
        let full = Full { gflop, multiplied: case.multiplied, memory: work.bytes as f64 / bandwidth };
        rows.push(row(name.clone(), index, &sides, &turns, &full, &found));
        layers.push((name, found));
    }
    (rows, layers)
}

fn turn(
    case: &Case,
    sides: &[Side],
    others: &mut [Other],
    works: &mut [Ours],
    cpu_time: bool,
    product: &dyn Fn(),
) -> Turn {
    let theirs = sides.iter().map(|side| match side.run {
        Some(run) => vec![others[side.other].run(run)],
        None => case.precisions.iter().map(|precision| others[side.other].run(precision)).collect(),
    });
    let theirs = theirs.collect();
    let timed = |work: &mut dyn FnMut()| {
        let taken = clocked(cpu_time, work);
        std::thread::sleep(REST);
        taken
    };
    let ours = works.iter_mut().map(|work| timed(&mut work.run)).collect();
    let own = timed(&mut &*product).0;
    let product = others.iter_mut().filter_map(|other| other.product(PRODUCT)).fold(own, f64::min);
    Turn { theirs, ours, product }
}

/// What a pass would take at full speed.
struct Full {
    gflop: f64,
    multiplied: f64,
    memory: f64,
}

fn row(row: String, index: usize, sides: &[Side], turns: &[Turn], full: &Full, layers: &[Layer]) -> Row {
    let of = |value: &dyn Fn(&Turn) -> f64| median(turns.iter().map(value));
    let ours = of(&|turn| turn.ours[index].0);
    let peak = 2.0 * (PRODUCT as f64).powi(3) / 1e9;
    let mut theirs = BTreeMap::new();
    let mut ratios = BTreeMap::new();
    for (place, side) in sides.iter().enumerate() {
        let seconds = |turn: &Turn| turn.theirs[place].get(index).copied().unwrap_or(turn.theirs[place][0]);
        theirs.insert(side.name.clone(), of(&seconds));
        let ratio = of(&|turn| turn.ours[index].0 / seconds(turn));
        ratios.insert(side.name.clone(), if side.is_peer { ratio } else { 1.0 / ratio });
    }
    let share =
        |multiplied: f64| of(&|turn| multiplied * full.gflop / turn.ours[index].0 / peak * turn.product);
    let product = share(full.multiplied) * ours;
    let shares = Shares::of(ours, product, full.memory, of(&|turn| turn.ours[index].1));
    Row {
        row,
        turns: turns.len(),
        ours,
        theirs,
        ratios,
        gflop: full.gflop,
        gflop_per_second: full.gflop / ours,
        of_peak: share(1.0),
        peak_gflop_per_second: peak / of(&|turn| turn.product),
        bound: shares.name(layers),
        shares,
    }
}
