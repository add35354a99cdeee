//! The other sides of the table: processes that answer requests, one JSON object a line, and this program as one of them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::options::Options;
use crate::rows::{self, Case};
use crate::turns::{REST, clocked};

/// A process with one or two sides of the table.
pub struct Other {
    kind: Kind,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    said: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `peer.py`.
    Python,
    /// This program, or another build of it.
    Program,
}

/// One column of times.
#[derive(Clone, Debug)]
pub struct Side {
    /// As the table names it.
    pub name: String,
    /// Whether it is what ours is to be faster than; else it is a slower way of ours, and the ratio is the other way round.
    pub is_peer: bool,
    /// Which process.
    pub other: usize,
    /// What it is asked to run; a precision where `None`.
    pub run: Option<&'static str>,
}

impl Other {
    /// All that the command line and the environment name.
    pub fn start_all(options: &Options) -> Vec<Self> {
        let mut others = Vec::new();
        if let Some(python) = std::env::var_os("PYTHON") {
            let mut command = Command::new(python);
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/benches/all_models/peer.py"));
            command.args(["--threads", &options.threads().to_string(), "--seed", &options.seed.to_string()]);
            command.args(options.cpu_time.then_some("--cpu-time"));
            command.env("OMP_NUM_THREADS", options.threads().to_string());
            others.push(Self::start(Kind::Python, command));
        } else if options.simd.is_none() && options.against.is_none() {
            eprintln!("PYTHON is not set: ours alone, without a comparison");
        }
        let own = || std::env::current_exe().unwrap();
        if let Some(width) = &options.simd {
            let mut command = program(&own(), options);
            command.env("VORTEX_SIMD", width);
            others.push(Self::start(Kind::Program, command));
        }
        if let Some(build) = &options.against {
            others.push(Self::start(Kind::Program, program(build, options)));
        }
        others
    }

    fn start(kind: Kind, mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let (requests, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { kind, child, requests, answers, said: Vec::new() }
    }

    /// The columns of all of them.
    pub fn sides(others: &[Self], options: &Options) -> Vec<Side> {
        let narrower = options.simd.iter().map(|width| (width.clone(), false));
        let mut ours = narrower.chain(options.against.iter().map(|_| ("before".to_owned(), true)));
        let mut sides = Vec::new();
        for (other, process) in others.iter().enumerate() {
            if process.kind == Kind::Python {
                let side =
                    |name: &str, run| Side { name: name.to_owned(), is_peer: true, other, run: Some(run) };
                sides.extend([side("PyTorch", "torch"), side("ONNX Runtime", "onnx")]);
            } else if let Some((name, is_peer)) = ours.next() {
                sides.push(Side { name, is_peer, other, run: None });
            }
        }
        sides
    }

    /// Loads a case; the answer has, for each run, `null` or why it cannot be, which is also said once.
    pub fn load(&mut self, case: &Case) -> Value {
        let request = match self.kind {
            Kind::Python => json!({ "load": &case.peer }),
            Kind::Program => json!({ "load": { "case": &case.name, "precisions": &case.precisions } }),
        };
        let answer = self.ask(&request);
        for (run, why) in answer.as_object().unwrap() {
            let Some(why) = why.as_str() else { continue };
            let text = format!("{run}: {why}");
            if !self.said.contains(&text) {
                eprintln!("{}: {text}", case.name);
                self.said.push(text);
            }
        }
        answer
    }

    /// Seconds of one pass.
    pub fn run(&mut self, run: &str) -> f64 {
        self.seconds(&json!({ "run": run }))
    }

    /// Seconds of one product of square matrices; `None` of a side whose product is ours.
    pub fn product(&mut self, side: usize) -> Option<f64> {
        (self.kind == Kind::Python).then(|| self.seconds(&json!({ "product": side })))
    }

    fn seconds(&mut self, request: &Value) -> f64 {
        let seconds = self.ask(request)["seconds"].as_f64().expect("an answer in seconds");
        std::thread::sleep(REST);
        seconds
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.requests, "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|_| panic!("the other side died of {request}: {answer:?}"))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(build: &Path, options: &Options) -> Command {
    let mut command = Command::new(build);
    command.arg("--answer").args(["--seed", &options.seed.to_string()]).arg("--real").arg(&options.real);
    command.args(options.cpu_time.then_some("--cpu-time"));
    // Rows that the table leaves out are only there where they are named.
    if !options.rows.is_empty() {
        command.args(["--rows", &options.rows.join(",")]);
    }
    command
}

/// Answers requests until standard input ends.
pub fn answer(options: &Options) {
    let cases = rows::chosen(options);
    let mut loaded = HashMap::new();
    for line in std::io::stdin().lines() {
        let request: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = if let Some(name) = request["load"]["case"].as_str() {
            loaded.clear();
            let case = cases.iter().find(|case| case.name == name).expect("a case of this build");
            loaded.extend(case.precisions.iter().map(|precision| (*precision, (case.build)(precision))));
            json!(
                case.precisions.iter().map(|precision| (*precision, Value::Null)).collect::<HashMap<_, _>>()
            )
        } else {
            let ours = loaded.get_mut(request["run"].as_str().unwrap()).expect("it was loaded");
            json!({ "seconds": clocked(options.cpu_time, || (ours.run)()).0 })
        };
        println!("{answer}");
    }
}
