//! The first rows: which node, whether it takes slots in and why not, what it has to do and has done.

use ratatui::text::{Line, Span};

use super::paint::{Palette, packed};
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
