//! A thread that syncs the log while another commits the index.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::journal::index::steps::{Step, Steps};

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(in crate::journal::index) struct SyncThread {
    ask: Option<SyncSender<Arc<File>>>,
    outcome: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SyncThread {
    pub(crate) fn start(steps: Steps) -> io::Result<Self> {
        // One sync is under way at a time.
        let (ask, asked) = sync_channel::<Arc<File>>(1);
        let (tell, outcome) = sync_channel(1);
        let run = move || {
            for file in asked {
                let outcome = steps.at(Step::LogSync).and_then(|()| file.sync_data());
                if tell.send(outcome).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("journal-log".to_owned()).spawn(run)?;
        Ok(Self { ask: Some(ask), outcome, thread: Some(thread) })
    }

    /// Syncs `file` while `meanwhile` runs.
    pub(crate) fn sync<T>(&self, file: Arc<File>, meanwhile: impl FnOnce() -> T) -> (io::Result<()>, T) {
        let ended = || io::Error::other("the thread that syncs the log has ended");
        let asked = self.ask.as_ref().is_some_and(|ask| ask.send(file).is_ok());
        let done = meanwhile();
        let outcome = if asked { self.outcome.recv().unwrap_or_else(|_| Err(ended())) } else { Err(ended()) };
        (outcome, done)
    }
}

impl Drop for SyncThread {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told as a failed sync.
            let _ = thread.join();
        }
    }
}
