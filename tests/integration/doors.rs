//! What leads into a running service and out of it, through the real binary: webhooks, stores, TLS, tokens, the page.

mod fuzzed;
mod hand_in;
mod page;
mod reload;
mod store;
mod tls;
mod tokens;
mod webhooks;
