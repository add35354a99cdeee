//! The least of an HTTP client, so that the load costs little beside what it measures.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    address: String,
    token: String,
    recipe: String,
    buffer: Vec<u8>,
}

/// What stands for the id in the recipe that is sent again and again.
const PLACE: uuid::Uuid = uuid::Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000);

/// The id of slot `number`, spread over all ids.
fn id(number: u64) -> uuid::Uuid {
    let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    uuid::Builder::from_random_bytes(spread.to_be_bytes()).into_uuid()
}

impl Connection {
    pub fn open(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // Without its comments, which others do not read.
        let recipe = vortex_node::recipe::example::with_id(PLACE);
        let recipe = vortex_node::recipe::document::parse(recipe.as_bytes()).unwrap().to_string();
        assert!(recipe.contains(&PLACE.to_string()));
        Self { stream, address: address.to_owned(), token: token.to_owned(), recipe, buffer: Vec::new() }
    }

    /// Hands slot `number` in; it has to be accepted.
    pub fn put(&mut self, number: u64) {
        let id = id(number).to_string();
        let recipe = self.recipe.replace(&PLACE.to_string(), &id);
        let request = format!(
            "PUT /v1/slots/{id} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{recipe}",
            self.address,
            self.token,
            recipe.len()
        );
        let (status, body) = self.ask(&request);
        assert_eq!(status, 202, "{body}");
    }

    /// Reads slot `number`'s state.
    pub fn slot(&mut self, number: u64) {
        let (status, body) = self.try_get(&format!("/v1/slots/{}", id(number))).unwrap();
        assert_eq!(status, 200, "{body}");
    }

    fn ask(&mut self, request: &str) -> (u16, String) {
        self.try_ask(request).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is at `path`; an error where the node is gone.
    pub fn try_get(&mut self, path: &str) -> io::Result<(u16, String)> {
        let (address, token) = (&self.address, &self.token);
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
        self.try_ask(&request)
    }

    fn try_ask(&mut self, request: &str) -> io::Result<(u16, String)> {
        self.stream.write_all(request.as_bytes())?;
        self.buffer.clear();
        let mut chunk = [0; 16384];
        loop {
            let read = self.stream.read(&mut chunk)?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..read]);
            let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end]).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            let length = length.unwrap_or_else(|| panic!("no length in {head}"));
            if self.buffer.len() >= end + 4 + length {
                return Ok((status, String::from_utf8_lossy(&self.buffer[end + 4..]).into_owned()));
            }
        }
    }
}

/// Clients that listen to every event, read by one thread.
pub struct Listeners {
    closed: Arc<AtomicBool>,
    reader: JoinHandle<u64>,
}

impl Listeners {
    pub fn open(address: &str, token: &str, count: usize) -> Self {
        let request =
            format!("GET /v1/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
        let mut streams: Vec<TcpStream> = (0..count)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                // Its head says that it is open.
                let mut head = [0; 64];
                assert!(stream.read(&mut head).unwrap() > 0 && head.starts_with(b"HTTP/1.1 200"));
                stream.set_nonblocking(true).unwrap();
                stream
            })
            .collect();
        let closed = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::clone(&closed);
        let reader = std::thread::spawn(move || {
            let (mut all, mut buffer) = (0, vec![0; 1 << 20]);
            while !is_closed.load(Ordering::Acquire) {
                for stream in &mut streams {
                    match stream.read(&mut buffer) {
                        Ok(0) => panic!("a listener was cut off"),
                        Ok(read) => all += read as u64,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            all
        });
        Self { closed, reader }
    }

    /// How many bytes they were told.
    pub fn close(self) -> u64 {
        self.closed.store(true, Ordering::Release);
        self.reader.join().unwrap()
    }
}
