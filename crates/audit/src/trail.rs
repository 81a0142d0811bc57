//! Opening a trail, and appending to it.
//!
//! # One append
//!
//! | step | what                                                    | a crash after it leaves                      |
//! |-----:|---------------------------------------------------------|----------------------------------------------|
//! |    1 | take the lock, look where the trail ends                 | what was there                               |
//! |    2 | only after a crash: cut torn bytes, sync                 | what was there, without them                 |
//! |    3 | only when the segment is full: seal it (see `rotate`)    | a sealed segment, or the seal as last record |
//! |    4 | one write: all records                                   | a torn end, or all of them                   |
//! |    5 | one sync                                                 | all of them                                  |
//! |    6 | one slot of the head, in place, not synced               | all of them                                  |
//! |    7 | give the lock back, answer                               | all of them                                  |
//!
//! # Invariants
//!
//! * **L1** What was answered is in the trail after any crash, once, and in the order of the answers.
//! * **L2** The chain never forks: it is continued under the lock, from the end that is on the disk, and
//!   not from one that a process remembers.
//! * **L3** An append is in the trail as a whole or not at all, for readers too.
//! * **L4** An append without an answer is in the trail or not. Once it was read it stays, or power was
//!   lost.
//! * **L5** What was found behind the head is written again before anything is built on it.
//! * **L6** After a failed write or sync the value refuses everything. Nothing is tried again.

use std::{borrow::Cow, path::Path, sync::Arc};

use jiff::Timestamp;
use vfs::{File, Lock, OpenMode, Vfs, write_all_at};

use crate::{
    attach::{self, Attached, attach},
    error::{AppendError, OpenError},
    hash::Hash,
    head::{self, Head, Link, Slots},
    names, own,
    place::{Files, Place},
    record::{self, NewRecord},
    tail::{Tail, Torn},
    words::Source,
};

/// Most records of one append.
pub const RECORDS_PER_APPEND_MAX: usize = 1024;
/// Most bytes of one append.
pub const APPEND_LEN_MAX: usize = 4 << 20;
/// Length from which on a segment is sealed, in bytes, when nobody says.
pub const SEGMENT_LEN: u64 = 8 << 20;
/// How often the lock is asked for, 2 ms apart, when nobody says.
pub const LOCK_ATTEMPTS: u32 = 5000;

/// Who appends, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which kind of program writes the trail's own records.
    pub source: Source,
    /// What others read in the lock file, such as `autonomy pid 41`.
    pub holder: String,
    /// A segment that would grow beyond this many bytes is sealed.
    pub segment_len_max: u64,
    /// How often the lock is asked for, 2 ms apart.
    pub lock_attempts: u32,
}

impl Settings {
    /// The usual limits.
    pub fn new(source: Source, holder: &str) -> Self {
        Self {
            source,
            holder: holder.to_owned(),
            segment_len_max: SEGMENT_LEN,
            lock_attempts: LOCK_ATTEMPTS,
        }
    }
}

/// That a record is in the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The number of the record.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// A trail that can be appended to.
#[derive(Debug)]
pub struct Trail {
    pub(crate) files: Files,
    pub(crate) settings: Settings,
    pub(crate) head_file: Arc<dyn File>,
    known: Option<Place>,
    poisoned: bool,
}

impl Trail {
    /// Opens the trail in `dir`, and begins it when there is none: the directory and the files are
    /// their owner's alone. Writes and syncs the head to prove that appending is possible.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the directory cannot be written, another process keeps the lock, or the end of
    /// the trail is damaged.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path, settings: Settings) -> Result<Self, OpenError> {
        let files = Files::new(vfs, dir);
        files.vfs.create_private_dir(dir).map_err(files.io(""))?;
        let lock = files.path(names::LOCK);
        files.vfs.open(&lock, OpenMode::CreatePrivate).map_err(files.io(names::LOCK))?;
        let held = files.lock(&settings.holder, settings.lock_attempts)?;
        let head_file = open_head(&files)?;
        let Attached { head, place } = attach(&files, &*head_file, None)?;
        let mut trail = Self { files, settings, head_file, known: None, poisoned: false };
        // L5; and whoever created the files may not have come to sync their names.
        trail.files.sync_dir()?;
        let place = trail.write(place, &[])?;
        if head.damaged.is_none() {
            attach::settle(&trail.files, &*trail.head_file, &head, &head_of(&place))?;
            trail.known = Some(place);
        } else {
            // Not mended before that is on record: the next append does both.
            trail.head_file.sync_data().map_err(trail.files.io(names::HEAD))?;
        }
        drop(held);
        Ok(trail)
    }

    /// Appends records, all or none, and makes them durable (L1–L3). `now` is the time of what the trail
    /// itself has to say; the records carry their own.
    ///
    /// # Errors
    ///
    /// [`AppendError`]. Only after an error of the file system it is unknown whether the records are in
    /// the trail (L4); the value refuses everything then (L6).
    pub fn append(
        &mut self,
        records: &[NewRecord],
        now: Timestamp,
    ) -> Result<Vec<Receipt>, AppendError> {
        for (index, record) in records.iter().enumerate() {
            record.check().map_err(|source| AppendError::Invalid { index, source })?;
        }
        // The trail's own records carry this time, and must be read back.
        let index = records.len();
        record::check_time(now).map_err(|source| AppendError::Invalid { index, source })?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let held = self.lock()?;
        let receipts = self.append_held(records, now)?;
        drop(held);
        Ok(receipts)
    }

    /// Where the trail ended when this value last looked: what to keep elsewhere as an anchor.
    pub fn head(&self) -> Option<Receipt> {
        let at = self.known.as_ref()?.tail.cursor.at;
        (at.seq > 0).then_some(Receipt { seq: at.seq, hash: at.hash })
    }

    /// Refuses everything from now on (L6).
    pub(crate) fn poison(&mut self) {
        self.poisoned = true;
    }

    pub(crate) fn lock(&self) -> Result<Lock, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        Ok(self.files.lock(&self.settings.holder, self.settings.lock_attempts)?)
    }

    /// Appends checked records, with the lock.
    pub(crate) fn append_held(
        &mut self,
        records: &[NewRecord],
        now: Timestamp,
    ) -> Result<Vec<Receipt>, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        // L6: it comes back only when everything went well.
        self.poisoned = true;
        let appended = self.append_checked(records, now);
        self.poisoned = matches!(appended, Err(AppendError::Trail(OpenError::Io { .. })));
        appended
    }

    fn append_checked(
        &mut self,
        records: &[NewRecord],
        now: Timestamp,
    ) -> Result<Vec<Receipt>, AppendError> {
        if records.len() > RECORDS_PER_APPEND_MAX {
            let (found, max) = (records.len(), RECORDS_PER_APPEND_MAX);
            return Err(AppendError::TooLarge { what: "records", found, max });
        }
        self.reopen_head()?;
        let mut attached = attach(&self.files, &*self.head_file, self.known.as_ref())?;
        // Measured before anything is changed: a refused append leaves no trace.
        let (mut lines, mut receipts) = encode(records, attached.place.tail.cursor.at);
        if lines.len() > APPEND_LEN_MAX {
            let (found, max) = (lines.len(), APPEND_LEN_MAX);
            return Err(AppendError::TooLarge { what: "bytes", found, max });
        }
        let own = self.repair(&mut attached, now)?;
        let notes = own.len();
        let mut all = Cow::Borrowed(records);
        if notes > 0 {
            all = Cow::Owned([&own, records].concat());
            (lines, receipts) = encode(&all, attached.place.tail.cursor.at);
        }
        if self.is_full(&attached.place, lines.len()) {
            attached = self.rotate(attached, now)?;
            (lines, receipts) = encode(&all, attached.place.tail.cursor.at);
        }
        let mut place = self.write(attached.place, &lines)?;
        let cursor = &mut place.tail.cursor;
        for record in all.as_ref() {
            cursor.span = Some(own::Span::with(cursor.span, record.timestamp));
        }
        if let Some(last) = receipts.last() {
            cursor.at = Link { seq: last.seq, hash: last.hash };
        }
        // H2: before the answer.
        self.store(&attached.head, &place)?;
        self.known = Some(place);
        Ok(receipts.split_off(notes))
    }

    /// Cuts torn bytes, and returns what there is to say about that and about the head.
    fn repair(&self, attached: &mut Attached, now: Timestamp) -> Result<Vec<NewRecord>, OpenError> {
        let mut notes = Vec::new();
        let source = self.settings.source;
        if let Some(Torn { offset, len }) = attached.place.tail.torn.take() {
            let io = || self.files.io(names::OPEN);
            attached.place.file.set_len(offset).map_err(io())?;
            // Before anything stands there again: what follows must not be mixed with what is cut.
            attached.place.file.sync_data().map_err(io())?;
            notes.push(own::tail_repaired(source, now, (names::OPEN, offset, len)));
        }
        if let Some((_, bytes)) = attached.head.damaged {
            notes.push(own::head_repaired(source, now, bytes));
        }
        Ok(notes)
    }

    /// Writes what is not settled and `lines` behind it, in one write, and syncs (L5). Writes nothing
    /// when there is nothing.
    pub(crate) fn write(&self, place: Place, lines: &[u8]) -> Result<Place, OpenError> {
        let Place { file, tail, settled } = place;
        let io = || self.files.io(names::OPEN);
        let again = usize::try_from(tail.end - settled).unwrap_or(usize::MAX);
        let mut bytes = vec![0; again];
        if again > 0 && file.read_at(&mut bytes, settled).map_err(io())? < again {
            return Err(io()(std::io::ErrorKind::UnexpectedEof.into()));
        }
        bytes.extend_from_slice(lines);
        if !bytes.is_empty() {
            write_all_at(&*file, &bytes, settled).map_err(io())?;
            file.sync_data().map_err(io())?;
        }
        let end = tail.end + lines.len() as u64;
        Ok(Place { file, tail: Tail { end, ..tail }, settled: end })
    }

    /// Writes the head for `place`, without a sync (H2).
    pub(crate) fn store(&self, slots: &Slots, place: &Place) -> Result<Slots, OpenError> {
        let stored = head::store(&*self.head_file, slots, &head_of(place));
        stored.map_err(self.files.io(names::HEAD))
    }

    /// The head file under its name, in case somebody put another one there.
    fn reopen_head(&mut self) -> Result<(), OpenError> {
        let path = self.files.path(names::HEAD);
        if !self.head_file.is_named(&path).map_err(self.files.io(names::HEAD))? {
            let opened = self.files.open(names::HEAD, OpenMode::ReadWrite);
            let opened = opened.map_err(self.files.io(names::HEAD))?;
            self.head_file = opened.ok_or_else(|| OpenError::Corrupt(attach::no_head()))?;
        }
        Ok(())
    }
}

/// What the head has to say when the trail ends there.
pub(crate) fn head_of(place: &Place) -> Head {
    let cursor = place.tail.cursor;
    Head { at: cursor.at, first: cursor.first, end: place.tail.end, span: cursor.span }
}

/// Opens the head; begins it when there is no segment that it could be about.
fn open_head(files: &Files) -> Result<Arc<dyn File>, OpenError> {
    let io = || files.io(names::HEAD);
    let found = files.open(names::HEAD, OpenMode::ReadWrite).map_err(io())?;
    let sealed = files.sealed().map_err(files.io(""))?;
    let used = !sealed.is_empty() || files.exists(names::OPEN)?;
    if let Some(file) = &found {
        let slots = head::load(&**file).map_err(io())?;
        let len = file.stat().map_err(io())?.len;
        let begun = slots.newest.is_none_or(|it| it.0 == Head::genesis());
        let is_first = slots.newest.is_some() || len == 0;
        // Whatever else stands there was not left by whoever began it.
        if used || slots.damaged.is_none() || !begun || !is_first {
            return Ok(file.clone());
        }
    } else if used {
        return Err(OpenError::Corrupt(attach::no_head()));
    }
    let path = files.path(names::HEAD);
    let file = files.vfs.open(&path, OpenMode::CreatePrivate).map_err(io())?;
    head::begin(&file).map_err(io())?;
    files.sync_dir()?;
    Ok(file)
}

/// The lines of one append behind `at`, and what to answer.
fn encode(records: &[NewRecord], mut at: Link) -> (Vec<u8>, Vec<Receipt>) {
    let mut lines = Vec::new();
    let mut more = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let receipts = records.iter().map(|record| {
        more = more.saturating_sub(1);
        let seq = at.seq.saturating_add(1);
        let hash = record.encode((seq, at.hash, more), &mut lines);
        at = Link { seq, hash };
        Receipt { seq, hash }
    });
    let receipts = receipts.collect();
    (lines, receipts)
}
