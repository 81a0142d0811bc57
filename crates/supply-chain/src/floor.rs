//! The rollback floor: whether a node may load a release, given what it loaded before. Pure.
//!
//! | row | candidate's counter | candidate's fingerprint            | permit              | decision               |
//! |-----|---------------------|------------------------------------|---------------------|------------------------|
//! | A   | nothing was activated yet                               || any                 | accept                 |
//! | B   | higher than any     | any                                | any                 | accept                 |
//! | C   | equal to highest    | as activated at that counter       | any                 | accept                 |
//! | D   | equal to highest    | another                            | any                 | refuse: `SameCounter`  |
//! | E   | lower               | as active now                      | any                 | accept (a restart)     |
//! | F   | lower               | another                            | for it, not used    | accept and consume it  |
//! | G   | lower               | another                            | for it, used        | refuse: `PermitUsed`   |
//! | H   | lower               | another                            | for another         | refuse: `PermitOther`  |
//! | I   | lower               | another                            | none                | refuse: `Lower`        |
//!
//! # Invariants
//!
//! * **R1** The highest counter never gets lower, also not by a permitted downgrade.
//! * **R2** A permit is used once, whatever the clock does: a nonce is forgotten only together with every permit that
//!   ends no later.
//! * **R3** Two releases of one number are a mix of two, and no permit allows it.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Digest, Lock, Nonce, Permit};

/// A release, as far as the floor is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its number; [`LockContent::release_counter`](crate::LockContent::release_counter).
    pub counter: u64,
    /// Fingerprint of its lock.
    pub fingerprint: Digest,
}

impl Release {
    /// The release of a lock. Its fingerprint is the one that the content has, not the one that the lock says.
    pub fn of(lock: &Lock) -> Self {
        Self { counter: lock.content().release_counter, fingerprint: lock.fingerprint_of() }
    }
}

/// What a node remembers about the releases that it activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// Highest counter that was activated.
    pub highest: u64,
    /// Fingerprint of the lock that had it.
    pub fingerprint_at_highest: Digest,
    /// Permits that were used, and when they end.
    pub used: BTreeMap<Nonce, Timestamp>,
    /// Latest end of the used permits that were forgotten (R2).
    pub forgotten: Option<Timestamp>,
}

/// Why a release is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// Row A: the first one.
    First,
    /// Row B: a newer one.
    Newer,
    /// Row C: the highest one again.
    Highest,
    /// Row E: the one that is active already.
    Restart,
    /// Row F: a permit, which is used up by it.
    Permitted {
        /// The permit.
        nonce: Nonce,
        /// When it ends.
        expires_at: Timestamp,
    },
}

/// Why a release is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rollback {
    /// Row D.
    #[error(
        "release {counter} was activated with the fingerprint {activated}, not {found}: \
         a new release needs a higher release_counter"
    )]
    SameCounter {
        /// The number.
        counter: u64,
        /// The fingerprint of the one that was activated.
        activated: Digest,
        /// The fingerprint of the candidate.
        found: Digest,
    },
    /// Row G.
    #[error("release {counter} is below {highest}, and the permit {nonce} was used already")]
    PermitUsed {
        /// The number of the candidate.
        counter: u64,
        /// The highest number.
        highest: u64,
        /// The permit.
        nonce: Nonce,
    },
    /// Row H.
    #[error(
        "release {counter} is below {highest}, and the permit is for release {permitted} with \
         the fingerprint {fingerprint}"
    )]
    PermitOther {
        /// The number of the candidate.
        counter: u64,
        /// The highest number.
        highest: u64,
        /// The number that the permit is for.
        permitted: u64,
        /// The fingerprint that the permit is for.
        fingerprint: Digest,
    },
    /// Row I.
    #[error(
        "release {counter} is below {highest}, the highest one activated here, and there is no downgrade permit"
    )]
    Lower {
        /// The number of the candidate.
        counter: u64,
        /// The highest number.
        highest: u64,
    },
}

/// What a permit is worth for a candidate.
#[derive(Clone, Copy)]
enum Worth<'a> {
    None,
    Other(&'a Permit),
    Used(&'a Permit),
    Good(&'a Permit),
}

/// Picks the row of the table. `active` is the fingerprint of the lock that is loaded, if one is.
///
/// # Errors
///
/// [`Rollback`].
pub fn decide(
    candidate: Release,
    floor: Option<&Floor>,
    active: Option<Digest>,
    permit: Option<&Permit>,
) -> Result<Grounds, Rollback> {
    let Some(floor) = floor else { return Ok(Grounds::First) }; // A
    let Release { counter, fingerprint: found } = candidate;
    let (highest, activated) = (floor.highest, floor.fingerprint_at_highest);
    let is_active = active == Some(found);
    match (counter.cmp(&highest), found == activated, is_active, floor.worth(candidate, permit)) {
        (Ordering::Greater, _, _, _) => Ok(Grounds::Newer), // B
        (Ordering::Equal, true, _, _) => Ok(Grounds::Highest), // C
        (Ordering::Equal, false, _, _) => Err(Rollback::SameCounter { counter, activated, found }), // D
        (Ordering::Less, _, true, _) => Ok(Grounds::Restart), // E
        (Ordering::Less, _, false, Worth::Good(it)) => {
            let it = it.content();
            Ok(Grounds::Permitted { nonce: it.nonce, expires_at: it.expires_at }) // F
        }
        (Ordering::Less, _, false, Worth::Used(it)) => {
            Err(Rollback::PermitUsed { counter, highest, nonce: it.content().nonce }) // G
        }
        (Ordering::Less, _, false, Worth::Other(it)) => {
            let it = it.content();
            let (permitted, fingerprint) = (it.release_counter, it.lock_fingerprint);
            Err(Rollback::PermitOther { counter, highest, permitted, fingerprint }) // H
        }
        (Ordering::Less, _, false, Worth::None) => Err(Rollback::Lower { counter, highest }), // I
    }
}

impl Floor {
    fn worth<'a>(&self, candidate: Release, permit: Option<&'a Permit>) -> Worth<'a> {
        let Some(permit) = permit else { return Worth::None };
        let it = permit.content();
        let is_for = (it.release_counter, it.lock_fingerprint);
        // A clock that was set back makes an ended permit look good again, so it may be one of the forgotten (R2).
        let forgotten = self.forgotten.is_some_and(|end| it.expires_at <= end);
        if is_for != (candidate.counter, candidate.fingerprint) {
            Worth::Other(permit)
        } else if forgotten || self.used.contains_key(&it.nonce) {
            Worth::Used(permit)
        } else {
            Worth::Good(permit)
        }
    }

    /// Everything that either of two memories of one node remembers: the higher counter, every used permit. Where both
    /// name the same counter, this one's fingerprint counts.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        if other.highest > self.highest {
            self.highest = other.highest;
            self.fingerprint_at_highest = other.fingerprint_at_highest;
        }
        self.used.extend(other.used);
        self.forgotten = self.forgotten.max(other.forgotten);
        self
    }

    /// What to remember after `release` was activated at `now` on these grounds (R1, R2). To be kept before the release
    /// is loaded: a permit that is consumed too late can be used twice.
    pub fn after(floor: Option<&Self>, release: Release, grounds: Grounds, now: Timestamp) -> Self {
        let first = || Self {
            highest: release.counter,
            fingerprint_at_highest: release.fingerprint,
            used: BTreeMap::new(),
            forgotten: None,
        };
        let mut next = floor.cloned().unwrap_or_else(first);
        if release.counter > next.highest {
            next.highest = release.counter;
            next.fingerprint_at_highest = release.fingerprint;
        }
        if let Grounds::Permitted { nonce, expires_at } = grounds {
            next.used.insert(nonce, expires_at);
        }
        let ended = next.used.values().filter(|it| **it <= now).max().copied();
        next.forgotten = next.forgotten.max(ended);
        next.used.retain(|_, end| *end > now);
        next
    }
}
