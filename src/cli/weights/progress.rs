//! Progress bars on standard error; nothing where that is no terminal, or one that cannot move its cursor.

use indicatif::{ProgressBar, ProgressStyle};

use crate::telemetry::Terminal;
use crate::types::Bytes;

/// A bar over `total` bytes.
pub(in crate::cli) fn bytes(total: Bytes, what: &str) -> ProgressBar {
    if !Terminal::of(&std::io::stderr()).moves_cursor() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total.get());
    let style =
        "{msg:40!} {bar:30} {decimal_bytes:>10}/{decimal_total_bytes} {decimal_bytes_per_sec:>12} {eta}";
    // A template that cannot be read would be a mistake here; the plain bar serves as well.
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_message(tail(what, 40));
    bar
}

/// The last `most` characters, which tell files apart better than the first.
pub(super) fn tail(text: &str, most: usize) -> String {
    let count = text.chars().count();
    text.chars().skip(count.saturating_sub(most)).collect()
}
