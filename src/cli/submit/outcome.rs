//! What is told in the end, and the exit code: of every recipe, where it stands.

use serde_json::{Value, json};

use super::display::{ended, line, style};
use super::job::{Job, Stand};
use super::read::Wrong;
use crate::api::views::SlotState;
use crate::cli::remote::{count, plain, seconds};
use crate::cli::{Console, Context, Failed, Style};
use crate::exit::Exit;
use crate::types::with_path;

/// Tells what is wrong with recipes of which none was sent.
pub(super) fn wrong(wrong: &[Wrong], as_json: bool, context: &mut Context<'_>) -> Result<Exit, Failed> {
    if as_json {
        let recipes: Vec<Value> = wrong
            .iter()
            .map(|wrong| with_path(json!({ "problems": wrong.problems }), "path", &wrong.path))
            .collect();
        context.console.json(&json!({ "ok": false, "recipes": recipes }))?;
    }
    for Wrong { path, problems } in wrong {
        let label = context.console.paint_err(Style::Bad, "wrong");
        writeln!(context.console.err(), "{label}  {}", path.display())?;
        for problem in problems {
            writeln!(context.console.err(), "       {problem}")?;
        }
    }
    writeln!(context.console.err(), "nothing was handed in")?;
    Ok(Exit::BadInput)
}

/// The exit code that these add up to.
pub(super) fn exit(jobs: &[Job], waited: bool) -> Exit {
    let of = |job: &Job| match &job.stand {
        Stand::Refused(error) if error.is_bad_input() => Exit::BadInput,
        Stand::Refused(_) | Stand::Pending(_) => Exit::Failure,
        Stand::Open(_) if waited => Exit::Failure,
        Stand::Open(_) => Exit::Success,
        Stand::Ended(view) if view.state == SlotState::Completed || !waited => Exit::Success,
        Stand::Ended(_) => Exit::Failure,
    };
    let all: Vec<Exit> = jobs.iter().map(of).collect();
    if all.contains(&Exit::BadInput) {
        Exit::BadInput
    } else if all.contains(&Exit::Failure) {
        Exit::Failure
    } else {
        Exit::Success
    }
}

/// What is told to machines of one recipe.
fn entry(job: &Job) -> Value {
    let mut entry = standing(job);
    if let Some(work) = job.work {
        entry["work"] = json!(work.to_string());
    }
    entry
}

fn standing(job: &Job) -> Value {
    let (name, id) = (&job.document.name, job.document.id);
    match &job.stand {
        Stand::Open(open) => json!({ "recipe": name, "id": id, "known": job.known, "slot": open.view }),
        Stand::Ended(view) => json!({ "recipe": name, "id": id, "known": job.known, "slot": view }),
        Stand::Pending(_) => json!({ "recipe": name, "id": id, "error": "not handed in" }),
        Stand::Refused(error) => {
            let mut entry = json!({ "recipe": name, "id": id, "error": error.to_string() });
            if let Some(refusal) = error.refusal() {
                let mut problem = Value::Object(refusal.extra.clone());
                problem["type"] = json!(refusal.kind);
                problem["title"] = json!(refusal.title);
                problem["status"] = json!(refusal.status);
                problem["detail"] = json!(refusal.detail);
                entry["problem"] = problem;
                entry["retry_after"] = json!(refusal.retry_after.map(|after| after.as_secs()));
            }
            entry
        }
    }
}

/// Tells it.
pub(super) fn tell(jobs: &[Job], exit: Exit, how: How, console: &mut Console) -> Result<(), Failed> {
    let answer = || {
        let slots: Vec<Value> = jobs.iter().map(entry).collect();
        json!({ "ok": exit == Exit::Success, "slots": slots })
    };
    match how {
        How::JsonLine => {
            let mut answer = answer();
            answer["event"] = json!("end");
            line(console, &answer)?;
        }
        How::Json => console.json(&answer())?,
        How::Text => jobs.iter().try_for_each(|job| text(job, console))?,
    }
    Ok(())
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// For people.
    Text,
    /// One document.
    Json,
    /// The last of many lines.
    JsonLine,
}

fn text(job: &Job, console: &mut Console) -> Result<(), Failed> {
    let id = job.shown();
    match &job.stand {
        Stand::Open(open) => {
            let word = console.paint(Style::Good, if job.known { "known   " } else { "accepted" });
            let eta = open.view.eta.map(|eta| format!(", about {}", seconds(eta))).unwrap_or_default();
            writeln!(console.out(), "{word} {id}  {}{eta}", open.now_doing())?;
        }
        Stand::Ended(view) => {
            let word = console.paint(style(view.state), ended(view));
            let files = if view.artifacts.is_empty() {
                String::new()
            } else {
                format!(", {}", count(view.artifacts.len(), "file"))
            };
            writeln!(console.out(), "{id}  {word}{files}")?;
        }
        Stand::Pending(_) => writeln!(console.err(), "{}: not handed in", plain(&job.document.name))?,
        Stand::Refused(error) => {
            let label = console.paint_err(Style::Bad, "error:");
            writeln!(console.err(), "{label} {}: {error}", plain(&job.document.name))?;
        }
    }
    Ok(())
}
