//! How often each token may ask, and how often each address may fail to prove who it is.
//!
//! Owns two tables of rates (generic cell rate algorithm, by governor). What fails costs a hash and a look into a table,
//! so a wrong token never keeps a right one out: beyond its limit an address only gets 429 for its failures, unlogged.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::RwLock;

use super::scopes::{Kind, TokenId, Who};
use crate::api::listen::network;
use crate::clock;

/// So many at once, and so many a second in the long run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// Failures of one address: somebody who mistypes needs a handful, a script that has lost its token must not fill the log.
const FAILURES: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// One more failure each.
const FORGIVEN_EVERY: Duration = Duration::from_secs(6);

/// Addresses that are remembered; beyond it those go that have long been quiet, then all.
const MOST_ADDRESSES: usize = 4_096;

#[derive(Clone, Copy, Debug, Default)]
struct Steady;

impl Clock for Steady {
    type Instant = Instant;

    fn now(&self) -> Instant {
        clock::now()
    }
}

type Limiter<K> = RateLimiter<K, DefaultKeyedStateStore<K>, Steady>;

/// The limits of a node.
pub(super) struct Limits {
    tokens: RwLock<Limiter<TokenId>>,
    failures: RwLock<Limiter<IpAddr>>,
}

impl Limits {
    pub(super) fn new(rate: Rate) -> Self {
        Self { tokens: RwLock::new(of_tokens(rate)), failures: RwLock::new(of_failures()) }
    }

    /// Another rate from now on; what was asked before is forgotten.
    pub(super) fn change(&self, rate: Rate) {
        *self.tokens.write() = of_tokens(rate);
    }

    /// Counts a request of `who`; how long to wait where it is one too many. The local token is not counted: whoever has
    /// it can stop the process, and the node's own load tests use it.
    pub(super) fn ask(&self, who: &Who) -> Result<(), Duration> {
        if who.kind == Kind::Local {
            return Ok(());
        }
        self.tokens.read().check_key(&who.id).map_err(|until| until.wait_time_from(clock::now()))
    }

    /// Counts a failure of `address`; how long to wait where it is one too many.
    pub(super) fn fail(&self, address: IpAddr) -> Result<(), Duration> {
        if self.failures.read().len() >= MOST_ADDRESSES {
            let mut failures = self.failures.write();
            failures.retain_recent();
            if failures.len() >= MOST_ADDRESSES {
                *failures = of_failures();
            }
        }
        self.failures.read().check_key(&network(address)).map_err(|until| until.wait_time_from(clock::now()))
    }
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

fn of_tokens(rate: Rate) -> Limiter<TokenId> {
    RateLimiter::new(
        Quota::per_second(rate.per_second).allow_burst(rate.burst),
        DefaultKeyedStateStore::default(),
        Steady,
    )
}

fn of_failures() -> Limiter<IpAddr> {
    // Never none: the period is not zero.
    let quota =
        Quota::with_period(FORGIVEN_EVERY).unwrap_or(Quota::per_minute(FAILURES)).allow_burst(FAILURES);
    RateLimiter::new(quota, DefaultKeyedStateStore::default(), Steady)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::access::scopes::Scopes;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second: per_second.try_into().unwrap(), burst: burst.try_into().unwrap() }
    }

    fn who(kind: Kind) -> Who {
        Who { id: TokenId::new().unwrap(), kind, scopes: Scopes::ALL }
    }

    #[tokio::test(start_paused = true)]
    async fn each_token_has_a_burst_and_a_rate_of_its_own() {
        let limits = Limits::new(rate(2, 3));
        let (one, other) = (who(Kind::Token), who(Kind::Login));
        for _ in 0..3 {
            assert_eq!(limits.ask(&one), Ok(()));
        }
        let wait = limits.ask(&one).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(limits.ask(&other), Ok(()));
        tokio::time::advance(wait).await;
        assert_eq!(limits.ask(&one), Ok(()));
        assert!(limits.ask(&one).is_err());
        limits.change(rate(1, 1));
        assert_eq!(limits.ask(&one), Ok(()));
        let local = who(Kind::Local);
        assert!((0..10_000).all(|_| limits.ask(&local).is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_by_network_and_their_table_is_bounded() {
        let limits = Limits::new(rate(1, 1));
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        for host in 0..FAILURES.get() {
            assert_eq!(limits.fail(at(&format!("2001:db8::{host:x}"))), Ok(()));
        }
        assert!(limits.fail(at("2001:db8::ffff")).is_err());
        assert_eq!(limits.fail(at("2001:db8:0:1::1")), Ok(()));
        assert_eq!(limits.fail(at("::ffff:10.0.0.1")), Ok(()));
        tokio::time::advance(FORGIVEN_EVERY).await;
        assert_eq!(limits.fail(at("2001:db8::1")), Ok(()));
        for host in 0..3 * MOST_ADDRESSES as u32 {
            let _ = limits.fail(std::net::Ipv4Addr::from_bits(host).into());
            assert!(limits.failures.read().len() <= MOST_ADDRESSES);
        }
    }
}
