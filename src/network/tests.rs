//! Against a real server.

mod records;
mod replays;
mod server;
