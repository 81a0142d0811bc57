//! Dead letters: listed, sent again, given up.
//!
//! | operation | lock of the consumer | what it writes                                                  |
//! |-----------|----------------------|-----------------------------------------------------------------|
//! | list      | no                   | nothing                                                         |
//! | retry     | yes                  | lines `delivered` and `refused again`, then a compaction        |
//! | purge     | yes                  | lines `purged`, then a compaction                               |
//!
//! # Invariants
//!
//! * **G1** Lines are appended and synced before anything relies on them. The file is replaced whole, by
//!   a compaction, under the lock; whoever reads it meanwhile goes on reading the file it opened.
//! * **G2** A compaction drops what [`Letters::keeps`] says and copies the rest byte for byte, lines that
//!   mean nothing included; of those it drops what an operator has given up, on the record.
//! * **G3** An old letter gets its payload from the live log, as a line of its own, before it is sent.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use drain::{Counts, DeadLetter, Letters, Line, LineError, OpenLetter, Place};
use thiserror::Error;
use vfs::{File, OpenMode, Vfs, write_all_at};
use wal_format::names;

use lines::{FoundLine, LINE_BYTES_MAX, Lines};

mod damage;
mod fill;
mod lines;
mod purge;
mod retry;

pub use purge::{PurgeError, PurgeOptions, PurgeReport, Selection, purge_dead_letters};
pub use retry::{RetryError, RetryOptions, RetryReport, Said, retry_dead_letters};

/// Bytes copied at once by a compaction.
const COPY_LEN: usize = 64 << 10;

/// The file with its index.
#[derive(Debug)]
pub struct DeadLetters {
    path: PathBuf,
    /// Absent when nothing was ever refused.
    file: Option<Arc<dyn File>>,
    letters: Letters,
    flaws: u64,
}

/// A line that means nothing. It stays in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub error: LineError,
}

/// An open letter, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The letter, with the text and the time of the last refusal.
    pub letter: DeadLetter,
    /// How often it was refused.
    pub attempts: u32,
}

impl DeadLetters {
    /// Reads the dead letters of the log in `dir`, and says which lines mean nothing.
    ///
    /// # Errors
    ///
    /// [`LetterFileError`] when the file cannot be read.
    pub fn open(
        vfs: &dyn Vfs,
        dir: &Path,
        mut tell: impl FnMut(Flaw),
    ) -> Result<Self, LetterFileError> {
        let path = dir.join(names::DEADLETTER);
        let mut found = Self { path, file: None, letters: Letters::default(), flaws: 0 };
        found.file = match vfs.open(&found.path, OpenMode::Read) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(LetterFileError::Read { path: found.path, source }),
        };
        match found.index(&mut tell) {
            Ok(()) => Ok(found),
            Err(source) => Err(LetterFileError::Read { path: found.path, source }),
        }
    }

    fn index(&mut self, tell: &mut dyn FnMut(Flaw)) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut lines = Lines::new(Arc::clone(file))?;
        while let Some(line) = lines.next()? {
            let added = match line.bytes {
                // What ended a torn line left nothing behind.
                Some(b"") => Ok(()),
                Some(bytes) => self.letters.add(line.offset, bytes),
                None => {
                    let text = format!("{} bytes, more than {LINE_BYTES_MAX}", line.len);
                    Err(LineError::Unreadable { text })
                }
            };
            if let Err(error) = added {
                self.flaws += 1;
                tell(Flaw { line: line.number, error });
            }
        }
        Ok(())
    }

    /// Returns how many events the file knows.
    pub fn counts(&self) -> Counts {
        self.letters.counts()
    }

    /// Returns how many lines mean nothing.
    pub const fn flaws(&self) -> u64 {
        self.flaws
    }

    /// Reads the open letters one by one, in the order of the file.
    pub fn open_letters(&self) -> impl Iterator<Item = Result<Listed, LetterFileError>> + '_ {
        let read = |it| self.listed(&it);
        self.letters.open().into_iter().map(move |it| {
            read(it).map_err(|source| LetterFileError::Read { path: self.path.clone(), source })
        })
    }

    fn listed(&self, letter: &OpenLetter) -> io::Result<Listed> {
        let gone = || io::Error::from(io::ErrorKind::InvalidData);
        let Ok(Line::Letter(mut found)) = Line::parse(&self.read(letter.place)?) else {
            return Err(gone());
        };
        if let Some(update) = letter.update {
            let Ok(Line::RefusedAgain { text, refused_at, .. }) = Line::parse(&self.read(update)?)
            else {
                return Err(gone());
            };
            (found.text, found.refused_at) = (text, refused_at);
        }
        Ok(Listed { letter: found, attempts: letter.attempts })
    }

    fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; place.len as usize];
        let file = self.file.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?;
        if file.read_at(&mut bytes, place.offset)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    /// Replaces the file by what of it still counts (G2). The caller holds the lock, and has read the
    /// file since the last line was written.
    fn compact(&self, vfs: &dyn Vfs) -> Result<(), LetterFileError> {
        let Some(file) = &self.file else { return Ok(()) };
        let failed = |source| LetterFileError::Write { path: self.path.clone(), source };
        if self.drops_nothing(file).map_err(failed)? {
            return Ok(());
        }
        vfs::replace_with(vfs, &self.path, |new| self.copy_kept(file, new)).map_err(failed)
    }

    fn drops_nothing(&self, file: &Arc<dyn File>) -> io::Result<bool> {
        let mut lines = Lines::new(Arc::clone(file))?;
        while let Some(line) = lines.next()? {
            if !self.keeps(file, &line)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn copy_kept(&self, file: &Arc<dyn File>, new: &dyn File) -> io::Result<()> {
        let mut lines = Lines::new(Arc::clone(file))?;
        let mut out = Appender { file: new, end: 0, buffer: Vec::with_capacity(COPY_LEN) };
        while let Some(line) = lines.next()? {
            if !self.keeps(file, &line)? {
                continue;
            }
            match line.bytes {
                Some(bytes) => out.write(bytes)?,
                None => out.copy(&**file, line.offset, line.len)?,
            }
            out.write(b"\n")?;
        }
        out.flush()
    }

    fn keeps(&self, file: &Arc<dyn File>, line: &FoundLine<'_>) -> io::Result<bool> {
        if self.letters.gave_up_damage() && damage::is_damaged(line) {
            return Ok(!self.letters.gave_up(line.offset, &damage::digest(&**file, line)?));
        }
        Ok(line.bytes.is_none_or(|it| !it.is_empty() && self.letters.keeps(line.offset, it)))
    }
}

/// Writes a file from its start, in pieces of some size.
struct Appender<'a> {
    file: &'a dyn File,
    end: u64,
    buffer: Vec<u8>,
}

impl Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > COPY_LEN {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn copy(&mut self, from: &dyn File, mut offset: u64, mut len: u64) -> io::Result<()> {
        let mut piece = vec![0; COPY_LEN];
        while len > 0 {
            let want = usize::try_from(len).unwrap_or(COPY_LEN).min(COPY_LEN);
            let read = from.read_at(piece.get_mut(..want).unwrap_or_default(), offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.write(piece.get(..read).unwrap_or_default())?;
            offset += read as u64;
            len -= read as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(self.file, &self.buffer, self.end)?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// The file of dead letters could not be used.
#[derive(Debug, Error)]
pub enum LetterFileError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// It cannot be written; what was there before still is.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
