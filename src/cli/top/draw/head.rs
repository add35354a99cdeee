//! The first rows: which node, whether it takes slots in and why not, what it has to do and has done.

use ratatui::text::{Line, Span};

use super::paint::{Palette, packed};
use crate::api::views::NetworkView;
use crate::cli::remote::{age, length, plain};
use crate::cli::top::Now;
use crate::cli::top::board::Board;

/// More reasons than these are counted.
const REASONS: usize = 3;

pub(super) fn lines(board: &Board, palette: Palette, width: u16, now: Now) -> Vec<Line<'static>> {
    let mut first =
        vec![vec![palette.strong("vortex-node"), Span::raw(format!(" {}", plain(&board.address)))]];
    if let Some((since, why)) = board.stale(now.at) {
        let since = length(since);
        first.push(vec![palette.alarm(format!(" STALE for {since} "))]);
        first.push(vec![palette.bad(why.to_owned())]);
    }
    let Some(look) = &board.look else { return packed(first, 0, width) };
    let node = &look.node;
    first.push(vec![if node.draining {
        palette.doubtful("DRAINING")
    } else if node.ready {
        palette.good("ready")
    } else {
        palette.bad("NOT READY")
    }]);
    first.push(vec![Span::raw(format!("up {}", length(age(node.started_at, now.wall))))]);
    first.push(vec![palette.faint(format!("v{}", plain(&node.version)))]);
    first.push(vec![palette.faint(format!("profile {}", plain(&node.profile)))]);
    first.push(vec![palette.faint(format!("bundle {}", plain(&node.bundle)))]);
    let mut lines = packed(first, 0, width);
    let queue = &node.queue;
    let mut second = vec![
        vec![Span::raw(format!("queue {}/{}", queue.waiting, queue.capacity))],
        vec![Span::raw(format!("in work {}", queue.running))],
    ];
    for (ending, count) in &node.ended {
        let text = format!("{} {count}", plain(ending));
        second.push(vec![match ending.as_str() {
            "failed" if *count > 0 => palette.bad(text),
            _ => Span::raw(text),
        }]);
    }
    if node.root.restarts > 0 {
        second.push(vec![palette.doubtful(format!("{} restarts", node.root.restarts))]);
    }
    lines.extend(packed(second, 0, width));
    if let Some(network) = &node.network {
        lines.extend(packed(of_network(network, palette), 0, width));
    }
    for reason in node.not_ready.iter().take(REASONS) {
        lines.push(Line::from(vec![palette.bad("! "), Span::raw(plain(reason).into_owned())]));
    }
    let more = node.not_ready.len().saturating_sub(REASONS);
    if more > 0 {
        lines.push(palette.bad(format!("! and {more} more reasons")).into());
    }
    for alert in node.alerts.iter().take(REASONS) {
        lines.push(Line::from(vec![palette.doubtful("! "), Span::raw(plain(alert).into_owned())]));
    }
    lines
}

/// The network's line: how it stands, what is claimed, and what went wrong where something did.
fn of_network(network: &NetworkView, palette: Palette) -> Vec<Vec<Span<'static>>> {
    let standing = match (network.connected, network.pulls) {
        (true, true) => palette.good("connected"),
        (true, false) => palette.doubtful("pulls nothing"),
        (false, _) => palette.bad("AWAY"),
    };
    let mut pieces = vec![
        vec![Span::raw(format!("network {} ", plain(&network.prefix))), standing],
        vec![Span::raw(format!("claims {}", network.claims))],
    ];
    for (count, what) in [(network.claims_lost, "lost"), (network.letters, "dead letters")] {
        if count > 0 {
            pieces.push(vec![palette.doubtful(format!("{what} {count}"))]);
        }
    }
    let others = network.stands_in_for.len();
    if others > 0 {
        pieces.push(vec![Span::raw(format!("stands in for {others}"))]);
    }
    if let Some(why) = network.not_pulling.first().filter(|_| network.connected) {
        pieces.push(vec![palette.faint(plain(why).into_owned())]);
    }
    pieces
}
