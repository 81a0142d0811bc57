//! The records of one segment, and what was done where one does not follow.
//!
//! | what stands there                                   | what was done                                        |
//! |-----------------------------------------------------|------------------------------------------------------|
//! | a later record; the missing one stands further on    | reordered                                            |
//! | a later record; the missing one is nowhere           | deleted                                              |
//! | a record with a number that was there before         | inserted: this one, or the one before when the record behind names this one as its predecessor |
//! | the right number, another predecessor                | the one before was edited, with a new hash           |
//! | no record, or one with a wrong hash                  | bad JSON, edited                                     |

use std::sync::Arc;

use vfs::{File, OpenMode};

use super::{Spot, Stop, Walk};
use crate::{
    chain::{Cursor, Fault},
    error::Kind,
    head::Link,
    lines::{Lines, Piece, feed_and_zero},
    names,
    own::Tombstone,
    place::at_file,
    record::Record,
    tail::Torn,
};

/// A line and where it begins; `None` at the end.
type Found = Option<(u64, Vec<u8>)>;

/// The line in a piece; what is wrong with it, and where, if it is none.
fn line_of(piece: Option<(u64, Piece)>, cursor: &Cursor) -> Result<Found, (Option<u64>, Fault)> {
    let (offset, kind, detail) = match piece {
        Some((offset, Piece::Line(line))) => return Ok(Some((offset, line))),
        Some((offset, Piece::Rest)) => (Some(offset), Kind::Truncated, "the line has no end"),
        Some((offset, Piece::TooLong)) => (Some(offset), Kind::BadJson, "the line is too long"),
        None if cursor.more > 0 => (None, Kind::Truncated, "the append is not complete"),
        None => return Ok(None),
    };
    Err((offset, Fault { kind, detail: detail.to_owned(), found: None }))
}

impl Walk<'_> {
    pub(super) fn sealed_segment(&mut self, first: u64, name: &str) -> Result<(), Stop> {
        let opened = self.files.open(name, OpenMode::Read).map_err(self.files.read_error(name))?;
        let Some(file) = opened else {
            let detail = (Kind::SegmentMissing, "it was there a moment ago".to_owned());
            return Err(Stop::Damaged(at_file(name, 0, first, detail)));
        };
        let cursor = self.segment((name, &file), first, None)?;
        if cursor.sealed {
            return Ok(());
        }
        let len = file.stat().map_err(self.files.read_error(name))?.len;
        let seq = self.at.seq.saturating_add(1);
        let spot = Spot { name: name.to_owned(), file, offset: len, seq };
        let detail = "a sealed segment ends without a seal".to_owned();
        Err(self.damage(&spot, (Kind::Truncated, detail)))
    }

    pub(super) fn open_segment(&mut self) -> Result<(), Stop> {
        let next = self.at.seq.saturating_add(1);
        let is_first = self.survey.sealed.is_empty();
        let head = self.survey.newest().copied();
        let Some(file) = self.survey.open.clone() else {
            // Only while a segment is sealed there is none.
            return match head {
                Some(head) if head.first >= next && head.at.seq > 0 => Err(self.ends_early(&head)),
                _ => Ok(()),
            };
        };
        if let Some(head) = head.filter(|it| !is_first && it.first > next) {
            let detail = (Kind::SegmentMissing, format!("the open one begins with {}", head.first));
            return Err(Stop::Damaged(at_file(&names::sealed(next), 0, next, detail)));
        }
        let first = if is_first { head.map_or(1, |it| it.first) } else { next };
        let settled = head.filter(|it| it.first == first).map_or(0, |it| it.end);
        self.segment((names::OPEN, &file), first, Some(settled))?;
        Ok(())
    }

    /// Walks over one segment. The open one is settled up to where the head says, and may be torn behind
    /// that; a sealed one is not.
    fn segment(
        &mut self,
        (name, file): (&str, &Arc<dyn File>),
        first: u64,
        settled: Option<u64>,
    ) -> Result<Cursor, Stop> {
        let io = || self.files.read_error(name);
        let len = file.stat().map_err(io())?.len;
        let mut lines = Lines::new(file.clone(), 0, len);
        let mut cursor = Cursor::beginning(self.at);
        // Behind the last whole append, and the records of the one that is not whole yet.
        let (mut whole, mut pending) = ((0, cursor), Vec::new());
        let spot = |offset, seq| Spot { name: name.to_owned(), file: file.clone(), offset, seq };
        let (offset, fault) = loop {
            let piece = lines.next().map_err(self.files.read_error(name))?;
            let (offset, line) = match line_of(piece, &cursor) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(cursor),
                Err((offset, fault)) => break (offset.unwrap_or(len), fault),
            };
            if self.start.is_none() {
                cursor = self.begin(&line, first);
            }
            match cursor.step(&line) {
                Ok(record) => pending.push((spot(offset, record.seq), record)),
                Err(fault) => break (offset, fault),
            }
            if cursor.more == 0 {
                pending.drain(..).for_each(|(spot, record)| self.pass(spot, &record));
                whole = (offset + line.len() as u64 + 1, cursor);
            }
        };
        if settled.is_some_and(|it| whole.0 >= it) {
            let found = feed_and_zero(&**file, offset, len);
            let (feed, zero) = found.map_err(self.files.read_error(name))?;
            if !feed || zero {
                let torn = Torn { offset: whole.0, len: len - whole.0 };
                self.torn = Some((name.to_owned(), torn));
                return Ok(whole.1);
            }
        }
        pending.drain(..).for_each(|(spot, record)| self.pass(spot, &record));
        Err(self.judge(spot(offset, cursor.at.seq.saturating_add(1)), fault, lines))
    }

    /// The first record of all: what comes before it is in itself alone, unless it is number 1.
    fn begin(&mut self, line: &[u8], first: u64) -> Cursor {
        let before = first.saturating_sub(1);
        let prev = Record::decode(line).ok().filter(|it| it.seq == first).map(|it| it.prev);
        let start = match prev {
            Some(hash) if before > 0 => Link { seq: before, hash },
            _ => Link { seq: before, ..Link::genesis() },
        };
        self.start = Some(start);
        self.at = start;
        Cursor::beginning(start)
    }

    /// Takes note of a record that follows.
    fn pass(&mut self, spot: Spot, record: &Record) {
        self.at = Link { seq: record.seq, hash: record.hash };
        self.records += 1;
        let heads = self.survey.head.iter().flat_map(|it| [it.newest.map(|it| it.0), it.other]);
        let mut heads = heads.flatten();
        // The last record of a segment may be the last one of a tombstone.
        if heads.any(|it| it.at.seq == record.seq) || crate::own::Seal::of(record).is_some() {
            self.named.push((record.seq, record.hash));
        }
        self.tombstones.extend(Tombstone::of(record));
        self.before = Some((spot, record.prev));
    }

    /// Names what was done, by the table of the module.
    fn judge(&self, spot: Spot, fault: Fault, mut rest: Lines) -> Stop {
        let Some(found) = fault.found else {
            return self.damage(&spot, (fault.kind, fault.detail));
        };
        if found.seq > spot.seq {
            let mut records = std::iter::from_fn(|| match rest.next() {
                Ok(Some((_, Piece::Line(line)))) => Some(Record::decode(&line)),
                _ => None,
            });
            let is_behind = records.any(|it| it.is_ok_and(|it| it.seq == spot.seq));
            let is_elsewhere = is_behind || (spot.offset == 0 && self.begins_a_segment(&spot));
            let kind = if is_elsewhere { Kind::Reordered } else { Kind::Deleted };
            return self.damage(&spot, (kind, fault.detail));
        }
        let before = self.before.as_ref().filter(|(before, _)| before.name == spot.name);
        if found.seq < spot.seq {
            let here = Spot { seq: found.seq, ..spot };
            // Two records with one number and one predecessor: the one behind says which is meant.
            if let Some((before, prev)) = before
                && before.seq == found.seq
                && *prev == found.prev
                && found.hash != self.at.hash
                && let Ok(Some((_, Piece::Line(line)))) = rest.next()
                && Record::decode(&line).is_ok_and(|it| it.prev == found.hash)
            {
                return self.damage(before, (Kind::Inserted, fault.detail));
            }
            return self.damage(&here, (Kind::Inserted, fault.detail));
        }
        match &self.before {
            Some((before, _)) if found.prev != self.at.hash => {
                self.damage(before, (Kind::Edited, "its successor names another hash".to_owned()))
            }
            _ => self.damage(&spot, (fault.kind, fault.detail)),
        }
    }

    /// Whether the record that is missing is the first one of another file.
    fn begins_a_segment(&self, spot: &Spot) -> bool {
        let sealed = self.survey.sealed.iter().map(|it| names::sealed(*it));
        let mut others = sealed.chain([names::OPEN.to_owned()]).filter(|it| *it != spot.name);
        others.any(|name| {
            let Ok(Some(file)) = self.files.open(&name, OpenMode::Read) else { return false };
            let len = file.stat().map_or(0, |it| it.len);
            match Lines::new(file, 0, len).next() {
                Ok(Some((_, Piece::Line(line)))) => {
                    Record::decode(&line).is_ok_and(|it| it.seq == spot.seq)
                }
                _ => false,
            }
        })
    }
}
