//! For tests: an HTTP receiver on this machine that answers by a list, keeps what it got, and checks signatures by an
//! implementation of its own.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use sha2::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the receiver answers.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// This status, with these lines of headers.
    Status(u16, &'static str),
    /// Nothing, with the connection open.
    Silence,
    /// A header without an end.
    SlowHeader,
    /// 200, and a body that never ends.
    Endless,
    /// 200, and a body of which little comes and then nothing more.
    Stalled,
}

/// What it got.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
    /// Bytes of its answer that were taken.
    pub(super) taken: Option<u64>,
}

/// A receiver.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    changed: Arc<Notify>,
}

impl Receiver {
    /// Answers by `replies`, and with 204 once they are used up.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver =
            Self { address: listener.local_addr().unwrap(), got: Arc::default(), changed: Arc::default() };
        let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
        let it = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let reply = replies.lock().pop_front().unwrap_or(Reply::Status(204, ""));
                let it = it.clone();
                tokio::spawn(async move { it.serve(stream, reply).await });
            }
        });
        receiver
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().clone()
    }

    /// Waits until `enough` holds of what it got.
    pub(super) async fn until(&self, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        loop {
            let changed = self.changed.notified();
            let got = self.got();
            if enough(&got) {
                return got;
            }
            changed.await;
        }
    }

    async fn serve(&self, mut stream: TcpStream, reply: Reply) {
        let Some(got) = read(&mut stream).await else { return };
        let place = {
            let mut all = self.got.lock();
            all.push(got);
            all.len() - 1
        };
        self.changed.notify_waiters();
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
        match reply {
            Reply::Status(status, headers) => {
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{headers}\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            Reply::Silence => drain(&mut stream).await,
            Reply::SlowHeader => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await;
                drain(&mut stream).await;
            }
            Reply::Stalled => {
                let _ = stream.write_all(format!("{ok}little").as_bytes()).await;
                drain(&mut stream).await;
            }
            Reply::Endless => {
                let _ = stream.write_all(ok.as_bytes()).await;
                let (piece, mut taken) = (vec![b'x'; 16 * 1024], 0);
                while stream.write_all(&piece).await.is_ok() {
                    taken += piece.len() as u64;
                }
                self.got.lock()[place].taken = Some(taken);
                self.changed.notify_waiters();
            }
        }
    }
}

/// Until the other side closes.
async fn drain(stream: &mut TcpStream) {
    let mut piece = [0; 1024];
    while stream.read(&mut piece).await.is_ok_and(|count| count > 0) {}
}

async fn read(stream: &mut TcpStream) -> Option<Got> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = bytes[end..].to_vec();
    while body.len() < length {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|count| *count > 0)?;
        body.extend_from_slice(&piece[..count]);
    }
    Some(Got { path, headers, body, taken: None })
}

/// Checks a message as the specification tells receivers to: by HMAC (RFC 2104) over SHA-256, written out.
pub(super) fn is_signed(got: &Got, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    assert!(key.len() <= 64);
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(&key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let mut message =
        format!("{}.{}.", got.headers["webhook-id"], got.headers["webhook-timestamp"]).into_bytes();
    message.extend_from_slice(&got.body);
    let inner = sha2::Sha256::digest([&pad(0x36)[..], &message].concat());
    let outer = sha2::Sha256::digest([&pad(0x5c)[..], &inner[..]].concat());
    let expected = format!("v1,{}", STANDARD.encode(outer));
    got.headers["webhook-signature"].split(' ').any(|signature| signature == expected)
}
