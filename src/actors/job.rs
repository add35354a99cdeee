//! The four jobs and outputs under one name each, so that one message type serves every model's actor.
//!
//! Plain data; a model's actor unwraps its own kind at its mailbox. Never looks inside a job.

use crate::contract::{Animate, Animation, Paint, Painting, Score, Scores, Speak, Speech};

/// Any job.
#[derive(Debug)]
pub enum Job {
    /// For Kokoro.
    Speak(Speak),
    /// For Flux.
    Paint(Paint),
    /// For LivePortrait.
    Animate(Animate),
    /// For either CLIP.
    Score(Score),
}

/// Any output.
#[derive(Debug)]
pub enum Output {
    /// Of [`Job::Speak`].
    Speech(Speech),
    /// Of [`Job::Paint`].
    Painting(Painting),
    /// Of [`Job::Animate`].
    Animation(Animation),
    /// Of [`Job::Score`].
    Scores(Scores),
}

impl Job {
    /// What kind it is, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Speak(_) => "speak",
            Self::Paint(_) => "paint",
            Self::Animate(_) => "animate",
            Self::Score(_) => "score",
        }
    }
}

/// A job of the wrong kind for the model it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {found} job came to a model that takes {wanted} jobs")]
pub struct WrongJob {
    /// What came.
    pub found: &'static str,
    /// What the model takes.
    pub wanted: &'static str,
}

macro_rules! kinds {
    ($($job:ident => $output:ident ($kind:literal)),+ $(,)?) => {$(
        impl TryFrom<Job> for $job {
            type Error = WrongJob;

            fn try_from(job: Job) -> Result<Self, WrongJob> {
                match job {
                    Job::$job(job) => Ok(job),
                    other => Err(WrongJob { found: other.kind(), wanted: $kind }),
                }
            }
        }

        impl From<$output> for Output {
            fn from(output: $output) -> Self {
                Self::$output(output)
            }
        }
    )+};
}

kinds!(Speak => Speech ("speak"), Paint => Painting ("paint"), Animate => Animation ("animate"), Score => Scores ("score"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_another_kind_is_refused_by_name() {
        let texts: std::sync::Arc<[String]> = std::sync::Arc::new([]);
        let job = Job::Score(Score { keyframes: std::sync::Arc::new([]), texts });
        let error = Paint::try_from(job).unwrap_err();
        assert_eq!(error, WrongJob { found: "score", wanted: "paint" });
    }
}
