//! Committed entries, while somebody else writes.
//!
//! * **B1** A reader takes no lock, changes nothing, and never sees an entry that was not
//!   acknowledged: it reads the safe point first and stops there.
//! * **B2** Every entry is checked by the rules of the scan before it is given out.
//! * **B3** Memory is bounded by one frame.
//! * **B4** [`Reader::salvage`] alone is not bound by the safe point: it stops where entries stop to hold.
//!
//! # Following a log
//!
//! A reader stops at the safe point it was opened with until it is refreshed. Entries that were given
//! out are not read again.
//!
//! | log at its path | safe point    | then                                                          |
//! |-----------------|---------------|---------------------------------------------------------------|
//! | the same file   | higher        | reads on, up to the new safe point                            |
//! | the same file   | anything else | nothing new                                                   |
//! | another or none | any           | reads the old file to the end of what holds, then opens anew  |
//!
//! While a switch waits to be finished there is nothing new: the safe point may be that of the log
//! before, and nobody appends.
//!
//! A log that was replaced has no writer any more: what it holds and what follows from its chain is all
//! that it will ever hold, whatever the safe point of its successor says.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;
use vfs::{File, OpenMode, Vfs};
use wal_format::{Chain, SafePoint, Seq, names};

use crate::{
    Identity, SurveyError, Tail, Violation, codes,
    frames::{FrameReader, Next},
    mutants::{Mutant, removed},
    payloads::Payloads,
    plan::FoundSafePoint,
    remains::last_that_holds,
    scan::{End, Scanner, Stop, Trust, Verdict, end_of_log},
    state::read_safe_point,
    switch::{self, view},
};

/// Reads the committed entries of a log, from the first.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    frames: Option<FrameReader>,
    scanner: Scanner,
    safe: SafePoint,
    /// Chain values of the next frames in `frames`, which were checked together; the last comes first.
    checked: Vec<Chain>,
    /// Another log stands in the place of this one.
    replaced: bool,
}

/// What a reader found when it looked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing new.
    Unchanged,
    /// There are more committed entries.
    Grown,
    /// The log was replaced. The reader still gives out the rest of the old one.
    Replaced,
}

/// One committed entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its number.
    pub seq: Seq,
    /// Where its frame starts, in bytes.
    pub offset: u64,
    /// Its payload, byte for byte.
    pub payload: &'a [u8],
}

impl Reader {
    /// Opens the log in `dir` for reading.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`] when there is no log, [`ReadError::Violation`] when its safe point
    /// is missing or unreadable, [`ReadError::Io`] when the file system fails.
    pub fn open(vfs: &dyn Vfs, dir: &Path) -> Result<Self, ReadError> {
        let (path, safe_path) = (dir.join(names::WAL), dir.join(names::SAFE_SEQ));
        // B1: nothing is read before the safe point is, so everything it names is in the file.
        let view = view(vfs, dir).map_err(ReadError::of)?;
        let file = view.file;
        let safe = match view.safe_point {
            FoundSafePoint::Present(safe) => safe,
            FoundSafePoint::WrongSize(len) => return Err(Violation::SafeSeqCorrupt { len }.into()),
            FoundSafePoint::Absent if file.is_none() => {
                return Err(ReadError::NotFound { dir: dir.to_owned() });
            }
            FoundSafePoint::Absent => {
                return Err(Violation::SafeSeqNotFound { path: safe_path }.into());
            }
        };
        let frames = file.clone().map(|file| FrameReader::new(file, 0));
        let scanner = Scanner::new(Trust::UpTo(safe));
        let (dir, checked) = (dir.to_owned(), Vec::new());
        Ok(Self { dir, path, file, frames, scanner, safe, checked, replaced: false })
    }

    /// Opens what holds of a log, whatever is wrong with its safe point, its switch or its end: up to the first entry that does
    /// not hold. For saving entries out of a log that is refused; nothing is delivered from here.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`] when there is no log, [`ReadError::Io`] when the file system fails.
    pub fn salvage(vfs: &dyn Vfs, dir: &Path) -> Result<Self, ReadError> {
        let path = dir.join(names::WAL);
        let at = |source| ReadError::Io { path: path.clone(), source };
        let file = match vfs.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::NotFound { dir: dir.to_owned() });
            }
            Err(error) => return Err(at(error)),
        };
        let safe = SafePoint::at(last_that_holds(vfs, dir, &file));
        let frames = Some(FrameReader::new(Arc::clone(&file), 0));
        let scanner = Scanner::new(Trust::UpTo(safe));
        let (dir, checked, file) = (dir.to_owned(), Vec::new(), Some(file));
        Ok(Self { dir, path, file, frames, scanner, safe, checked, replaced: false })
    }

    /// The safe point at which this reader stops.
    pub fn safe_point(&self) -> SafePoint {
        self.safe
    }

    /// Who the log is; known after the first entry.
    pub fn identity(&self) -> Option<&Identity> {
        self.scanner.identity()
    }

    /// Returns the next committed entry; `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`ReadError::Violation`] at the first entry that does not hold, [`ReadError::Io`] when the
    /// file system fails.
    pub fn next_entry(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        let Self { frames: Some(frames), scanner, path, checked, replaced, .. } = self else {
            self.scanner.judge(End { tail: Tail::Clean, impossible: None })?;
            return Ok(None);
        };
        let committed = scanner.expected().is_some_and(|seq| scanner.vouched_for(seq));
        if !*replaced && !committed && !removed(Mutant::ReaderStops) {
            return Ok(None);
        }
        let at = |source| ReadError::Io { path: path.clone(), source };
        if let Some(stop) = Stop::of(frames.peek().map_err(at)?) {
            let promised = scanner.lacks_promised();
            scanner.judge(end_of_log(frames, stop, promised).map_err(at)?)?;
            return Ok(None);
        }
        if checked.is_empty() {
            checked.extend(scanner.several(frames.buffered()).into_iter().flatten().rev());
        }
        match frames.next().map_err(at)? {
            Next::Frame { offset, payload } => {
                let seq = match checked.pop() {
                    Some(chain) => scanner.take_checked(offset, payload, chain),
                    None => match scanner.frame(offset, payload)? {
                        Verdict::Holds(seq) => Some(seq),
                        Verdict::Phantom => None,
                    },
                };
                Ok(seq.map(|seq| Item { seq, offset, payload }))
            }
            Next::Torn | Next::End | Next::TooLong(_) => Ok(None),
        }
    }

    /// Looks whether there is more to read, without reading again what was read.
    ///
    /// After [`Refreshed::Replaced`] nothing but the rest of the old log comes from this reader.
    ///
    /// # Errors
    ///
    /// [`ReadError::Violation`] when the safe point has become unreadable, [`ReadError::Io`] when the
    /// file system fails.
    pub fn refresh(&mut self, vfs: &dyn Vfs) -> Result<Refreshed, ReadError> {
        if self.replaced {
            return Ok(Refreshed::Replaced);
        }
        let at = |path: PathBuf| move |source| ReadError::Io { path, source };
        // When none waits now, the switch that made this log is over and its safe point is written.
        let waits = switch::read(vfs, &self.dir).map_err(ReadError::of)?.is_some();
        // B1: the safe point first. Whether it belongs to this log is seen after it was read.
        let safe_path = self.dir.join(names::SAFE_SEQ);
        let safe = read_safe_point(vfs, &self.dir).map_err(at(safe_path))?;
        let now = vfs.stat(&self.path).map_err(at(self.path.clone()))?.map(|it| it.id);
        let ours = self.file.as_ref().map(|it| it.stat()).transpose();
        let ours = ours.map_err(at(self.path.clone()))?.map(|it| it.id);
        if now != ours {
            self.replaced = true;
            self.look_again();
            return Ok(Refreshed::Replaced);
        }
        match safe {
            _ if waits => Ok(Refreshed::Unchanged),
            FoundSafePoint::WrongSize(len) => Err(Violation::SafeSeqCorrupt { len }.into()),
            FoundSafePoint::Present(safe) if safe > self.safe => {
                self.safe = safe;
                self.scanner.trust(Trust::UpTo(safe));
                self.look_again();
                Ok(Refreshed::Grown)
            }
            // A safe point that went down or away is that of a successor which is not there yet.
            FoundSafePoint::Present(_) | FoundSafePoint::Absent => Ok(Refreshed::Unchanged),
        }
    }

    /// Forgets what was read ahead: bytes behind the safe point may have changed since.
    fn look_again(&mut self) {
        self.checked.clear();
        let offset = self.scanner.end();
        self.frames = self.file.clone().map(|file| FrameReader::new(file, offset));
    }

    /// Chain value of the last entry that was given out.
    pub fn chain(&self) -> Chain {
        self.scanner.chain_value()
    }

    /// Returns what reads payloads by their places, on any thread and while this reader goes on.
    pub fn payloads(&self) -> Payloads {
        Payloads::new(self.path.clone(), self.file.clone())
    }

    /// Does what [`Payloads::one_at`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn payload_at(&self, offset: u64) -> Result<Vec<u8>, ReadError> {
        self.payloads().one_at(offset)
    }

    /// Does what [`Payloads::at`] does.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn payloads_at(&self, places: &[(u64, u32)]) -> Result<Vec<Vec<u8>>, ReadError> {
        self.payloads().at(places)
    }
}

/// Why an entry was not read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no log.
    #[error("telemetry/wal: WAL_NOT_FOUND — no telemetry.wal in {}", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// The log cannot be trusted.
    #[error("telemetry/wal: {0}")]
    Violation(#[from] Violation),
    /// The file system failed.
    #[error("telemetry/wal: WAL_IO — cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl ReadError {
    pub(crate) fn of(error: SurveyError) -> Self {
        match error {
            SurveyError::Violation(violation) => Self::Violation(violation),
            SurveyError::Io { path, source } => Self::Io { path, source },
        }
    }

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => codes::WAL_NOT_FOUND,
            Self::Violation(violation) => violation.code(),
            Self::Io { .. } => codes::WAL_IO,
        }
    }

    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "check --dir: it is the --wal-dir of the runtime",
            Self::Violation(violation) => violation.hint(),
            Self::Io { .. } => "check that the path is a readable directory",
        }
    }
}
