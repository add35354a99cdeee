//! What time it is by the network's server: deadlines are times of day, and a node whose clock is wrong would call good work
//! late for all.

use std::time::Duration;

use super::error::NetworkError;
use super::session::Session;
use super::subjects::Stream;
use crate::clock;

/// How far this machine's clock is from the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// Whether it is ahead.
    pub ahead: bool,
    /// By how much at least: the time that asking took is taken off.
    pub by: Duration,
}

impl Session {
    /// Compares this machine's clock with the server's.
    pub async fn clock_offset(&self) -> Result<ClockOffset, NetworkError> {
        #[derive(serde::Deserialize)]
        struct Info {
            ts: String,
        }
        let name = self.subjects().stream(Stream::Work);
        let doing = format!("read the time of stream {name}");
        let asked = clock::unix_time();
        let info: Info = self.api(&doing, &format!("STREAM.INFO.{name}"), &()).await?;
        let answered = clock::unix_time();
        let server = unix_time(&info.ts).ok_or_else(|| NetworkError::Unreadable {
            what: format!("the time of stream {name}"),
            wrong: format!("{:?} is none as RFC 3339 has it", info.ts),
        })?;
        Ok(offset(asked, server, answered))
    }
}

/// The server's clock was read at some moment between the two of ours.
fn offset(asked: Duration, server: Duration, answered: Duration) -> ClockOffset {
    match asked.checked_sub(server) {
        Some(by) => ClockOffset { ahead: true, by },
        None => ClockOffset { ahead: false, by: server.saturating_sub(answered) },
    }
}

/// Reads `2026-11-29T07:50:59.631871475Z`, since the Unix epoch.
fn unix_time(text: &str) -> Option<Duration> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hours, minutes) = (time.next()?.parse::<u64>().ok()?, time.next()?.parse::<u64>().ok()?);
    let seconds: f64 = time.next()?.parse().ok()?;
    let (hours, minutes) = (hours.checked_mul(3600)?, minutes.checked_mul(60)?);
    // Days of the civil calendar since 1970-01-01, with years that begin in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    let seconds = Duration::try_from_secs_f64(seconds).ok()?;
    Some(Duration::from_secs(u64::try_from(days).ok()? * 86_400 + hours + minutes) + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_server_writes_them() {
        let seconds = |text| unix_time(text).map(|time| time.as_secs());
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T23:59:59.999999999Z"), Some(951_868_799));
        assert_eq!(seconds("2026-11-29T07:50:59.631871475Z"), Some(1_795_938_659));
        for wrong in ["", "2026-11-29", "2026-11-29T07:50Z", "2026-11-29T07:50:59+01:00", "x-1-1T0:0:0Z"] {
            assert_eq!(unix_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_what_asking_cannot_explain_is_an_offset() {
        let at = Duration::from_secs;
        assert_eq!(offset(at(100), at(101), at(102)).by, Duration::ZERO);
        assert_eq!(offset(at(200), at(101), at(202)), ClockOffset { ahead: true, by: at(99) });
        assert_eq!(offset(at(100), at(301), at(102)), ClockOffset { ahead: false, by: at(199) });
    }
}
