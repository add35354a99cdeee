use std::collections::BTreeSet;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use tower::ServiceExt;

use super::*;

/// More than any file of the page has.
const MOST: usize = 1 << 20;

async fn ask(method: &str, path: &str, tag: Option<&str>) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(tag) = tag {
        request = request.header(IF_NONE_MATCH, tag);
    }
    let response = routes().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MOST).await.unwrap();
    (parts.status, parts.headers, String::from_utf8_lossy(&body).into_owned())
}

/// What the page names in `src` and `href`.
fn named(html: &str) -> Vec<String> {
    let parts = html.split(['"']).collect::<Vec<_>>();
    let is_name = |part: &&[&str]| part[0].ends_with("src=") || part[0].ends_with("href=");
    parts.windows(2).filter(is_name).map(|pair| pair[1].to_owned()).collect()
}

#[tokio::test]
async fn every_file_that_the_page_names_is_there_with_its_type_and_may_be_kept() {
    let (status, headers, html) = ask("GET", "/", None).await;
    assert_eq!((status, &headers[CACHE_CONTROL]), (StatusCode::OK, &ASK));
    assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(!html.contains("{{"), "a placeholder is left: {html}");
    let names = named(&html);
    assert!(names.len() > 20, "{names:?}");
    // The first paint waits for these alone.
    let (first, later) = html.split_once("<template").unwrap();
    assert_eq!(named(first).len() + named(later).len(), names.len());
    assert_eq!(named(first).iter().filter(|name| !name.ends_with(".svg")).count(), 2, "{first}");
    for name in names {
        let (status, headers, _) = ask("GET", &name, None).await;
        assert_eq!((status, &headers[CACHE_CONTROL]), (StatusCode::OK, &KEEP), "{name}");
        let expected = match name.rsplit_once('.').unwrap().1 {
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        };
        assert_eq!(headers[CONTENT_TYPE], expected, "{name}");
    }
}

#[tokio::test]
async fn a_copy_that_is_still_right_is_not_sent_again() {
    let (_, headers, _) = ask("GET", "/", None).await;
    let tag = headers[ETAG].to_str().unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let (status, headers, body) = ask("GET", "/", Some(&known)).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_MODIFIED, ""), "{known}");
        assert_eq!(headers[ETAG], tag);
    }
    let (status, _, body) = ask("GET", "/", Some("\"other\"")).await;
    assert!(status == StatusCode::OK && !body.is_empty());
    let (status, headers, body) = ask("HEAD", "/", None).await;
    assert_eq!(
        (status, body.as_str(), &headers[ETAG]),
        (StatusCode::OK, "", &HeaderValue::try_from(tag).unwrap())
    );
}

#[tokio::test]
async fn nothing_else_is_served() {
    let page = Page::new();
    let here = format!("/assets/{}", page.digest);
    for path in [
        format!("{here}/index.html"),
        format!("{here}/vendor/README.md"),
        format!("{here}/../page.rs"),
        format!("{here}/%2e%2e/tests.rs"),
        format!("{here}/style"),
        "/assets/0000000000000000/app.js".to_owned(),
        "/index.html".to_owned(),
    ] {
        let (status, _, body) = ask("GET", &path, None).await;
        assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, ""), "{path}");
    }
    assert_eq!(ask("POST", "/", None).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn the_page_needs_nothing_that_its_policy_forbids() {
    for name in Files::iter() {
        let text = String::from_utf8_lossy(&Files::get(&name).unwrap().data).into_owned();
        // Licences and remarks name places; browsers fetch none of them.
        if name.starts_with("vendor/") || content_type(&name).is_none() {
            continue;
        }
        let text = text.replace("http://www.w3.org/2000/svg", "");
        for forbidden in [
            "http://",
            "https://",
            "eval(",
            "new Function",
            "innerHTML",
            "dangerouslySetInnerHTML",
            " style=\"",
            "onclick=",
        ] {
            assert!(!text.contains(forbidden), "{name} contains {forbidden:?}");
        }
    }
    let index = String::from_utf8(Files::get(INDEX).unwrap().data.into_owned()).unwrap();
    for part in index.split("<script").skip(1) {
        assert!(part.contains("></script>"), "an inline script: {part}");
    }
    assert!(!index.contains("<style"));
}

/// The browser hands a named event only to who asks for that name: a kind that the page does not know would be lost.
#[test]
fn the_page_listens_to_every_kind_of_event() {
    let kinds = include_str!("../../events/kind.rs");
    let body = kinds.split_once("pub enum EventKind {").unwrap().1.split_once("\n}").unwrap().0;
    let variants = body
        .lines()
        .filter(|line| line.starts_with("    ") && line[4..].starts_with(|c: char| c.is_ascii_uppercase()));
    let names: BTreeSet<String> = variants
        .map(|line| {
            let name: String = line.trim().chars().take_while(char::is_ascii_alphanumeric).collect();
            name.chars().enumerate().fold(String::new(), |text, (i, c)| {
                let gap = if i > 0 && c.is_ascii_uppercase() { "_" } else { "" };
                format!("{text}{gap}{}", c.to_ascii_lowercase())
            })
        })
        .collect();
    assert!(names.len() > 30, "{names:?}");
    let live = String::from_utf8(Files::get("live.js").unwrap().data.into_owned()).unwrap();
    let list = live.split_once("KINDS = [").unwrap().1.split_once(']').unwrap().0;
    let known: BTreeSet<String> = list.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(known, names);
    // And what each says to somebody who looks.
    let telling = String::from_utf8(Files::get("telling.js").unwrap().data.into_owned()).unwrap();
    for name in names {
        assert!(telling.contains(&format!("\n  {name}: ")), "{name} is told by its raw fields");
    }
}

#[tokio::test]
async fn the_form_knows_recipes_as_the_node_does() {
    let page = Page::new();
    let (status, headers, body) = ask("GET", &format!("/assets/{}/{RECIPE}", page.digest), None).await;
    assert_eq!(
        (status, &headers[CONTENT_TYPE]),
        (StatusCode::OK, &HeaderValue::from_static("application/json"))
    );
    let value: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&value["schema"], value["example"].as_str()), (&schema::schema(), Some(example::text())));
}

/// What a file is called depends on what it holds: two versions of the page never share an address.
#[test]
fn the_address_of_files_changes_with_any_of_them() {
    let one =
        BTreeMap::from([("a.js".to_owned(), Bytes::from_static(b"1")), ("b.js".to_owned(), Bytes::new())]);
    let mut other = one.clone();
    other.insert("b.js".to_owned(), Bytes::from_static(b"2"));
    let renamed =
        BTreeMap::from([("a.j".to_owned(), Bytes::from_static(b"s1")), ("b.js".to_owned(), Bytes::new())]);
    let digests = BTreeSet::from([digest(&one), digest(&other), digest(&renamed)]);
    assert!(digests.len() == 3 && digests.iter().all(|digest| digest.len() == DIGITS));
}
