//! The connection that a node keeps: one [`Session`] after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::NetworkError;
use super::session::{Server, Session};
use super::subjects::Subjects;

/// Between two tries at first …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How the connection stands.
#[derive(Clone)]
pub enum LinkState {
    /// It stands.
    Up(Session),
    /// It does not; what the last try came to.
    Down {
        /// Since the Unix epoch.
        since: Duration,
        /// What was said.
        error: String,
    },
}

/// Keeps a connection; clones are handles to the same.
#[derive(Clone)]
pub struct Link {
    state: watch::Receiver<LinkState>,
    subjects: Arc<Subjects>,
}

impl Link {
    /// With `first`, where one stands; a task opens the next one whenever there is none, until nobody holds the link.
    pub fn keep(server: Server, subjects: Arc<Subjects>, first: Option<Session>) -> Self {
        let first = match first {
            Some(session) => LinkState::Up(session),
            None => {
                LinkState::Down { since: crate::clock::unix_time(), error: "not connected yet".to_owned() }
            }
        };
        let (told, state) = watch::channel(first);
        tokio::spawn(keep(server, Arc::clone(&subjects), told));
        Self { state, subjects }
    }

    /// Names of everything.
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// The session, where one stands.
    pub fn session(&self) -> Option<Session> {
        match &*self.state.borrow() {
            LinkState::Up(session) if !session.is_over() => Some(session.clone()),
            LinkState::Up(_) | LinkState::Down { .. } => None,
        }
    }

    /// Waits until a session stands; none where the link is being closed.
    pub async fn up(&self) -> Option<Session> {
        let mut state = self.state.clone();
        loop {
            if let Some(session) = self.session() {
                return Some(session);
            }
            state.changed().await.ok()?;
        }
    }

    /// How it stands; none where it stands well.
    pub fn down(&self) -> Option<(Duration, String)> {
        match &*self.state.borrow() {
            LinkState::Down { since, error } => Some((*since, error.clone())),
            LinkState::Up(_) => None,
        }
    }
}

async fn keep(server: Server, subjects: Arc<Subjects>, told: watch::Sender<LinkState>) {
    loop {
        let session = match &*told.borrow() {
            LinkState::Up(session) => Some(session.clone()),
            LinkState::Down { .. } => None,
        };
        if let Some(session) = session {
            tokio::select! {
                () = session.over() => {}
                () = told.closed() => return,
            }
            tracing::warn!("the connection to the network is gone; claims end unless it comes back in time");
            let error = "the connection was lost".to_owned();
            told.send_replace(LinkState::Down { since: crate::clock::unix_time(), error });
        }
        let since = crate::clock::unix_time();
        let (mut said, mut pause) = (String::new(), FIRST_PAUSE);
        let next = loop {
            let opened = tokio::select! {
                opened = server.open(&subjects) => opened,
                () = told.closed() => return,
            };
            match opened {
                Ok(session) => break session,
                Err(error) => {
                    let text = error.to_string();
                    if text != said {
                        log(&error);
                        said = text.clone();
                    }
                    told.send_replace(LinkState::Down { since, error: text });
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told.closed() => return,
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        };
        let gone = crate::clock::unix_time().saturating_sub(since);
        tracing::info!(seconds = gone.as_secs_f64(), "connected to the network again");
        told.send_replace(LinkState::Up(next));
    }
}

fn log(error: &NetworkError) {
    match error {
        NetworkError::Credentials { .. } | NetworkError::File { .. } => {
            tracing::error!(%error, "not connected to the network")
        }
        _ => tracing::warn!(%error, "not connected to the network"),
    }
}
