//! A slot's files, on the wire.

use super::fake::id;
use super::wire::{client, raw_get, serve};
use super::*;
use crate::types::Sha256;

const FILE: &[u8] = b"0123456789abcdefghij";

async fn file() -> (Setup, std::net::SocketAddr, String) {
    let it = setup();
    it.fake.add(id(1));
    it.fake.leave(id(1), "video.mp4", FILE);
    it.fake.leave(id(1), "keyframes/0.png", b"png");
    it.fake.leave(id(1), "empty.json", b"");
    it.fake.leave(id(1), "gr\u{fc}n \"x\".html", b"<script>");
    let address = serve(&it).await;
    let base = format!("http://{address}/v1/slots/{}/artifacts", id(1));
    (it, address, base)
}

#[tokio::test]
async fn a_file_comes_whole_with_all_that_is_known_of_it() {
    let (_it, _, base) = file().await;
    let client = client();
    let answer = client.get(format!("{base}/video.mp4")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let etag = format!("\"{}\"", Sha256::of(FILE));
    for (name, value) in [
        ("content-type", "video/mp4"),
        ("content-length", "20"),
        ("etag", etag.as_str()),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("content-disposition", "inline; filename=\"video.mp4\""),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    assert_eq!(answer.bytes().await.unwrap(), FILE);

    let head = client.head(format!("{base}/video.mp4")).header("range", "bytes=0-1").send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"], &head.headers()["etag"]),
        (200, &"20".parse().unwrap(), &etag.parse().unwrap())
    );
    for name in ["keyframes/0.png", "keyframes%2F0.png"] {
        let answer = client.get(format!("{base}/{name}")).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"image/png".parse().unwrap())
        );
        assert_eq!(answer.headers()["content-disposition"], "inline; filename=\"0.png\"");
    }
    let answer = client.get(format!("{base}/empty.json")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0));
    let answer = client.get(format!("{base}/gr%C3%BCn%20%22x%22.html")).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/octet-stream", "no browser runs it");
    assert_eq!(
        answer.headers()["content-disposition"],
        "inline; filename=\"gr_n__x_.html\"; filename*=UTF-8''gr%C3%BCn%20%22x%22.html"
    );
}

#[tokio::test]
async fn parts_come_as_they_are_asked_for() {
    let (_it, _, base) = file().await;
    let client = client();
    let ask = async |name: &str, headers: &[(&str, &str)]| {
        let request = headers
            .iter()
            .fold(client.get(format!("{base}/{name}")), |r, (name, value)| r.header(*name, *value));
        let answer = request.send().await.unwrap();
        let range = answer.headers().get("content-range").map(|it| it.to_str().unwrap().to_owned());
        (answer.status().as_u16(), range, String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap())
    };
    let part = |range: &str, text: &str| (206, Some(format!("bytes {range}/20")), text.to_owned());
    let whole = (200, None, String::from_utf8(FILE.to_vec()).unwrap());
    assert_eq!(ask("video.mp4", &[("range", "bytes=0-0")]).await, part("0-0", "0"));
    assert_eq!(ask("video.mp4", &[("range", "bytes=10-")]).await, part("10-19", "abcdefghij"));
    assert_eq!(ask("video.mp4", &[("range", "bytes=-3")]).await, part("17-19", "hij"));
    assert_eq!(ask("video.mp4", &[("range", "bytes=18-99")]).await, part("18-19", "ij"));
    assert_eq!(ask("video.mp4", &[("range", "bytes=0-1,4-5")]).await, whole, "several parts: the whole");
    assert_eq!(ask("video.mp4", &[("range", "bytes=5-1")]).await, whole, "no range at all");
    let outside = ask("video.mp4", &[("range", "bytes=20-")]).await;
    assert_eq!((outside.0, outside.1.as_deref()), (416, Some("bytes */20")));
    assert!(outside.2.contains("/problems/range-not-satisfiable"));
    assert_eq!(ask("empty.json", &[("range", "bytes=0-")]).await.0, 416);

    let etag = format!("\"{}\"", Sha256::of(FILE));
    let range = ("range", "bytes=0-1");
    assert_eq!(ask("video.mp4", &[range, ("if-range", &etag)]).await, part("0-1", "01"));
    for other in ["\"other\"", &format!("W/{etag}"), "Tue, 15 Nov 1994 12:45:26 GMT"] {
        assert_eq!(ask("video.mp4", &[range, ("if-range", other)]).await, whole, "{other}");
    }
}

#[tokio::test]
async fn what_is_known_already_is_not_sent_again() {
    let (_it, _, base) = file().await;
    let client = client();
    let etag = format!("\"{}\"", Sha256::of(FILE));
    let ask = async |name: &str, value: &str| {
        let answer = client.get(format!("{base}/video.mp4")).header(name, value).header("range", "bytes=0-0");
        let answer = answer.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().get("etag").cloned())
    };
    for known in [etag.clone(), format!("W/{etag}"), "*".to_owned(), format!("\"a\", {etag}")] {
        assert_eq!(ask("if-none-match", &known).await, (304, Some(etag.parse().unwrap())), "{known}");
    }
    assert_eq!(ask("if-none-match", "\"a\"").await.0, 206);
    assert_eq!(ask("if-match", &etag).await.0, 206);
    assert_eq!(ask("if-match", "*").await.0, 206);
    assert_eq!(ask("if-match", "\"a\"").await.0, 412);
    assert_eq!(ask("if-match", &format!("W/{etag}")).await.0, 412, "a weak tag matches nothing");
}

#[tokio::test]
async fn no_path_leads_out_of_a_slot() {
    let (it, address, _) = file().await;
    std::fs::write(it.fake.folder().join("secret"), "secret").unwrap();
    let base = format!("/v1/slots/{}/artifacts", id(1));
    for name in [
        "../../secret",
        "..%2f..%2fsecret",
        "%2e%2e/%2e%2e/secret",
        "keyframes/../../../secret",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..%5c..%5csecret",
        "video.mp4%00",
        "%00",
        "video.mp4/",
        "./video.mp4",
        "keyframes",
        "%ff%fe",
        "",
    ] {
        let answer = raw_get(address, &format!("{base}/{name}")).await;
        let status = &answer[..12];
        assert!(matches!(status, "HTTP/1.1 404" | "HTTP/1.1 400"), "{name}: {answer}");
        assert!(answer.contains("application/problem+json"), "{name}: {answer}");
    }
    // Of all these the node was asked for one name only, which might have been a file's.
    assert_eq!(it.fake.table().asked, ["keyframes"]);
}

#[tokio::test]
async fn a_file_that_is_not_what_was_written_is_no_success() {
    let (it, _, base) = file().await;
    let path = it.fake.folder().join(id(1).to_string());
    std::fs::write(path.join("video.mp4"), "short").unwrap();
    std::fs::remove_file(path.join("keyframes/0.png")).unwrap();
    let client = client();
    for (name, status) in [("video.mp4", 500), ("keyframes/0.png", 410)] {
        let answer = client.get(format!("{base}/{name}")).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let text = answer.text().await.unwrap();
        assert!(!text.contains(it.fake.folder().to_str().unwrap()), "no path of this machine: {text}");
    }
}

#[tokio::test]
async fn a_large_file_arrives_whole_in_pieces() {
    let it = setup();
    it.fake.add(id(1));
    let large: Vec<u8> = (0..1_000_003u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    it.fake.leave(id(1), "video.mp4", &large);
    let path = format!("/v1/slots/{}/artifacts/video.mp4", id(1));
    assert_eq!(get(&it.router, &path).await.body, large);
    let part = send(&it.router, with(request("GET", &path), "range", "bytes=131000-900000")).await;
    assert_eq!(part.body, large[131_000..=900_000]);
}
