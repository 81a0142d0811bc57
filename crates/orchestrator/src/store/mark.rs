//! The files `orchestrator.used` and `rollouts.used`: that a complete database was here, and how far it went.
//!
//! `SQLite` takes the first bad frame of its log for the end of it. A log that was damaged, cut or
//! removed after a kill looks like one that ends earlier, and the next checkpoint would destroy
//! what is left. The number in this file is a floor below which a database is a loss.
//!
//! # Layout
//!
//! | offset           | bytes | content                                                     |
//! |------------------|-------|-------------------------------------------------------------|
//! | 0                | 336, 343 | text, the same in every file of its kind                 |
//! | behind the text  | 8     | a number, little-endian, not negative                       |
//!
//! The number of `orchestrator.used` is the largest committed `events.id`; that of `rollouts.used` counts committed
//! batches. An `orchestrator.used` with nothing but the older text has the floor 0. Anything else is refused.
//!
//! # Invariants
//!
//! * **M1** The number names a row whose commit was synced; it may lag, never lead.
//! * **M2** It is written before the answers to the commit are sent, so that a kill of the process
//!   leaves a floor that is not below any answered event. The write is not synced: after a loss of
//!   power the floor may be the one of the last checkpoint.
//! * **M3** It lies in one sector and is overwritten in place, so it is never half written.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use vfs::{File, OpenMode, OsVfs, Vfs as _};

use super::OpenError;

/// Which of the files.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What the file says to whoever reads it.
    text: &'static [u8],
    /// The whole file as versions without a number wrote it.
    without_number: Option<&'static [u8]>,
}

/// `orchestrator.used`.
pub(crate) const EVENTS: &Kind = &Kind { text: TEXT, without_number: Some(TEXT_WITHOUT_NUMBER) };
/// `rollouts.used`.
pub(crate) const ROLLOUTS: &Kind = &Kind { text: TEXT_OF_ROLLOUTS, without_number: None };

const TEXT_OF_ROLLOUTS: &[u8] = b"A complete rollouts.db was created in this directory. While this file exists, a missing or empty
database, or one that ends before the last answered request, is refused as a loss. Remove it only
to accept that loss on purpose, with all copies of the database put aside first. The 8 bytes after
this line count the batches that were committed:
";
const TEXT: &[u8] = b"A complete orchestrator.db was created in this directory. While this file exists, a missing or
empty database, or one that ends before the last answered event, is refused as a loss. Remove it
only to accept that loss on purpose, with all copies of the database put aside first. The 8 bytes
after this line are the id of the last event:
";
const TEXT_WITHOUT_NUMBER: &[u8] = b"A complete orchestrator.db was created in this directory. While this file exists, a missing or
empty database is refused as a loss. Remove it only to start with an empty store on purpose.
";
const NUMBER_LEN: usize = size_of::<i64>();
/// What a disk writes whole.
const SECTOR_LEN: usize = 512;

const _: () = assert!(TEXT.len() + NUMBER_LEN <= SECTOR_LEN, "the number must not be torn (M3)");
const _: () = assert!(TEXT_OF_ROLLOUTS.len() + NUMBER_LEN <= SECTOR_LEN, "as above");

/// Reads the floor; `None` when there is no file. Changes nothing.
pub(crate) fn read(kind: &Kind, path: &Path) -> Result<Option<i64>, OpenError> {
    let corrupt = |finding| OpenError::MarkCorrupt { path: path.to_owned(), finding };
    match vfs::read_whole(&OsVfs, path, SECTOR_LEN as u64) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => parse(kind, &bytes).map(Some).map_err(corrupt),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(corrupt(format!("it is longer than {SECTOR_LEN} bytes")))
        }
        Err(source) => Err(OpenError::DirUnusable { path: path.to_owned(), source }),
    }
}

fn parse(kind: &Kind, bytes: &[u8]) -> Result<i64, String> {
    if kind.without_number.is_some_and(|it| it == bytes) {
        return Ok(0);
    }
    let len = kind.text.len() + NUMBER_LEN;
    if bytes.len() != len {
        return Err(format!("it has {} bytes, not {len}", bytes.len()));
    }
    let number = bytes.strip_prefix(kind.text).ok_or("its text was changed")?;
    let number = number.try_into().map(u64::from_le_bytes).map_err(|error| format!("{error}"))?;
    i64::try_from(number).map_err(|_| format!("{number} is not a number that was written"))
}

fn content(kind: &Kind, number: i64) -> Vec<u8> {
    [kind.text, &number.to_le_bytes()].concat()
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    /// Where the number begins.
    at: u64,
    file: Arc<dyn File>,
    number: i64,
    synced: bool,
}

impl Mark {
    /// Makes `number` the durable floor. The rows up to it must be durable before (M1).
    pub(crate) fn leave(kind: &Kind, path: &Path, number: i64) -> io::Result<Self> {
        let wanted = content(kind, number);
        // Only what is there already, whole and with this number, needs no replacement.
        let found = vfs::read_whole(&OsVfs, path, SECTOR_LEN as u64)?;
        if found.is_none_or(|it| it != wanted) {
            vfs::replace(&OsVfs, path, &wanted)?;
        }
        let file = OsVfs.open(path, OpenMode::ReadWrite)?;
        let at = kind.text.len() as u64;
        Ok(Self { path: path.to_owned(), at, file, number, synced: false })
    }

    /// Raises the floor to a row whose commit returned (M1, M2).
    pub(crate) fn raise(&mut self, number: i64) -> io::Result<()> {
        if number <= self.number {
            return Ok(());
        }
        self.synced = false;
        vfs::write_all_at(&*self.file, &number.to_le_bytes(), self.at)?;
        self.number = number;
        Ok(())
    }

    /// Makes the floor durable; does nothing when it is.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if !self.synced {
            self.file.sync_data()?;
            self.synced = true;
        }
        Ok(())
    }

    /// A floor that cannot be written: the file is open for reading only.
    #[cfg(test)]
    pub(super) fn unwritable(path: &Path) -> Self {
        let file = OsVfs.open(path, OpenMode::Read).unwrap();
        Self { path: path.to_owned(), at: TEXT.len() as u64, file, number: 0, synced: true }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_is_as_written() {
        assert_eq!((TEXT.len(), TEXT_OF_ROLLOUTS.len()), (336, 343));
        assert_eq!(&content(EVENTS, 0x0102)[336..], [2, 1, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_file_of_a_version_without_a_number_has_the_floor_zero() {
        assert_eq!(parse(EVENTS, TEXT_WITHOUT_NUMBER), Ok(0));
    }

    #[test]
    fn nothing_that_was_not_written_is_read_as_a_floor() {
        let whole = content(EVENTS, 7);
        for len in 0..whole.len() {
            assert!(parse(EVENTS, &whole[..len]).is_err(), "{len} bytes");
        }
        assert!(parse(EVENTS, &[&whole[..], b"x"].concat()).is_err());
        for at in 0..TEXT.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_eq!(parse(EVENTS, &bytes), Err("its text was changed".to_owned()), "byte {at}");
        }
        assert_eq!(parse(EVENTS, &content(EVENTS, i64::MAX)), Ok(i64::MAX));
        let error = parse(EVENTS, &content(EVENTS, i64::MIN)).unwrap_err();
        assert_eq!(error, "9223372036854775808 is not a number that was written");
    }

    #[test]
    fn the_floor_rises_in_place_and_never_falls() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("used");
        assert_eq!(read(EVENTS, &path).unwrap(), None);
        let mut mark = Mark::leave(EVENTS, &path, 3).unwrap();
        let id = OsVfs.stat(&path).unwrap().unwrap().id;
        for (number, want) in [(2, 3), (3, 3), (900, 900), (1, 900)] {
            mark.raise(number).unwrap();
            mark.sync().unwrap();
            assert_eq!(read(EVENTS, &path).unwrap(), Some(want));
        }
        // What is there already is kept; an older file is brought up to date.
        Mark::leave(EVENTS, &path, 900).unwrap();
        assert_eq!(OsVfs.stat(&path).unwrap().unwrap().id, id);
        vfs::replace(&OsVfs, &path, TEXT_WITHOUT_NUMBER).unwrap();
        assert_eq!(read(EVENTS, &path).unwrap(), Some(0));
        Mark::leave(EVENTS, &path, 5).unwrap();
        assert_eq!(read(EVENTS, &path).unwrap(), Some(5));
        vfs::replace(&OsVfs, &path, &[b'x'; 600]).unwrap();
        assert!(matches!(read(EVENTS, &path), Err(OpenError::MarkCorrupt { .. })));
    }

    proptest! {
        #[test]
        fn every_floor_comes_back(number in 0..=i64::MAX) {
            prop_assert_eq!(parse(EVENTS, &content(EVENTS, number)), Ok(number));
        }
    }
}
