//! Slots: those in work and in the queue with their stages, and those that have ended.

use ratatui::text::{Line, Span};

use super::paint::{Palette, bar};
use crate::api::views::{SlotState, SlotView, StageState, StageView};
use crate::cli::Style as Verdict;
use crate::cli::remote::{ago, plain, seconds};
use crate::cli::slots::{margin, now_doing};
use crate::cli::top::Now;
use crate::cli::top::board::Board;
use crate::cli::top::tail::short;

/// Columns of one stage, on a narrow terminal and on a wide one.
const STAGE: (usize, usize) = (5, 9);
/// From so many columns on a terminal is wide.
const WIDE: u16 = 110;

pub(super) fn title(board: &Board) -> String {
    match &board.look {
        Some(look) => {
            format!("slots: {} in work, {} waiting", look.node.queue.running, look.node.queue.waiting)
        }
        None => "slots".to_owned(),
    }
}

/// At most `rows` rows, the head among them, so that the chosen one is seen.
pub(super) fn open(
    board: &Board,
    selected: Option<&str>,
    palette: Palette,
    width: u16,
    rows: usize,
    now: Now,
) -> Vec<Line<'static>> {
    let open = board.open();
    if open.is_empty() {
        return vec![palette.faint("  none").into()];
    }
    let stage = if width >= WIDE { STAGE.1 } else { STAGE.0 };
    let columns = ["audio", "image", "video", "verify", "package"]
        .map(|name| format!("{name:stage$.stage$}"))
        .join(" ");
    let head = format!("  {:8} {columns} {:14} {:10} {}", "SLOT", "NOW", "LEFT", "DEADLINE");
    let rows = rows.saturating_sub(1).max(1);
    let place = selected.and_then(|id| open.iter().position(|slot| slot.id == id)).unwrap_or(0);
    // As far down as is needed to see the chosen one.
    let first = (place + 1).saturating_sub(rows);
    let mut lines = vec![Line::from(palette.faint(cut(&head, width)))];
    for slot in open.iter().skip(first).take(rows) {
        let line = row(slot, stage, palette, now);
        let is_chosen = selected == Some(slot.id.as_str());
        lines.push(if is_chosen { palette.chosen(line) } else { line });
    }
    lines
}

fn row(slot: &SlotView, width: usize, palette: Palette, now: Now) -> Line<'static> {
    let mut spans = vec![Span::raw(format!("  {:8} ", short(&slot.id)))];
    for stage in &slot.stages {
        spans.push(cell(stage, width, palette));
        spans.push(Span::raw(" "));
    }
    let left = slot.eta.map_or_else(|| "-".to_owned(), seconds);
    let doing: String = now_doing(slot).chars().take(14).collect();
    spans.push(Span::raw(format!("{doing:14} {left:10} ")));
    let (verdict, told) = margin(slot, now.wall);
    spans.push(judged(verdict, told, palette));
    Line::from(spans)
}

fn cell(stage: &StageView, width: usize, palette: Palette) -> Span<'static> {
    match stage.state {
        StageState::Waiting => palette.faint("·".repeat(width)),
        StageState::Done => palette.good("█".repeat(width)),
        StageState::Running => {
            let share = match (stage.done, stage.total) {
                (Some(done), Some(total)) if total > 0 => f64::from(done) / f64::from(total),
                _ => 0.0,
            };
            let text = bar(share, width, '█', '▒');
            if stage.attempt > 1 { palette.doubtful(text) } else { palette.strong(text) }
        }
    }
}

fn judged(verdict: Verdict, told: String, palette: Palette) -> Span<'static> {
    match verdict {
        Verdict::Good => palette.good(told),
        Verdict::Bad => palette.bad(told),
        Verdict::Doubtful => palette.doubtful(told),
        Verdict::Strong => palette.strong(told),
        Verdict::Faint => palette.faint(told),
    }
}

/// At most `rows` ends, the newest first.
pub(super) fn recent(board: &Board, palette: Palette, rows: usize, now: Now) -> Vec<Line<'static>> {
    let ended = board.look.as_ref().map_or(&[][..], |look| &look.recent);
    if ended.is_empty() {
        return vec![palette.faint("  none").into()];
    }
    ended.iter().take(rows).map(|slot| end(slot, palette, now)).collect()
}

fn end(slot: &SlotView, palette: Palette, now: Now) -> Line<'static> {
    let state = format!("{:9}", slot.state.name());
    let state = match slot.state {
        SlotState::Completed => palette.good(state),
        SlotState::Failed => palette.bad(state),
        _ => palette.doubtful(state),
    };
    let ended = slot.ended_at.unwrap_or(slot.accepted_at);
    let took = format!(" {} after {}", ago(ended, now.wall), seconds(ended - slot.accepted_at));
    let (verdict, told) = margin(slot, now.wall);
    let mut spans = vec![Span::raw(format!("  {:8} ", short(&slot.id))), state, Span::raw(took)];
    if slot.deadline.is_some() {
        spans.push(Span::raw(", "));
        spans.push(judged(verdict, told, palette));
    }
    if let Some(cause) = &slot.cause {
        spans.push(palette.strong(format!("  {}", plain(cause))));
    }
    if let Some(message) = &slot.message {
        spans.push(Span::raw(format!(": {}", plain(message))));
    }
    Line::from(spans)
}

fn cut(text: &str, width: u16) -> String {
    text.chars().take(usize::from(width)).collect()
}
