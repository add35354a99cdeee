//! What goes wrong between a node and the network's queue.

use std::path::PathBuf;
use std::time::Duration;

/// The server already has a message under a subject that takes one.
const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// Another write of the same message id or under the same subject is under way, and may come to nothing: a stream with
/// several copies says so while they agree on it.
const UNDER_WAY: [u64; 3] = [10_158, 10_163, 10_164];
/// A stream, or one of its subjects, takes no more.
const STREAM_FULL: u64 = 10_077;
/// The server's or the account's store takes no more.
const NO_RESOURCES: [u64; 3] = [10_023, 10_047, 10_028];
/// There is no such message.
const NO_MESSAGE: u64 = 10_037;
/// There is no such stream.
const NO_STREAM: u64 = 10_059;
/// There is no such consumer.
const NO_CONSUMER: u64 = 10_014;

/// Why something was not done, or is not known to have been done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NetworkError {
    /// No server takes the connection.
    #[error("cannot connect to {servers}: {said}")]
    Connect {
        /// Which were tried.
        servers: String,
        /// What the last one, or the system, said.
        said: String,
    },
    /// The server does not know who we are, or no longer lets us in.
    #[error("{servers} refuses this node's credentials: {said}")]
    Credentials {
        /// Which was asked.
        servers: String,
        /// What it said.
        said: String,
    },
    /// A file of the connection cannot be used.
    #[error("{}: {wrong}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        wrong: String,
    },
    /// No answer came. What was asked for may have been done, or may be done yet.
    #[error("cannot {doing}: no answer within {after:?}")]
    NoAnswer {
        /// What was tried.
        doing: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Nobody is there to answer, or the connection is gone. What was asked for may have been done where it was sent.
    #[error("cannot {doing}: {said}")]
    Unavailable {
        /// What was tried.
        doing: String,
        /// What is missing.
        said: String,
    },
    /// The server answered that it does not do it.
    #[error("cannot {doing}: {said} (error {code} of the server)")]
    Refused {
        /// What was tried.
        doing: String,
        /// The server's number of the error.
        code: u64,
        /// Its words.
        said: String,
    },
    /// It is larger than the server takes; nothing was sent.
    #[error("cannot {doing}: {said}; accepted: what max_payload of the server allows")]
    TooLarge {
        /// What was tried.
        doing: String,
        /// How large it is and may be.
        said: String,
    },
    /// What came is not what the network's nodes write.
    #[error("{what} cannot be read: {wrong}")]
    Unreadable {
        /// What it is.
        what: String,
        /// What is wrong with it.
        wrong: String,
    },
}

impl NetworkError {
    /// Whether the server says that there is something under the subject already.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::Refused { code: WRONG_LAST_SEQUENCE, .. } => true,
            Self::Refused { code: STREAM_FULL, said, .. } => said.contains("per subject"),
            _ => false,
        }
    }

    /// Whether a stream or a store takes no more.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                (*code == STREAM_FULL || NO_RESOURCES.contains(code)) && !self.is_taken()
            }
            _ => false,
        }
    }

    /// Whether what was asked for is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code: NO_MESSAGE | NO_STREAM | NO_CONSUMER | 404, .. })
    }

    /// Whether it cannot be told if it was done, or whether somebody, perhaps an earlier try, is just doing it: whoever
    /// tries again finds out.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Unavailable { .. }) || self.is_under_way()
    }

    /// Whether another write under the same subject stood in the way that is not yet done.
    pub fn is_under_way(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if UNDER_WAY.contains(code))
    }

    /// Whether trying again is of no use before somebody changes something.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Credentials { .. } | Self::File { .. } | Self::TooLarge { .. } | Self::Unreadable { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_others_are_at_is_tried_again_and_what_is_there_is_taken() {
        let refused = |code: u64, said: &str| NetworkError::Refused {
            doing: "write".to_owned(),
            code,
            said: said.to_owned(),
        };
        let is = |error: &NetworkError| (error.is_taken(), error.is_full(), error.is_open());
        assert_eq!(is(&refused(10_071, "wrong last sequence: 4")), (true, false, false));
        assert_eq!(is(&refused(10_077, "maximum messages per subject exceeded")), (true, false, false));
        assert_eq!(is(&refused(10_077, "maximum messages exceeded")), (false, true, false));
        assert_eq!(is(&refused(10_164, "wrong last sequence")), (false, false, true));
        assert_eq!(is(&refused(10_158, "duplicate message id is in process")), (false, false, true));
    }
}
