//! Lines that mean nothing: torn by a crash or a full disk, or damaged since.
//!
//! Whatever such a line was about, nobody can read it any more. It is known by the BLAKE3 of its bytes, so the
//! record that it was given up names exactly this line, wherever a compaction moves it.

use std::io;

use drain::{Line, LineError};
use jiff::Timestamp;
use vfs::File;

use super::{DeadLetters, Lines, lines::FoundLine};

/// Bytes hashed at once.
const PIECE_LEN: usize = 64 << 10;

/// Whether a line is torn or damaged.
pub(super) fn is_damaged(line: &FoundLine<'_>) -> bool {
    match line.bytes {
        // What ended a torn line.
        Some(b"") => false,
        Some(bytes) => Line::parse(bytes).is_err_and(|it: LineError| it.is_damage()),
        None => true,
    }
}

/// BLAKE3 of a line, however long it is.
pub(super) fn digest(file: &dyn File, line: &FoundLine<'_>) -> io::Result<String> {
    if let Some(bytes) = line.bytes {
        return Ok(blake3::hash(bytes).to_string());
    }
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE_LEN];
    let (mut offset, end) = (line.offset, line.offset + line.len);
    while offset < end {
        let want = usize::try_from(end - offset).unwrap_or(PIECE_LEN).min(PIECE_LEN);
        let read = file.read_at(piece.get_mut(..want).unwrap_or_default(), offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(piece.get(..read).unwrap_or_default());
        offset += read as u64;
    }
    Ok(hasher.finalize().to_string())
}

/// Writes into `out` that every damaged line is given up; returns how many there are.
pub(super) fn give_up(
    letters: &DeadLetters,
    purged_at: Timestamp,
    reason: &str,
    out: &mut Vec<u8>,
) -> io::Result<u64> {
    let Some(file) = &letters.file else { return Ok(0) };
    let mut lines = Lines::new(file.clone())?;
    let mut count = 0;
    while let Some(line) = lines.next()? {
        if is_damaged(&line) {
            let (damaged, reason) = (digest(&**file, &line)?, reason.to_owned());
            Line::DamagePurged { damaged, bytes: line.len, purged_at, reason }.write(out);
            count += 1;
        }
    }
    Ok(count)
}
