//! One-time logins and the sessions of the page, in memory: both end with the process.
//!
//! Owns their secrets' hashes, their ends and their bounds. Knows neither cookies nor requests; the time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::scopes::{Kind, Scopes, TokenId, Who};
use super::secret::{Digest, LETTERS, NoRandomness, Secret, looks_like_one};

/// Logins that wait to be used. A person uses one; each further one is asked for by somebody who may operate the node.
const MOST_LOGINS: usize = 16;

/// Sessions at once: browsers of a team, with room. It bounds memory; the one nearest to its end goes first.
const MOST_SESSIONS: usize = 1_024;

/// Letters of an id before the secret in a session's text.
const ID_LETTERS: usize = 12;

#[derive(Debug)]
struct Login {
    digest: Digest,
    ends: Instant,
}

#[derive(Debug)]
struct Session {
    digest: Digest,
    who: Who,
    ends: Instant,
}

/// The logins and sessions of a node.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    logins: Mutex<Vec<Login>>,
    open: Mutex<HashMap<TokenId, Session>>,
}

impl Sessions {
    /// A login that can be used once within `lasts`. The oldest unused one goes where there are too many.
    pub(super) fn invite(&self, lasts: Duration, now: Instant) -> Result<Secret, NoRandomness> {
        let secret = Secret::new()?;
        let mut logins = self.logins.lock();
        logins.retain(|login| now < login.ends);
        if logins.len() >= MOST_LOGINS {
            logins.remove(0);
        }
        logins.push(Login { digest: Digest::of(secret.reveal()), ends: now + lasts });
        Ok(secret)
    }

    /// Whether `text` is a login that can still be used; leaves it usable.
    pub(super) fn invited(&self, text: &str, now: Instant) -> bool {
        looks_like_one(text)
            && self.logins.lock().iter().any(|login| now < login.ends && login.digest.is_of(text))
    }

    /// Uses the login `text` up: true for the first one who comes in time, and never again.
    pub(super) fn burn(&self, text: &str, now: Instant) -> bool {
        if !looks_like_one(text) {
            return false;
        }
        let mut logins = self.logins.lock();
        logins.retain(|login| now < login.ends);
        match logins.iter().position(|login| login.digest.is_of(text)) {
            Some(place) => {
                logins.remove(place);
                true
            }
            None => false,
        }
    }

    /// Opens a session for a one-time login that was just burnt, with every scope.
    pub(super) fn open_for_login(&self, lasts: Duration, now: Instant) -> Result<SessionText, NoRandomness> {
        let id = TokenId::new()?;
        self.open(id, Who { id, kind: Kind::Login, scopes: Scopes::ALL }, lasts, now)
    }

    /// Opens a session for somebody who has shown a token; it goes when the token does.
    pub(super) fn open_for_token(
        &self,
        who: Who,
        lasts: Duration,
        now: Instant,
    ) -> Result<SessionText, NoRandomness> {
        self.open(TokenId::new()?, who, lasts, now)
    }

    fn open(
        &self,
        id: TokenId,
        who: Who,
        lasts: Duration,
        now: Instant,
    ) -> Result<SessionText, NoRandomness> {
        let text = format!("{id}{}", Secret::new()?.reveal());
        let mut open = self.open.lock();
        open.retain(|_, session| now < session.ends);
        if open.len() >= MOST_SESSIONS
            && let Some(first) = open.iter().min_by_key(|(_, session)| session.ends).map(|(id, _)| *id)
        {
            open.remove(&first);
        }
        open.insert(id, Session { digest: Digest::of(&text), who, ends: now + lasts });
        Ok(SessionText(text))
    }

    /// Whose session `text` is. Of one opened with a token, whether the token is still good is for the caller to see.
    pub(super) fn whose(&self, text: &str, now: Instant) -> Option<Who> {
        let id = id_of(text)?;
        let open = self.open.lock();
        open.get(&id)
            .filter(|session| session.digest.is_of(text) && now < session.ends)
            .map(|session| session.who)
    }

    /// Ends the session `text`, if it is one.
    pub(super) fn close(&self, text: &str) {
        let Some(id) = id_of(text) else { return };
        let mut open = self.open.lock();
        if open.get(&id).is_some_and(|session| session.digest.is_of(text)) {
            open.remove(&id);
        }
    }
}

fn id_of(text: &str) -> Option<TokenId> {
    let (id, secret) = text.split_at_checked(ID_LETTERS).filter(|_| text.len() == ID_LETTERS + LETTERS)?;
    looks_like_one(secret).then(|| id.parse().ok()).flatten()
}

/// A session's text: the value of its cookie. `Debug` hides it.
pub(super) struct SessionText(String);

impl SessionText {
    /// For the cookie.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SessionText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionText(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_login_is_good_once_and_for_its_time() {
        let (sessions, start) = (Sessions::default(), now());
        let (once, late) = (sessions.invite(MINUTE, start).unwrap(), sessions.invite(MINUTE, start).unwrap());
        assert!(sessions.invited(once.reveal(), start) && sessions.invited(once.reveal(), start));
        assert!(sessions.burn(once.reveal(), start));
        assert!(!sessions.burn(once.reveal(), start) && !sessions.invited(once.reveal(), start));
        assert!(
            !sessions.invited(late.reveal(), start + MINUTE) && !sessions.burn(late.reveal(), start + MINUTE)
        );
        assert!(!sessions.burn("", start));
    }

    #[test]
    fn a_session_ends_in_time_or_when_it_is_closed() {
        let (sessions, start) = (Sessions::default(), now());
        let text = sessions.open_for_login(MINUTE, start).unwrap();
        assert_eq!(sessions.whose(text.reveal(), start).unwrap().kind, Kind::Login);
        assert!(sessions.whose(text.reveal(), start + MINUTE).is_none());
        let forged = format!("{}{}", &text.reveal()[..ID_LETTERS], Secret::new().unwrap().reveal());
        sessions.close(&forged);
        assert!(sessions.whose(&forged, start).is_none());
        assert!(sessions.whose(text.reveal(), start).is_some());
        sessions.close(text.reveal());
        assert!(sessions.whose(text.reveal(), start).is_none());
        for wrong in ["", "ä", &"ä".repeat(40), &"0".repeat(ID_LETTERS)] {
            assert!(sessions.whose(wrong, start).is_none());
        }
    }

    #[test]
    fn logins_and_sessions_are_bounded_and_hide() {
        let (sessions, start) = (Sessions::default(), now());
        let first = sessions.invite(MINUTE, start).unwrap();
        for _ in 0..MOST_LOGINS {
            sessions.invite(MINUTE, start).unwrap();
        }
        assert!(!sessions.invited(first.reveal(), start));
        assert_eq!(sessions.logins.lock().len(), MOST_LOGINS);
        let soon = sessions.open_for_login(MINUTE, start).unwrap();
        for _ in 0..MOST_SESSIONS {
            sessions.open_for_login(2 * MINUTE, start).unwrap();
        }
        assert!(sessions.whose(soon.reveal(), start).is_none());
        assert_eq!(sessions.open.lock().len(), MOST_SESSIONS);
        assert!(!format!("{soon:?} {:?}", sessions.logins).contains(&soon.reveal()[ID_LETTERS..]));
    }
}
