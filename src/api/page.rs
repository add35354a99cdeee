//! The page at `/`: its files, held in the executable, and how they are served.
//!
//! Owns the files' addresses, content types, tags and how long they may be kept. Files lie under `/assets/DIGEST/`, where DIGEST
//! is the hash of all of them: their addresses change when any of them does, so that browsers may keep them for ever, and
//! what belongs together is never mixed. Knows nothing of the node, and not who may see it: the access layer asks for a
//! login and adds the content policy, which forbids whatever is not a file of this origin (so the page has no inline
//! script or style). Never reads a file of the host while it serves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::api::backend::Webhook;
use crate::recipe::{example, schema};

#[cfg(test)]
mod tests;

/// The page itself: it names the other files, so browsers ask each time whether it has changed.
const ASK: HeaderValue = HeaderValue::from_static("private, no-cache");
/// Everything else: an address never means anything else. A year, as is usual for "for ever"; `private`, since a login
/// stands before it.
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// Where the files lie.
const ASSETS: &str = "/assets";
/// Of the digest in addresses: 64 bits tell versions of one program apart.
const DIGITS: usize = 16;
/// Of the page, whose placeholders are filled in here.
const INDEX: &str = "index.html";
/// What the form knows of recipes and webhooks: the schema, the example and the events, as the node itself has them.
const RECIPE: &str = "recipe.json";
/// Scripts that the page loads as they are; every other one is a module, and fetched ahead.
const CLASSIC: [&str; 2] = ["first.js", "vendor/uplot.js"];
/// One file of all styles, so that the first paint waits for one answer, and the styles it is made of.
const STYLE: (&str, [&str; 3]) = ("style.css", ["style/base.css", "style/parts.css", "vendor/uplot.css"]);

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/src/api/page/static"]
struct Files;

/// A file, ready to be sent.
struct Asset {
    bytes: Bytes,
    content_type: HeaderValue,
    tag: HeaderValue,
}

/// Everything that is served.
struct Page {
    index: Asset,
    digest: String,
    assets: BTreeMap<String, Asset>,
}

/// The page and its files: `GET` and `HEAD` of `/` and `/assets/…`, for whoever may read. Called once, at the start: it
/// takes up all files.
pub(crate) fn routes() -> Router {
    let page = Arc::new(Page::new());
    Router::new().route("/", get(index)).route("/assets/{digest}/{*name}", get(asset)).with_state(page)
}

async fn index(State(page): State<Arc<Page>>, headers: HeaderMap) -> Response {
    page.index.answer(&headers, ASK)
}

async fn asset(
    State(page): State<Arc<Page>>,
    Path((digest, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    // Under another version's digest it would be kept as what it is not.
    match page.assets.get(&name).filter(|_| digest == page.digest) {
        Some(asset) => asset.answer(&headers, KEEP),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Page {
    fn new() -> Self {
        let mut files: BTreeMap<String, Bytes> = Files::iter()
            .filter(|name| content_type(name).is_some())
            .filter_map(|name| Some((name.to_string(), Files::get(&name)?.data.into_owned().into())))
            .collect();
        let recipe = json!({
            "schema": schema::schema(),
            "example": example::text(),
            "webhook_events": Webhook::EVENTS,
        });
        let recipe = recipe.to_string();
        files.insert(RECIPE.to_owned(), recipe.into());
        let styles: Vec<Bytes> = STYLE.1.iter().filter_map(|name| files.remove(*name)).collect();
        files.insert(STYLE.0.to_owned(), styles.join(&b'\n').into());
        let template = files.remove(INDEX).unwrap_or_default();
        let digest = digest(&files);
        let index = fill(&String::from_utf8_lossy(&template), &digest, &files);
        let assets = files.into_iter().filter_map(|(name, bytes)| {
            let asset = Asset::new(content_type(&name)?, bytes);
            Some((name, asset))
        });
        Self { index: Asset::new("text/html; charset=utf-8", index.into()), assets: assets.collect(), digest }
    }
}

impl Asset {
    fn new(content_type: &'static str, bytes: Bytes) -> Self {
        let tag = format!("\"{}\"", hex(&Sha256::digest(&bytes)));
        // Hexadecimal digits in quotes are always a header's value.
        let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { bytes, content_type: HeaderValue::from_static(content_type), tag }
    }

    /// The file, or that the asker's copy of it is still right.
    fn answer(&self, asked: &HeaderMap, keep: HeaderValue) -> Response {
        let known = asked.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let is_known = known.flat_map(|value| value.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.trim_start_matches("W/").as_bytes() == self.tag.as_bytes()
        });
        let headers = [(ETAG, self.tag.clone()), (CACHE_CONTROL, keep)];
        if is_known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, [(CONTENT_TYPE, self.content_type.clone())], self.bytes.clone()).into_response()
    }
}

/// What a file is, by its name; none where it is not for browsers.
fn content_type(name: &str) -> Option<&'static str> {
    Some(match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// One digest of all files, names included.
fn digest(files: &BTreeMap<String, Bytes>) -> String {
    let mut whole = Sha256::new();
    for (name, bytes) in files {
        whole.update(Sha256::digest(name.as_bytes()));
        whole.update(Sha256::digest(bytes));
    }
    let mut text = hex(&whole.finalize());
    text.truncate(DIGITS);
    text
}

/// The page with the files' address, and with its modules named, so that browsers fetch them all at once.
fn fill(template: &str, digest: &str, files: &BTreeMap<String, Bytes>) -> String {
    let is_module = |name: &&String| {
        (name.ends_with(".js") || name.ends_with(".mjs")) && !CLASSIC.contains(&name.as_str())
    };
    let preload: Vec<String> = files
        .keys()
        .filter(is_module)
        .map(|name| format!("<link rel=\"modulepreload\" href=\"{{{{assets}}}}/{name}\">"))
        .collect();
    template.replace("{{preload}}", &preload.join("\n")).replace("{{assets}}", &format!("{ASSETS}/{digest}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
