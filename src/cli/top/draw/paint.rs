//! Styles, with and without colour, and bars made of characters.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// How things look.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli::top) struct Palette {
    colour: bool,
}

impl Palette {
    /// With or without colour; bold, faint and reversed letters are none.
    pub(in crate::cli::top) fn new(colour: bool) -> Self {
        Self { colour }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn strong(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), Style::new().add_modifier(Modifier::BOLD))
    }

    pub(super) fn faint(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), Style::new().add_modifier(Modifier::DIM))
    }

    pub(super) fn good(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.coloured(Color::Green))
    }

    pub(super) fn doubtful(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.coloured(Color::Yellow).add_modifier(Modifier::BOLD))
    }

    pub(super) fn bad(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.coloured(Color::Red).add_modifier(Modifier::BOLD))
    }

    /// What nobody must overlook.
    pub(super) fn alarm(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.coloured(Color::Red).add_modifier(Modifier::REVERSED | Modifier::BOLD))
    }

    /// The chosen row.
    pub(super) fn chosen(self, line: Line<'static>) -> Line<'static> {
        line.patch_style(Style::new().add_modifier(Modifier::REVERSED))
    }

    /// One of several kinds that lie side by side.
    pub(super) fn kind(self, place: usize, text: impl Into<String>) -> Span<'static> {
        const COLOURS: [Color; 5] =
            [Color::Blue, Color::Magenta, Color::Cyan, Color::Green, Color::LightBlue];
        Span::styled(text.into(), self.coloured(COLOURS[place % COLOURS.len()]))
    }

    /// A section's name on a line across.
    pub(super) fn title(self, name: &str, width: u16) -> Line<'static> {
        let rest = usize::from(width).saturating_sub(name.chars().count() + 4);
        Line::from(vec![
            self.faint("─ "),
            self.strong(name.to_owned()),
            self.faint(format!(" {}", "─".repeat(rest))),
        ])
    }
}

/// Packs pieces side by side into lines of `width`, each after `indent`, never cutting one in two.
pub(super) fn packed(pieces: Vec<Vec<Span<'static>>>, indent: usize, width: u16) -> Vec<Line<'static>> {
    let (mut lines, mut line, mut used) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        let needed: usize = piece.iter().map(Span::width).sum();
        if !line.is_empty() && used + 2 + needed > usize::from(width) {
            lines.push(Line::from(std::mem::take(&mut line)));
            used = 0;
        }
        let gap = if used == 0 { indent } else { 2 };
        line.push(Span::raw(" ".repeat(gap)));
        line.extend(piece);
        used += gap + needed;
    }
    if !line.is_empty() {
        lines.push(Line::from(line));
    }
    lines
}

/// A bar of `width` columns whose first `share` (0 to 1) is full.
pub(super) fn bar(share: f64, width: usize, full: char, empty: char) -> String {
    let done = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
    std::iter::repeat_n(full, done).chain(std::iter::repeat_n(empty, width - done)).collect()
}
