//! The slow part: logs in `archive/` are packed, checked and described.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;
use vfs::{File, LockError, OpenMode, TEMP_SUFFIX, Vfs, read_whole, replace};
use wal_format::{
    Chain, Content, Entry, Manifest, SealFile, SealStatement, Seq, WalId, names, split_chain,
};

use super::stream::{Unpacked, pack};
use crate::{
    Scanned, Tail, codes,
    frames::{FrameReader, Next},
    mutants::{Mutant, removed},
    scan::{Scanner, Trust, Verdict},
};

/// Most bytes of a description.
pub(super) const MANIFEST_LEN_MAX: u64 = 1 << 20;
/// Most kinds that are counted by name.
const KINDS_MAX: usize = 256;
/// Under this name the others are counted.
const KINDS_BEYOND: &str = "(other)";
/// Under this name entries are counted that are JSON but no entries.
const KIND_UNREADABLE: &str = "(unreadable)";

/// The files of one archived log.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) plain: PathBuf,
    pub(super) packed: PathBuf,
    pub(super) manifest: PathBuf,
    pub(super) seal: PathBuf,
}

impl Files {
    pub(super) fn of(dir: &Path, wal_id: WalId) -> Self {
        let path = |suffix| dir.join(format!("{}/telemetry-{wal_id}.{suffix}", names::ARCHIVE_DIR));
        Self {
            plain: path("wal"),
            packed: path("wal.zst"),
            manifest: path("json"),
            seal: path("seal"),
        }
    }
}

/// The ids of the files in the archive whose names end like this.
pub(super) fn ids(vfs: &dyn Vfs, dir: &Path, suffix: &str) -> Result<Vec<WalId>, PackError> {
    let folder = dir.join(names::ARCHIVE_DIR);
    let found = match vfs.list(&folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(at("read", &folder)(error)),
    };
    let id = |name: &str| name.strip_prefix("telemetry-")?.strip_suffix(suffix)?.parse().ok();
    Ok(found.iter().filter_map(|it| id(it)).collect())
}

/// What was packed.
#[derive(Debug, Default)]
pub struct Finished {
    /// The descriptions of the logs that were packed.
    pub packed: Vec<Manifest>,
    /// Why others were not. They stay as they are.
    pub failed: Vec<PackError>,
}

/// Packs every log in `archive/` that is not packed yet. It can be stopped anywhere and be repeated.
///
/// # Errors
///
/// [`PackError`] when the archive cannot be looked at or somebody else packs. A log that cannot be
/// packed stops no other; see [`Finished::failed`].
pub fn finish_archives(
    vfs: &dyn Vfs,
    dir: &Path,
    now: Timestamp,
    holder: &str,
) -> Result<Finished, PackError> {
    let mut finished = Finished::default();
    if ids(vfs, dir, ".wal")?.is_empty() && ids(vfs, dir, ".seal")?.is_empty() {
        return Ok(finished);
    }
    let _lock = lock_archive(vfs, dir, holder)?;
    for wal_id in ids(vfs, dir, ".wal")? {
        match pack_one(vfs, dir, wal_id, now) {
            Ok(manifest) => finished.packed.push(manifest),
            Err(error) => finished.failed.push(error),
        }
    }
    sweep_seals(vfs, dir)?;
    Ok(finished)
}

pub(super) fn lock_archive(
    vfs: &dyn Vfs,
    dir: &Path,
    holder: &str,
) -> Result<vfs::Lock, PackError> {
    let path = dir.join(names::ARCHIVE_LOCK);
    vfs.lock(&path, holder).map_err(|error| match error {
        LockError::Held { holder } => PackError::Locked { holder },
        LockError::Io(source) => at("lock", &path)(source),
    })
}

fn pack_one(
    vfs: &dyn Vfs,
    dir: &Path,
    wal_id: WalId,
    now: Timestamp,
) -> Result<Manifest, PackError> {
    let files = Files::of(dir, wal_id);
    let plain = vfs.open(&files.plain, OpenMode::Read).map_err(at("open", &files.plain))?;
    let seal = read_seal(vfs, &files.seal, wal_id)?;
    let described = describe(&plain, &files.plain, statement(seal.as_ref()), &mut |_, _| ())?;

    let mut temp = files.packed.clone().into_os_string();
    temp.push(TEMP_SUFFIX);
    let temp = PathBuf::from(temp);
    let to = vfs.open(&temp, OpenMode::Truncate).map_err(at("create", &temp))?;
    let (raw, packed) = pack(&plain, &*to).map_err(at("write", &temp))?;
    to.sync_data().map_err(at("sync", &temp))?;
    if !removed(Mutant::PackedReadBack) {
        let back = read_back(vfs, &temp)?;
        if back != (raw.clone(), packed.clone()) && !removed(Mutant::PackedCompared) {
            return Err(damaged(&temp, "it does not unpack to what was packed".to_owned()));
        }
    }
    if described.wal_id != wal_id || described.log.end != raw.bytes {
        return Err(damaged(&files.plain, "it is not the log of its name".to_owned()));
    }
    vfs.rename(&temp, &files.packed).map_err(at("rename", &temp))?;
    let folder = dir.join(names::ARCHIVE_DIR);
    vfs.sync_dir(&folder).map_err(at("sync", &folder))?;

    let manifest = Manifest { seal, archived_at: now, ..described.manifest(raw, packed) };
    let bytes = manifest.to_bytes();
    if removed(Mutant::DescribedFirst) {
        remove(vfs, &folder, &files.plain)?;
    }
    replace(vfs, &files.manifest, &bytes).map_err(at("write", &files.manifest))?;
    // The seal goes last: a log that is packed again is described again, with its seal.
    let mut done = [&files.plain, &files.seal];
    if removed(Mutant::SealGoesLast) {
        done.reverse();
    }
    for path in done {
        remove(vfs, &folder, path)?;
    }
    Ok(manifest)
}

/// Removes a file, durably. One that is gone already may not be gone from the disk: a process that was
/// killed has removed it.
pub(super) fn remove(vfs: &dyn Vfs, folder: &Path, path: &Path) -> Result<(), PackError> {
    match vfs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(error)),
        _ if removed(Mutant::RemovalSynced) => Ok(()),
        _ => vfs.sync_dir(folder).map_err(at("sync", folder)),
    }
}

/// Removes copies of seals that are in a description already.
fn sweep_seals(vfs: &dyn Vfs, dir: &Path) -> Result<(), PackError> {
    for wal_id in ids(vfs, dir, ".seal")? {
        let files = Files::of(dir, wal_id);
        let there = |path: &Path| vfs.stat(path).map(|it| it.is_some()).map_err(at("read", path));
        if there(&files.manifest)? && !there(&files.plain)? {
            for path in [&files.plain, &files.seal] {
                remove(vfs, &dir.join(names::ARCHIVE_DIR), path)?;
            }
        }
    }
    Ok(())
}

/// The seal of a log, if it is one of it.
fn read_seal(vfs: &dyn Vfs, path: &Path, wal_id: WalId) -> Result<Option<SealFile>, PackError> {
    let bytes = read_whole(vfs, path, SealFile::LEN_MAX).map_err(at("read", path))?;
    let seal = bytes.and_then(|it| SealFile::from_bytes(&it).ok());
    Ok(seal.filter(|it| statement(Some(it)).is_some_and(|it| it.wal_id == wal_id)))
}

/// Unpacks a whole file and returns what came out and what was read.
fn read_back(vfs: &dyn Vfs, path: &Path) -> Result<(Content, Content), PackError> {
    let file = vfs.open(path, OpenMode::Read).map_err(at("open", path))?;
    let unpacked = Unpacked::new(file).map_err(at("unpack", path))?;
    let mut buffer = vec![0; 256 << 10];
    let mut offset = 0;
    loop {
        let read = unpacked.read_at(&mut buffer, offset).map_err(unreadable(path))?;
        if read == 0 {
            return Ok(unpacked.contents());
        }
        offset += read as u64;
    }
}

pub(super) fn statement(seal: Option<&SealFile>) -> Option<SealStatement> {
    seal.and_then(|it| SealStatement::parse(&it.statement).ok())
}

/// What a log says about itself.
#[derive(Debug)]
pub(super) struct Described {
    log: Scanned,
    wal_id: WalId,
    kinds: BTreeMap<String, u64>,
    first_chain: Chain,
}

/// Reads a log by the rules of the scan and compares it with its seal.
pub(super) fn describe(
    file: &Arc<dyn File>,
    path: &Path,
    sealed: Option<SealStatement>,
    see: &mut dyn FnMut(Seq, &[u8]),
) -> Result<Described, PackError> {
    let mut frames = FrameReader::new(Arc::clone(file), 0);
    let mut scanner = Scanner::new(Trust::AllWhole);
    let (mut kinds, mut first_chain, mut at_seal) = (BTreeMap::new(), None, None);
    loop {
        let (offset, payload) = match frames.next().map_err(unreadable(path))? {
            Next::Frame { offset, payload } => (offset, payload),
            Next::Torn => break,
            Next::End | Next::TooLong(_) => {
                return Err(damaged(path, "its last entry is not its end".to_owned()));
            }
        };
        let chain = split_chain(payload).map(|it| it.1);
        match scanner.frame(offset, payload) {
            Ok(Verdict::Holds(seq)) => {
                if sealed.is_some_and(|it| it.seq == seq) {
                    at_seal = chain;
                }
                see(seq, payload);
            }
            Ok(Verdict::Phantom) => return Err(damaged(path, "it has no end".to_owned())),
            Err(violation) => return Err(damaged(path, violation.to_string())),
        }
        first_chain = first_chain.or(chain);
        count(&mut kinds, payload);
    }
    if sealed.is_some_and(|it| at_seal != Some(it.chain)) {
        return Err(damaged(path, "it is not the log that was sealed".to_owned()));
    }
    let log = scanner.result(Tail::Clean);
    match log.identity.as_ref().map(|it| it.wal_id) {
        Some(wal_id) => {
            let first_chain = first_chain.unwrap_or(log.chain);
            Ok(Described { log, wal_id, kinds, first_chain })
        }
        None => Err(damaged(path, "it has no entry".to_owned())),
    }
}

fn count(kinds: &mut BTreeMap<String, u64>, payload: &[u8]) {
    let entry = Entry::parse(payload).ok();
    let kind = entry.as_ref().map_or(KIND_UNREADABLE, |it| &*it.event.kind);
    let named = kinds.len() < KINDS_MAX || kinds.contains_key(kind);
    let kind = if named { kind } else { KINDS_BEYOND };
    match kinds.get_mut(kind) {
        Some(count) => *count += 1,
        None => _ = kinds.insert(kind.to_owned(), 1),
    }
}

impl Described {
    /// The description, but for the seal and the time.
    pub(super) fn manifest(self, raw: Content, packed: Content) -> Manifest {
        let birth = self.log.identity.and_then(|it| it.birth);
        Manifest {
            wal_id: self.wal_id,
            previous: birth.as_ref().and_then(|it| it.previous),
            node: birth.map(|it| it.node).unwrap_or_default(),
            entries: self.log.last.map_or(0, Seq::get),
            kinds: self.kinds,
            first_chain: self.first_chain,
            last_chain: self.log.chain,
            raw,
            packed,
            seal: None,
            archived_at: Timestamp::UNIX_EPOCH,
        }
    }
}

pub(super) fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError::Io { action, path, source }
}

pub(super) fn damaged(path: &Path, detail: String) -> PackError {
    PackError::Damaged { path: path.to_owned(), detail }
}

/// What the unpacker says is about the content; what the operating system says is not.
fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_owned();
    move |source| match source.raw_os_error() {
        Some(_) => PackError::Io { action: "read", path, source },
        None => PackError::Damaged { path, detail: source.to_string() },
    }
}

/// Why an archived log was not packed, or is not what it was.
#[derive(Debug, Error)]
pub enum PackError {
    /// There is no such log in the archive.
    #[error("telemetry/wal: WAL_NOT_FOUND — no packed log {wal_id} in the archive")]
    NotFound {
        /// The log.
        wal_id: WalId,
    },
    /// Somebody else packs or deletes.
    #[error("telemetry/wal: ARCHIVE_LOCKED — the archive is in use by {holder}")]
    Locked {
        /// What the other process says about itself.
        holder: String,
    },
    /// The log is not what was archived. It stays as it is.
    #[error("telemetry/wal: ARCHIVE_DAMAGED — {}: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The file system failed.
    #[error("telemetry/wal: WAL_IO — cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl PackError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => codes::WAL_NOT_FOUND,
            Self::Locked { .. } => codes::ARCHIVE_LOCKED,
            Self::Damaged { .. } => codes::ARCHIVE_DAMAGED,
            Self::Io { .. } => codes::WAL_IO,
        }
    }

    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "look into archive/: a log has a .wal.zst and a .json",
            Self::Locked { .. } => "wait for it, then run `autonomy wal archive --dir DIR` again",
            Self::Damaged { .. } => {
                "check the disk and restore the file from a backup; nothing deletes it"
            }
            Self::Io { .. } => {
                "see to the disk (a full one needs room outside this directory), then run \
                 `autonomy wal archive --dir DIR` again"
            }
        }
    }
}
