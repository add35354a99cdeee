//! Devices: a gauge of memory with both limits and the share of each model, and how the models stand.

use ratatui::text::{Line, Span};

use super::paint::{Palette, packed};
use crate::api::views::{ActorView, DeviceView, MemoryView};
use crate::cli::remote::plain;
use crate::cli::top::board::Board;
use crate::types::Bytes;

/// The models in the order of their letters.
const MODELS: [(&str, char); 5] =
    [("flux", 'F'), ("liveportrait", 'L'), ("kokoro", 'K'), ("clip_b", 'B'), ("clip_l", 'C')];
/// Memory in use that belongs to no model of ours.
const OTHERS: char = '#';
const FREE: char = '·';
const SOFT: char = '╎';
const HARD: char = '┃';

pub(super) fn lines(board: &Board, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let Some(look) = &board.look else { return Vec::new() };
    look.node.devices.iter().flat_map(|device| of_device(device, palette, width)).collect()
}

fn of_device(device: &DeviceView, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let mut first = vec![palette.strong(format!("{:8}", plain(&device.device))), Span::raw(" ")];
    let pressure = format!("{:8}", plain(&device.pressure));
    first.push(match device.pressure.as_str() {
        "normal" => palette.good(pressure),
        "soft" | "unknown" => palette.doubtful(pressure),
        _ => palette.bad(pressure),
    });
    let told = match &device.memory {
        Some(memory) => format!(" {} of {}", Bytes::new(memory.used), Bytes::new(memory.total)),
        None => " not looked at yet".to_owned(),
    };
    let taken = 19 + told.chars().count();
    let room = usize::from(width).saturating_sub(taken).clamp(8, 60);
    first.push(Span::raw("["));
    first.extend(gauge(device, room, palette));
    first.push(Span::raw("]"));
    first.push(Span::raw(told));
    let mut lines = vec![Line::from(first)];
    let mut pieces = Vec::new();
    pieces.extend(device.closed.as_deref().map(|why| vec![palette.bad(format!("closed: {}", plain(why)))]));
    pieces.push(vec![palette.doubtful(SOFT), Span::raw(format!(" soft {}", Bytes::new(device.soft_limit)))]);
    pieces.push(vec![palette.bad(HARD), Span::raw(format!(" hard {}", Bytes::new(device.hard_limit)))]);
    pieces.extend(models(device, palette));
    lines.extend(packed(pieces, 2, width));
    lines.extend(packed(others(device, palette), 2, width));
    lines
}

/// The letter and place of a model.
fn letter(model: &str) -> (usize, char) {
    let known = MODELS.iter().position(|(name, _)| *name == model);
    known.map_or((MODELS.len(), '?'), |place| (place, MODELS[place].1))
}

/// One character for each column, with the models' letters from the left and the limits where they are.
fn gauge(device: &DeviceView, width: usize, palette: Palette) -> Vec<Span<'static>> {
    let total = device.memory.as_ref().map_or(0, |memory| memory.total).max(device.hard_limit).max(1);
    let column = |bytes: u64| ((bytes as f64 / total as f64) * width as f64).round() as usize;
    let mut cells: Vec<(Option<usize>, char)> = vec![(None, FREE); width];
    if let Some(memory) = &device.memory {
        let mut sum = 0u64;
        for (place, letter, bytes) in shares(memory) {
            let begin = column(sum);
            sum = sum.saturating_add(bytes);
            for cell in cells.iter_mut().take(column(sum)).skip(begin) {
                *cell = (Some(place), letter);
            }
        }
    }
    // A limit beyond the end is not on the picture; the numbers beside it are.
    for (limit, mark) in [(device.soft_limit, SOFT), (device.hard_limit, HARD)] {
        if let Some(cell) = cells.get_mut(column(limit)) {
            *cell = (None, mark);
        } else if let Some(cell) = cells.last_mut().filter(|_| limit <= total) {
            *cell = (None, mark);
        }
    }
    cells
        .into_iter()
        .map(|(place, letter)| match (place, letter) {
            (Some(place), letter) => palette.kind(place, letter),
            (None, SOFT) => palette.doubtful(SOFT),
            (None, HARD) => palette.bad(HARD),
            (None, letter) => palette.faint(letter),
        })
        .collect()
}

/// What each model holds, then what is in use besides.
fn shares(memory: &MemoryView) -> Vec<(usize, char, u64)> {
    let mut shares: Vec<(usize, char, u64)> = memory
        .models
        .iter()
        .map(|held| {
            let (place, letter) = letter(&held.model);
            (place, letter, held.resident.saturating_add(held.workspace))
        })
        .collect();
    shares.sort_by_key(|(place, ..)| *place);
    let ours = shares.iter().fold(0u64, |sum, (.., bytes)| sum.saturating_add(*bytes));
    shares.push((MODELS.len(), OTHERS, memory.used.saturating_sub(ours)));
    shares
}

fn models(device: &DeviceView, palette: Palette) -> Vec<Vec<Span<'static>>> {
    let is_model = |actor: &&ActorView| MODELS.iter().any(|(name, _)| *name == actor.name);
    let actors = device.actors.iter().filter(is_model);
    actors
        .map(|actor| {
            let (place, letter) = letter(&actor.name);
            let held =
                device.memory.iter().flat_map(|memory| &memory.models).find(|held| held.model == actor.name);
            let mut piece = vec![
                palette.kind(place, format!("{letter} ")),
                Span::raw(format!("{} ", actor.name)),
                state(actor, palette),
            ];
            if let Some(held) = held.filter(|held| held.resident + held.workspace > 0) {
                piece.push(Span::raw(format!(
                    " {}",
                    Bytes::new(held.resident.saturating_add(held.workspace))
                )));
            }
            piece.extend(restarts(actor, palette));
            piece
        })
        .collect()
}

/// The actors that are no models, where there is something to tell of them.
fn others(device: &DeviceView, palette: Palette) -> Vec<Vec<Span<'static>>> {
    let of_note = device.actors.iter().filter(|actor| {
        let is_model = MODELS.iter().any(|(name, _)| *name == actor.name);
        !is_model && (actor.state != "up" || actor.restarts > 0)
    });
    let mut pieces: Vec<Vec<Span<'static>>> = of_note
        .map(|actor| {
            let mut piece = vec![Span::raw(format!("{} ", plain(&actor.name))), state(actor, palette)];
            piece.extend(restarts(actor, palette));
            piece
        })
        .collect();
    // Why something went down last is told while it is down.
    for actor in &device.actors {
        let is_down = matches!(actor.state.as_str(), "down" | "restarting" | "cordoned");
        if let Some(fault) = actor.fault.as_deref().filter(|_| is_down) {
            pieces.push(vec![palette.bad(format!("{}: {}", plain(&actor.name), plain(fault)))]);
        }
    }
    pieces
}

fn state(actor: &ActorView, palette: Palette) -> Span<'static> {
    let told = plain(&actor.state).into_owned();
    match actor.state.as_str() {
        "up" | "ready" => palette.good(told),
        "busy" => palette.strong(told),
        "loading" | "warming" | "trimming" => palette.doubtful(told),
        _ => palette.bad(told),
    }
}

fn restarts(actor: &ActorView, palette: Palette) -> Option<Span<'static>> {
    (actor.restarts > 0).then(|| palette.doubtful(format!(" ↻{}", actor.restarts)))
}
