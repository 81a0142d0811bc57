//! What the lines of `telemetry.deadletter.jsonl` say together: which letters are open.
//!
//! The lines about an event are read in the order of the file, and the last one counts:
//!
//! | last line about the event     | a letter of it before | the event is  | kept by a compaction         |
//! |-------------------------------|-----------------------|---------------|------------------------------|
//! | letter                        | any                   | open          | this line                    |
//! | refused again                 | yes                   | open          | this line and the letter     |
//! | delivered                     | yes                   | delivered     | nothing                      |
//! | purged                        | any                   | purged        | this line                    |
//! | refused again, delivered      | no                    | not known     | every line                   |
//!
//! A line that means nothing ([`LineError`]) is kept until a line behind it says that it was given up, and
//! every line `purged` is kept: the file is the record of what was given up.
//!
//! # Invariants
//!
//! * **N1** A letter is open until a later line says that it was delivered or purged. A letter behind
//!   such a line is a new refusal and open again.
//! * **N2** A compaction changes no answer: the lines it keeps say the same about every open letter.
//! * **N3** The memory is at most some 300 bytes a letter, whatever the payloads.

use std::collections::HashMap;

use jiff::Timestamp;
use wal_format::{Seq, WalId};

use crate::{
    Class, DeadLetter,
    deadletter::{Line, LineError},
    delivery::Source,
};

/// Where a line stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of its first byte.
    pub offset: u64,
    /// Bytes without the line feed.
    pub len: u32,
}

/// An open letter, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenLetter {
    /// The letter.
    pub place: Place,
    /// The line that says that it was refused again, when there is one.
    pub update: Option<Place>,
    /// Its number in its log.
    pub seq: Seq,
    /// How urgent it is.
    pub class: Class,
    /// How often it was refused.
    pub attempts: u32,
    /// When it was refused the last time.
    pub refused_at: Timestamp,
    /// Whether the payload stands in the line.
    pub has_payload: bool,
    /// Index of its log among the sources.
    source: u32,
}

impl OpenLetter {
    /// Returns the index of its log among the sources.
    pub(crate) const fn source(&self) -> usize {
        self.source as usize
    }
}

/// BLAKE3 of the id of an event, cut to 128 bits: ids are long, and there may be many.
type Key = [u8; 16];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Delivered,
    Purged,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    letter: Option<OpenLetter>,
    state: State,
}

/// How many events there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Letters that are open.
    pub open: u64,
    /// Letters that were delivered and still stand in the file.
    pub delivered: u64,
    /// Events that were purged.
    pub purged: u64,
}

/// The index of the file.
#[derive(Debug, Default)]
pub struct Letters {
    slots: HashMap<Key, Slot>,
    /// Damaged lines that were given up, by their BLAKE3: where it says so.
    given_up: HashMap<String, u64>,
    sources: Vec<Source>,
}

impl Letters {
    /// Takes note of a line, without its line feed. Lines are given in the order of the file.
    ///
    /// # Errors
    ///
    /// [`LineError`] when it means nothing. The other lines still do.
    pub fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<(), LineError> {
        let line = Line::parse(bytes)?;
        if let Line::DamagePurged { damaged, .. } = line {
            self.given_up.insert(damaged, offset);
            return Ok(());
        }
        let key = key(&line.event_id());
        let place = Place { offset, len: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        let letter = match &line {
            Line::Letter(letter) => Some(self.open_letter(letter, place)),
            _ => None,
        };
        let slot = self.slots.entry(key).or_insert(Slot { letter: None, state: State::Open });
        match line {
            Line::Letter(_) => *slot = Slot { letter, state: State::Open },
            Line::RefusedAgain { attempts, refused_at, .. } => {
                slot.state = State::Open;
                if let Some(letter) = &mut slot.letter {
                    (letter.attempts, letter.refused_at) = (attempts, refused_at);
                    letter.update = Some(place);
                }
            }
            Line::Delivered { .. } => slot.state = State::Delivered,
            Line::Purged { .. } => slot.state = State::Purged,
            // Returned above.
            Line::DamagePurged { .. } => {}
        }
        Ok(())
    }

    fn open_letter(&mut self, letter: &DeadLetter, place: Place) -> OpenLetter {
        OpenLetter {
            place,
            update: None,
            seq: letter.seq,
            class: letter.class,
            attempts: 1,
            refused_at: letter.refused_at,
            has_payload: letter.payload.is_some(),
            source: self.source_index(&letter.source),
        }
    }

    /// The lines of one log stand together, so the one looked for is mostly the last.
    fn source_index(&mut self, source: &Source) -> u32 {
        let index = self.sources.iter().rposition(|it| it == source).unwrap_or_else(|| {
            self.sources.push(source.clone());
            self.sources.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Returns the open letters, in the order of the file.
    pub fn open(&self) -> Vec<OpenLetter> {
        let open = self.slots.values().filter(|it| it.state == State::Open);
        let mut open: Vec<_> = open.filter_map(|it| it.letter).collect();
        open.sort_unstable_by_key(|it| it.place.offset);
        open
    }

    /// Returns the open letters of a log whose payload is not in the file.
    pub fn open_without_payload(&self, wal_id: WalId) -> Vec<OpenLetter> {
        let of = |it: &OpenLetter| self.source(it).is_some_and(|it| it.wal_id == wal_id);
        self.open().into_iter().filter(|it| !it.has_payload && of(it)).collect()
    }

    /// Returns the log that a letter is of.
    pub fn source(&self, letter: &OpenLetter) -> Option<&Source> {
        self.sources.get(letter.source())
    }

    /// Returns the logs that the letters are of.
    pub(crate) fn into_sources(self) -> Vec<Source> {
        self.sources
    }

    /// Returns the open letter about an event.
    pub fn find(&self, event_id: &str) -> Option<OpenLetter> {
        let slot = self.slots.get(&key(event_id)).filter(|it| it.state == State::Open);
        slot.and_then(|it| it.letter)
    }

    /// Returns how many events there are.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for slot in self.slots.values() {
            match slot.state {
                State::Open => counts.open += u64::from(slot.letter.is_some()),
                State::Delivered => counts.delivered += u64::from(slot.letter.is_some()),
                State::Purged => counts.purged += 1,
            }
        }
        counts
    }

    /// Whether any damaged line was given up.
    pub fn gave_up_damage(&self) -> bool {
        !self.given_up.is_empty()
    }

    /// Whether the damaged line at `offset` with this BLAKE3 was given up. The same bytes behind the line
    /// that says so are new damage.
    pub fn gave_up(&self, offset: u64, damaged: &str) -> bool {
        self.given_up.get(damaged).is_some_and(|said| offset < *said)
    }

    /// Whether a compaction keeps this line (N2). Every line of the file must have been given to
    /// [`Self::add`] before.
    pub fn keeps(&self, offset: u64, bytes: &[u8]) -> bool {
        let Ok(line) = Line::parse(bytes) else { return true };
        let Some(slot) = self.slots.get(&key(&line.event_id())) else { return true };
        let Some(letter) = slot.letter else { return true };
        let open = slot.state == State::Open;
        match line {
            Line::Letter(_) => open && letter.place.offset == offset,
            Line::RefusedAgain { .. } => {
                open && letter.update.is_some_and(|it| it.offset == offset)
            }
            Line::Delivered { .. } => false,
            Line::Purged { .. } | Line::DamagePurged { .. } => true,
        }
    }
}

fn key(event_id: &str) -> Key {
    let mut key = Key::default();
    for (to, from) in key.iter_mut().zip(blake3::hash(event_id.as_bytes()).as_bytes()) {
        *to = *from;
    }
    key
}
