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
//! the key `chain` would turn our first frame into one of theirs.
//!
//! When one frame breaks several rules the order of the report is: JSON, number, chain.

use std::io;

use wal_format::{
    Birth, Chain, Entry, Kind, SafePoint, Seq, WalId, leading_seq, read_seq, split_chain,
};

use crate::{
    Violation,
    frames::{FrameReader, Next},
};

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
    /// Who the log is; `None` when it has no entry.
    pub identity: Option<Identity>,
    /// What stands behind `end`.
    pub tail: Tail,
}

/// What stands behind the last entry that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing, or zeros only.
    Clean,
    /// The beginning of a frame: a crash in the middle of a write.
    Torn,
    /// Something that was never acknowledged.
    Phantoms {
        /// How many whole frames.
        frames: u64,
    },
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
    last: Option<Seq>,
    end: u64,
    safe_end: u64,
    chain: ChainState,
    identity: Option<Identity>,
}

#[derive(Debug)]
enum ChainState {
    /// No frame had a chain so far: hash what passes.
    None(Box<blake3::Hasher>),
    /// The value of the last frame.
    At(Chain),
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
        let chain = ChainState::None(Box::default());
        Self { trust, last: None, end: 0, safe_end: 0, chain, identity: None }
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

    /// Judges the end of the whole frames (R3).
    pub(crate) fn finish(&self) -> Result<(), Violation> {
        match self.trust {
            Trust::UpTo(safe) => match safe.last() {
                Some(safe) if Some(safe) > self.last => {
                    Err(Violation::SafeSeqGtMaxSeq { safe, max: self.last, offset: self.end })
                }
                _ => Ok(()),
            },
            Trust::AllWhole => Ok(()),
        }
    }

    /// Number that the next frame must have.
    pub(crate) fn expected(&self) -> Option<Seq> {
        self.last.map_or(Some(Seq::FIRST), Seq::next)
    }

    /// Whether the safe point, or the operator, vouches for an entry with this number.
    pub(crate) fn vouched_for(&self, seq: Seq) -> bool {
        match self.trust {
            Trust::UpTo(safe) => Some(seq) <= safe.last(),
            Trust::AllWhole => true,
        }
    }

    fn check(&self, seq: Seq, offset: u64, payload: &[u8]) -> Result<Option<Chain>, Violation> {
        let chain = split_chain(payload);
        let chain_holds = match (&chain, &self.chain) {
            (Some((body, value)), _) => self.chain_value().link(body) == *value,
            (None, ChainState::None(_)) => self.vouched_for(seq) && birth_in(payload).is_none(),
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
        match self.last {
            _ if found == seq.get() => {}
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
        let first_of_ours = chain.is_some() && matches!(self.chain, ChainState::None(_));
        if self.identity.is_none() || first_of_ours {
            self.identify(payload, first_of_ours);
        }
        match (chain, &mut self.chain) {
            (Some(value), state) => *state = ChainState::At(value),
            (None, ChainState::None(hasher)) => {
                let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                hasher.update(&len.to_be_bytes()).update(payload);
            }
            (None, ChainState::At(_)) => {}
        }
        self.last = Some(seq);
        self.end = offset + wal_format::HEADER_LEN as u64 + payload.len() as u64;
        if self.vouched_for(seq) {
            self.safe_end = self.end;
        }
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

    fn chain_value(&self) -> Chain {
        match &self.chain {
            ChainState::None(hasher) => Chain::from_hash(*hasher.finalize().as_bytes()),
            ChainState::At(chain) => *chain,
        }
    }

    /// Who the log is, as far as it is known.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    pub(crate) fn result(self, tail: Tail) -> Scanned {
        Scanned {
            last: self.last,
            end: self.end,
            safe_end: self.safe_end,
            chain: self.chain_value(),
            identity: self.identity,
            tail,
        }
    }
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

/// Scans a whole file.
pub(crate) fn scan(
    frames: &mut FrameReader,
    trust: Trust,
) -> io::Result<Result<Scanned, Violation>> {
    let mut scanner = Scanner::new(trust);
    loop {
        let stop = match frames.next()? {
            Next::Frame { offset, payload } => match scanner.frame(offset, payload) {
                Ok(Verdict::Holds(_)) => continue,
                Ok(Verdict::Phantom) => Stop::Phantom,
                Err(violation) => return Ok(Err(violation)),
            },
            Next::Torn => Stop::Torn,
            Next::End => Stop::Zeros,
            Next::TooLong(len) => Stop::Impossible(len),
        };
        let tail = end_of_log(frames, &scanner, stop)?;
        return Ok(tail.map(|tail| scanner.result(tail)));
    }
}

/// Why there is no further frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// A frame does not hold and nobody vouches for it.
    Phantom,
    /// The file ends inside a frame, or right here.
    Torn,
    /// A zero length prefix.
    Zeros,
    /// A length that no writer produces.
    Impossible(u32),
}

/// Judges what stands behind the last frame that holds (R3).
pub(crate) fn end_of_log(
    frames: &mut FrameReader,
    scanner: &Scanner,
    stop: Stop,
) -> io::Result<Result<Tail, Violation>> {
    let damage = |len| {
        let seq = scanner.expected().filter(|seq| scanner.vouched_for(*seq))?;
        Some(Violation::CorruptFrame { seq, offset: scanner.end, len })
    };
    let (tail, damage) = match stop {
        Stop::Phantom => (Tail::Phantoms { frames: 1 + count_whole(frames)? }, None),
        Stop::Impossible(len) => (Tail::Phantoms { frames: 0 }, damage(len)),
        Stop::Zeros | Stop::Torn if frames.only_zeros_follow()? => (Tail::Clean, None),
        Stop::Zeros => (Tail::Phantoms { frames: 0 }, damage(0)),
        Stop::Torn => (Tail::Torn, None),
    };
    Ok(match damage {
        Some(violation) => Err(violation),
        None => scanner.finish().map(|()| tail),
    })
}

fn count_whole(frames: &mut FrameReader) -> io::Result<u64> {
    let mut count = 0;
    while let Next::Frame { .. } = frames.next()? {
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
