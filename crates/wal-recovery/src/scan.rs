//! The rules of a log, frame by frame.
//!
//! # Rules, up to and including the safe point
//!
//! * **R1** the first frame has number 1;
//! * **R2** numbers are contiguous;
//! * **R3** the safe point is not beyond the last frame;
//! * every payload is a JSON object, every length is possible, and every chain value follows from
//!   the bytes before it. A frame without a chain after one with a chain is damage.
//!
//! # Beyond the safe point
//!
//! The safe point is a floor, never a ceiling: it is written after the frames it names, so a frame
//! behind it may have been acknowledged. A whole frame whose number and chain hold is kept. The
//! first frame that does not hold, and everything after it, was never acknowledged: a phantom. A
//! frame without a chain proves nothing about itself, so it counts as one.
//!
//! A log may begin with frames that others wrote without a chain; the first frame of ours is a
//! birth (`wal.created`, `wal.adopted`). A birth without a chain is damage, else one flipped bit in
//! the key `chain` would turn our first frame into one of theirs. A first frame with a chain that is no
//! birth we know is damage as well: nothing says whose log it is, and it is not adopted on a guess.
//!
//! When one frame breaks several rules the order of the report is: JSON, number, chain.

mod blocks;
mod links;
mod prefix;
mod tail;
mod whole;

use wal_format::{
    Birth, Chain, Entry, Kind, LANES, SafePoint, Seq, WalId, leading_seq, linked, read_seq, skim,
    split_chain,
};

pub use tail::Tail;
pub(crate) use tail::{End, Stop, end_of_log};
pub(crate) use whole::{run, scan};

use crate::{
    Violation,
    mutants::{Mutant, removed},
};
use prefix::Prefix;

/// Who a log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of the log.
    pub wal_id: WalId,
    /// The first entry of our own making; `None` for a log that only others have written.
    pub birth: Option<Birth>,
}

/// What a scan has established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Number of the last entry that holds.
    pub last: Option<Seq>,
    /// Where the entries that hold end, in bytes.
    pub end: u64,
    /// Where the entries up to the safe point end, in bytes.
    pub safe_end: u64,
    /// Chain value to continue from.
    pub chain: Chain,
    /// The first entry with a chain, and its value.
    pub chained_from: Option<(Seq, Chain)>,
    /// Who the log is; `None` when it has no entry.
    pub identity: Option<Identity>,
    /// What stands behind `end`.
    pub tail: Tail,
}

/// How far entries are taken on the word of the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Up to the safe point.
    UpTo(SafePoint),
    /// Every whole frame, as an operator asked.
    AllWhole,
}

/// Checks one frame after the other. Pure: the frames come in, the verdict goes out.
#[derive(Debug)]
pub(crate) struct Scanner {
    trust: Trust,
    at: Mark,
    safe_end: u64,
    identity: Option<Identity>,
    chained_from: Option<(Seq, Chain)>,
    /// The number of an entry to be noted.
    wanted: Option<Seq>,
    noted: Option<Noted>,
}

/// A place between two frames, and what everything before it comes to.
#[derive(Clone, Debug)]
struct Mark {
    last: Option<Seq>,
    /// Offset in bytes.
    end: u64,
    chain: ChainState,
}

#[derive(Clone, Debug)]
enum ChainState {
    /// No frame had a chain so far: hash what passes.
    None(Prefix),
    /// The value of the last frame.
    At(Chain),
}

/// Where an entry stands and the chain value up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) offset: u64,
    pub(crate) chain: Chain,
}

/// What to do after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds.
    Holds(Seq),
    /// It and all that follows was never acknowledged.
    Phantom,
}

impl Scanner {
    pub(crate) fn new(trust: Trust) -> Self {
        let at = Mark { last: None, end: 0, chain: ChainState::None(Prefix::default()) };
        Self {
            trust,
            at,
            safe_end: 0,
            identity: None,
            chained_from: None,
            wanted: None,
            noted: None,
        }
    }

    /// Notes the entry with this number when it passes.
    #[must_use]
    pub(crate) fn noting(mut self, wanted: Option<Seq>) -> Self {
        self.wanted = wanted;
        self
    }

    /// Goes on with another trust: the safe point has moved.
    pub(crate) fn trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Checks the frame at `offset`.
    pub(crate) fn frame(&mut self, offset: u64, payload: &[u8]) -> Result<Verdict, Violation> {
        let Some(seq) = self.expected() else { return Ok(Verdict::Phantom) };
        match self.check(seq, offset, payload) {
            Ok(chain) => {
                self.take(seq, offset, payload, chain);
                Ok(Verdict::Holds(seq))
            }
            Err(_) if !self.vouched_for(seq) => Ok(Verdict::Phantom),
            Err(violation) => Err(violation),
        }
    }

    /// Returns the chain values of the next frames, which `bytes` begin with, when several of them can be
    /// checked together and hold. `None` says nothing about any of them.
    pub(crate) fn several(&self, bytes: &[u8]) -> Option<[Chain; LANES]> {
        let ChainState::At(chain) = self.at.chain else { return None };
        let last = self.at.last.map_or(0, Seq::get).checked_add(LANES as u64).and_then(Seq::new)?;
        if self.vouched_for(last) { links::several(bytes, self.at.last, chain) } else { None }
    }

    /// Takes the frame at `offset`, which has this value as [`Self::several`] said.
    pub(crate) fn take_checked(
        &mut self,
        offset: u64,
        payload: &[u8],
        chain: Chain,
    ) -> Option<Seq> {
        let seq = self.expected()?;
        self.take(seq, offset, payload, Some(chain));
        Some(seq)
    }

    /// Judges the end of the whole frames (R3), and a length where the next frame should begin.
    pub(crate) fn judge(&self, end: End) -> Result<Tail, Violation> {
        let offset = self.at.end;
        if let (Some(len), Some(seq)) = (end.impossible, self.expected())
            && self.vouched_for(seq)
        {
            return Err(Violation::CorruptFrame { seq, offset, len });
        }
        match self.trust {
            Trust::UpTo(safe) => match safe.last() {
                Some(safe) if Some(safe) > self.at.last && !removed(Mutant::SafePointInside) => {
                    Err(Violation::SafeSeqGtMaxSeq { safe, max: self.at.last, offset })
                }
                _ => Ok(end.tail),
            },
            Trust::AllWhole => Ok(end.tail),
        }
    }

    /// Number that the next frame must have.
    pub(crate) fn expected(&self) -> Option<Seq> {
        self.at.last.map_or(Some(Seq::FIRST), Seq::next)
    }

    /// Whether the safe point, or the operator, vouches for an entry with this number.
    pub(crate) fn vouched_for(&self, seq: Seq) -> bool {
        match self.trust {
            Trust::UpTo(safe) => Some(seq) <= safe.last(),
            Trust::AllWhole => true,
        }
    }

    /// Whether the safe point names an entry that did not pass yet: a log that ends here is refused (R3).
    pub(crate) fn lacks_promised(&self) -> bool {
        matches!(self.trust, Trust::UpTo(safe) if safe.last() > self.at.last)
    }

    fn check(&self, seq: Seq, offset: u64, payload: &[u8]) -> Result<Option<Chain>, Violation> {
        match &self.at.chain {
            ChainState::At(chain) => {
                if let Some(value) = follows(payload, seq, *chain) {
                    return Ok(Some(value));
                }
            }
            ChainState::None(_) if self.vouched_for(seq) && plain(payload, seq) => return Ok(None),
            ChainState::None(_) => {}
        }
        self.explain(seq, offset, payload)
    }

    /// Checks a frame rule by rule, in the order of the report.
    fn explain(&self, seq: Seq, offset: u64, payload: &[u8]) -> Result<Option<Chain>, Violation> {
        let chain = split_chain(payload);
        let chain_holds = match (&chain, &self.at.chain) {
            _ if removed(Mutant::ChainCheck) => true,
            (Some((body, value)), before) => {
                let has_birth = matches!(before, ChainState::At(_)) || birth_in(payload).is_some();
                has_birth && self.chain_value().link(body) == *value
            }
            (None, ChainState::None(_)) => {
                (self.vouched_for(seq) || removed(Mutant::PhantomsNeedAChain))
                    && birth_in(payload).is_none()
            }
            (None, ChainState::At(_)) => false,
        };
        // A chain value that holds proves that these are the bytes of our writer, which are JSON.
        let quick = if chain_holds && chain.is_some() { leading_seq(payload) } else { None };
        let found = match quick {
            Some(found) => found.get(),
            None => read_seq(payload).map_err(|error| Violation::InvalidJson {
                seq,
                offset,
                detail: error.to_string(),
            })?,
        };
        match self.at.last {
            _ if found == seq.get() || removed(Mutant::Contiguous) => {}
            None => return Err(Violation::FirstSeqNotOne { found }),
            Some(prev) => return Err(Violation::SeqGap { prev, found, offset }),
        }
        if chain_holds {
            Ok(chain.map(|(_, value)| value))
        } else {
            Err(Violation::CorruptChain { seq, offset })
        }
    }

    fn take(&mut self, seq: Seq, offset: u64, payload: &[u8], chain: Option<Chain>) {
        let first_of_ours = chain.is_some() && self.chained_from.is_none();
        if self.identity.is_none() || first_of_ours {
            self.identify(payload, first_of_ours);
        }
        match (chain, &mut self.at.chain) {
            (Some(value), state) => *state = ChainState::At(value),
            (None, ChainState::None(prefix)) => prefix.frame(payload),
            (None, ChainState::At(_)) => {}
        }
        if let (true, Some(value)) = (first_of_ours, chain) {
            self.chained_from = Some((seq, value));
        }
        self.at.last = Some(seq);
        self.at.end = offset + wal_format::HEADER_LEN as u64 + payload.len() as u64;
        if self.vouched_for(seq) {
            self.safe_end = self.at.end;
        }
        if self.wanted == Some(seq) {
            self.noted = Some(Noted { offset, chain: self.chain_value() });
        }
    }

    /// Whether the entries behind `from`, up to `last`, can be taken together: none of them is one
    /// to be noted, and the safe point does not lie between them.
    fn needs_no_note(&self, from: &Mark, last: Seq) -> bool {
        let among = |seq: Option<Seq>| seq > from.last && seq <= Some(last);
        let first = from.last.map_or(Some(Seq::FIRST), Seq::next);
        let vouched = first.is_some_and(|it| self.vouched_for(it));
        let proved = matches!(from.chain, ChainState::At(_)) || vouched;
        let one_side = match self.trust {
            Trust::UpTo(safe) => !among(safe.last()),
            Trust::AllWhole => true,
        };
        proved && one_side && !among(self.wanted)
    }

    /// Goes on behind entries that were taken together.
    fn advance(&mut self, to: Mark) {
        if to.last.is_some_and(|it| self.vouched_for(it)) {
            self.safe_end = to.end;
        }
        self.at = to;
    }

    fn identify(&mut self, payload: &[u8], ours: bool) {
        let birth = if ours { birth_in(payload) } else { None };
        let wal_id = match (&birth, &self.identity) {
            (Some(birth), _) => birth.wal_id,
            (None, Some(known)) => known.wal_id,
            (None, None) => WalId::of_foreign_log(payload),
        };
        self.identity = Some(Identity { wal_id, birth });
    }

    /// Whether `payload` is the entry with the number `seq`, which is expected, whatever stands before it.
    pub(crate) fn continues(&self, seq: Seq, payload: &[u8]) -> bool {
        match &self.at.chain {
            ChainState::At(chain) => follows(payload, seq, *chain).is_some(),
            ChainState::None(_) => {
                let is_first_of_ours = || follows(payload, seq, self.chain_value()).is_some();
                plain(payload, seq) || (birth_in(payload).is_some() && is_first_of_ours())
            }
        }
    }

    /// The last entry that holds.
    pub(crate) fn last(&self) -> Option<Seq> {
        self.at.last
    }

    /// Where the entries that hold end, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.at.end
    }

    /// Chain value to continue from.
    pub(crate) fn chain_value(&self) -> Chain {
        match &self.at.chain {
            ChainState::None(prefix) => prefix.chain(),
            ChainState::At(chain) => *chain,
        }
    }

    /// Who the log is, as far as it is known.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The entry that was to be noted, if it passed.
    pub(crate) fn noted(&self) -> Option<Noted> {
        self.noted
    }

    pub(crate) fn result(self, tail: Tail) -> Scanned {
        Scanned {
            last: self.at.last,
            end: self.at.end,
            safe_end: self.safe_end,
            chain: self.chain_value(),
            chained_from: self.chained_from,
            identity: self.identity,
            tail,
        }
    }
}

/// The rule for a frame behind a chained one, for payloads as we write them: its number is `seq` and its
/// chain value, which is returned, follows from `previous`.
fn follows(payload: &[u8], seq: Seq, previous: Chain) -> Option<Chain> {
    // A chain value that holds proves that these are the bytes of our writer, which are JSON.
    if leading_seq(payload) == Some(seq) { linked(payload, previous) } else { None }
}

/// The rule for a frame that others wrote: a JSON object with this number, and not one of ours that has
/// lost its chain.
fn plain(payload: &[u8], seq: Seq) -> bool {
    // Most entries are accepted at once; the slow check decides about the others.
    let slowly = || read_seq(payload) == Ok(seq.get()) && birth_in(payload).is_none();
    split_chain(payload).is_none() && (skim(payload) == Some(seq) || slowly())
}

/// Returns what an entry says about the beginning of its log.
///
/// Only we write such entries, and always with a chain: one without has lost it.
fn birth_in(payload: &[u8]) -> Option<Birth> {
    // Most entries are no births; looking for the word is cheaper than parsing them all.
    std::str::from_utf8(payload).ok().filter(|text| text.contains(Birth::MARK))?;
    let entry = Entry::parse(payload).ok()?;
    let attrs = (entry.event.kind() == Kind::Lifecycle).then(|| entry.event.attrs().ok())??;
    Birth::from_attrs(&attrs)
}

#[cfg(test)]
mod tests;
