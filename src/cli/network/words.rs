//! Names and ends in words for people.

use std::borrow::Cow;

use crate::cli::Style;
use crate::cli::remote::{ago, plain};
use crate::clock;
use crate::network::results::{EndState, ResultRecord};

/// Digits of a node's id that tell nodes apart for people.
const DIGITS: usize = 12;

/// A node's id, shortened for people.
pub(in crate::cli) fn short(node: &str) -> String {
    plain(node).chars().take(DIGITS).collect()
}

/// How an end looks, and what is told of it: `completed by 0123456789ab 3 min ago`, `failed (check): …`.
pub(in crate::cli) fn ends(record: &ResultRecord) -> (Style, String) {
    let style = match record.state {
        EndState::Completed => Style::Good,
        EndState::Cancelled => Style::Doubtful,
        EndState::Failed | EndState::Dead => Style::Bad,
    };
    let cause = record.cause.as_deref().map(|cause| format!(" ({})", plain(cause))).unwrap_or_default();
    let message = record.message.as_deref().map_or(Cow::Borrowed(""), plain);
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    let late = if record.deadline_met == Some(false) { ", after its deadline" } else { "" };
    let (node, when) = (short(&record.node), ago(record.at, clock::unix_time()));
    (style, format!("{}{cause} by {node} {when}{late}{message}", record.state))
}
