//! What the rest of a log tells about the first frame that does not hold.

use std::{cmp::Ordering, io, sync::Arc};

use vfs::File;
use wal_format::{
    Chain, HEADER_LEN, MAX_PAYLOAD_LEN, Seq, leading_entry, leading_seq, read_seq, split_chain,
};

use super::classify::Evidence;
use crate::{
    frames::{FrameReader, Next},
    scan::Scanner,
};

/// How far numbers may have been shifted to be noticed.
const SHIFT_MAX: u64 = 1000;
/// Most bytes hashed to find out whether an entry was renumbered.
const SHIFT_BYTES_MAX: u64 = 64 << 20;
/// How many entries behind the frame are asked for their old numbers. One that was put in has none,
/// so the first may not know.
const SHIFT_ENTRIES: u64 = 4;

/// A frame, as far as it is needed once the next one is read.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stated: Option<u64>,
    claim: Option<Chain>,
}

impl Seen {
    fn of(payload: &[u8]) -> Self {
        let claim = split_chain(payload).map(|(_, value)| value);
        Self { stated: read_seq(payload).ok(), claim }
    }

    /// The same without parsing what looks like one of ours: behind the frame in question a number
    /// counts only together with a chain value, or as one of many.
    fn quickly(payload: &[u8]) -> Self {
        let claim = split_chain(payload).map(|(_, value)| value);
        match leading_seq(payload).filter(|_| claim.is_some()) {
            Some(stated) => Self { stated: Some(stated.get()), claim },
            None => Self::of(payload),
        }
    }
}

/// Whether the expected entry stands at `offset` as a whole, behind a length prefix that hides it.
pub(super) fn only_length_wrong(
    file: &Arc<dyn File>,
    scanner: &Scanner,
    offset: u64,
) -> io::Result<bool> {
    let mut frames = FrameReader::new(Arc::clone(file), offset);
    let bytes = frames.ahead(HEADER_LEN + MAX_PAYLOAD_LEN as usize)?;
    let entry = bytes.get(HEADER_LEN..).and_then(leading_entry);
    Ok(entry.is_some_and(|(seq, _)| Some(seq) == scanner.expected()))
}

/// Reads on from the first frame that does not hold, at `offset`, to the end of the whole frames.
pub(super) fn gather(file: &Arc<dyn File>, scanner: &Scanner, offset: u64) -> io::Result<Evidence> {
    let nothing = Evidence {
        stated: None,
        home: false,
        moved: false,
        in_place: false,
        renumbered: Ordering::Equal,
    };
    let mut frames = FrameReader::new(Arc::clone(file), offset);
    let Some(expected) = scanner.expected() else { return Ok(nothing) };
    let (first, was_renumbered) = match frames.next()? {
        Next::Frame { payload, .. } => {
            let alone = Unnumbered::of(payload)
                .is_some_and(|it| it.written_as(expected.get(), scanner.chain_value()));
            (Seen::of(payload), alone)
        }
        Next::Torn | Next::End | Next::TooLong(_) => return Ok(nothing),
    };
    let behind = read_behind(&mut frames, scanner, expected, first)?;
    let stated = first.stated.map(|it| it.cmp(&expected.get()));
    let missing = |number: u64| {
        behind.after_stated || number.checked_sub(1).is_some_and(|it| Some(it) == behind.highest)
    };
    let in_place =
        first.stated == Some(0) || was_renumbered || behind.next == expected.get().checked_add(1);
    Ok(Evidence {
        stated,
        home: behind.home,
        moved: !behind.twin && first.stated.is_some_and(missing),
        in_place,
        renumbered: behind.renumbered,
    })
}

/// What stands behind the frame.
#[derive(Debug)]
struct Behind {
    /// The expected entry.
    home: bool,
    /// Another entry with the number of the frame.
    twin: bool,
    /// An entry with the number after that of the frame.
    after_stated: bool,
    /// The highest number.
    highest: Option<u64>,
    /// The number of the very next frame.
    next: Option<u64>,
    renumbered: Ordering,
}

fn read_behind(
    frames: &mut FrameReader,
    scanner: &Scanner,
    expected: Seq,
    first: Seen,
) -> io::Result<Behind> {
    let mut it = Behind {
        home: false,
        twin: false,
        after_stated: false,
        highest: None,
        next: None,
        renumbered: Ordering::Equal,
    };
    let after_stated = first.stated.and_then(|it| it.checked_add(1));
    let (mut previous, mut ask) = (first, SHIFT_ENTRIES);
    let mut count = 0_u64;
    while let Next::Frame { payload, .. } = frames.next()? {
        let seen = Seen::quickly(payload);
        count += 1;
        if count == 1 {
            it.next = seen.stated;
        }
        it.home |= seen.stated == Some(expected.get()) && scanner.continues(expected, payload);
        it.twin |= seen.stated.is_some() && seen.stated == first.stated;
        it.after_stated |= seen.stated.is_some() && seen.stated == after_stated;
        it.highest = it.highest.max(seen.stated);
        if ask > 0 {
            match old_number(payload, previous, seen) {
                Some(old) => {
                    it.renumbered = seen.stated.map_or(Ordering::Equal, |now| now.cmp(&old));
                    ask = 0;
                }
                None => ask -= 1,
            }
        }
        previous = seen;
    }
    Ok(it)
}

/// The number with which an entry was written behind `previous`; `None` when none fits.
fn old_number(payload: &[u8], previous: Seen, seen: Seen) -> Option<u64> {
    let (claim, stated) = (previous.claim?, seen.stated?);
    let entry = Unnumbered::of(payload)?;
    let tries = (SHIFT_BYTES_MAX / payload.len().max(1) as u64).min(SHIFT_MAX * 2) / 2;
    let up = |by: u64| stated.checked_add(by);
    let down = |by: u64| stated.checked_sub(by).filter(|it| *it > 0);
    let numbers = (1..=tries).flat_map(|by| [up(by), down(by)]).flatten();
    std::iter::once(stated).chain(numbers).find(|it| entry.written_as(*it, claim))
}

/// An entry of ours, whatever stands in the place of its number, a blank included.
struct Unnumbered<'a> {
    rest: &'a [u8],
    value: Chain,
}

impl<'a> Unnumbered<'a> {
    const KEY: &'static [u8] = br#"{"seq":"#;

    fn of(payload: &'a [u8]) -> Option<Self> {
        let (body, value) = split_chain(payload)?;
        let behind_key = body.strip_prefix(Self::KEY)?;
        let end = behind_key.iter().position(|it| *it == b',').unwrap_or(behind_key.len());
        Some(Self { rest: behind_key.get(end..).unwrap_or_default(), value })
    }

    /// Whether its chain value follows from `previous` once its number is read as `number`.
    fn written_as(&self, number: u64, previous: Chain) -> bool {
        let body = [Self::KEY, number.to_string().as_bytes(), self.rest].concat();
        previous.link(&body) == self.value
    }
}
