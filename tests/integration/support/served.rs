//! A real `vortex-node serve` in a folder of its own, and a client that speaks HTTP to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

/// Everything ends within this, or the test has found a hang.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A scenario whose models take `run` for a job, beside what `more` says.
pub fn scenario(run: &str, more: &str) -> String {
    let models: String = ["flux", "liveportrait", "kokoro", "clip_b", "clip_l"]
        .map(|model| {
            format!("[models.{model}]\nload = \"10ms\"\ncanary = \"1ms\"\nrun = \"{run}\"\nsteps = 2\n")
        })
        .concat();
    // Scenarios have arrivals; a service has clients instead.
    format!(
        "about = \"a service for tests\"\npackage = \"0s\"\n{more}\n{models}\n[[arrivals]]\nat = \"1s\"\ncount = 1\n"
    )
}

/// A data folder and what is needed to serve from it.
pub struct Place {
    folder: tempfile::TempDir,
    /// None with the demo weights.
    scenario: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Place {
    /// With this scenario.
    pub fn new(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scenario.toml");
        std::fs::write(&path, scenario).unwrap();
        Self { folder, scenario: Some(path), environment: Vec::new() }
    }

    /// With the demo weights.
    pub fn demo() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), scenario: None, environment: Vec::new() }
    }

    /// With a variable in the service's environment.
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes a variable in the service's environment from its next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// In a network with this server, where everything that ends is handed over to this folder.
    pub fn in_network(self, server: &str, store: &Path) -> Self {
        self.with_variable("VORTEX_NETWORK__SERVERS", &json!([server]).to_string())
            .with_variable("VORTEX_STORE__URL", &format!("file://{}", store.display()))
    }

    /// A file beside the data folder, for its owner's eyes only.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The file of its scenario, which counts at the next start.
    pub fn scenario_file(&self) -> &Path {
        self.scenario.as_deref().expect("it has a scenario")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Another command, asked of the node that serves from here.
    pub fn tool(&self, words: &[&str]) -> Output {
        let mut command = super::lone_binary();
        command.args(words).arg("--data-dir").arg(self.data());
        command.arg("--config-dir").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"));
        command.output().unwrap()
    }

    /// The same, for what it answers; it must have done what was asked.
    pub fn told(&self, words: &[&str]) -> String {
        let output = self.tool(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts to serve; returns once it listens.
    pub fn serve(&self) -> Served {
        self.serve_with(&[])
    }

    /// The same with further arguments.
    pub fn serve_with(&self, more: &[&str]) -> Served {
        self.serve_by(self.command(more))
    }

    /// The same with these variables.
    pub fn serve_where(&self, variables: &[(&str, &str)]) -> Served {
        let mut command = self.command(&[]);
        command.envs(variables.iter().copied());
        self.serve_by(command)
    }

    /// The same by a command that was made for this place.
    pub fn serve_by(&self, mut command: Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let logs = std::thread::spawn(move || {
            let mut all = String::new();
            std::io::Read::read_to_string(&mut errors, &mut all).unwrap();
            all
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut repaired, mut url, mut management) = (Vec::new(), None, None);
        for line in lines.by_ref() {
            let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
            match line["event"].as_str() {
                Some("repaired") => repaired = line["repairs"].as_array().unwrap().clone(),
                Some("listening") => {
                    url = Some(line["url"].as_str().unwrap().to_owned());
                    management = line["management"].as_str().map(|address| format!("http://{address}"));
                    break;
                }
                _ => {}
            }
        }
        // Told to stop, it says no more; until then its lines must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        let Some(url) = url else {
            let _ = child.wait();
            panic!("it does not listen:\n{}", logs.join().unwrap());
        };
        let token = std::fs::read_to_string(self.data().join("local.token")).unwrap().trim().to_owned();
        Served { child, logs: Some(logs), url, management, token, repaired, client: Client::new() }
    }

    /// The command, not started.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = super::lone_binary();
        command.arg("serve").arg("--json");
        if let Some(scenario) = &self.scenario {
            command.arg("--scripted").arg(scenario);
        }
        if !more.contains(&"--config-dir") {
            command.arg("--config-dir").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config"));
        }
        command.arg("--data-dir").arg(self.data());
        command.args([
            "--set",
            "http.listen=127.0.0.1:0",
            "--set",
            "http.farewell=0s",
            "--log-format",
            "json",
        ]);
        command.args(more);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A service that runs.
pub struct Served {
    child: Child,
    logs: Option<std::thread::JoinHandle<String>>,
    /// Its address.
    pub url: String,
    /// That of its second listener.
    pub management: Option<String>,
    /// The local token.
    pub token: String,
    /// What was repaired at its start.
    pub repaired: Vec<Value>,
    client: Client,
}

impl Served {
    /// Asked by this client from now on, which trusts its certificate.
    pub fn asked_by(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// Waits until what is at `path` is so.
    pub async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut reader = self.ask(Method::GET, "/v1/events").send().await.unwrap();
        loop {
            let found = self.get(path).await;
            if is_so(&found) {
                return found;
            }
            // Something happens until it is, such as a look at the memory.
            let _ = tokio::time::timeout(Duration::from_millis(500), reader.chunk()).await;
        }
    }

    /// A request with the local token.
    pub fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token).timeout(LIMIT)
    }

    /// What is at `path`, as JSON.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Hands a recipe in under its own id.
    pub async fn put(&self, recipe: &Value) -> Response {
        let path = format!("/v1/slots/{}", recipe["recipe_id"].as_str().unwrap());
        self.ask(Method::PUT, &path).json(recipe).send().await.unwrap()
    }

    /// The same within the caller's trace; its id. It must be taken.
    pub async fn put_traced(&self, recipe: &Value, traceparent: &str) -> String {
        let id = recipe["recipe_id"].as_str().unwrap().to_owned();
        let request = self.ask(Method::PUT, &format!("/v1/slots/{id}")).header("traceparent", traceparent);
        assert_eq!(request.json(recipe).send().await.unwrap().status(), 202);
        id
    }

    /// Waits until slots can be sent.
    pub async fn ready(&self) {
        let mut reader = self.ask(Method::GET, "/v1/events").send().await.unwrap();
        loop {
            if self.ask(Method::GET, "/readyz").send().await.unwrap().status().is_success() {
                return;
            }
            // Something happens until it is: there is nothing to sleep for.
            let _ = tokio::time::timeout(Duration::from_millis(500), reader.chunk()).await;
        }
    }

    /// Waits for a slot's end.
    pub async fn ended(&self, id: &str) -> Value {
        loop {
            let slot = self.get(&format!("/v1/slots/{id}?wait=30s")).await;
            if !slot["ended_at"].is_null() {
                return slot;
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill takes two numbers and touches no memory; the child is ours and has not been waited for.
        #[allow(unsafe_code)]
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0);
    }

    /// Stops it where it stands; returns once nothing in it goes on.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        while state_of(self.pid()) != 'T' {
            std::thread::yield_now();
        }
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Kills it where it stands; what it logged.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.logs.take().unwrap().join().unwrap()
    }

    /// Waits until it ends by itself; its exit code and what it logged.
    pub fn ended_by_itself(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.logs.take().unwrap().join().unwrap())
    }

    /// Tells it to stop; its exit code and what it logged.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal(libc::SIGTERM);
        let code = self.child.wait().unwrap().code();
        (code, self.logs.take().unwrap().join().unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The state of a process as the system has it: `T` where it is stopped.
fn state_of(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold anything.
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap()
}

/// The recipe of slot `number`, an id of its own.
pub fn recipe(number: u64) -> Value {
    let id = uuid::Uuid::from_u128(0x5e1f_0000_0000_4000_8000_0000_0000_0000 + u128::from(number));
    let mut recipe = example(id);
    recipe["slot_params"]["slot_number"] = json!(number);
    recipe
}

fn example(id: uuid::Uuid) -> Value {
    let text = vortex_node::recipe::example::with_id(id);
    vortex_node::recipe::Recipe::read(text.as_bytes()).unwrap().document().clone()
}
