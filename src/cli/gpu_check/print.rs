//! The report of `gpu-check` as a table for people.

use std::io;

use crate::cli::{Console, Style};
use crate::gpu_check::fixtures::Fixtures;
use crate::gpu_check::report::Report;
use crate::models::parity::{Against, Comparison};

/// Prints `report` as a table.
pub(super) fn report(report: &Report, console: &mut Console) -> io::Result<()> {
    let device = report.device;
    if let Some(why) = &report.unusable {
        let verdict = console.paint(Style::Bad, "no card");
        writeln!(console.out(), "{verdict}  {device} cannot be used: {why}")?;
        return writeln!(console.out(), "the same checks run on the processor with --device cpu");
    }
    match &report.card {
        Some(card) => writeln!(
            console.out(),
            "{device}: {} (capability {}, driver for CUDA {}), {} of {} free",
            card.name,
            card.capability,
            card.driver_cuda,
            card.free,
            card.total
        )?,
        None => writeln!(console.out(), "{device}: no card; this shows the command, not a GPU")?,
    }
    writeln!(console.out(), "bundle {}, {}, limit {}\n", report.bundle, report.size, report.limit)?;
    if let Some(fixtures) = &report.fixtures {
        fixtures_table(fixtures, console)?;
    }
    if let Some(fit) = &report.fit {
        line(console, fit.ok, &fit.what)?;
    }
    for parity in &report.parity {
        let what = format!("{:30} {:.4} apart, {} allowed", parity.what, parity.worst, parity.allowed);
        line(console, Some(parity.ok), &what)?;
    }
    for it in &report.footprint {
        let peak = it.peak.map_or("what was not measured".to_owned(), |peak| peak.to_string());
        let (model, precision, resident, budget) = (it.model, &it.precision, it.resident, it.budget);
        let what = format!(
            "{model:13} {precision:10} {resident:>9} of {budget:>9}, a run adds {peak}, ready in {:.2} s",
            it.ready_seconds
        );
        line(console, Some(it.within_budget), &what)?;
    }
    for it in &report.stages {
        let (p50, p99) = (it.p50_seconds, it.p99_seconds);
        writeln!(console.out(), "       {:13} p50 {p50:.3} s, p99 {p99:.3} s of {}", it.stage, it.runs)?;
    }
    if let (Some(frames), Some(overlap)) = (report.frames_per_second, report.overlap) {
        let overlap = 100.0 * overlap;
        writeln!(console.out(), "       {frames:.1} frames/s; speech and picture overlap by {overlap:.0} %")?;
    }
    if let Some(memory) = &report.memory {
        let growth =
            memory.growth.map_or("not judged".to_owned(), |growth| format!("{:.1} MB", growth / 1e6));
        let slots = if memory.slots == 1 { "1 slot".to_owned() } else { format!("{} slots", memory.slots) };
        line(console, Some(memory.ok), &format!("memory over {slots}: growth {growth}"))?;
    }
    for (name, outcome) in [("refusal", &report.refusal), ("out of memory", &report.out_of_memory)] {
        if let Some(outcome) = outcome {
            line(console, outcome.ok, &format!("{name}: {}", outcome.what))?;
        }
    }
    if let Some(seconds) = report.restart_seconds {
        writeln!(console.out(), "       kokoro ready {seconds:.2} s after a restart")?;
    }
    if let Some(it) = &report.sampling {
        let (probe, each, share) = (&it.probe, it.mean_microseconds, 100.0 * it.core_share_at_10_hz);
        let what = format!("a look through {probe}: {each:.1} us, {share:.3} % of a core at 10 Hz");
        line(console, Some(it.ok), &what)?;
    }
    let verdict = if report.ok { "all is as it should be" } else { "not all is as it should be: see above" };
    line(console, Some(report.ok), &format!("gpu-check of {device}: {verdict}"))
}

/// One row for each comparison.
fn fixtures_table(fixtures: &Fixtures, console: &mut Console) -> io::Result<()> {
    for set in fixtures.comparisons.chunk_by(|a, b| a.set == b.set) {
        let Some(first) = set.first() else { continue };
        let width =
            set.iter().map(|it| it.output.chars().count()).chain([first.set.len()]).max().unwrap_or(0);
        let columns = ["precision", "against", "max abs", "relative", "allowed"];
        let [precision, against, max_abs, relative, allowed] = columns;
        let head = format!("{precision:12} {against:9}  {max_abs:>7}  {relative:>8}  {allowed:>7}");
        let name = console.paint(Style::Strong, format!("{:width$}", first.set));
        let head = console.paint(Style::Faint, head);
        writeln!(console.out(), "       {name}  {head}")?;
        set.iter().try_for_each(|it| line(console, Some(it.judged.ok), &row(it, width)))?;
    }
    line(console, fixtures.outcome.ok, &format!("fixtures: {}", fixtures.outcome.what))
}

fn row(it: &Comparison, width: usize) -> String {
    let (output, precision, judged) = (&it.output, it.precision, &it.judged);
    let against = match it.against {
        Against::Reference => "reference",
        Against::Processor => "processor",
    };
    let names = format!("{output:width$}  {precision:12} {against:9}");
    if let Some(why) = &judged.why {
        return format!("{names}  {why}");
    }
    let figure = |value: Option<f64>| match value {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) => format!("{value:.1e}"),
    };
    let mut text = format!(
        "{names}  {:>7}  {:>8}  {:>7} {}",
        figure(judged.max_abs_error),
        figure(judged.relative_error),
        figure(judged.tolerance),
        judged.measure
    );
    let is_shown = [judged.max_abs_error, judged.relative_error].contains(&judged.measured);
    if !is_shown {
        text += &format!(", found {}", figure(judged.measured));
    }
    text
}

/// One thing and its verdict.
fn line(console: &mut Console, ok: Option<bool>, what: &str) -> io::Result<()> {
    let (style, verdict) = match ok {
        Some(true) => (Style::Good, "ok"),
        Some(false) => (Style::Bad, "wrong"),
        None => (Style::Faint, "-"),
    };
    let verdict = console.paint(style, format!("{verdict:5}"));
    writeln!(console.out(), "{verdict}  {what}")
}
