//! All about one slot, for people.

use super::{margin, now_doing, style};
use crate::api::views::{DeliveryState, SlotView, StageState, WebhookView};
use crate::cli::remote::{ago, length, plain, seconds};
use crate::cli::{Console, Failed, Style};
use crate::clock;
use crate::types::Bytes;

pub(super) fn show(slot: &SlotView, console: &mut Console) -> Result<(), Failed> {
    let now = clock::unix_time();
    let state = console.paint(style(slot.state), slot.state.name());
    let id = console.paint(Style::Strong, plain(&slot.id));
    writeln!(console.out(), "slot {id}: {state}")?;
    if let Some(message) = &slot.message {
        writeln!(console.out(), "  {}", plain(message))?;
    }
    let took = match slot.ended_at {
        Some(at) => format!(", ended {} after {}", ago(at, now), seconds(at - slot.accepted_at)),
        None => String::new(),
    };
    field(console, "accepted", &format!("{}{took}", ago(slot.accepted_at, now)))?;
    if !slot.state.is_final() {
        let left = slot.eta.map(|eta| format!(", about {} left", seconds(eta))).unwrap_or_default();
        field(console, "now", &format!("{}{left}", now_doing(slot)))?;
    } else if let Some(cause) = &slot.cause {
        field(console, "cause", &plain(cause))?;
    }
    let (in_time, told) = margin(slot, now);
    let told = console.paint(in_time, told);
    field(console, "deadline", &told)?;
    if let Some(device) = &slot.device {
        field(console, "device", &plain(device))?;
    }
    if slot.attempts > 1 {
        field(console, "attempts", &format!("{}: a restart interrupted it", slot.attempts))?;
    }
    field(console, "recipe", &plain(&slot.recipe_sha256))?;
    if let Some(trace) = &slot.trace_id {
        field(console, "trace", &plain(trace))?;
    }
    stages(slot, console)?;
    artifacts(slot, console)?;
    if let Some(delivery) = slot.delivery {
        field(console, "store", of_delivery(delivery))?;
    }
    if let Some(webhook) = &slot.webhook {
        hook(webhook, console)?;
    }
    Ok(())
}

fn field(console: &mut Console, name: &str, text: &str) -> Result<(), Failed> {
    Ok(writeln!(console.out(), "  {name:9} {text}")?)
}

fn stages(slot: &SlotView, console: &mut Console) -> Result<(), Failed> {
    for stage in &slot.stages {
        let (style, word) = match stage.state {
            StageState::Waiting => (Style::Faint, "waiting"),
            StageState::Running => (Style::Strong, "running"),
            StageState::Done => (Style::Good, "done"),
        };
        let mut more = match (stage.began_at, stage.ended_at) {
            (Some(began), Some(ended)) => format!("in {}", seconds(ended - began)),
            (Some(began), None) => format!("for {}", seconds(clock::unix_time().as_secs_f64() - began)),
            _ => String::new(),
        };
        if let (Some(done), Some(total), StageState::Running) = (stage.done, stage.total, stage.state) {
            more.push_str(&format!(", {done} of {total}"));
        }
        if stage.attempt > 1 {
            more.push_str(&format!(", attempt {}", stage.attempt));
        }
        let word = console.paint(style, format!("{word:7}"));
        let line = format!("  {:9} {word} {more}", plain(&stage.stage));
        writeln!(console.out(), "{}", line.trim_end())?;
    }
    Ok(())
}

fn artifacts(slot: &SlotView, console: &mut Console) -> Result<(), Failed> {
    for artifact in &slot.artifacts {
        let size = Bytes::new(artifact.bytes);
        writeln!(console.out(), "  {:28} {size:>9}  {}", plain(&artifact.name), plain(&artifact.sha256))?;
    }
    match slot.expires_at {
        Some(at) if !slot.artifacts.is_empty() => {
            let left = crate::cli::remote::duration(at).saturating_sub(clock::unix_time());
            let told = if left.is_zero() {
                "may be gone any time".to_owned()
            } else {
                format!("for {}", length(left))
            };
            field(console, "kept", &told)
        }
        _ => Ok(()),
    }
}

fn hook(webhook: &WebhookView, console: &mut Console) -> Result<(), Failed> {
    let state = webhook.state.map_or("nothing to tell yet", of_delivery);
    let tries = if webhook.attempts > 1 { format!(", {} tries", webhook.attempts) } else { String::new() };
    let error = webhook.error.as_deref().map(|error| format!(": {}", plain(error))).unwrap_or_default();
    field(console, "webhook", &format!("{} {state}{tries}{error}", plain(&webhook.url)))
}

fn of_delivery(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "still to be delivered",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Undelivered => "given up",
    }
}
