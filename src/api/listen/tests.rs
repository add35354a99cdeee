//! Listeners over real sockets: what slow, idle, crowding and late clients meet, and TLS with an authority of our own.

mod connections;
mod tls;
