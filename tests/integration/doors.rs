//! What leads into a running service and out of it, through the real binary: webhooks, stores, TLS, tokens, the page.

mod webhooks;
