//! All integration tests in one binary: one link instead of a dozen.

mod architecture;
mod support;
