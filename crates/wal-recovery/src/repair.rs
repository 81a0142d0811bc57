//! A damaged log is put aside whole, and a new one begins that is linked to it.
//!
//! Nothing is cut out of the damaged log and none of its entries is carried over: it stays as evidence, byte
//! for byte, in `damaged/<time>-<n>/`, with copies of the small files that stood beside it. The new log
//! names what could be read of it: its id and the chain value of its last good entry. Its second
//! entry, `wal.repaired`, says who did it, why, and what was found. Behind it stands what a [`Witness`],
//! which sees the entries of the damaged log, has to say to whoever reads the new one.
//!
//! | found                                          | put aside                            |
//! |------------------------------------------------|--------------------------------------|
//! | an entry that does not hold (R1–R3, JSON, chain) | the log, safe point, progress, seal    |
//! | no safe point, or one of the wrong length        | the same                               |
//! | no log, though there was one                     | safe point, progress, seal             |
//! | a switch that does not fit (`WAL_SWITCH_BROKEN`) | the same, the switch and the next log  |
//! | nothing wrong                                    | – refused: `WAL_NOT_DAMAGED`           |
//!
//! # Invariants
//!
//! * **P1** A repair deletes no entry: the damaged file gets another name, its content is not touched.
//! * **P2** The log is replaced by a switch, so a repair that is interrupted is finished by the next
//!   start or has not happened.
//! * **P3** A log that opens is never repaired.
//! * **P4** What begins the new log is written before the switch and fits what a start accepts
//!   (`NEXT_LEN_MAX`); what does not fit is counted in `wal.repaired`, never left out unsaid.

mod witness;

use std::{
    io, iter,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use thiserror::Error;
use vfs::{File, Lock, LockError, OpenMode, Vfs, replace};
use wal_format::{Aside, Birth, Chain, Event, Kind, Origin, Position, Seq, Switch, WalId, names};

use crate::{
    Opening, Overrides, RecoverError, SurveyError, Violation, codes,
    frames::{FrameReader, Next},
    mutants::{Mutant, removed},
    recover::{at, lock_dir, lock_named},
    scan::{Scanner, Trust, Verdict},
    survey,
    switch::{self, begin, carry_through, remove_if_there, write_next},
};

pub use witness::{Nobody, Seen, Witness};
use witness::{fitting, show};

/// Most bytes that are copied of a small file; ours have a few hundred.
const EVIDENCE_LEN_MAX: usize = 1 << 20;
/// Most characters of a reason or of the name of an operator.
const TEXT_LEN_MAX: usize = 4096;
/// Most characters of the name of a node that is taken from a damaged log.
const NODE_LEN_MAX: usize = 4096;
/// Most repairs in one second.
const REPAIRS_MAX: u32 = 1000;
/// Small files that are copied.
const EVIDENCE: [&str; 5] =
    [names::SAFE_SEQ, names::POS, names::CURSORS, names::SEAL, names::SWITCH];

/// What is wrong with a log and what a repair would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is wrong.
    pub violation: Violation,
    /// Whether there is a log file.
    pub has_log: bool,
    /// Entries that hold, from the first on.
    pub held: u64,
    /// Where they end, in bytes.
    pub held_end: u64,
    /// Length of the log file in bytes.
    pub bytes: u64,
    /// The position of the consumer; `None` when it cannot be told.
    pub position: Option<u64>,
    /// Entries that hold and wait for a consumer; they go aside with the log.
    pub waiting: u64,
    /// Node that wrote the log, if it says so; it is recorded in the new one, too.
    pub node: Option<String>,
    /// The log and the chain value of its last good entry; `None` when no entry could be read.
    pub previous: Option<(WalId, Chain)>,
    /// Where everything goes, below the log directory.
    pub aside: String,
}

/// Who repairs, and why.
#[derive(Clone, Debug)]
pub struct Order {
    /// Why. Not empty.
    pub reason: String,
    /// Who.
    pub operator: String,
}

/// What was repaired (`WAL_REPAIRED`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// What was found.
    pub plan: Plan,
    /// The live log now.
    pub birth: Birth,
    /// How many events of the witness are in it.
    pub carried: usize,
    /// How many of them had no room.
    pub not_carried: usize,
}

/// Says what is wrong with a log and what a repair would do. Takes no lock and changes nothing.
///
/// # Errors
///
/// [`RepairError::NotDamaged`] (P3) or [`RepairError::Recover`] when the file system fails.
pub fn plan_repair(vfs: &dyn Vfs, dir: &Path, now: Timestamp) -> Result<Plan, RepairError> {
    let violation = match survey(vfs, dir, Overrides::default()) {
        Ok(_) if removed(Mutant::OnlyDamaged) => Violation::SafeSeqCorrupt { len: 0 },
        Ok(it) if it.scanned.is_none() => {
            return Err(RepairError::NotFound { dir: dir.to_owned() });
        }
        Ok(_) => return Err(RepairError::NotDamaged),
        Err(SurveyError::Violation(violation)) => violation,
        Err(SurveyError::Io { path, source }) => return Err(at("read", path)(source).into()),
    };
    let path = dir.join(names::WAL);
    let file = match vfs.open(&path, OpenMode::Read) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(at("open", path)(error).into()),
    };
    let good = match &file {
        Some(file) => good_part(file).map_err(at("read", path.clone()))?,
        None => GoodPart::default(),
    };
    let bytes = match &file {
        Some(file) => file.stat().map_err(at("read", path))?.len,
        None => 0,
    };
    let position = read_some(vfs, &dir.join(names::POS))?
        .map_or(Some(Position::default()), |it| Position::from_bytes(&it).ok())
        .map(Position::get);
    Ok(Plan {
        violation,
        has_log: file.is_some(),
        held: good.entries,
        held_end: good.end,
        bytes,
        position,
        waiting: good.entries.saturating_sub(position.unwrap_or(0)),
        node: good.node.filter(|it| it.len() <= NODE_LEN_MAX),
        previous: good.previous,
        aside: free_name(vfs, dir, now)?,
    })
}

/// Puts a damaged log aside and begins a new one. Needs the log for itself.
///
/// # Errors
///
/// [`RepairError`]. When the file system fails in the middle, the next start finishes the repair or
/// finds the log as it was.
pub fn repair(
    vfs: &dyn Vfs,
    opening: &Opening,
    order: &Order,
    witness: &mut dyn Witness,
) -> Result<Repaired, RepairError> {
    let reason = order.reason.trim();
    if reason.is_empty() || reason.len() > TEXT_LEN_MAX || order.operator.len() > TEXT_LEN_MAX {
        return Err(RepairError::NoReason);
    }
    let dir = &*opening.dir;
    if vfs.stat(dir).map_err(at("read", dir.to_owned()))?.is_none() {
        // Nothing was ever here; taking the lock would make the directory.
        return Err(RepairError::NotFound { dir: dir.to_owned() });
    }
    let _locks = lock_all(vfs, opening)?;
    let plan = plan_repair(vfs, dir, opening.now)?;
    let Some((_, name)) = plan.aside.split_once('/') else { return Err(RepairError::NotDamaged) };
    keep_evidence(vfs, dir, &plan)?;

    let birth = Birth {
        wal_id: WalId::from_random(opening.random),
        node: plan.node.clone().unwrap_or_else(|| opening.node.clone()),
        origin: Origin::Repair,
        previous: plan.previous,
    };
    show(vfs, dir, witness)?;
    let left = witness.leave(plan.previous.map(|it| it.0));
    let kept = fitting(&left);
    let (carried, not_carried) = (kept.len(), left.len() - kept.len());
    let event = record(&plan, reason, &order.operator)
        .with_some("carried", (carried > 0).then_some(carried))
        .with_some("not_carried", (not_carried > 0).then_some(not_carried));
    let also: Vec<_> = iter::once(&event).chain(kept).collect();
    let next = write_next(vfs, dir, birth, &also, opening.now)?;
    let switch = Switch {
        from: plan.previous.map(|it| it.0),
        to: next.birth.wal_id,
        aside: Aside::Damaged(name.to_owned()),
        has_log: plan.has_log,
        last: next.last,
        chain: next.chain,
        at: opening.now,
    };
    begin(vfs, dir, &switch).map_err(|it| it.error)?;
    carry_through(vfs, dir, &switch)?;
    Ok(Repaired { plan, birth: next.birth, carried, not_carried })
}

/// Everything that another process may hold, until the repair is done.
struct Locks {
    _writer: Lock,
    _consumer: Lock,
    _files: Vec<Arc<dyn File>>,
}

fn lock_all(vfs: &dyn Vfs, opening: &Opening) -> Result<Locks, RepairError> {
    let dir = &*opening.dir;
    let writer = lock_dir(vfs, opening)?;
    // A switch that can be finished is no damage.
    if let Ok(Some(_)) = switch::read(vfs, dir)
        && let Err(error) = switch::roll_forward(vfs, dir, &opening.holder)
        && !matches!(error, RecoverError::Violation { .. })
    {
        return Err(error.into());
    }
    let path = dir.join(names::DRAIN_LOCK);
    let consumer = vfs.lock(&path, &opening.holder).map_err(|error| match error {
        LockError::Held { holder } => RepairError::DrainLocked { holder },
        LockError::Io(source) => at("lock", path.clone())(source).into(),
    })?;
    let mut files = Vec::new();
    for name in [names::WAL, names::NEXT] {
        files.extend(lock_named(vfs, dir, name)?);
    }
    Ok(Locks { _writer: writer, _consumer: consumer, _files: files })
}

/// The entries that hold, from the first on.
#[derive(Debug, Default)]
struct GoodPart {
    entries: u64,
    end: u64,
    node: Option<String>,
    previous: Option<(WalId, Chain)>,
}

fn good_part(file: &Arc<dyn File>) -> io::Result<GoodPart> {
    let mut frames = FrameReader::new(Arc::clone(file), 0);
    let mut scanner = Scanner::new(Trust::AllWhole);
    while let Next::Frame { offset, payload } = frames.next()? {
        if !matches!(scanner.frame(offset, payload), Ok(Verdict::Holds(_))) {
            break;
        }
    }
    let found = scanner.result(crate::Tail::Torn);
    let identity = found.identity.as_ref();
    Ok(GoodPart {
        entries: found.last.map_or(0, Seq::get),
        end: found.end,
        node: identity.and_then(|it| it.birth.as_ref()).map(|it| it.node.clone()),
        previous: identity.map(|it| (it.wal_id, found.chain)),
    })
}

/// A name under `damaged/` that nothing has yet.
fn free_name(vfs: &dyn Vfs, dir: &Path, now: Timestamp) -> Result<String, RepairError> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    for n in 1..=REPAIRS_MAX {
        let name = format!("{}/{time}-{n}", names::DAMAGED_DIR);
        let path = dir.join(&name);
        let free = vfs.stat(&path).map_err(at("read", path))?.is_none();
        if free || removed(Mutant::AsideFree) {
            return Ok(name);
        }
    }
    let full = io::ErrorKind::AlreadyExists.into();
    Err(at("create", dir.join(names::DAMAGED_DIR))(full).into())
}

/// Copies the small files, and gives a next log that no switch of ours explains another name.
fn keep_evidence(vfs: &dyn Vfs, dir: &Path, plan: &Plan) -> Result<(), RepairError> {
    if removed(Mutant::EvidenceKept) {
        return Ok(());
    }
    let folder = dir.join(&plan.aside);
    vfs.create_dir_all(&folder).map_err(at("create", folder.clone()))?;
    for name in EVIDENCE {
        if let Some(bytes) = read_some(vfs, &dir.join(name))? {
            let copy = folder.join(name);
            replace(vfs, &copy, &bytes).map_err(at("write", copy))?;
        }
    }
    let (next, copy) = (dir.join(names::NEXT), folder.join(names::NEXT));
    if let Some(bytes) = read_some(vfs, &next)? {
        replace(vfs, &copy, &bytes).map_err(at("write", copy))?;
        remove_if_there(vfs, &next)?;
    }
    Ok(())
}

/// The content of a small file, or its beginning.
fn read_some(vfs: &dyn Vfs, path: &Path) -> Result<Option<Vec<u8>>, RepairError> {
    let file = match vfs.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at("open", path.to_owned())(error).into()),
    };
    let mut bytes = vec![0; EVIDENCE_LEN_MAX];
    let read = file.read_at(&mut bytes, 0).map_err(at("read", path.to_owned()))?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// The second entry of the new log.
fn record(plan: &Plan, reason: &str, operator: &str) -> Event {
    let place = plan.violation.place();
    Event::new(Kind::Lifecycle)
        .with("event", "wal.repaired")
        .with("reason", reason)
        .with("operator", operator)
        .with("code", plan.violation.code())
        .with("error", plan.violation.to_string())
        .with_some("first_bad_seq", place.map(|it| it.0))
        .with_some("first_bad_offset", place.map(|it| it.1))
        .with("entries_aside", plan.held)
        .with("entries_not_delivered", plan.waiting)
        .with("bytes_aside", plan.bytes)
        .with("aside", plan.aside.as_str())
}

/// Why a log was not repaired.
#[derive(Debug, Error)]
pub enum RepairError {
    /// P3.
    #[error("telemetry/wal: WAL_NOT_DAMAGED — the log opens, there is nothing to repair")]
    NotDamaged,
    /// There is no log.
    #[error("no log in {}", dir.display())]
    NotFound {
        /// The directory.
        dir: PathBuf,
    },
    /// Nobody says why.
    #[error(
        "telemetry/wal: REPAIR_REASON_MISSING — a repair needs a reason of 1 to {TEXT_LEN_MAX} bytes"
    )]
    NoReason,
    /// A consumer is at work.
    #[error("telemetry/wal: DRAIN_LOCKED — the log is drained by {holder}")]
    DrainLocked {
        /// What the consumer says about itself.
        holder: String,
    },
    /// The log is in use, or the file system failed.
    #[error(transparent)]
    Recover(#[from] RecoverError),
}

impl RepairError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotDamaged => codes::WAL_NOT_DAMAGED,
            Self::NotFound { .. } => codes::WAL_NOT_FOUND,
            Self::NoReason => codes::REPAIR_REASON_MISSING,
            Self::DrainLocked { .. } => codes::DRAIN_LOCKED,
            Self::Recover(error) => error.code(),
        }
    }

    /// Returns what an operator does next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "check --dir: it is the --wal-dir of the runtime",
            Self::NotDamaged => "see `autonomy wal status --dir DIR`",
            Self::NoReason => "say why with --reason; it is recorded in the new log",
            Self::DrainLocked { .. } => "wait for the drain, then try again",
            Self::Recover(error) => error.hint(),
        }
    }
}
