//! A process that is stopped and goes on, a data folder that turns read-only, and connections that never come to an end.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use reqwest::StatusCode;

use super::accounts::{kept, settled, stages_told_once};
use super::id;
use crate::support::served::{Place, Served, recipe, scenario};

#[tokio::test]
async fn stopped_and_continued_it_does_nothing_twice() {
    // `tests/soak/run stops` stops it for a minute.
    let stopped_for = std::env::var("VORTEX_SOAK_STOP").map_or(3, |seconds| seconds.parse().unwrap());
    // A stop of seconds is longer than sound and check may take by themselves.
    let patient = ["audio", "verify"].map(|stage| format!("[stages.{stage}]\ntimeout = \"30s\"\n")).concat();
    let place = Place::new(&scenario("40ms", &format!("[policy]\nqueue = 1000\n{patient}")));
    let service = place.serve();
    service.ready().await;
    let mut accepted = BTreeSet::new();
    for number in 0..40 {
        let recipe = recipe(number);
        assert_eq!(service.put(&recipe).await.status(), StatusCode::ACCEPTED);
        accepted.insert(id(&recipe).to_owned());
    }
    // Some have ended, some run, some wait.
    service.ended(id(&recipe(3))).await;
    service.pause();
    // Somebody asks meanwhile, and waits.
    let asked = service.ask(reqwest::Method::GET, "/v1/node").send();
    let asked = tokio::spawn(asked);
    // The time for which nothing happens is what this test is about; it waits once, and for that alone.
    tokio::time::sleep(Duration::from_secs(stopped_for)).await;
    assert!(!asked.is_finished(), "a process that is stopped answers nothing");
    service.resume();
    match asked.await.unwrap() {
        Ok(answer) => assert_eq!(answer.status(), StatusCode::OK),
        // A connection that was open for longer than requests may take is closed before anything else.
        Err(error) => assert!(stopped_for > 10, "{error}"),
    }
    let slots = settled(&service, &place.data(), &accepted).await;
    let events = kept(&service).await;
    stages_told_once(&events, &slots);
    // A run that seemed to stall may be tried again, and whatever fails says why; a stop of seconds is neither.
    for slot in slots.values() {
        assert!(slot["state"] == "completed" || slot["cause"].is_string(), "{slot:#}");
        assert!(stopped_for > 10 || slot["state"] == "completed", "{slot:#}");
    }
    let completed = slots.values().filter(|slot| slot["state"] == "completed").count();
    println!("stopped for {stopped_for} s: {} slots, {completed} completed", slots.len());
    // It goes on as before.
    service.ready().await;
    let next = recipe(100);
    assert_eq!(service.put(&next).await.status(), StatusCode::ACCEPTED);
    assert_eq!(service.ended(id(&next)).await["state"], "completed");
    let (code, logs) = service.stop();
    assert_eq!(code, Some(0), "{logs}");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_told_and_nothing_is_served() {
    let place = Place::new(&scenario("20ms", ""));
    std::fs::create_dir(place.data()).unwrap();
    let closed = std::fs::Permissions::from_mode(0o500);
    std::fs::set_permissions(place.data(), closed).unwrap();
    let mut command = place.command(&[]);
    if rustix_is_root() {
        // Root may write everywhere; nobody else may here, and has to reach the folder and the scenario.
        use std::os::unix::process::CommandExt;
        let around = place.data().parent().unwrap().to_owned();
        std::fs::set_permissions(&around, std::fs::Permissions::from_mode(0o755)).unwrap();
        let binary = std::path::Path::new(command.get_program()).parent().unwrap().to_owned();
        std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(place.data(), Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let run = command.output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains(place.data().to_str().unwrap()), "{said}");
    assert!(said.contains("has to be a folder that this user may write"), "{said}");
    assert!(run.stdout.is_empty(), "it never listens");
}

/// Of the user that owns nothing.
const NOBODY: u32 = 65_534;

fn rustix_is_root() -> bool {
    // SAFETY: it asks for a number and touches no memory.
    #[allow(unsafe_code)]
    let user = unsafe { libc::geteuid() };
    user == 0
}

/// What a connection is answered that sends `bytes` and then `then`.
fn answer_to(service: &Served, bytes: &[u8], then: impl FnOnce(&TcpStream)) -> String {
    let address = service.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(bytes).unwrap();
    then(&stream);
    let mut answer = Vec::new();
    // A connection that is reset has been closed, too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_request_is_given_up_and_leaves_nothing() {
    let place = Place::new(&scenario("20ms", ""));
    let service = place.serve();
    service.ready().await;
    let recipe = recipe(1);
    let body = recipe.to_string();
    let head = format!(
        "PUT /v1/slots/{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n",
        id(&recipe),
        service.url.strip_prefix("http://").unwrap(),
        service.token,
    );
    let length = format!("Content-Length: {}\r\n\r\n", body.len());
    let half = &body[..body.len() / 2];
    // Cut off: the other side has gone, or says that it sends no more.
    let cut = format!("{head}{length}{half}");
    let answer = answer_to(&service, cut.as_bytes(), |stream| stream.shutdown(Shutdown::Write).unwrap());
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    // Too slow: neither the head nor the body ever comes to its end.
    let bodies = std::thread::scope(|scope| {
        let slow = [head.clone(), cut.clone()].map(|bytes| {
            let service = &service;
            scope.spawn(move || answer_to(service, bytes.as_bytes(), |_| {}))
        });
        slow.map(|answer| answer.join().unwrap())
    });
    assert!(!bodies[0].starts_with("HTTP/1.1 2"), "{}", bodies[0]);
    assert!(bodies[1].starts_with("HTTP/1.1 408"), "{}", bodies[1]);
    // Nobody else noticed, and none of it is a slot.
    let path = format!("/v1/slots/{}", id(&recipe));
    let unknown = service.ask(reqwest::Method::GET, &path).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(service.put(&recipe).await.status(), StatusCode::ACCEPTED);
}
