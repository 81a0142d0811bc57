//! A brake on whoever tries credentials. Pure: time is an argument.
//!
//! Failures are counted for each source and, when the token that is tried is a known one, for this token
//! at this source apart. A robot with a wrong token thus never slows the others of its site, although all
//! of them come from one address: a valid token is always a known one.
//!
//! # Invariants
//!
//! * **B1** After [`FREE_FAILURES`] the next try waits [`DELAY_MIN`], then twice as long each time, up to
//!   [`DELAY_MAX`]. A try that comes too early is not looked at and not counted.
//! * **B2** Nothing but time makes up for failures: [`WINDOW`] without one. A success clears nothing, so
//!   nobody clears his record with a token of his own.
//! * **B3** At most [`RECORDS_MAX`] are kept. The one with the fewest failures goes first: whoever is
//!   waiting out a long delay does not get rid of it by failing from many other places.
//! * **B4** An IPv6 source is its /64: that much everybody has for himself.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use thiserror::Error;

use super::token::TokenId;

/// Failures before anybody waits.
pub(crate) const FREE_FAILURES: u32 = 10;
/// First delay.
pub(crate) const DELAY_MIN: Duration = Duration::from_secs(1);
/// Longest delay.
pub(crate) const DELAY_MAX: Duration = Duration::from_mins(5);
/// Time without a failure after which the record is forgotten.
pub(crate) const WINDOW: Duration = Duration::from_mins(15);
/// Records that are kept.
pub(crate) const RECORDS_MAX: usize = 4096;

/// That a try comes too early. The answer is 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many failed credentials; try again in {seconds} s")]
pub(crate) struct Wait {
    seconds: u64,
}

impl Wait {
    /// What `Retry-After` says: whole seconds, rounded up.
    pub(crate) const fn seconds(self) -> u64 {
        self.seconds
    }

    /// Returns the stable code.
    #[expect(clippy::unused_self, reason = "every error of the project answers this question")]
    pub(crate) const fn code(self) -> &'static str {
        "TOO_MANY_FAILURES"
    }
}

/// Where a try comes from (B4), and which known token it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    source: IpAddr,
    token: Option<TokenId>,
}

impl Key {
    fn new(peer: IpAddr, token: Option<TokenId>) -> Self {
        let source = match peer.to_canonical() {
            IpAddr::V4(it) => IpAddr::V4(it),
            IpAddr::V6(it) => {
                let [a, b, c, d, ..] = it.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        };
        Self { source, token }
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    /// When the next try is looked at.
    until: Duration,
}

impl Record {
    /// Whether nothing of it counts any more (B2).
    fn is_over(&self, now: Duration) -> bool {
        self.until.saturating_add(WINDOW) <= now
    }
}

/// What is known about failures.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    records: BTreeMap<Key, Record>,
}

impl Brake {
    /// Whether a try is looked at now (B1).
    pub(crate) fn check(
        &self,
        peer: IpAddr,
        token: Option<&TokenId>,
        now: Duration,
    ) -> Result<(), Wait> {
        let record = self.records.get(&Key::new(peer, token.cloned()));
        match record.map(|it| it.until.saturating_sub(now)) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(left) => Err(Wait {
                seconds: left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)),
            }),
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&mut self, peer: IpAddr, token: Option<TokenId>, now: Duration) {
        let key = Key::new(peer, token);
        let found = self.records.get(&key).filter(|it| !it.is_over(now));
        let failures = found.map_or(0, |it| it.failures).saturating_add(1);
        self.make_room(&key, now);
        self.records.insert(key, Record { failures, until: now.saturating_add(delay(failures)) });
    }

    /// Makes room for `key` when there is none (B3).
    fn make_room(&mut self, key: &Key, now: Duration) {
        if self.records.len() < RECORDS_MAX || self.records.contains_key(key) {
            return;
        }
        self.records.retain(|_, it| !it.is_over(now));
        if self.records.len() < RECORDS_MAX {
            return;
        }
        let least = self.records.iter().min_by_key(|(_, it)| (it.failures, it.until));
        if let Some(least) = least.map(|it| it.0.clone()) {
            self.records.remove(&least);
        }
    }
}

/// How long the try after so many failures waits (B1).
fn delay(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FREE_FAILURES) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    DELAY_MIN.saturating_mul(factor).min(DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::token::TokenId;

    const START: Duration = Duration::from_secs(1000);
    const MOMENT: Duration = Duration::from_millis(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(brake: &mut Brake, peer: &str, times: u32, now: Duration) {
        for _ in 0..times {
            brake.failed(ip(peer), None, now);
        }
    }

    fn wait(brake: &Brake, peer: &str, now: Duration) -> u64 {
        brake.check(ip(peer), None, now).err().map_or(0, Wait::seconds)
    }

    #[test]
    fn the_delay_doubles_after_the_free_failures_up_to_its_limit() {
        let mut brake = Brake::default();
        fail(&mut brake, "10.0.0.1", FREE_FAILURES - 1, START);
        assert_eq!(wait(&brake, "10.0.0.1", START), 0, "B1");
        let mut now = START;
        for want in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            brake.failed(ip("10.0.0.1"), None, now);
            assert_eq!(wait(&brake, "10.0.0.1", now), want, "B1");
            now += Duration::from_secs(want);
            assert_eq!(wait(&brake, "10.0.0.1", now), 0);
            assert_eq!(wait(&brake, "10.0.0.1", now.saturating_sub(MOMENT)), 1, "rounded up");
        }
        for _ in 0..100 {
            brake.failed(ip("10.0.0.1"), None, now);
        }
        assert_eq!(wait(&brake, "10.0.0.1", now), 300, "no overflow");
        let wait = brake.check(ip("10.0.0.1"), None, now).unwrap_err();
        assert_eq!(wait.code(), "TOO_MANY_FAILURES");
    }

    #[test]
    fn only_time_without_failures_makes_up_for_them() {
        let mut brake = Brake::default();
        fail(&mut brake, "10.0.0.1", FREE_FAILURES, START);
        let later = START + DELAY_MIN + WINDOW;
        brake.failed(ip("10.0.0.1"), None, later.saturating_sub(MOMENT));
        assert_eq!(wait(&brake, "10.0.0.1", later), 2, "B2");
        brake.failed(ip("10.0.0.1"), None, later + WINDOW + Duration::from_secs(2));
        assert_eq!(wait(&brake, "10.0.0.1", later + WINDOW + Duration::from_secs(2)), 0, "B2");
    }

    #[test]
    fn one_source_never_slows_another_and_a_wrong_token_never_a_known_one() {
        let mut brake = Brake::default();
        fail(&mut brake, "10.0.0.1", FREE_FAILURES, START);
        assert_eq!(wait(&brake, "10.0.0.2", START), 0);
        let id = TokenId::new("0123456789abcdef").unwrap();
        assert!(brake.check(ip("10.0.0.1"), Some(&id), START).is_ok());
        for _ in 0..FREE_FAILURES {
            brake.failed(ip("10.0.0.3"), Some(id.clone()), START);
        }
        assert!(brake.check(ip("10.0.0.3"), Some(&id), START).is_err());
        assert!(brake.check(ip("10.0.0.4"), Some(&id), START).is_ok());
        assert_eq!(wait(&brake, "10.0.0.3", START), 0);
    }

    #[test]
    fn an_ipv6_source_is_its_network_and_a_mapped_one_is_ipv4() {
        let mut brake = Brake::default();
        for n in 0..FREE_FAILURES {
            fail(&mut brake, &format!("2001:db8:1:2::{n:x}"), 1, START);
        }
        assert_eq!(wait(&brake, "2001:db8:1:2:ffff::9", START), 1, "B4");
        assert_eq!(wait(&brake, "2001:db8:1:3::1", START), 0, "B4");
        fail(&mut brake, "::ffff:10.9.9.9", FREE_FAILURES, START);
        assert_eq!(wait(&brake, "10.9.9.9", START), 1);
    }

    #[test]
    fn many_sources_do_not_clear_the_record_of_one_and_memory_stays_bounded() {
        let mut brake = Brake::default();
        fail(&mut brake, "10.0.0.1", FREE_FAILURES + 20, START);
        for n in 0..2 * u32::try_from(RECORDS_MAX).unwrap() {
            brake.failed(IpAddr::from((0x0b00_0000 + n).to_be_bytes()), None, START);
        }
        assert_eq!(brake.records.len(), RECORDS_MAX, "B3");
        assert_eq!(wait(&brake, "10.0.0.1", START), 300, "B3");
        // What is over goes first, all of it.
        brake.failed(ip("10.0.0.2"), None, START + DELAY_MAX + WINDOW);
        assert_eq!(brake.records.len(), 1);
    }
}
