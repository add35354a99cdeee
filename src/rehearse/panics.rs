//! Panics that no scenario plays, by the thread on which they happen.
//!
//! A played panic unwinds past the panic hook; whatever reaches the hook is a fault of the node. The runtime of a rehearsal
//! catches both, so the hook is the only place that hears of every one. Owns a hook that keeps the messages of a thread
//! that is listened to, and hands everything else on to the hook before it.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

thread_local! {
    static HEARD: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// Messages kept of one thread: a panic in a loop should not fill the memory.
const MOST: usize = 20;

/// Runs `play` and returns with its answer what panicked meanwhile on this thread.
pub(super) fn heard_during<T>(play: impl FnOnce() -> T) -> (T, Vec<String>) {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !keep(info) {
                before(info);
            }
        }));
    });
    let outer = HEARD.replace(Some(Vec::new()));
    let answer = play();
    let heard = HEARD.replace(outer).unwrap_or_default();
    (answer, heard)
}

/// Whether this thread is listened to.
fn keep(info: &PanicHookInfo<'_>) -> bool {
    HEARD.with_borrow_mut(|heard| {
        let Some(heard) = heard else { return false };
        if heard.len() < MOST {
            heard.push(info.to_string().replace('\n', " "));
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_kept_and_what_unwinds_past_the_hook_is_not() {
        let (answer, heard) = heard_during(|| {
            let played = panic::catch_unwind(|| panic::resume_unwind(Box::new("played".to_owned())));
            let real = panic::catch_unwind(|| panic!("real {}", 7));
            (played.is_err(), real.is_err())
        });
        assert_eq!(answer, (true, true));
        assert_eq!(heard.len(), 1);
        assert!(heard[0].contains("real 7") && heard[0].contains("panics.rs"), "{heard:?}");
        let (_, heard) = heard_during(|| ());
        assert_eq!(heard, Vec::<String>::new());
    }
}
