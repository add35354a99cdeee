//! Where a rendering's time goes: spans of `tracing` that are recorded only where somebody asked for a profile.
//!
//! Owns their target and how one is opened. A span lasts to the end of the block that it is opened in and belongs to the
//! thread that runs it: one for a model's run and its parts, one for each layer with its shapes, one for each task of a
//! layer on a thread of the pool. Where no profile is recorded, one costs a look at a number.

/// The target of all of them, by which they are told from the spans of logs and traces.
pub(crate) const TARGET: &str = "profile";

/// Opens a span to the end of the block: its name, and what else is known as `field = value`, written by `Debug`.
macro_rules! timed {
    ($name:literal $(, $field:ident = $value:expr)* $(,)?) => {
        let _timed = tracing::trace_span!(target: "profile", $name $(, $field = ?$value)*).entered();
    };
}
pub(crate) use timed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_target_that_recordings_ask_for() {
        let subscriber = tracing_subscriber::registry();
        tracing::subscriber::with_default(subscriber, || {
            timed!("layer", inputs = [1, 2]);
            let target = tracing::Span::current().metadata().map(tracing::Metadata::target);
            assert_eq!(target, Some(TARGET));
        });
    }
}
