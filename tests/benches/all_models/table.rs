//! The table as it is printed: Markdown, or a JSON object a row.

use crate::options::Options;
use crate::others::{Other, Side};
use crate::spans::Layer;
use crate::turns::Row;

/// Layers that are shown below a row.
const LAYERS: usize = 30;

/// Where rows go.
pub struct Table {
    json: bool,
    sides: Vec<Side>,
    /// Worst ratio of each side, and how many rows it has.
    worst: Vec<(f64, usize)>,
}

impl Table {
    /// Prints what was measured on and the head.
    pub fn begin(options: &Options, others: &[Other], bandwidth: f64) -> Self {
        let sides = Other::sides(others, options);
        eprintln!(
            "{} {}, {} thread(s), {}, seed {}, memory read at {:.1} GB/s",
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION"),
            options.threads(),
            if options.cpu_time { "processor time" } else { "time elapsed" },
            options.seed,
            bandwidth / 1e9
        );
        if !options.json {
            let mut head = vec!["row".to_owned(), "ours".to_owned()];
            head.extend(sides.iter().map(|side| side.name.clone()));
            head.extend(sides.iter().map(|side| {
                if side.is_peer { format!("ours / {}", side.name) } else { format!("{} / ours", side.name) }
            }));
            head.extend(["GFLOP/s", "of peak", "bound by"].map(str::to_owned));
            line(&head);
            line(&vec!["---".to_owned(); head.len()]);
        }
        let worst = vec![(0.0, 0); sides.len()];
        Self { json: options.json, sides, worst }
    }

    /// Prints a row.
    pub fn row(&mut self, row: &Row) {
        for (side, worst) in self.sides.iter().zip(&mut self.worst) {
            if let Some(ratio) = row.ratios.get(&side.name) {
                *worst = (worst.0.max(*ratio), worst.1 + 1);
            }
        }
        if self.json {
            println!("{}", serde_json::to_string(row).unwrap());
            return;
        }
        let mut cells = vec![row.row.clone(), milliseconds(row.ours)];
        let cell = |value: Option<&f64>, text: fn(f64) -> String| {
            value.map_or_else(String::new, |value| text(*value))
        };
        cells.extend(self.sides.iter().map(|side| cell(row.theirs.get(&side.name), milliseconds)));
        cells.extend(
            self.sides.iter().map(|side| cell(row.ratios.get(&side.name), |ratio| format!("{ratio:.2}"))),
        );
        cells.push(format!("{:.0}", row.gflop_per_second));
        cells.push(format!("{:.0} %", 100.0 * row.of_peak));
        cells.push(row.bound.clone());
        line(&cells);
    }

    /// Prints where a row's time went.
    pub fn layers(&self, row: &str, layers: &[Layer]) {
        if self.json {
            return;
        }
        let all: f64 = layers.iter().map(|layer| layer.own).sum();
        println!("\n{row}, by spans:\n");
        println!("| span | shape | calls | ms | share |\n|---|---|---|---|---|");
        for Layer { name, shape, calls, own } in layers.iter().take(LAYERS) {
            println!("| {name} | {shape} | {calls} | {:.2} | {:.0} % |", own * 1e3, 100.0 * own / all);
        }
        println!();
    }

    /// Says how each side fares over all rows.
    pub fn end(&self) {
        for (side, (worst, rows)) in self.sides.iter().zip(&self.worst) {
            eprintln!("{}: {rows} rows, the largest ratio {worst:.2}", side.name);
        }
    }
}

fn line(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds < 100.0 { format!("{milliseconds:.1} ms") } else { format!("{milliseconds:.0} ms") }
}
