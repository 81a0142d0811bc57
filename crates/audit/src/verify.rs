//! Reads every byte and names the first bad record.
//!
//! | what is checked                                                        | finds                              |
//! |------------------------------------------------------------------------|------------------------------------|
//! | each line is a record in its one spelling, with the hash of its content | edited, bad JSON                   |
//! | each record has the next number and the hash of the one before          | deleted, inserted, reordered       |
//! | a sealed segment has the number of its name, and ends with its seal     | swapped and cut files              |
//! | the first record is number 1, or a tombstone vouches for the ones before | removed files                     |
//! | the head names a record that is there, and every byte of it is known    | truncated ends, an edited head     |
//!
//! # What this cannot find
//!
//! Whoever can write all files can write another trail from the beginning, with a head to match, or put an
//! older copy of all files back. No file in the directory can prevent that. Keep the head hash elsewhere
//! ([`Verified::head`], [`crate::Trail::head`]), where that party cannot write: a trail that has this
//! record with this hash is the same up to it (C1). After a power loss the head may be behind (H2), and
//! until the next append a truncation down to it is not found.

mod judge;

use std::{cmp::Ordering, path::Path, sync::Arc};

use vfs::{File, Vfs};

use crate::{
    error::{Damage, Kind, QueryError},
    head::{Head, Link, Slots},
    names,
    own::Tombstone,
    place::{Files, at_file},
    survey::{ATTEMPTS, Survey},
    tail::Torn,
    trail::Receipt,
};

/// What a trail is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It is what was written.
    Whole(Verified),
    /// It is not, first here.
    Damaged(Damage),
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records.
    pub records: u64,
    /// How many files, the open one among them.
    pub segments: u64,
    /// The number of the first record, if there is one.
    pub first_seq: Option<u64>,
    /// The last record: what to keep elsewhere as an anchor.
    pub head: Option<Receipt>,
    /// Records up to this number were pruned, as a tombstone says.
    pub pruned_through: Option<u64>,
    /// What a crash, or an append that is under way, left behind the last record: file, offset, bytes.
    /// Harmless: nothing of it was answered, and the next append cuts it.
    pub torn_tail: Option<(String, u64, u64)>,
}

/// Verifies a trail, without a lock.
///
/// # Errors
///
/// [`QueryError`] when there is none or it cannot be read. Damage is no error: it is a [`Verdict`].
pub fn verify(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<Verdict, QueryError> {
    let files = Files::new(vfs.clone(), dir);
    let mut left = ATTEMPTS;
    loop {
        let survey = files.survey()?;
        let verdict = Walk::new(&files, &survey).run();
        left -= 1;
        let damage = match verdict {
            Ok(verified) => return Ok(Verdict::Whole(verified)),
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Damaged(damage)) => damage,
        };
        // A segment that was sealed or pruned, or a record that was answered under the reader, looks
        // like damage. Damage stays when it is looked at again.
        let now = files.survey()?;
        let is_same = (now.head, &now.sealed) == (survey.head, &survey.sealed);
        if is_same || left == 0 {
            return Ok(Verdict::Damaged(damage));
        }
    }
}

/// Why a walk ended early.
#[derive(Debug)]
enum Stop {
    Error(QueryError),
    Damaged(Damage),
}

impl From<QueryError> for Stop {
    fn from(it: QueryError) -> Self {
        match it {
            QueryError::Damaged(damage) => Self::Damaged(damage),
            error => Self::Error(error),
        }
    }
}

/// Where a record stands.
#[derive(Clone, Debug)]
struct Spot {
    name: String,
    file: Arc<dyn File>,
    offset: u64,
    seq: u64,
}

/// One walk over all records.
#[derive(Debug)]
struct Walk<'a> {
    files: &'a Files,
    survey: &'a Survey,
    /// The first record's predecessor, once it is known.
    start: Option<Link>,
    at: Link,
    records: u64,
    /// The record before, to name it when its successor contradicts it.
    before: Option<(Spot, crate::hash::Hash)>,
    tombstones: Vec<Tombstone>,
    /// Hashes of the records that the head and tombstones may name.
    named: Vec<(u64, crate::hash::Hash)>,
    torn: Option<(String, Torn)>,
}

impl<'a> Walk<'a> {
    fn new(files: &'a Files, survey: &'a Survey) -> Self {
        Self {
            files,
            survey,
            start: None,
            at: Link::genesis(),
            records: 0,
            before: None,
            tombstones: Vec::new(),
            named: Vec::new(),
            torn: None,
        }
    }

    fn run(mut self) -> Result<Verified, Stop> {
        for (index, first) in self.survey.sealed.iter().enumerate() {
            if index > 0 {
                self.check_name(*first)?;
            }
            self.sealed_segment(*first, &names::sealed(*first))?;
        }
        self.open_segment()?;
        // A tombstone may stand in an end that is gone, so that comes first.
        self.check_end()?;
        self.check_start()?;
        self.check_head()?;
        let torn_tail = self.torn.map(|(name, it)| (name, it.offset, it.len));
        let pruned_through = self.start.map(|it| it.seq).filter(|it| *it > 0);
        let last = (self.at.seq > 0).then_some(Receipt { seq: self.at.seq, hash: self.at.hash });
        Ok(Verified {
            records: self.records,
            segments: self.survey.sealed.len() as u64 + u64::from(self.survey.open.is_some()),
            first_seq: self.start.map(|it| it.seq.saturating_add(1)).filter(|_| self.records > 0),
            head: last,
            pruned_through,
            torn_tail,
        })
    }

    /// The name of a segment says the number after the last record.
    fn check_name(&self, first: u64) -> Result<(), Stop> {
        let expected = self.at.seq.saturating_add(1);
        let (kind, seq) = match first.cmp(&expected) {
            Ordering::Equal => return Ok(()),
            Ordering::Greater => (Kind::SegmentMissing, expected),
            Ordering::Less => (Kind::Inserted, first),
        };
        let detail = (kind, format!("record {} is the last one before", self.at.seq));
        Err(Stop::Damaged(at_file(&names::sealed(seq), 0, seq, detail)))
    }

    /// Damage of a place that was read.
    fn damage(&self, spot: &Spot, detail: (Kind, String)) -> Stop {
        let place = (&*spot.file, spot.name.as_str());
        match crate::tail::damage(place, (spot.offset, spot.seq), detail) {
            Ok(damage) => Stop::Damaged(damage),
            Err(source) => Stop::Error(self.files.read_error(&spot.name)(source)),
        }
    }

    /// P1: the trail begins with the first record, or a tombstone names what was before.
    fn check_start(&self) -> Result<(), Stop> {
        let Some(start) = self.start.filter(|it| it.seq > 0) else { return Ok(()) };
        let hash_of = |seq: u64| {
            if seq == start.seq {
                return Some(start.hash);
            }
            self.named.iter().find(|it| it.0 == seq).map(|it| it.1)
        };
        let vouches = |it: &Tombstone| {
            let range = it.first.saturating_sub(1)..=it.last;
            range.contains(&start.seq) && hash_of(it.last) == Some(it.last_hash)
        };
        if self.tombstones.iter().any(vouches) {
            return Ok(());
        }
        let known = self.tombstones.iter().map(|it| it.last).filter(|it| *it < start.seq).max();
        let missing = known.unwrap_or(0).saturating_add(1);
        let detail = format!("the trail begins with record {}", start.seq.saturating_add(1));
        let detail = (Kind::SegmentMissing, detail);
        Err(Stop::Damaged(at_file(&names::sealed(missing), 0, missing, detail)))
    }

    fn check_head(&self) -> Result<(), Stop> {
        let mismatch = |offset, seq, detail: String| {
            let detail = (Kind::HeadMismatch, detail);
            Err(Stop::Damaged(at_file(names::HEAD, offset, seq, detail)))
        };
        let slots: Slots = match self.survey.head {
            Some(slots) => slots,
            None => return mismatch(0, self.at.seq, "it is missing".to_owned()),
        };
        if let Some((offset, _)) = slots.damaged {
            return mismatch(offset, self.at.seq, "bytes of it were changed".to_owned());
        }
        let heads = slots.newest.map(|it| it.0).into_iter().chain(slots.other);
        for head in heads {
            let found = self.named.iter().find(|it| it.0 == head.at.seq).map(|it| it.1);
            if found.is_some_and(|it| it != head.at.hash) {
                let detail = format!("it names a record with {}", head.at.hash);
                return mismatch(0, head.at.seq, detail);
            }
        }
        Ok(())
    }

    /// The trail goes as far as the head says.
    fn check_end(&self) -> Result<(), Stop> {
        let head = self.survey.newest().filter(|it| it.at.seq > self.at.seq);
        head.map_or(Ok(()), |it| Err(self.ends_early(it)))
    }

    /// The head names a record behind the last one.
    fn ends_early(&self, head: &Head) -> Stop {
        let next = self.at.seq.saturating_add(1);
        let detail = format!("the head names record {}", head.at.seq);
        match &self.survey.open {
            Some(file) if head.first <= next => {
                let len = match file.stat() {
                    Ok(stat) => stat.len,
                    Err(source) => {
                        return Stop::Error(self.files.read_error(names::OPEN)(source));
                    }
                };
                let (name, file) = (names::OPEN.to_owned(), file.clone());
                let spot = Spot { name, file, offset: len, seq: next };
                self.damage(&spot, (Kind::Truncated, detail))
            }
            _ => {
                let name =
                    if head.first <= next { names::OPEN.to_owned() } else { names::sealed(next) };
                Stop::Damaged(at_file(&name, 0, next, (Kind::SegmentMissing, detail)))
            }
        }
    }
}
