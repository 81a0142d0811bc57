//! From what the head says to the real end. Called with the lock.
//!
//! | what is there                                              | what happens                               |
//! |------------------------------------------------------------|--------------------------------------------|
//! | no segment; no head, or the first slots of one              | the trail is begun                         |
//! | the head of a new trail and no segment                      | the first segment is created               |
//! | the open segment is the one that the head names             | it is read from there                      |
//! | the segment that the head names is sealed                   | it is read to its seal, then the open one  |
//! | that, and there is no open segment                          | the sealing is finished                    |
//! | no segment that the head names, or it is shorter            | refused                                    |
//! | segments, and no head that can be read                      | refused                                    |
//!
//! * **A1** The record that the head names is there, with that hash, or the trail is refused.
//! * **A2** Everything behind it is checked before anything is built on it.

use std::sync::Arc;

use vfs::{File, OpenMode};

use crate::{
    chain::Cursor,
    error::{Damage, Kind, OpenError},
    head::{self, Head, Link, Slots},
    lines::{Backwards, Piece},
    names,
    own::Seal,
    place::{Files, Place, at_file},
    record::Record,
    tail::{self, From, read_tail},
};

/// A trail, as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pub(crate) head: Slots,
    pub(crate) place: Place,
}

/// Finds the end (A1, A2). `known` is what this process left or found before.
pub(crate) fn attach(
    files: &Files,
    head_file: &dyn File,
    known: Option<&Place>,
) -> Result<Attached, OpenError> {
    let slots = head::load(head_file).map_err(files.io(names::HEAD))?;
    if slots.newer {
        return Err(OpenError::Newer { path: files.path(names::HEAD) });
    }
    let Some((head, _)) = slots.newest else {
        return Err(OpenError::Corrupt(no_head()));
    };
    if let Some(known) = known {
        let at = known.tail.cursor.at;
        if head.at.seq < at.seq || (head.at.seq == at.seq && head.at.hash != at.hash) {
            let detail = format!("it names record {}, record {} was written", head.at.seq, at.seq);
            let detail = (Kind::HeadMismatch, detail);
            return Err(OpenError::Corrupt(at_file(names::HEAD, 0, at.seq, detail)));
        }
        if let Some(place) = follow(files, &head, known)? {
            return Ok(Attached { head: slots, place });
        }
    }
    if files.exists(&names::sealed(head.first))? {
        return behind_sealed(files, head_file, &slots, &head);
    }
    let Some(file) = open_segment(files)? else {
        return if head == Head::genesis() && files.sealed().map_err(files.io(""))?.is_empty() {
            begin_segment(files, head_file, &slots, Link::genesis())
        } else {
            let detail = (Kind::SegmentMissing, "the head names it".to_owned());
            let missing = at_file(names::OPEN, 0, head.first, detail);
            Err(OpenError::Corrupt(missing))
        };
    };
    let place = from_head(files, names::OPEN, file, &head)?;
    Ok(Attached { head: slots, place })
}

/// The head is missing, or no slot of it can be read.
pub(crate) fn no_head() -> Damage {
    let detail = (Kind::HeadMismatch, "it is missing or cannot be read".to_owned());
    at_file(names::HEAD, 0, 0, detail)
}

fn open_segment(files: &Files) -> Result<Option<Arc<dyn File>>, OpenError> {
    files.open(names::OPEN, OpenMode::ReadWrite).map_err(files.io(names::OPEN))
}

/// Continues where this process was, if that is still the open segment.
fn follow(files: &Files, head: &Head, known: &Place) -> Result<Option<Place>, OpenError> {
    let cursor = known.tail.cursor;
    if head.first != cursor.first {
        return Ok(None);
    }
    let path = files.path(names::OPEN);
    let len = known.file.named_len(&path).map_err(files.io(names::OPEN))?;
    let Some(len) = len else { return Ok(None) };
    if len == known.tail.end && head.end == len && head.at == cursor.at {
        return Ok(Some(Place { settled: len, ..known.clone() }));
    }
    if len < known.tail.end {
        let detail = (Kind::Truncated, format!("record {} was written", cursor.at.seq));
        let damage = tail::damage((&*known.file, names::OPEN), (len, cursor.at.seq), detail);
        return Err(OpenError::Corrupt(damage.map_err(files.io(names::OPEN))?));
    }
    let from = From { name: names::OPEN, offset: known.tail.end, cursor, head: Some(head) };
    finish(files, names::OPEN, known.file.clone(), from).map(Some)
}

/// Reads behind what the head names (A2).
fn from_head(
    files: &Files,
    name: &str,
    file: Arc<dyn File>,
    head: &Head,
) -> Result<Place, OpenError> {
    let cursor = named_by(files, (name, &file), head)?;
    finish(files, name, file, From { name, offset: head.end, cursor, head: Some(head) })
}

fn finish(
    files: &Files,
    name: &str,
    file: Arc<dyn File>,
    from: From<'_>,
) -> Result<Place, OpenError> {
    let settled = from.head.map_or(0, |it| it.end);
    let tail = read_tail(&file, from).map_err(files.tail(name))?;
    if let Some(head) = from.head
        && (tail.cursor.at.seq < head.at.seq || tail.end < head.end)
    {
        let seq = tail.cursor.at.seq.saturating_add(1);
        let detail = (Kind::Truncated, format!("the head names record {}", head.at.seq));
        let damage = tail::damage((&*file, name), (tail.end, seq), detail);
        return Err(OpenError::Corrupt(damage.map_err(files.io(name))?));
    }
    Ok(Place { file, tail, settled })
}

/// Behind the record that the head names, which must end at `head.end` (A1).
pub(crate) fn named_by(
    files: &Files,
    (name, file): (&str, &Arc<dyn File>),
    head: &Head,
) -> Result<Cursor, OpenError> {
    let corrupt = |offset, kind, detail: &str| {
        let damage =
            tail::damage((&**file, name), (offset, head.at.seq), (kind, detail.to_owned()));
        damage.map_or_else(files.io(name), OpenError::Corrupt)
    };
    let len = file.stat().map_err(files.io(name))?.len;
    if len < head.end {
        return Err(corrupt(len, Kind::Truncated, "it ends before the record that the head names"));
    }
    let cursor = Cursor { at: head.at, more: 0, first: head.first, span: head.span, sealed: false };
    match last_line(files, (name, file), (head.end, head.at.seq))? {
        None if head.end == 0 && head.first == head.at.seq.saturating_add(1) => Ok(cursor),
        Some((_, record)) if record.seq == head.at.seq && record.hash == head.at.hash => {
            Ok(Cursor { more: record.more, sealed: Seal::of(&record).is_some(), ..cursor })
        }
        Some((offset, _)) => {
            Err(corrupt(offset, Kind::HeadMismatch, "the head names another record"))
        }
        None => Err(corrupt(0, Kind::HeadMismatch, "the head names no record")),
    }
}

/// The record that ends at `end` and should have this number; `None` at the beginning.
pub(crate) fn last_line(
    files: &Files,
    (name, file): (&str, &Arc<dyn File>),
    (end, seq): (u64, u64),
) -> Result<Option<(u64, Record)>, OpenError> {
    let piece = Backwards::new(file.clone(), end).next().map_err(files.io(name))?;
    let (offset, detail) = match piece {
        None => return Ok(None),
        Some((offset, Piece::Line(line))) => match Record::decode(&line) {
            Ok(record) => return Ok(Some((offset, record))),
            Err(it) => (offset, it.to_damage()),
        },
        Some((offset, _)) => (offset, (Kind::BadJson, "no line ends here".to_owned())),
    };
    let damage = tail::damage((&**file, name), (offset, seq), detail).map_err(files.io(name))?;
    Err(OpenError::Corrupt(damage))
}

/// The head names a segment that is sealed by now: whoever sealed it did not come to write the head.
fn behind_sealed(
    files: &Files,
    head_file: &dyn File,
    slots: &Slots,
    head: &Head,
) -> Result<Attached, OpenError> {
    let name = names::sealed(head.first);
    let opened = files.open(&name, OpenMode::Read).map_err(files.io(&name))?;
    let Some(file) = opened else {
        let detail = (Kind::SegmentMissing, "the head names it".to_owned());
        return Err(OpenError::Corrupt(at_file(&name, 0, head.first, detail)));
    };
    let sealed = from_head(files, &name, file, head)?;
    let Cursor { at, sealed: is_sealed, .. } = sealed.tail.cursor;
    if !is_sealed || sealed.tail.torn.is_some() {
        let place = (sealed.tail.end, at.seq.saturating_add(1));
        let detail = (Kind::Truncated, "a sealed segment ends without a seal".to_owned());
        let damage = tail::damage((&*sealed.file, &name), place, detail);
        return Err(OpenError::Corrupt(damage.map_err(files.io(&name))?));
    }
    let Some(file) = open_segment(files)? else {
        return begin_segment(files, head_file, slots, at);
    };
    // Its name may not be durable yet, and the head must not name it before (H1).
    files.sync_dir()?;
    let begun = Head::beginning(at);
    let head = settle(files, head_file, slots, &begun)?;
    let cursor = Cursor::beginning(at);
    let from = From { name: names::OPEN, offset: 0, cursor, head: None };
    let place = finish(files, names::OPEN, file, from)?;
    Ok(Attached { head, place })
}

/// Creates the segment behind `at`: first the names before it become durable, since a new name could
/// reach the disk before the old one left it.
pub(crate) fn begin_segment(
    files: &Files,
    head_file: &dyn File,
    slots: &Slots,
    at: Link,
) -> Result<Attached, OpenError> {
    files.sync_dir()?;
    let path = files.path(names::OPEN);
    let file = files.vfs.open(&path, OpenMode::CreatePrivate).map_err(files.io(names::OPEN))?;
    files.sync_dir()?;
    let head = settle(files, head_file, slots, &Head::beginning(at))?;
    let tail = tail::Tail { cursor: Cursor::beginning(at), end: 0, torn: None };
    Ok(Attached { head, place: Place { file, tail, settled: 0 } })
}

/// Writes the head and syncs it.
pub(crate) fn settle(
    files: &Files,
    head_file: &dyn File,
    slots: &Slots,
    head: &Head,
) -> Result<Slots, OpenError> {
    let stored = head::store(head_file, slots, head).map_err(files.io(names::HEAD))?;
    head_file.sync_data().map_err(files.io(names::HEAD))?;
    Ok(stored)
}
