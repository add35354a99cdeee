use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::node::{Node, problem};
use crate::api::access::AccessSettings;
use crate::api::access::tokens::Token;

#[tokio::test]
async fn a_one_time_address_opens_the_page_once() {
    let node = Node::start(AccessSettings::default()).await;
    let link = node.access.new_login().unwrap();
    let once = link.reveal().split_once("once=").unwrap().1.to_owned();
    assert_eq!(link.reveal(), format!("http://{}/login?once={once}", node.address));

    // Whatever opens it ahead of a person does not use it up, and gets no session.
    for _ in 0..3 {
        let shown = node.client.get(link.reveal()).send().await.unwrap();
        assert_eq!(shown.status(), 200);
        assert!(!shown.headers().contains_key("set-cookie"));
        assert_eq!(shown.headers()["referrer-policy"], "same-origin");
        assert_eq!(shown.headers()["cache-control"], "no-store");
        let html = shown.text().await.unwrap();
        assert!(html.contains(&once) && html.contains("<button") && !html.contains("<script"), "{html}");
    }

    let entered = node.form("/login", format!("once={once}")).send().await.unwrap();
    assert_eq!(entered.status(), 303);
    assert_eq!(entered.headers()["location"], "/");
    assert_eq!(entered.headers()["referrer-policy"], "no-referrer");
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
    let (pair, flags) = cookie.split_once(';').unwrap();
    assert!(pair.starts_with(&format!("vortex_session_{}=", node.address.port())), "{pair}");
    assert_eq!(flags, " Path=/; HttpOnly; SameSite=Strict; Max-Age=43200");
    assert!(!cookie.contains(&once));
    let page = node.get("/").header("cookie", pair).send().await.unwrap();
    assert_eq!(page.text().await.unwrap(), "the page");
    let who = node.get("/v1/slots").header("cookie", pair).send().await.unwrap();
    assert_eq!(who.text().await.unwrap(), "Login submit,read,operate");

    // Burnt: for the form, and for the address.
    let again = node.form("/login", format!("once={once}")).send().await.unwrap();
    assert_eq!(again.status(), 401);
    assert!(!again.headers().contains_key("set-cookie"));
    let shown = node.client.get(link.reveal()).send().await.unwrap();
    assert_eq!(shown.status(), 410);
    let html = shown.text().await.unwrap();
    assert!(html.contains("used already") && !html.contains(&once), "{html}");
}

#[tokio::test]
async fn logins_and_sessions_end_in_time() {
    let settings = AccessSettings { login_lasts: Duration::ZERO, ..AccessSettings::default() };
    let node = Node::start(settings.clone()).await;
    let entered = node.form("/login", format!("once={}", node.once())).send().await.unwrap();
    assert_eq!(entered.status(), 401);

    let lasting = AccessSettings { login_lasts: Duration::from_secs(60), ..settings };
    node.access.change(&AccessSettings { session_lasts: Duration::ZERO, ..lasting });
    let over = node.cookie(format!("once={}", node.once())).await;
    problem(node.get("/v1/slots").header("cookie", over).send().await.unwrap(), 401, "unauthorized").await;
}

#[tokio::test]
async fn a_pasted_token_opens_a_session_with_its_scopes() {
    let node = Node::start(AccessSettings::default()).await;
    let token = node.mint("read", None);
    let cookie = node.cookie(format!("token=+{}%0D%0A", token.reveal())).await;
    assert!(!cookie.contains(token.reveal()));
    let who = node.get("/v1/slots").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(who.text().await.unwrap(), "Token read");
    let drain = node.post("/v1/node/drain").header("cookie", &cookie).header("origin", node.url(""));
    problem(drain.send().await.unwrap(), 403, "forbidden").await;

    // Logging out ends it on the node, not only in the browser.
    let out = node.form("/logout", String::new()).header("cookie", &cookie).send().await.unwrap();
    assert_eq!((out.status().as_u16(), out.headers()["location"].to_str().unwrap()), (303, "/login"));
    assert!(out.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    problem(node.get("/v1/slots").header("cookie", &cookie).send().await.unwrap(), 401, "unauthorized").await;
}

#[tokio::test]
async fn a_cookie_changes_something_only_from_our_own_page() {
    let node = Node::start(AccessSettings::default()).await;
    let cookie = node.cookie(format!("once={}", node.once())).await;
    let drain = || node.post("/v1/node/drain").header("cookie", &cookie);
    let own = node.url("");
    for allowed in [
        drain().header("origin", &own),
        drain().header("sec-fetch-site", "same-origin"),
        drain().header("sec-fetch-site", "same-origin").header("origin", "null"),
    ] {
        assert_eq!(allowed.send().await.unwrap().status(), 200);
    }
    let other_port = "http://127.0.0.1:1";
    let other_name = format!("http://localhost:{}", node.address.port());
    for refused in [
        drain(),
        drain().header("origin", other_port),
        drain().header("origin", "null"),
        // Ours, but not the one that the request is for.
        drain().header("origin", &other_name),
        drain().header("sec-fetch-site", "same-site"),
        drain().header("sec-fetch-site", "cross-site"),
        drain().header("sec-fetch-site", "none"),
        drain().header("sec-fetch-site", "same-site").header("origin", &own),
        drain().header("sec-fetch-site", "same-origin").header("origin", &other_name),
        // To read: another port of this host is the same site, so the browser sends the cookie along.
        node.get("/v1/slots").header("cookie", &cookie).header("sec-fetch-site", "same-site"),
    ] {
        problem(refused.send().await.unwrap(), 403, "foreign-origin").await;
    }
    let link = node.get("/").header("cookie", &cookie).header("sec-fetch-site", "cross-site");
    let link = link.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
    assert_eq!(link.send().await.unwrap().status(), 200);
    // A program with a token needs none of this.
    let token = node.mint("operate", None);
    assert_eq!(node.post("/v1/node/drain").bearer_auth(token.reveal()).send().await.unwrap().status(), 200);
    // A wrong token is not mended by a good cookie.
    let both = node.get("/v1/slots").header("cookie", &cookie).bearer_auth("vxn_wrong");
    problem(both.send().await.unwrap(), 401, "unauthorized").await;
}

#[tokio::test]
async fn nobody_is_logged_in_or_out_by_another_site() {
    let node = Node::start(AccessSettings::default()).await;
    let once = node.once();
    for site in ["cross-site", "same-site", "none"] {
        for path in ["/login", "/logout"] {
            let request = node.post(path).header("sec-fetch-site", site).body(format!("once={once}"));
            problem(request.send().await.unwrap(), 403, "foreign-origin").await;
        }
    }
    problem(node.post("/login").body(format!("once={once}")).send().await.unwrap(), 403, "foreign-origin")
        .await;
    // It was not used up by any of them.
    node.cookie(format!("once={once}")).await;
    let large = node.form("/login", "a".repeat(5_000)).send().await.unwrap();
    problem(large, 413, "too-large").await;
}

#[tokio::test]
async fn a_browser_is_shown_the_login_page_and_a_program_the_problem() {
    let node = Node::start(AccessSettings::default()).await;
    let browser = node.get("/").header("accept", "text/html,*/*").send().await.unwrap();
    assert_eq!(browser.status(), 401);
    assert!(browser.headers().contains_key("www-authenticate"));
    let html = browser.text().await.unwrap();
    assert!(html.contains("action=\"/login\"") && html.contains("<label for=\"token\">"), "{html}");
    let script = node.get("/v1/slots").header("accept", "text/html").header("sec-fetch-dest", "empty");
    problem(script.send().await.unwrap(), 401, "unauthorized").await;
    let odd = node.get("/login?once=%3Cscript%3E").send().await.unwrap();
    assert_eq!(odd.status(), 410);
    assert!(!odd.text().await.unwrap().to_lowercase().contains("script"));
}

#[tokio::test]
async fn a_new_login_is_for_whoever_may_do_everything() {
    let node = Node::start(AccessSettings::default()).await;
    let most = node.mint("read,operate", None);
    let refused = node.post("/login/new").bearer_auth(most.reveal()).send().await.unwrap();
    problem(refused, 403, "forbidden").await;
    let answer = node.post("/login/new").bearer_auth(node.local.token().reveal()).send().await.unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(answer["expires_in"], 900);
    let once = answer["url"].as_str().unwrap().split_once("once=").unwrap().1;
    node.cookie(format!("once={once}")).await;
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_logged_shown_or_answered() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, `tracing` asks only that of the thread which comes by first whether an event is wanted,
    // and remembers it: another test's thread, which has none, would switch our events off.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);

    let node = Node::start(AccessSettings::default()).await;
    let (good, wrong) = (node.mint("read", None), Token::new().unwrap());
    let (once, spent) = (node.once(), node.once());
    node.cookie(format!("once={spent}")).await;
    let mut answers = String::new();
    for request in [
        node.get("/v1/slots").bearer_auth(wrong.reveal()),
        node.get(&format!("/v1/slots?token={}", wrong.reveal())).bearer_auth(wrong.reveal()),
        node.post("/v1/node/drain").bearer_auth(good.reveal()),
        node.get("/v1/slots").header("cookie", format!("vortex_session_{}={once}", node.address.port())),
        node.form("/login", format!("once={spent}")),
        node.form("/login", format!("token={}", wrong.reveal())),
        node.client.get(format!("{}?once={spent}", node.url("/login"))),
    ] {
        let answer = request.send().await.unwrap();
        answers += &format!("{:?} {}", answer.headers().clone(), answer.text().await.unwrap());
    }
    let cookie = node.cookie(format!("once={once}")).await;
    let session = cookie.split_once('=').unwrap().1;
    let shown = format!("{:?} {:?}", node.access, node.access.new_login().unwrap());
    let log = String::from_utf8(captured.0.lock().clone()).unwrap();
    assert!(log.contains("access.refused") && log.contains("access.logged_in"), "{log}");
    // hyper and h2 log frames at trace level; what our own part says is what is promised.
    let own: String = log.lines().filter(|line| line.contains("access")).collect();
    for secret in [good.reveal(), wrong.reveal(), node.local.token().reveal(), once.as_str(), &spent, session]
    {
        let secret = secret.rsplit('_').next().filter(|part| part.len() > 20).unwrap_or(secret);
        for (place, text) in [("log", &own), ("debug", &shown), ("answers", &answers)] {
            assert!(!text.contains(secret), "{place}: {text}");
        }
    }
}
