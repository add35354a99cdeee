//! The board as a picture: which part gets how many rows. The parts themselves are lines, made by the files below.
//!
//! Pure: draws what it is given. Nothing is told by colour alone, so that the same picture serves without.

mod devices;
mod head;
mod paint;
mod slots;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::Now;
use super::board::Board;
use super::feed::Command;
use super::tail::short;
use super::ui::Ui;

pub(super) use paint::Palette;

/// Below this nothing can be told.
const SMALLEST: (u16, u16) = (50, 12);

/// Draws `board`.
pub(super) fn draw(frame: &mut Frame<'_>, board: &Board, ui: &Ui, palette: Palette, now: Now) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let told = format!(
            "{}×{} is too small: {}×{} at least; q quits",
            area.width, area.height, SMALLEST.0, SMALLEST.1
        );
        frame.render_widget(Paragraph::new(told), area);
        return;
    }
    let head = head::lines(board, palette, area.width, now);
    let mut devices = devices::lines(board, palette, area.width);
    // However many devices there are, slots are seen, too.
    let most = usize::from(area.height / 2).saturating_sub(head.len() + 1).max(2);
    if devices.len() > most {
        devices.truncate(most - 1);
        devices.push(palette.faint("  … more devices: a larger terminal, or --once").into());
    }
    let rest = usize::from(area.height).saturating_sub(head.len() + devices.len() + 3);
    let recent_rows = (rest / 5).clamp(2, 8);
    let tail_rows = (rest / 3).clamp(2, 16);
    let rows = |lines: usize| Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX));
    let [at_head, at_devices, at_slots, at_recent, at_tail, at_foot] = Layout::vertical([
        rows(head.len()),
        rows(devices.len() + 1),
        Constraint::Min(3),
        rows(recent_rows + 1),
        rows(tail_rows + 1),
        rows(1),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), at_head);
    section(frame, at_devices, palette.title("devices", area.width), devices);
    let title = palette.title(&slots::title(board), area.width);
    let open = slots::open(
        board,
        ui.selected.as_deref(),
        palette,
        area.width,
        usize::from(at_slots.height.saturating_sub(1)),
        now,
    );
    section(frame, at_slots, title, open);
    section(
        frame,
        at_recent,
        palette.title("ended", area.width),
        slots::recent(board, palette, recent_rows, now),
    );
    let tail = board.tail.iter().take(tail_rows).map(|line| Line::from(line.clone())).collect();
    section(frame, at_tail, palette.title("events (UTC), newest first", area.width), tail);
    frame.render_widget(Paragraph::new(foot(board, ui, palette, now)), at_foot);
    if ui.help {
        help(frame, area);
    }
}

fn section(frame: &mut Frame<'_>, area: Rect, title: Line<'static>, lines: Vec<Line<'static>>) {
    let mut all = vec![title];
    all.extend(lines);
    frame.render_widget(Paragraph::new(all), area);
}

/// What is asked, what was said, or the keys there are.
fn foot(board: &Board, ui: &Ui, palette: Palette, now: Now) -> Line<'static> {
    if let Some(asking) = ui.asking {
        let what = match asking {
            Command::Drain => "take nothing in any more, and finish what is open?".to_owned(),
            Command::Undrain => "take slots in again?".to_owned(),
            Command::Cancel(id) => format!("cancel slot {}?", short(&id.to_string())),
        };
        return Line::from(vec![palette.alarm(format!(" {what} ")), Span::raw(" y yes, any other key no")]);
    }
    if let Some(said) = board.said(now.at) {
        return palette.strong(said.to_owned()).into();
    }
    let drain = if board.look.as_ref().is_some_and(|look| look.node.draining) { "undrain" } else { "drain" };
    palette.faint(format!("q quit  ↑↓ jk choose  c cancel  d {drain}  ? help")).into()
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    const TEXT: [&str; 13] = [
        "q           quit; Ctrl-C does, too",
        "↑ ↓, k j    choose a slot; g first, G last",
        "c           cancel the chosen slot, after asking",
        "d           drain: take nothing in any more; again: undrain",
        "?           this help; any key closes it",
        "",
        "memory      a letter stands for what a model holds:",
        "            F flux, L liveportrait, K kokoro,",
        "            B clip_b, C clip_l, # in use by others,",
        "            ╎ the soft limit, ┃ the hard limit",
        "stages      audio, image, video, verify, package:",
        "            █ done, ▒ what is left of one under way,",
        "            · to come",
    ];
    let (width, height) = (62.min(area.width), (TEXT.len() as u16 + 2).min(area.height));
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let lines: Vec<Line<'_>> = TEXT.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" help ")), place);
}

/// Everything as text, without limits on rows.
pub(super) fn text(board: &Board, width: u16, now: Now) -> Vec<String> {
    let palette = Palette::new(false);
    let mut lines = head::lines(board, palette, width, now);
    lines.push(palette.title("devices", width));
    lines.extend(devices::lines(board, palette, width));
    lines.push(palette.title(&slots::title(board), width));
    lines.extend(slots::open(board, None, palette, width, usize::MAX, now));
    lines.push(palette.title("ended", width));
    lines.extend(slots::recent(board, palette, usize::MAX, now));
    let plain = |line: &Line<'_>| line.to_string().trim_end().to_owned();
    lines.iter().map(plain).collect()
}
