//! A connection's bytes, with an end to waiting: an idle connection and one that takes nothing are closed.
//!
//! Owns the socket, its timers and its place among the connections. Knows nothing of what the bytes mean.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::activity::Activity;
use super::gate::Pass;
use crate::clock;

/// An accepted connection.
pub struct Bounded {
    socket: TcpStream,
    activity: Arc<Activity>,
    idle_time: Duration,
    idle: Pin<Box<Sleep>>,
    write_time: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
    _pass: Pass,
}

impl Bounded {
    pub(super) fn new(
        socket: TcpStream,
        activity: Arc<Activity>,
        idle_time: Duration,
        write_time: Duration,
        pass: Pass,
    ) -> Self {
        let idle = Box::pin(tokio::time::sleep(idle_time));
        Self { socket, activity, idle_time, idle, write_time, stuck: None, _pass: pass }
    }

    /// Ready once nothing has been under way for the idle time.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.idle.as_mut().poll(context));
            let now = clock::now();
            let ends = self.activity.idle_since().unwrap_or(now) + self.idle_time;
            if ends <= now {
                return Poll::Ready(());
            }
            self.idle.as_mut().reset(Instant::from_std(ends));
        }
    }

    /// What a write came to; an error where nothing has moved for the write time.
    fn unless_stuck<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let write_time = self.write_time;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(write_time)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(late("the client takes nothing of what is sent to it")))
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if read.is_pending() {
            ready!(self.poll_idle(context));
            return Poll::Ready(Err(late("the connection has been idle")));
        }
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.unless_stuck(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.unless_stuck(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
