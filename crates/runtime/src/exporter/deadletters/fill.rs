//! Old letters get their payloads (G3).
//!
//! Letters that were written before they carried their payload name an entry of a log. When that log is
//! still the live one, the entry is read there and the letter is written again, whole; the later line
//! counts. Otherwise the letter stays as it is, and why is said.

use std::{collections::BTreeMap, path::Path};

use drain::{Notice, OpenLetter};
use vfs::Vfs;
use wal_format::{Seq, WalId};
use wal_recovery::{ReadError, Reader};

use super::{DeadLetters, LetterFileError};
use crate::exporter::identity;

/// Bytes of lines that are appended at once, before the line that goes beyond them.
const APPEND_LEN: usize = 4 << 20;

/// Appends a whole letter for each old one whose entry is in the live log. Returns whether there is
/// something new in the file.
pub(super) fn fill(
    vfs: &dyn Vfs,
    dir: &Path,
    letters: &DeadLetters,
    tell: &mut dyn FnMut(&Notice),
) -> Result<bool, LetterFileError> {
    let old: Vec<_> = letters.letters.open().into_iter().filter(|it| !it.has_payload).collect();
    if old.is_empty() {
        return Ok(false);
    }
    let mut missing = |letter: &OpenLetter, why: String| {
        let source = letters.letters.source(letter);
        let event_id = source.map(|it| it.event_id(letter.seq)).unwrap_or_default();
        tell(&Notice::WithoutPayload { event_id, why });
    };
    let live = identity(vfs, dir).map(|it| it.1);
    let mut wanted = BTreeMap::new();
    for letter in old {
        match (&live, letters.letters.source(&letter).map(|it| it.wal_id)) {
            (Ok(live), Some(its)) if *live == its => {
                wanted.insert(letter.seq, letter);
            }
            (Ok(_), its) => missing(&letter, not_live(its)),
            (Err(error), _) => missing(&letter, error.to_string()),
        }
    }
    let before = wanted.len();
    let read = append_found(vfs, dir, letters, &mut wanted)?;
    let why = read.err().map_or_else(
        || "the log does not hold that entry".to_owned(),
        |error: ReadError| error.to_string(),
    );
    for letter in wanted.values() {
        missing(letter, why.clone());
    }
    Ok(wanted.len() < before)
}

fn not_live(wal_id: Option<WalId>) -> String {
    let log = wal_id.map_or_else(String::new, |it| format!(" {it}"));
    format!("its log{log} is not the live one")
}

/// Takes out of `wanted` what was found. An error of the log ends the search; one of the file of letters
/// ends the retry.
fn append_found(
    vfs: &dyn Vfs,
    dir: &Path,
    letters: &DeadLetters,
    wanted: &mut BTreeMap<Seq, OpenLetter>,
) -> Result<Result<(), ReadError>, LetterFileError> {
    if wanted.is_empty() {
        return Ok(Ok(()));
    }
    let mut reader = match Reader::open(vfs, dir) {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(error)),
    };
    let mut lines = Vec::new();
    let read = loop {
        let item = match reader.next_entry() {
            Ok(Some(item)) => item,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let Some(letter) = wanted.remove(&item.seq) else { continue };
        let mut whole = letters
            .listed(&letter)
            .map_err(|source| LetterFileError::Read { path: letters.path.clone(), source })?;
        whole.letter.payload = Some(item.payload.to_vec());
        whole.letter.write(&mut lines);
        if lines.len() >= APPEND_LEN {
            append(vfs, &letters.path, &mut lines)?;
        }
    };
    append(vfs, &letters.path, &mut lines)?;
    Ok(read)
}

fn append(vfs: &dyn Vfs, path: &Path, lines: &mut Vec<u8>) -> Result<(), LetterFileError> {
    if lines.is_empty() {
        return Ok(());
    }
    let appended = vfs::append_lines(vfs, path, lines);
    lines.clear();
    appended.map_err(|source| LetterFileError::Write { path: path.to_owned(), source })
}
