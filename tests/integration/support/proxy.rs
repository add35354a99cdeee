//! A TCP proxy between a client and a server, through which a test takes the network away and brings it back.
//!
//! | call | connections | new ones | bytes |
//! |---|---|---|---|
//! | `cut` | dropped | accepted and dropped at once | lost |
//! | `swallow` | stay | taken in | lost, both ways; healed, whoever lost any is dropped |
//! | `swallow_answers` | stay | taken in | the server's are lost, the client's arrive |
//! | `hold` | stay | taken in | kept, and delivered once healed, as TCP does after an outage of seconds |
//! | `delay` | stay | taken in | arrive so much later, either way |
//!
//! It has threads of its own: a test's runtime may be busy or its clock paused.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use vortex_node::clock::since_boot;

use super::served::LIMIT;

mod tests;

/// What came through, since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Connections that were taken in.
    pub accepted: u64,
    /// Connections that were dropped at once.
    pub refused: u64,
    /// Connections that are open now.
    pub open: u64,
    /// Bytes that the server was sent.
    pub to_server: u64,
    /// Bytes that clients were sent.
    pub to_client: u64,
    /// Bytes that were lost, either way.
    pub swallowed: u64,
    /// Bytes that wait, held or delayed, either way.
    pub waiting: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Cut,
    Swallowing { requests: bool },
    Holding,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// Both ends of a connection.
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// Whether bytes were lost in it: the rest would make no sense.
    lost: bool,
}

impl Link {
    fn close(&self) {
        // An end that is closed already is what is wanted.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

struct State {
    mode: Mode,
    delay: Duration,
    links: BTreeMap<u64, Link>,
    counted: Counted,
    ended: bool,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

/// Bytes on their way, and when they are to arrive.
struct Piece {
    bytes: Vec<u8>,
    due: Duration,
}

/// The proxy; dropped, it drops all connections.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// One before this server, which need not run.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            mode: Mode::Open,
            delay: Duration::ZERO,
            links: BTreeMap::new(),
            counted: Counted::default(),
            ended: false,
        };
        let shared = Arc::new(Shared { server, state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Some(std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        }));
        Self { shared, address, accepting }
    }

    /// Where clients of a nats-server connect.
    pub fn address(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Drops all connections, and new ones at once.
    pub fn cut(&self) {
        self.become_with(Mode::Cut, |_| true);
    }

    /// Loses every byte from now on, without a word to either side.
    pub fn swallow(&self) {
        self.become_with(Mode::Swallowing { requests: true }, |_| false);
    }

    /// Loses every byte of the server's from now on; what clients send arrives.
    pub fn swallow_answers(&self) {
        self.become_with(Mode::Swallowing { requests: false }, |_| false);
    }

    /// Keeps every byte from now on.
    pub fn hold(&self) {
        self.become_with(Mode::Holding, |_| false);
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.become_with(Mode::Open, |link| link.lost);
    }

    /// Lets everything arrive so much later from now on.
    pub fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// What came through.
    pub fn counted(&self) -> Counted {
        self.shared.lock().counted
    }

    /// Waits until enough came through.
    pub fn until(&self, enough: impl Fn(&Counted) -> bool) -> Counted {
        let waiting = |state: &mut State| !enough(&state.counted);
        let (state, late) =
            self.shared.changed.wait_timeout_while(self.shared.lock(), LIMIT, waiting).unwrap();
        assert!(!late.timed_out(), "after {LIMIT:?} only this came through: {:?}", state.counted);
        state.counted
    }

    fn become_with(&self, mode: Mode, is_dropped: impl Fn(&Link) -> bool) {
        let mut state = self.shared.lock();
        state.mode = mode;
        state.links.retain(|_, link| {
            let drops = is_dropped(link);
            if drops {
                link.close();
            }
            !drops
        });
        state.counted.open = state.links.len() as u64;
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.cut();
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for number in 0.. {
            let Ok((client, _)) = listener.accept() else { return };
            if self.lock().ended {
                return;
            }
            self.take_in(number, client);
        }
    }

    fn take_in(self: &Arc<Self>, number: u64, client: TcpStream) {
        // Refused by the server is refused by the proxy.
        let server = TcpStream::connect(self.server);
        let mut state = self.lock();
        let (Ok(server), false) = (server, state.mode == Mode::Cut) else {
            state.counted.refused += 1;
            self.changed.notify_all();
            return;
        };
        for end in [&client, &server] {
            end.set_nodelay(true).unwrap();
        }
        let copy = |end: &TcpStream| end.try_clone().unwrap();
        state.links.insert(number, Link { client: copy(&client), server: copy(&server), lost: false });
        state.counted.accepted += 1;
        state.counted.open += 1;
        drop(state);
        self.changed.notify_all();
        for (from, to, way) in
            [(copy(&client), copy(&server), Way::ToServer), (server, client, Way::ToClient)]
        {
            let (pieces, arriving) = channel();
            let (reads, writes) = (Arc::clone(self), Arc::clone(self));
            std::thread::spawn(move || reads.read(from, &pieces));
            std::thread::spawn(move || writes.write(number, &arriving, to, way));
        }
    }

    /// Takes bytes in until their side sends no more.
    fn read(&self, mut from: TcpStream, pieces: &Sender<Piece>) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mut state = self.lock();
            state.counted.waiting += length as u64;
            let piece = Piece { bytes: buffer[..length].to_vec(), due: since_boot() + state.delay };
            drop(state);
            self.changed.notify_all();
            if pieces.send(piece).is_err() {
                return;
            }
        }
    }

    /// Hands bytes on as the mode of the moment has it.
    fn write(&self, number: u64, pieces: &Receiver<Piece>, mut to: TcpStream, way: Way) {
        for piece in pieces {
            match self.arrives(number, &piece, way) {
                Some(true) if to.write_all(&piece.bytes).is_err() => break,
                Some(_) => {}
                None => return,
            }
        }
        // That side sends no more, which the other learns as it learns everything else.
        let end = Piece { bytes: Vec::new(), due: Duration::ZERO };
        if self.arrives(number, &end, way) != Some(true) {
            return;
        }
        let _ = to.shutdown(Shutdown::Write);
        if way == Way::ToClient {
            let mut state = self.lock();
            if let Some(link) = state.links.remove(&number) {
                link.close();
            }
            state.counted.open = state.links.len() as u64;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits until it is decided whether this arrives; none where its connection has been dropped.
    fn arrives(&self, number: u64, piece: &Piece, way: Way) -> Option<bool> {
        let mut state = self.lock();
        let length = piece.bytes.len() as u64;
        let arrives = loop {
            let early = piece.due.saturating_sub(since_boot());
            let mode = state.mode;
            let Some(link) = state.links.get_mut(&number) else { break None };
            match mode {
                Mode::Cut => break None,
                Mode::Swallowing { requests } if requests || way == Way::ToClient => {
                    link.lost = true;
                    break Some(false);
                }
                Mode::Holding => state = self.changed.wait(state).unwrap(),
                Mode::Open | Mode::Swallowing { .. } if early.is_zero() => break Some(true),
                _ => state = self.changed.wait_timeout(state, early).unwrap().0,
            }
        };
        state.counted.waiting -= length;
        match (arrives, way) {
            (Some(true), Way::ToServer) => state.counted.to_server += length,
            (Some(true), Way::ToClient) => state.counted.to_client += length,
            _ => state.counted.swallowed += length,
        }
        drop(state);
        self.changed.notify_all();
        arrives
    }
}
