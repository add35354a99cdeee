//! The HTTP client against real receivers on this machine.

use std::collections::VecDeque;
use std::process::Command;

use parking_lot::Mutex;

use super::super::receiver::{Receiver, Reply};
use super::super::target::Rules;
use super::*;

/// Answers by a list, and keeps what it was asked for.
#[derive(Default)]
struct Table {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Table {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(parse).collect()), asked: Mutex::default() })
    }
}

impl Lookup for Table {
    fn addresses(&self, host: &str) -> super::super::outbox::Reply<'static, io::Result<Vec<IpAddr>>> {
        self.asked.lock().push(host.to_owned());
        let answer = self.answers.lock().pop_front().unwrap_or_default();
        Box::pin(async move { Ok(answer) })
    }
}

fn post(rules: &Rules, address: &str) -> Post {
    Post { target: rules.check(address).unwrap(), headers: HeaderMap::new(), body: b"{}".to_vec() }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_pinned_for_one_try_and_refused_at_the_next() {
    let receiver = Receiver::start(vec![]).await;
    let port = receiver.address.port();
    let table = Table::new(&[&["127.0.0.1"], &["169.254.169.254"], &["127.0.0.1", "169.254.169.254"], &[]]);
    let transport = HttpTransport::new(Arc::clone(&table) as Arc<dyn Lookup>, None);
    let address = format!("http://hooks.example.org:{port}/x");
    let rules = Rules::new(true, &[format!("http://hooks.example.org:{port}")]).unwrap();
    assert_eq!(transport.post(post(&rules, &address)).await.unwrap().status, 204);
    assert_eq!(table.asked.lock().len(), 1);
    // No kept connection passes the second look by.
    for _ in 0..2 {
        let refused = transport.post(post(&rules, &address)).await.unwrap_err();
        let TransportError::Refused { host, address, what } = &refused else { panic!("{refused}") };
        assert_eq!(
            (host.as_str(), address.to_string().as_str(), *what),
            ("hooks.example.org", "169.254.169.254", "link-local")
        );
    }
    let nothing = transport.post(post(&rules, &address)).await.unwrap_err().to_string();
    assert!(nothing.contains("hooks.example.org has no address") && !nothing.contains("/x"), "{nothing}");
    assert_eq!(*table.asked.lock(), ["hooks.example.org"; 4]);
    assert_eq!(receiver.got().len(), 1);
    assert_eq!(receiver.got()[0].headers["host"], format!("hooks.example.org:{port}"));
}

#[tokio::test]
async fn public_names_that_lead_to_private_addresses_are_never_connected_to() {
    let receiver = Receiver::start(vec![]).await;
    let port = receiver.address.port();
    let tricks: [&[&str]; 8] = [
        &["127.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["8.8.8.8", "127.0.0.1"],
        &["10.0.0.1"],
        &["::1"],
        &["0.0.0.0"],
        &["64:ff9b::7f00:1"],
        &["fd00:ec2::254"],
    ];
    let transport = HttpTransport::new(Table::new(&tricks), None);
    for _ in tricks {
        let tried =
            transport.post(post(&Rules::default(), &format!("https://hooks.example.org:{port}/"))).await;
        assert!(matches!(tried, Err(TransportError::Refused { .. })), "{tried:?}");
    }
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn the_guard_lets_through_exactly_what_it_checked() {
    let table = Table::new(&[&["8.8.8.8", "2606:4700:4700::1111"], &["127.0.0.1"]]);
    let guard = Guard { lookup: table, reach: Reach::Public };
    let first: Vec<IpAddr> =
        guard.resolve("a.org".parse().unwrap()).await.unwrap().map(|address| address.ip()).collect();
    assert_eq!(first, ["8.8.8.8", "2606:4700:4700::1111"].map(|address| address.parse::<IpAddr>().unwrap()));
    assert!(guard.resolve("a.org".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Receiver::start(vec![]).await;
    let location: &'static str =
        Box::leak(format!("location: http://{}/stolen\r\n", other.address).into_boxed_str());
    let receiver =
        Receiver::start([301, 302, 303, 307, 308].map(|status| Reply::Status(status, location)).to_vec())
            .await;
    let rules =
        Rules::new(true, &[format!("http://{}", receiver.address), format!("http://{}", other.address)])
            .unwrap();
    let transport = HttpTransport::new(Arc::new(SystemLookup), None);
    for status in [301, 302, 303, 307, 308] {
        let answer = transport.post(post(&rules, &format!("http://{}/", receiver.address))).await.unwrap();
        assert_eq!(answer.status, status);
    }
    assert!(other.got().is_empty());
}

#[tokio::test]
async fn answers_that_never_end_are_cut_off_and_their_status_counts() {
    let receiver = Receiver::start(vec![Reply::Endless, Reply::Stalled]).await;
    let rules = Rules::new(true, &[format!("http://{}", receiver.address)]).unwrap();
    let transport = HttpTransport::new(Arc::new(SystemLookup), None);
    for _ in 0..2 {
        let answer = transport.post(post(&rules, &format!("http://{}/", receiver.address))).await.unwrap();
        assert_eq!(answer.status, 200);
    }
    let got = receiver.until(|got| got[0].taken.is_some()).await;
    // What was read, and what both systems' buffers hold.
    assert!(got[0].taken.unwrap() < 16 << 20, "{:?}", got[0].taken);
}

#[tokio::test]
async fn nothing_is_sent_but_what_was_given() {
    let receiver = Receiver::start(vec![Reply::Status(200, "set-cookie: a=b\r\n")]).await;
    let rules = Rules::new(true, &[format!("http://{}", receiver.address)]).unwrap();
    let transport = HttpTransport::new(Arc::new(SystemLookup), None);
    for _ in 0..2 {
        transport.post(post(&rules, &format!("http://{}/a?b", receiver.address))).await.unwrap();
    }
    for got in receiver.got() {
        assert_eq!(got.headers.keys().collect::<Vec<_>>(), ["accept", "content-length", "host"]);
        assert_eq!((got.path.as_str(), got.body.as_slice()), ("/a?b", &b"{}"[..]));
    }
}

#[tokio::test]
async fn certificates_must_be_the_host_s_and_of_a_trusted_authority() {
    let folder = tempfile::tempdir().unwrap();
    let Some(()) = make_certificates(folder.path()) else {
        let required = std::env::var_os("VORTEX_REQUIRE_TOOLS").is_some_and(|value| value == "1");
        assert!(!required, "openssl is missing, and VORTEX_REQUIRE_TOOLS=1 forbids skipping");
        eprintln!("skipped: openssl is missing");
        return;
    };
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let file = |name: &str| folder.path().join(name);
    let config = axum_server::tls_rustls::RustlsConfig::from_pem_file(file("leaf.pem"), file("leaf.key"))
        .await
        .unwrap();
    let handle = axum_server::Handle::<SocketAddr>::new();
    let app = axum::Router::new().fallback(|| async { http::StatusCode::ACCEPTED });
    let server = axum_server::bind_rustls("127.0.0.1:0".parse().unwrap(), config).handle(handle.clone());
    tokio::spawn(server.serve(app.into_make_service()));
    let port = handle.listening().await.unwrap().port();

    let rules = Rules::new(true, &["*.example.org"]).unwrap();
    let table = || Table::new(&[&["127.0.0.1"], &["127.0.0.1"]]);
    let trusting = HttpTransport::new(table(), Some(file("ca.pem")));
    let good = trusting.post(post(&rules, &format!("https://hooks.example.org:{port}/"))).await.unwrap();
    assert_eq!(good.status, 202);
    let other = trusting
        .post(post(&rules, &format!("https://other.example.org:{port}/")))
        .await
        .unwrap_err()
        .to_string();
    assert!(other.contains("not valid for name"), "{other}");
    let stranger = HttpTransport::new(table(), None);
    let unknown = stranger
        .post(post(&rules, &format!("https://hooks.example.org:{port}/")))
        .await
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let nowhere = HttpTransport::new(table(), Some(file("none.pem")));
    let missing = nowhere
        .post(post(&rules, &format!("https://hooks.example.org:{port}/")))
        .await
        .unwrap_err()
        .to_string();
    assert!(missing.contains("[webhooks] ca_file") && missing.contains("none.pem"), "{missing}");
}

/// An authority and a certificate by it for `hooks.example.org`; nothing where there is no `openssl`.
fn make_certificates(folder: &Path) -> Option<()> {
    let openssl = |arguments: &str| {
        let run = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().ok()?;
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        Some(())
    };
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
    )?;
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout leaf.key -out leaf.csr",
    )?;
    std::fs::write(folder.join("leaf.ext"), "subjectAltName=DNS:hooks.example.org").unwrap();
    openssl(
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem",
    )
}
