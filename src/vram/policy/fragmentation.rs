//! How much of a pool lies idle. Pure.

use crate::types::Bytes;
use crate::vram::sample::Pool;

/// 1 − used/reserved, in [0, 1]; `None` where the pool holds nothing.
pub fn fragmentation(pool: Pool) -> Option<f64> {
    (pool.reserved > Bytes::ZERO).then(|| pool.slack().as_f64() / pool.reserved.as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_idle_share() {
        let of =
            |used, reserved| fragmentation(Pool { used: Bytes::mb(used), reserved: Bytes::mb(reserved) });
        assert_eq!(of(300, 400), Some(0.25));
        assert_eq!(of(400, 400), Some(0.0));
        assert_eq!(of(0, 400), Some(1.0));
        assert_eq!(of(0, 0), None);
    }
}
