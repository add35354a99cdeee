//! The filter of log lines, in `tracing`'s syntax.

use tracing_subscriber::EnvFilter;

/// Refuses what is no filter, with the reason.
pub fn check_filter(text: &str) -> Result<(), String> {
    EnvFilter::try_new(text).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::check_filter;

    #[test]
    fn filters_are_checked_by_whoever_will_read_them() {
        assert!(check_filter("info,vortex_node::vram=debug").is_ok());
        assert!(check_filter("info,vortex_node=loud").is_err());
    }
}
