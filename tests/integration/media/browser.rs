//! A headless browser plays a video to its end, fetched as from any web server.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::{filmed, spec};
use crate::support::skip;

/// A browser takes seconds to start, and a loaded machine makes them many.
const PATIENCE: Duration = Duration::from_secs(240);

const PAGE: &str = r#"<!doctype html><title>a video</title><video id=v muted playsinline src="/video.mp4"></video><script>
const video = document.getElementById('v');
const tell = what => fetch('/told', {method: 'POST', body: JSON.stringify({
  what, at: video.currentTime, duration: video.duration, width: video.videoWidth, height: video.videoHeight,
  frames: video.getVideoPlaybackQuality().totalVideoFrames,
  sound: video.webkitAudioDecodedByteCount, error: video.error && video.error.message})});
video.onended = () => tell('ended');
video.onerror = () => tell('error');
video.play().catch(error => tell(String(error)));
</script>"#;

/// Kills the browser however the test ends.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn answer(mut stream: TcpStream, video: &[u8], told: &mpsc::Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let field = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|f| f.1)
    };
    let mut send = |status: &str, kind: &str, body: &[u8]| {
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(body)
    };
    if head.starts_with("POST /told") {
        let mut body = vec![0; field("Content-Length").unwrap().parse().unwrap()];
        std::io::Read::read_exact(&mut reader, &mut body)?;
        told.send(String::from_utf8(body).unwrap()).unwrap();
        return send("200 OK", "text/plain", b"");
    }
    if !head.starts_with("GET /video.mp4") {
        let page = if head.starts_with("GET / ") { PAGE } else { "" };
        return send("200 OK", "text/html; charset=utf-8", page.as_bytes());
    }
    let range = field("Range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((start, end)) = range else { return send("200 OK\r\nAccept-Ranges: bytes", "video/mp4", video) };
    let (start, last) = (start.parse::<usize>().unwrap(), video.len() - 1);
    let end = end.parse().unwrap_or(last).min(last);
    let status = format!(
        "206 Partial Content\r\nAccept-Ranges: bytes\r\nContent-Range: bytes {start}-{end}/{}",
        video.len()
    );
    send(&status, "video/mp4", &video[start..=end])
}

#[test]
fn a_browser_plays_a_video_to_its_end() {
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    }) else {
        return skip("chromium");
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("video.mp4");
    filmed(&path, &spec("256x256", 25, 75, 3.0)).unwrap();
    let video: Arc<[u8]> = std::fs::read(&path).unwrap().into();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (video, tell) = (Arc::clone(&video), tell.clone());
            // A browser hangs up in mid-file when it has enough for now.
            std::thread::spawn(move || drop(answer(stream, &video, &tell)));
        }
    });
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let quiet =
        ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"];
    let child = Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", &profile])
        .args(quiet)
        .arg("--autoplay-policy=no-user-gesture-required")
        .arg(format!("http://{address}/"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _browser = Browser(child);
    let told: serde_json::Value = serde_json::from_str(&told.recv_timeout(PATIENCE).unwrap()).unwrap();
    assert_eq!(told["what"], "ended", "{told}");
    assert!((told["duration"].as_f64().unwrap() - 3.0).abs() < 0.04, "{told}");
    assert!((told["at"].as_f64().unwrap() - 3.0).abs() < 0.04, "{told}");
    assert_eq!((told["width"].as_i64(), told["height"].as_i64()), (Some(256), Some(256)), "{told}");
    assert!(told["frames"].as_i64().unwrap() > 60, "{told}");
    assert!(told["sound"].as_i64().unwrap() > 0, "no sound was decoded: {told}");
}
