//! What stands behind a known record: whole, torn, or damaged.
//!
//! | behind what the head names                                   | it is                            |
//! |--------------------------------------------------------------|----------------------------------|
//! | nothing, or whole appends                                     | whole                            |
//! | a line that does not follow, and no line feed from there on   | torn: a write was cut short      |
//! | a line that does not follow, and zero bytes from there on     | torn: power was lost in a write  |
//! | whole lines, but their append is not complete                 | torn: a write was cut short      |
//! | any other line that does not follow                           | damaged                          |
//!
//! What lies in front of what the head names is never torn. A torn end begins with its append, so that
//! an append is there as a whole or not at all.
//!
//! * **T1** No answered append is torn: it was synced before the answer, so no byte of it is missing or
//!   zero, whatever became of the machine. JSON as this crate writes it has no zero byte.

use std::{io, sync::Arc};

use vfs::File;

use crate::{
    chain::Cursor,
    error::{Damage, Kind},
    head::{Head, Link},
    lines::{Lines, Piece, feed_and_zero, number_of},
};

/// Bytes of a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// The end of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    /// Behind the last record of the last whole append.
    pub(crate) cursor: Cursor,
    /// Where that is.
    pub(crate) end: u64,
    /// What stands behind it.
    pub(crate) torn: Option<Torn>,
}

/// Where reading begins, and what is known of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From<'a> {
    pub(crate) name: &'a str,
    pub(crate) offset: u64,
    pub(crate) cursor: Cursor,
    /// What the head says, when it is about this file.
    pub(crate) head: Option<&'a Head>,
}

/// Why an end was not read.
#[derive(Debug)]
pub(crate) enum TailError {
    Io(io::Error),
    Damaged(Damage),
}

impl std::convert::From<io::Error> for TailError {
    fn from(it: io::Error) -> Self {
        Self::Io(it)
    }
}

/// Names a place of a file.
pub(crate) fn damage(
    (file, name): (&dyn File, &str),
    (offset, seq): (u64, u64),
    (kind, detail): (Kind, String),
) -> io::Result<Damage> {
    let line = number_of(file, offset)?;
    Ok(Damage { file: name.to_owned(), offset, line, seq, kind, detail })
}

/// Reads from a known place to the end and judges by the table of the module.
pub(crate) fn read_tail(file: &Arc<dyn File>, from: From<'_>) -> Result<Tail, TailError> {
    let len = file.stat()?.len;
    let settled = from.head.map_or(0, |it| it.end);
    let mut cursor = from.cursor;
    let mut whole = Tail { cursor, end: from.offset, torn: None };
    let mut lines = Lines::new(file.clone(), from.offset, len);
    let place = (&**file, from.name);
    let (offset, kind, detail) = loop {
        match lines.next()? {
            Some((offset, Piece::Line(line))) => match cursor.step(&line) {
                Ok(_) if is_denied(&cursor.at, from.head) => {
                    let detail = (Kind::HeadMismatch, "the head names another record".to_owned());
                    let damage = damage(place, (offset, cursor.at.seq), detail)?;
                    return Err(TailError::Damaged(damage));
                }
                Ok(_) if cursor.more > 0 => {}
                Ok(_) => {
                    let end = offset + line.len() as u64 + 1;
                    whole = Tail { cursor, end, torn: None };
                }
                Err(fault) => break (offset, fault.kind, fault.detail),
            },
            Some((offset, Piece::Rest)) => {
                break (offset, Kind::Truncated, "the line has no end".to_owned());
            }
            Some((offset, Piece::TooLong)) => {
                break (offset, Kind::BadJson, "the line is too long".to_owned());
            }
            None if cursor.more > 0 => {
                break (len, Kind::Truncated, "the append is not complete".to_owned());
            }
            None => return Ok(whole),
        }
    };
    let (feed, zero) = feed_and_zero(&**file, offset, len)?;
    if whole.end >= settled && (!feed || zero) {
        let torn = Torn { offset: whole.end, len: len - whole.end };
        return Ok(Tail { torn: Some(torn), ..whole });
    }
    let seq = cursor.at.seq.saturating_add(1);
    Err(TailError::Damaged(damage(place, (offset, seq), (kind, detail))?))
}

/// Whether the head names another record of this number.
fn is_denied(at: &Link, head: Option<&Head>) -> bool {
    head.is_some_and(|it| it.at.seq == at.seq && it.at.hash != at.hash)
}
