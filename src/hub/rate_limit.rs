//! How long a server asks to be left alone, by `RateLimit` (the IETF draft, as the hub sends it) or `Retry-After`.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// The pause that `headers` ask for at the time `now`; none where they say nothing that can be read.
///
/// `RateLimit` says for each quota what remains (`r`) and when it is filled again (`t`, seconds): those count of which
/// nothing remains. The older form is `limit=100, remaining=0, reset=55`.
pub(super) fn pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let texts = |name: &str| headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    let limits: Vec<&str> = texts("ratelimit");
    reset(&limits.join(", ")).or_else(|| {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            // A date that has passed asks for no pause.
            Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
        }
    })
}

fn reset(text: &str) -> Option<Duration> {
    // A quota per item; parameters of one item by `;`. The older form is one quota whose parameters are the items.
    let is_old = text.contains("reset=");
    let quotas = text.split(if is_old { '\n' } else { ',' });
    let mut longest = None;
    for quota in quotas {
        let number = |names: [&str; 2]| {
            let parts = quota.split([';', ',']).filter_map(|part| part.split_once('='));
            let mut found = parts.filter(|(name, _)| names.contains(&name.trim()));
            found.next().and_then(|(_, value)| value.trim().parse::<u64>().ok())
        };
        if number(["r", "remaining"]).is_none_or(|remaining| remaining == 0) {
            longest = longest.max(number(["t", "reset"]));
        }
    }
    longest.map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Option<u64> {
        let lines = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        // 2026-11-29 00:00:00 UTC.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_910_400);
        pause(&HeaderMap::from_iter(lines), now).map(|pause| pause.as_secs())
    }

    #[test]
    fn the_hubs_own_header_is_understood_in_both_forms() {
        assert_eq!(of(&[("ratelimit", "\"resolvers\";r=0;t=55")]), Some(55));
        assert_eq!(of(&[("ratelimit", "\"api\"; r=0 ;t=300"), ("retry-after", "9")]), Some(300));
        assert_eq!(of(&[("ratelimit", "\"api\";r=12;t=290, \"resolvers\";r=0;t=40")]), Some(40));
        assert_eq!(of(&[("ratelimit", "limit=100, remaining=0, reset=17")]), Some(17));
    }

    #[test]
    fn without_it_retry_after_counts_in_seconds_or_as_a_date() {
        assert_eq!(of(&[("retry-after", "120")]), Some(120));
        assert_eq!(of(&[("retry-after", "Sun, 29 Nov 2026 00:01:30 GMT")]), Some(90));
        assert_eq!(of(&[("retry-after", "Sat, 28 Nov 2026 00:00:00 GMT")]), Some(0));
        assert_eq!(of(&[("ratelimit", "\"api\";r=12;t=290"), ("retry-after", "3")]), Some(3));
    }

    #[test]
    fn nonsense_asks_for_nothing() {
        assert_eq!(of(&[]), None);
        for text in ["", "soon", "\"api\";r=0", "\"api\";r=0;t=-4", "r=0;t=99999999999999999999"] {
            assert_eq!(of(&[("ratelimit", text)]), None, "{text}");
        }
        assert_eq!(of(&[("retry-after", "tomorrow")]), None);
    }
}
