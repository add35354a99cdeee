//! Fleets of several sizes and servers of several speeds, each with all its work at once and with work that comes bit by
//! bit; as tables for the benches' README, and as plots.

use std::path::Path;
use std::time::Duration;

use vortex_node::clock::now;

use super::costs::{Costs, Kind, Lane, Writes};
use super::plot::{Axis, Line, Plot};
use super::world::{ACK_WAIT, DOWN, LIFE, Load, Outcome, Scenario, TRIP, play};
use super::{milliseconds, quantile};

const FLEETS: [u32; 4] = [100, 300, 1000, 3000];
/// For servers of other speeds, to where the slower ones have enough.
const WIDER: [u32; 5] = [100, 300, 1000, 3000, 10_000];
/// Where something else than the number of nodes is changed.
const USUAL: u32 = 1000;
const SYNC: Duration = Duration::from_millis(1);
/// Of what the nodes can render.
const LOAD: f64 = 0.8;
/// Disks of other speeds: the time of a sync.
const SYNCS: [Duration; 3] = [Duration::from_micros(200), SYNC, Duration::from_millis(4)];

struct Run {
    scenario: Scenario,
    outcome: Outcome,
}

pub fn measure(slots: u32, seed: u64, plots: &Path) {
    let began = now();
    println!(
        "simulated: {slots} slots, seed {seed}; a sync takes {} ms, a trip to the server and back {} ms, AckWait {} s, a \
         node is killed once in {} h and back after {} s",
        milliseconds(SYNC),
        milliseconds(TRIP),
        ACK_WAIT.as_secs(),
        LIFE.as_secs() / 3600,
        DOWN.as_secs()
    );
    let costs = Costs { sync: SYNC, writes: Writes::Apart };
    let usual =
        Scenario { nodes: USUAL, slots, load: Load::Backlog, lookahead: 2, waits_ahead: true, costs, seed };
    let of = |scenario| Run { scenario, outcome: play(scenario) };
    let all_at_once = FLEETS.map(|nodes| of(Scenario { nodes, ..usual }));
    let steady = FLEETS.map(|nodes| of(Scenario { nodes, load: Load::Steady(LOAD), ..usual }));
    throughput(&all_at_once);
    waits(&steady);
    losses(&all_at_once, &steady);
    server(&all_at_once);
    let mut lookaheads = Vec::new();
    for (lookahead, waits_ahead) in [(1, true), (2, true), (3, true), (2, false), (3, false)] {
        for load in [Load::Backlog, Load::Steady(LOAD)] {
            lookaheads.push(of(Scenario { load, lookahead, waits_ahead, ..usual }));
        }
    }
    by_lookahead(&lookaheads);
    let mut disks = Vec::new();
    for writes in [Writes::Apart, Writes::InOneLine, Writes::RegistryInMemory] {
        for sync in SYNCS {
            let costs = Costs { sync, writes };
            disks.extend(WIDER.map(|nodes| of(Scenario { nodes, costs, ..usual })));
        }
    }
    by_disk(&disks);
    plot_throughput(&disks, plots);
    let idle = lookaheads
        .iter()
        .find(|run| !run.scenario.waits_ahead && matches!(run.scenario.load, Load::Steady(_)));
    plot_waits(steady.iter().chain(idle), plots);
    println!("\nplayed in {:.1} s; the plots are in {}", (now() - began).as_secs_f64(), plots.display());
}

fn throughput(runs: &[Run]) {
    println!("\nAll slots at once\n");
    println!(
        "| nodes | slots/s | of the ideal | 95 %, 100 % ended after | slots of a node: least, 5 %, middle, 95 %, most | nodes rendering | busiest of the server | limit |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for run @ Run { scenario, outcome } in runs {
        let finished =
            [0.0, 0.05, 0.5, 0.95, 1.0].map(|share| quantile(&outcome.finished, share).to_string());
        println!(
            "| {} | {:.1} | {:.1} % of {:.1} | {:.0} s, {:.0} s | {} | {:.1} % | {} | {} |",
            scenario.nodes,
            outcome.rate,
            outcome.rate / outcome.ideal * 100.0,
            outcome.ideal,
            outcome.most.as_secs_f64(),
            outcome.lasted.as_secs_f64(),
            finished.join(", "),
            outcome.rendering * 100.0,
            server_is(run),
            limit(run)
        );
    }
}

fn waits(runs: &[Run]) {
    println!("\nSlots one by one, {:.0} % of the ideal\n", LOAD * 100.0);
    println!(
        "| nodes | slots/s | waited for a node: p50, p95, p99, most | until the result: p50, p95, p99, most | nodes rendering | busiest of the server |"
    );
    println!("|---|---|---|---|---|---|");
    for run @ Run { scenario, outcome } in runs {
        println!(
            "| {} | {:.1} | {} | {} | {:.1} % | {} |",
            scenario.nodes,
            outcome.rate,
            tail(&outcome.waits),
            tail(&outcome.ends),
            outcome.rendering * 100.0,
            server_is(run)
        );
    }
}

fn losses(all_at_once: &[Run], steady: &[Run]) {
    println!("\nLost\n");
    println!(
        "| nodes | load | crashes | delivered again | claims lost by living nodes | dead slots | rendered for nothing, by crashes |"
    );
    println!("|---|---|---|---|---|---|---|");
    for Run { scenario, outcome } in all_at_once.iter().chain(steady) {
        let load = if matches!(scenario.load, Load::Backlog) { "at once" } else { "one by one" };
        println!(
            "| {} | {load} | {} | {} | {} | {} | {:.2} %, {:.2} % |",
            scenario.nodes,
            outcome.crashes,
            outcome.redeliveries,
            outcome.lost_claims,
            outcome.dead,
            outcome.lost * 100.0,
            outcome.lost_by_crashes * 100.0
        );
    }
}

fn server(runs: &[Run]) {
    let names = Kind::ALL.map(Kind::name).join(" | ");
    println!(
        "\nThe server, all slots at once: share of the time of each request's lane, and requests for a slot\n"
    );
    println!("| nodes | {names} |");
    println!("|{}", "---|".repeat(Kind::ALL.len() + 1));
    for Run { scenario, outcome } in runs {
        let of = |kind: Kind| {
            let each = outcome.requests[kind] as f64 / f64::from(scenario.slots);
            format!("{:.1} % ({each:.1})", outcome.server[kind] * 100.0)
        };
        let kinds = Kind::ALL.map(of).join(" | ");
        println!("| {} | {kinds} |", scenario.nodes);
    }
}

fn by_lookahead(runs: &[Run]) {
    println!("\nSlots that a node holds, the one in work included; {USUAL} nodes\n");
    println!(
        "| slots held | at once: of the ideal | one by one: waited, p50, p95, p99, most | until the result |"
    );
    println!("|---|---|---|---|");
    for pair in runs.chunks(2) {
        let [Run { scenario, outcome: at_once }, Run { outcome: steady, .. }] = pair else { continue };
        println!(
            "| {}{} | {:.1} % | {} | {} |",
            scenario.lookahead,
            if scenario.waits_ahead { "" } else { ", waits only when it holds none" },
            at_once.rate / at_once.ideal * 100.0,
            tail(&steady.waits),
            tail(&steady.ends)
        );
    }
}

fn by_disk(runs: &[Run]) {
    println!(
        "\nOther disks: share of the ideal, and of its time that the busiest of the server's lanes needs\n"
    );
    let fleets = WIDER.map(|nodes| format!("{nodes} nodes")).join(" | ");
    println!("| a sync | streams' writes | {fleets} |\n|---|---|{}", "---|".repeat(WIDER.len()));
    for row in runs.chunks(WIDER.len()) {
        let Costs { sync, writes } = row[0].scenario.costs;
        let of = |run: &Run| {
            let open = if run.outcome.open > 0 { ", given up" } else { "" };
            format!("{:.0} %; {}{open}", run.outcome.rate / run.outcome.ideal * 100.0, server_is(run))
        };
        let cells: Vec<String> = row.iter().map(of).collect();
        let how = match writes {
            Writes::Apart => "apart",
            Writes::InOneLine => "in one line",
            Writes::RegistryInMemory => "in one line, registry in memory",
        };
        println!("| {} ms | {how} | {} |", milliseconds(sync), cells.join(" | "));
    }
}

/// Of what slots wait for: the server's busiest lane, and the share of its time.
fn busiest(run: &Run) -> (&'static str, f64) {
    let shares = |lane| {
        let kinds = Kind::ALL.into_iter().filter(move |kind| run.scenario.costs.lane(*kind) == lane);
        kinds.map(|kind| run.outcome.server[kind]).sum()
    };
    if run.scenario.costs.writes != Writes::Apart {
        return ("server", shares(Lane::Work));
    }
    let slots = [Lane::Work, Lane::Results, Lane::Attempts];
    let lanes = slots.map(|lane| (lane.name(), shares(lane)));
    lanes.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// The same in words, and the registry's share where it has a lane of its own.
fn server_is(run: &Run) -> String {
    let (lane, share) = busiest(run);
    let registry = run.outcome.server[Kind::Heartbeat] * 100.0;
    let apart = format!(", {} {registry:.0} %", Lane::Registry.name());
    let beside = if run.scenario.costs.writes == Writes::Apart { apart } else { String::new() };
    format!("{lane} {:.0} %{beside}", share * 100.0)
}

/// What is used up; where nothing is, most of the time went by until all nodes were at work, or when some were not any more.
fn limit(run: &Run) -> &'static str {
    let (lane, share) = busiest(run);
    match (run.outcome.rendering, share) {
        (0.9.., _) => "nodes",
        (_, 0.9..) => lane,
        _ => "start and end",
    }
}

fn tail(sorted: &[Duration]) -> String {
    [0.5, 0.95, 0.99, 1.0].map(|share| seconds(quantile(sorted, share).as_secs_f64())).join(", ")
}

fn seconds(time: f64) -> String {
    match time {
        ..0.1 => format!("{:.0} ms", time * 1e3),
        ..10.0 => format!("{time:.1} s"),
        _ => format!("{time:.0} s"),
    }
}

fn plot_throughput(runs: &[Run], plots: &Path) {
    let fleets = runs.chunks(WIDER.len());
    let point =
        |rate: fn(&Outcome) -> f64| move |run: &Run| (f64::from(run.scenario.nodes), rate(&run.outcome));
    let mut lines = vec![Line {
        name: "ideal".to_owned(),
        points: runs.iter().take(WIDER.len()).map(point(|outcome| outcome.ideal)).collect(),
        is_dashed: true,
        is_marked: false,
    }];
    let one_line = |fleet: &&[Run]| fleet[0].scenario.costs.writes == Writes::InOneLine;
    lines.extend(fleets.filter(one_line).map(|fleet| Line {
        name: format!("sync of {} ms", milliseconds(fleet[0].scenario.costs.sync)),
        points: fleet.iter().map(point(|outcome| outcome.rate)).collect(),
        is_dashed: false,
        is_marked: true,
    }));
    let plot = Plot {
        title: "Throughput, all slots at once, one line for all of the server's writes (simulated)"
            .to_owned(),
        x: Axis { label: "nodes", from: 100.0, to: 10_000.0, shown: |number| format!("{number:.0}") },
        y: Axis { label: "slots a second", from: 1.0, to: 1000.0, shown: |number| format!("{number:.0}") },
        lines,
    };
    plot.write(&plots.join("throughput.svg"));
}

fn plot_waits<'a>(runs: impl Iterator<Item = &'a Run>, plots: &Path) {
    let lines = runs.map(|Run { scenario, outcome }| {
        let count = outcome.waits.len() as f64;
        // So many shares, evenly on the axis, down to the last slot.
        let shares = (0..=200).map(|step| count.powf(-f64::from(step) / 200.0));
        let point = |share: f64| (quantile(&outcome.waits, 1.0 - share).as_secs_f64().max(1e-3), share);
        Line {
            name: format!(
                "{} nodes{}",
                scenario.nodes,
                if scenario.waits_ahead { "" } else { ", idle wait" }
            ),
            points: shares.map(point).collect(),
            is_dashed: !scenario.waits_ahead,
            is_marked: false,
        }
    });
    let plot = Plot {
        title: format!("Slots that wait longer, at {:.0} % of the ideal (simulated)", LOAD * 100.0),
        x: Axis { label: "wait from acceptance to the first render", from: 1e-2, to: 1e3, shown: short },
        y: Axis {
            label: "share of the slots",
            from: 1e-5,
            to: 1.0,
            shown: |share| format!("{} %", rounded(share * 100.0)),
        },
        lines: lines.collect(),
    };
    plot.write(&plots.join("waits.svg"));
}

fn short(time: f64) -> String {
    if time < 0.99 { format!("{:.0} ms", time * 1e3) } else { format!("{time:.0} s") }
}

/// Without what floating-point numbers add to a power of ten.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}
