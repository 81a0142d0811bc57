//! Records that match, without a lock.
//!
//! # What a reader sees
//!
//! * **Q1** Every record that was answered before reading began (Y1), and each append as a whole. A record
//!   whose append is not answered yet may be seen, too.
//! * **Q2** A torn end is not there yet. A damaged record is an error that names file and line, and ends
//!   the reading: it is never left out. Each record that is read is checked: its hash, and that it
//!   follows the one before it. What is not read is not checked; [`crate::verify()`] reads everything.
//! * **Q3** Memory holds a block of one file and what is returned. Sealed segments without a record in
//!   the times asked for are left out by their seals.
//!
//! Answers are in the order of the trail, oldest first, also those that were found from the newest on.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use vfs::{File, OpenMode, Vfs};

use crate::{
    error::{Damage, Kind, QueryError},
    hash::Hash,
    head::Link,
    lines::{Backwards, Lines, Piece, number_of},
    names,
    place::Files,
    record::Record,
    words::{Category, Outcome, Source},
};

/// What a record must be; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Exactly this event.
    pub event_name: Option<String>,
    /// Exactly this actor.
    pub actor: Option<String>,
    /// This category.
    pub category: Option<Category>,
    /// This outcome.
    pub outcome: Option<Outcome>,
    /// This source.
    pub source: Option<Source>,
    /// Not before.
    pub start_time: Option<Timestamp>,
    /// Not after.
    pub end_time: Option<Timestamp>,
}

impl Filter {
    /// Whether a record is what is asked for.
    pub fn matches(&self, record: &Record) -> bool {
        fn is<T: PartialEq>(asked: Option<&T>, found: Option<&T>) -> bool {
            asked.is_none() || asked == found
        }
        let event = &record.event;
        is(self.event_name.as_ref(), Some(&event.event_name))
            && is(self.actor.as_ref(), event.actor.as_ref())
            && is(self.category.as_ref(), Some(&event.category))
            && is(self.outcome.as_ref(), Some(&event.outcome))
            && is(self.source.as_ref(), Some(&event.source))
            && self.start_time.is_none_or(|it| event.timestamp >= it)
            && self.end_time.is_none_or(|it| event.timestamp <= it)
    }
}

/// The newest `limit` records that match, oldest first; 0 is all of them.
///
/// # Errors
///
/// [`QueryError`]; a damaged record is one (Q2).
pub fn query(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Record>, QueryError> {
    if limit == 0 {
        return records(vfs, dir, filter)?.collect();
    }
    let mut found = newest(vfs, dir, filter)?.take(limit).collect::<Result<Vec<_>, _>>()?;
    found.reverse();
    Ok(found)
}

/// Every record from this number on, oldest first. Reads no more than these.
///
/// # Errors
///
/// [`QueryError`]; a damaged record is one (Q2).
pub fn since(vfs: &Arc<dyn Vfs>, dir: &Path, seq: u64) -> Result<Vec<Record>, QueryError> {
    let newest = newest(vfs, dir, &Filter::default())?;
    let wanted = newest.take_while(|it| it.as_ref().map_or(true, |it| it.seq >= seq));
    let mut found = wanted.collect::<Result<Vec<_>, _>>()?;
    found.reverse();
    Ok(found)
}

/// The records that match, from the newest to the oldest: for whoever stops early.
///
/// # Errors
///
/// [`QueryError`] when the files cannot be looked at.
pub fn newest(vfs: &Arc<dyn Vfs>, dir: &Path, filter: &Filter) -> Result<Newest, QueryError> {
    let (files, sealed, open) = begin(vfs, dir)?;
    let segment = open.map(|(file, end)| {
        let lines = Backwards::new(file.clone(), end);
        (names::OPEN.to_owned(), file, lines)
    });
    Ok(Newest { files, filter: filter.clone(), sealed, segment, next: None, done: false })
}

/// The records that match, from the oldest to the newest: for exports.
///
/// # Errors
///
/// [`QueryError`] when the files cannot be looked at.
pub fn records(vfs: &Arc<dyn Vfs>, dir: &Path, filter: &Filter) -> Result<Records, QueryError> {
    let (files, mut sealed, open) = begin(vfs, dir)?;
    sealed.reverse();
    let filter = filter.clone();
    Ok(Records { files, filter, sealed, open, segment: None, last: None, done: false })
}

type Open = Option<(Arc<dyn File>, u64)>;

/// Looks at the files, and again as long as they change under the reader.
fn begin(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<(Files, Vec<u64>, Open), QueryError> {
    let files = Files::new(vfs.clone(), dir);
    let mut left = crate::survey::ATTEMPTS;
    loop {
        let survey = files.survey()?;
        left -= 1;
        match files.visible(&survey) {
            Err(QueryError::Damaged(_)) if left > 0 && files.slots()? != survey.head => {}
            tail => {
                let end = tail?.map_or(0, |it| it.end);
                return Ok((files, survey.sealed, survey.open.map(|it| (it, end))));
            }
        }
    }
}

/// See [`newest`]. After an error there is nothing more.
#[derive(Debug)]
pub struct Newest {
    files: Files,
    filter: Filter,
    /// What is still to be read, newest last.
    sealed: Vec<u64>,
    segment: Option<(String, Arc<dyn File>, Backwards)>,
    /// Number of the record that was read last, and its predecessor, if it is known.
    next: Option<(u64, Option<Hash>)>,
    done: bool,
}

impl Newest {
    fn step(&mut self) -> Result<Option<Record>, QueryError> {
        loop {
            if self.segment.is_none() && !self.enter()? {
                return Ok(None);
            }
            let Some((name, file, lines)) = &mut self.segment else { continue };
            let piece = lines.next().map_err(self.files.read_error(name))?;
            let Some((offset, piece)) = piece else {
                self.segment = None;
                continue;
            };
            let record = decode(&self.files, (name, file), (offset, piece))?;
            if !leads_to(&record, self.next) {
                return Err(breach(&self.files, (name, file), offset, record.seq));
            }
            self.next = Some((record.seq, Some(record.prev)));
            if self.filter.matches(&record) {
                return Ok(Some(record));
            }
        }
    }

    /// Opens the segment before the last one, or leaves it out; `false` when there is none, or it was
    /// pruned.
    fn enter(&mut self) -> Result<bool, QueryError> {
        let Some(first) = self.sealed.pop() else { return Ok(false) };
        let name = names::sealed(first);
        match self.files.outside(&self.filter, first)? {
            Seen::Gone => return Ok(false),
            Seen::Outside(last) if leads_to(&last, self.next) => {
                self.next = Some((first, None));
                return Ok(true);
            }
            Seen::Outside(last) => {
                return Err(QueryError::Damaged(gap(last.seq.saturating_add(1))));
            }
            Seen::Wanted => {}
        }
        let opened = self.files.open(&name, OpenMode::Read);
        let Some(file) = opened.map_err(self.files.read_error(&name))? else {
            return self.files.pruned(first).map(|()| false);
        };
        let len = file.stat().map_err(self.files.read_error(&name))?.len;
        self.segment = Some((name, file.clone(), Backwards::new(file, len)));
        Ok(true)
    }
}

/// Whether `next` is the successor of a record, as far as it is known.
fn leads_to(record: &Record, next: Option<(u64, Option<Hash>)>) -> bool {
    next.is_none_or(|(seq, prev)| {
        record.seq.saturating_add(1) == seq && prev.is_none_or(|it| it == record.hash)
    })
}

impl Iterator for Newest {
    type Item = Result<Record, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

/// See [`records`]. After an error there is nothing more.
#[derive(Debug)]
pub struct Records {
    files: Files,
    filter: Filter,
    /// What is still to be read, oldest last.
    sealed: Vec<u64>,
    open: Open,
    segment: Option<(String, Arc<dyn File>, Lines)>,
    last: Option<Link>,
    done: bool,
}

impl Records {
    fn step(&mut self) -> Result<Option<Record>, QueryError> {
        loop {
            if self.segment.is_none() && !self.enter()? {
                return Ok(None);
            }
            let Some((name, file, lines)) = &mut self.segment else { continue };
            let piece = lines.next().map_err(self.files.read_error(name))?;
            let Some((offset, piece)) = piece else {
                self.segment = None;
                continue;
            };
            let record = decode(&self.files, (name, file), (offset, piece))?;
            let before = Link { seq: record.seq.saturating_sub(1), hash: record.prev };
            if self.last.is_some_and(|it| it != before) {
                return Err(breach(&self.files, (name, file), offset, record.seq));
            }
            self.last = Some(Link { seq: record.seq, hash: record.hash });
            if self.filter.matches(&record) {
                return Ok(Some(record));
            }
        }
    }

    /// Opens the next segment; `false` at the end.
    fn enter(&mut self) -> Result<bool, QueryError> {
        let Some(first) = self.sealed.pop() else {
            let Some((file, end)) = self.open.take() else { return Ok(false) };
            let lines = Lines::new(file.clone(), 0, end);
            self.segment = Some((names::OPEN.to_owned(), file, lines));
            return Ok(true);
        };
        if let Some(last) = self.last
            && last.seq.saturating_add(1) != first
        {
            return Err(QueryError::Damaged(gap(last.seq.saturating_add(1))));
        }
        let name = names::sealed(first);
        match self.files.outside(&self.filter, first)? {
            Seen::Gone => {
                self.last = None;
                return Ok(true);
            }
            Seen::Outside(last) => {
                self.last = Some(Link { seq: last.seq, hash: last.hash });
                return Ok(true);
            }
            Seen::Wanted => {}
        }
        let opened = self.files.open(&name, OpenMode::Read);
        let Some(file) = opened.map_err(self.files.read_error(&name))? else {
            self.last = None;
            return self.files.pruned(first).map(|()| true);
        };
        let len = file.stat().map_err(self.files.read_error(&name))?.len;
        self.segment = Some((name, file.clone(), Lines::new(file, 0, len)));
        Ok(true)
    }
}

impl Iterator for Records {
    type Item = Result<Record, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

/// What a reader does with a sealed segment.
enum Seen {
    /// Nothing: it was pruned.
    Gone,
    /// It leaves it out; this is its last record.
    Outside(Box<Record>),
    /// It reads it.
    Wanted,
}

impl Files {
    /// Whether the seal of a segment says that nothing in it is of the times asked for.
    fn outside(&self, filter: &Filter, first: u64) -> Result<Seen, QueryError> {
        if filter.start_time.is_none() && filter.end_time.is_none() {
            return Ok(Seen::Wanted);
        }
        let Some((seal, record)) = self.seal(first)? else {
            return self.pruned(first).map(|()| Seen::Gone);
        };
        let is_outside = filter.start_time.is_some_and(|it| seal.span.newest < it)
            || filter.end_time.is_some_and(|it| seal.span.oldest > it);
        Ok(if is_outside { Seen::Outside(Box::new(record)) } else { Seen::Wanted })
    }

    /// `Ok` when a segment that was listed is gone because it was pruned: then all before it are, too.
    fn pruned(&self, first: u64) -> Result<(), QueryError> {
        let sealed = self.sealed().map_err(self.read_error(""))?;
        if sealed.iter().any(|it| *it <= first) {
            return Err(QueryError::Damaged(gap(first)));
        }
        Ok(())
    }
}

/// The segment with this record is gone.
fn gap(seq: u64) -> Damage {
    let detail = (Kind::SegmentMissing, "the record before or after it is there".to_owned());
    crate::place::at_file(&names::sealed(seq), 0, seq, detail)
}

fn decode(
    files: &Files,
    (name, file): (&str, &Arc<dyn File>),
    (offset, piece): (u64, Piece),
) -> Result<Record, QueryError> {
    let (kind, detail) = match piece {
        Piece::Line(line) => match Record::decode(&line) {
            Ok(record) => return Ok(record),
            Err(it) => it.to_damage(),
        },
        Piece::Rest => (Kind::Truncated, "the line has no end".to_owned()),
        Piece::TooLong => (Kind::BadJson, "the line is too long".to_owned()),
    };
    let line = number_of(&**file, offset).map_err(files.read_error(name))?;
    let file = name.to_owned();
    Err(QueryError::Damaged(Damage { file, offset, line, seq: 0, kind, detail }))
}

fn breach(
    files: &Files,
    (name, file): (&str, &Arc<dyn File>),
    offset: u64,
    seq: u64,
) -> QueryError {
    match number_of(&**file, offset) {
        Err(source) => files.read_error(name)(source),
        Ok(line) => {
            let detail = "the records around this place do not follow each other".to_owned();
            let (file, kind) = (name.to_owned(), Kind::Edited);
            QueryError::Damaged(Damage { file, offset, line, seq, kind, detail })
        }
    }
}
