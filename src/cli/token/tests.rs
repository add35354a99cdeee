//! Tokens made, listed and revoked in a folder; a login from a node.

use std::time::Duration;

use serde_json::json;

use super::{TokenCommand, list, new, revoke};
use crate::api::access::scopes::Scopes;
use crate::api::access::tokens::{TokenFile, TokenStore};
use crate::cli::remote::testing::{Shared, parse};
use crate::cli::{Console, Context, Failed};
use crate::client::fake::{Fake, reply};
use crate::clock;

/// What a step said on standard output and standard error.
fn said(step: impl FnOnce(&mut Context<'_>) -> Result<(), Failed>) -> (String, String) {
    let (out, err) = (Shared::default(), Shared::default());
    let mut console = Console::new(out.clone(), err.clone(), false);
    step(&mut Context { config: None, console: &mut console }).unwrap();
    (out.text(), err.text())
}

#[test]
fn a_token_stands_alone_on_standard_output_and_lets_in_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let scopes: Scopes = "submit,read".parse().unwrap();
    let month = Some(Duration::from_secs(30 * 86_400));
    let (out, err) = said(|context| new(&data, scopes, month, Some("for ci"), context));
    let text = out.strip_suffix('\n').unwrap();
    assert!(text.starts_with("vxn_") && !text.contains(char::is_whitespace), "{out}");
    assert!(err.contains("submit,read") && err.contains("for 30 d") && !err.contains(text), "{err}");
    let store = TokenStore::open(TokenFile::within(&data), None).unwrap();
    let who = store.check(text, clock::unix_time()).unwrap();
    assert_eq!(who.scopes, scopes);
    let (out, _) = said(|context| list(&data, false, context));
    assert!(out.contains(&who.id.to_string()) && out.contains("for ci") && !out.contains(text), "{out}");
    let (out, _) = said(|context| list(&data, true, context));
    assert!(out.contains("\"expired\": false") && !out.contains("sha256"), "{out}");
    said(|context| revoke(&data, &[who.id], context));
    store.reload().unwrap();
    assert!(store.check(text, clock::unix_time()).is_err());
    let (out, err) = said(|context| list(&data, false, context));
    assert!(out.is_empty() && err.contains("no tokens"));
    let console = &mut Console::new(std::io::sink(), std::io::sink(), false);
    let unknown = revoke(&data, &[who.id], &mut Context { config: None, console }).unwrap_err();
    assert!(unknown.message().contains("no token has the id"), "{unknown:?}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for arguments in [
        &["new"][..],
        &["new", "--scope", "root"],
        &["new", "--scope", ""],
        &["new", "--scope", "read", "--expires", "soon"],
        &["revoke"],
        &["revoke", "vxn_0"],
        &[],
    ] {
        assert!(parse::<TokenCommand>(arguments).is_err(), "{arguments:?}");
    }
    assert!(
        parse::<TokenCommand>(&["new", "--scope", "read,submit", "--expires", "30d", "--name", "x"]).is_ok()
    );
    let console = &mut Console::new(std::io::sink(), std::io::sink(), false);
    let folder = tempfile::tempdir().unwrap();
    let zero =
        new(folder.path(), Scopes::ALL, Some(Duration::ZERO), None, &mut Context { config: None, console });
    assert!(zero.unwrap_err().message().contains("--expires"));
}

#[tokio::test]
async fn a_login_comes_from_the_node_and_hides_itself() {
    let url = "http://127.0.0.1:9100/login?once=abc";
    let fake = Fake::start(move |_| reply(200, &json!({ "url": url, "expires_in": 900 })));
    let login = fake.client().login().await.unwrap();
    assert_eq!((login.url.as_str(), login.expires_in), (url, 900.0));
    assert!(!format!("{login:?}").contains("abc"));
    assert_eq!(fake.asked(), ["POST /login/new"]);
}
