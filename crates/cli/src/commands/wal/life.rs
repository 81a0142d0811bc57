//! `autonomy wal archive`, `repair` and `seal`: what replaces a log, and what vouches for one.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use api::exit::Exit;
use runtime::{CALLS_OPEN, CarryError, OpenCallsOfDamaged, StartError, carry_floor, open_intents};
use serde::Serialize;
use vfs::OsVfs;
use wal_recovery::{
    Durability, Opening, Overrides, RecoverError, RollOverError, RolledOver,
    archive::{self, ArchiveError, Archived, Keep, PackError, Pruned},
    codes,
    repair::{self, Order, Plan, RepairError},
    seal::{self, SealError},
};

use super::directory;
use crate::{
    args::{Output, WalArchive, WalRepair, WalSeal},
    commands::{print_json, print_pairs, runtime::host_node},
    context::Context,
    counted::counted,
    failure::{Failure, place},
};

/// What to do when somebody writes the log.
const ARCHIVE_LOCKED_HINT: &str = "a runtime archives its log by itself above --wal-max-bytes, once it is \
     delivered; to do it now, stop the runtime and run this again";
/// The same for a repair.
const REPAIR_LOCKED_HINT: &str =
    "stop the runtime, or wait for the other command, and run this again";

/// What `wal archive` says.
#[derive(Debug, Serialize)]
struct ArchiveResult {
    /// The log that went to the archive by this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    archived: Option<ArchivedLog>,
    /// Logs that were packed, those of earlier calls included.
    packed: Vec<PackedLog>,
    /// Logs that were not, and why. They stay as they are.
    failed: Vec<Problem>,
    /// Logs that were deleted because of `--keep-age` or `--keep-bytes`.
    deleted: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ArchivedLog {
    wal_id: String,
    entries: u64,
    bytes: u64,
    next_wal_id: String,
}

#[derive(Debug, Serialize)]
struct PackedLog {
    wal_id: String,
    entries: u64,
    bytes: u64,
    packed_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Problem {
    code: &'static str,
    message: String,
    hint: &'static str,
}

pub(super) fn archive(args: &WalArchive, context: Context<'_>) -> Result<Exit, Failure> {
    let opening = opening(directory(args.dir.as_deref(), context)?);
    // While the log is ours alone no call can begin behind the look at it.
    let ready = archive::begin(&OsVfs, opening.clone())?;
    nothing_open(&opening.dir)?;
    let archived = ready.archive(&OsVfs)?;
    // Before anything is deleted: the log that remembers it may be among that.
    carry_floor(&opening).map_err(not_carried)?;
    let keep = Keep { age: args.keep_age, bytes: args.keep_bytes.map(|it| it as u64) };
    let pruned = if keep == Keep::default() {
        Pruned::default()
    } else {
        archive::prune(&OsVfs, &opening.dir, keep, opening.now, &opening.holder)?
    };
    let exit = match &*archived.finished.failed {
        [] => Exit::Done,
        failed if failed.iter().any(|it| it.code() == codes::ARCHIVE_DAMAGED) => Exit::Integrity,
        _ => Exit::Partial,
    };
    let result = result(archived, &pruned);
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => tell(&result)?,
    }
    Ok(exit)
}

/// The log is archived, and the next one does not say what was active: nothing is deleted then.
fn not_carried(error: CarryError) -> Failure {
    let failure = match error {
        CarryError::Floor(error) => Failure::of(Exit::Integrity, error.code(), &error),
        CarryError::Log(StartError::Recover(error)) => error.into(),
        CarryError::Log(error) => Failure::of(Exit::Failed, "NOT_RECORDED", &error),
    };
    failure.hint(
        "the log is archived, and nothing was deleted; the next start of the runtime looks again",
    )
}

fn result(archived: Archived, pruned: &Pruned) -> ArchiveResult {
    let log = match archived.rolled {
        RolledOver::Nothing => None,
        RolledOver::Switched { from, entries, bytes, to } => Some(ArchivedLog {
            wal_id: from.to_string(),
            entries,
            bytes,
            next_wal_id: to.wal_id.to_string(),
        }),
    };
    let packed = archived.finished.packed.iter().map(|it| PackedLog {
        wal_id: it.wal_id.to_string(),
        entries: it.entries,
        bytes: it.raw.bytes,
        packed_bytes: it.packed.bytes,
    });
    let failed = archived.finished.failed.iter().map(|it| Problem {
        code: it.code(),
        message: it.to_string(),
        hint: it.hint(),
    });
    ArchiveResult {
        archived: log,
        packed: packed.collect(),
        failed: failed.collect(),
        deleted: pruned.deleted.iter().map(ToString::to_string).collect(),
    }
}

fn tell(result: &ArchiveResult) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match &result.archived {
        None => writeln!(stdout, "nothing to archive: the log holds nothing but its first entry")?,
        Some(log) => {
            let ArchivedLog { wal_id, entries, bytes, next_wal_id } = log;
            // With nothing but its first entry it would not have gone: there are two at least.
            writeln!(stdout, "archived {wal_id}: {entries} entries, {bytes} bytes")?;
            writeln!(stdout, "the log is now {next_wal_id}")?;
        }
    }
    for PackedLog { wal_id, bytes, packed_bytes, .. } in &result.packed {
        writeln!(stdout, "packed {wal_id}: {bytes} bytes into {packed_bytes}")?;
    }
    for wal_id in &result.deleted {
        writeln!(stdout, "deleted {wal_id}")?;
    }
    stdout.flush()?;
    let mut stderr = io::stderr().lock();
    for Problem { message, hint, .. } in &result.failed {
        writeln!(stderr, "error: {message}\nhint: {hint}")?;
    }
    Ok(())
}

/// What `wal repair` says.
#[derive(Debug, Serialize)]
struct RepairResult {
    dir: String,
    /// `WAL_REPAIRED` when it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    code: &'static str,
    problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bad_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_bad_offset: Option<u64>,
    /// Entries before the damage; they go aside with the log.
    entries_held: u64,
    /// Those of them that no consumer has accepted.
    entries_waiting: u64,
    bytes: u64,
    /// Where everything goes, below the directory.
    aside: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_wal_id: Option<String>,
    /// The log now.
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_id: Option<String>,
    /// Calls that were allowed in the old log and have no outcome: the new log says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_unknown: Option<usize>,
    /// Such calls for which the new log has no room; the old log has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls_left_out: Option<usize>,
}

pub(super) fn repair(args: &WalRepair, context: Context<'_>) -> Result<Exit, Failure> {
    let opening = opening(directory(args.dir.as_deref(), context)?);
    let (plan, done) = match &args.reason {
        None => (repair::plan_repair(&OsVfs, &opening.dir, opening.now)?, None),
        Some(reason) => {
            let operator = args.operator.clone().unwrap_or_else(user);
            let order = Order { reason: reason.clone(), operator };
            let mut calls = OpenCallsOfDamaged::default();
            let repaired = repair::repair(&OsVfs, &opening, &order, &mut calls)?;
            (repaired.plan.clone(), Some(repaired))
        }
    };
    let place = plan.violation.place();
    let result = RepairResult {
        dir: opening.dir.display().to_string(),
        result: done.as_ref().map(|_| codes::WAL_REPAIRED),
        code: plan.violation.code(),
        problem: format!("telemetry/wal: {}", plan.violation),
        first_bad_seq: place.map(|it| it.0),
        first_bad_offset: place.map(|it| it.1),
        entries_held: plan.held,
        entries_waiting: plan.waiting,
        bytes: plan.bytes,
        aside: plan.aside.clone(),
        previous_wal_id: plan.previous.map(|it| it.0.to_string()),
        wal_id: done.as_ref().map(|it| it.birth.wal_id.to_string()),
        calls_unknown: done.as_ref().map(|it| it.carried),
        calls_left_out: done.as_ref().map(|it| it.not_carried).filter(|it| *it > 0),
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => print_pairs(&pairs(&result, &plan))?,
    }
    Ok(Exit::Done)
}

fn pairs(result: &RepairResult, plan: &Plan) -> Vec<(&'static str, String)> {
    let mut pairs = vec![("dir", result.dir.clone()), ("problem", result.problem.clone())];
    pairs.extend(place(&plan.violation).map(|it| ("place", it)));
    pairs.push(("entries before it", plan.held.to_string()));
    pairs.push(("not delivered", plan.waiting.to_string()));
    match &result.wal_id {
        None => {
            pairs.push(("would go to", plan.aside.clone()));
            pairs.push(("next", "repair with --reason \"…\"; nothing was changed".to_owned()));
        }
        Some(wal_id) => {
            pairs.push(("put aside in", plan.aside.clone()));
            pairs.push(("result", codes::WAL_REPAIRED.to_owned()));
            pairs.push(("wal_id", wal_id.clone()));
            let calls = result.calls_unknown.unwrap_or_default();
            pairs.push(("calls unknown", calls.to_string()));
            pairs.extend(result.calls_left_out.map(|it| ("left out", it.to_string())));
        }
    }
    pairs
}

/// What `wal seal` says.
#[derive(Debug, Serialize)]
struct SealResult {
    wal_id: String,
    seq: u64,
    chain: String,
    time: String,
    file: String,
}

pub(super) fn seal(args: &WalSeal, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let pem = fs::read_to_string(&args.key).map_err(|it| Failure::file("read", &args.key, &it))?;
    let key = seal::signing_key(&pem)?;
    let sealed = seal::seal(&OsVfs, &dir, &key, jiff::Timestamp::now())?;
    let result = SealResult {
        wal_id: sealed.wal_id.to_string(),
        seq: sealed.seq.get(),
        chain: sealed.chain.to_string(),
        time: format!("{:.6}", sealed.at),
        file: dir.join(wal_format::names::SEAL).display().to_string(),
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => print_pairs(&[
            ("wal_id", result.wal_id),
            ("seq", result.seq.to_string()),
            ("chain", result.chain),
            ("time", result.time),
            ("file", result.file),
        ])?,
    }
    Ok(Exit::Done)
}

/// The next start of the runtime looks for calls without an outcome in the live log only, so a log
/// that has some must still be live then.
fn nothing_open(dir: &Path) -> Result<(), Failure> {
    // Whatever is wrong with the log, the archive says it in its own words.
    let Ok(open) = open_intents(&OsVfs, dir) else { return Ok(()) };
    let Some(first) = open.first() else { return Ok(()) };
    let (count, seq) = (open.len(), first.seq);
    let have = if count == 1 { "has" } else { "have" };
    let calls = counted(count, "allowed call");
    let message = format!("{calls} {have} no outcome yet, the first at seq {seq}");
    Err(Failure::new(Exit::Conflict, CALLS_OPEN, message).hint(
        "a running call ends by itself; after a crash start the runtime once, which records the \
         outcome as unknown, then drain and archive",
    ))
}

/// How these commands open a log: as it is, without any override.
fn opening(dir: PathBuf) -> Opening {
    let now = jiff::Timestamp::now();
    Opening {
        dir,
        node: host_node(),
        random: *uuid::Uuid::new_v4().as_bytes(),
        now,
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: format!("pid {} since {now:.0}", std::process::id()),
    }
}

fn user() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Recover(error @ RecoverError::Locked { .. }) => {
                Self::from(error).hint(ARCHIVE_LOCKED_HINT)
            }
            ArchiveError::Recover(error)
            | ArchiveError::RollOver(RollOverError::NotBegun(error)) => error.into(),
            ArchiveError::Pack(error) => error.into(),
            ArchiveError::NotFound { .. } => {
                Self::of(Exit::NotFound, error.code(), &error).hint(error.hint())
            }
            ArchiveError::RollOver(error) => {
                let exit = match &error {
                    RollOverError::NotDrained { .. } | RollOverError::NoPosition { .. } => {
                        Exit::Conflict
                    }
                    RollOverError::DrainLocked { .. } => Exit::Busy,
                    RollOverError::NotBegun(_) | RollOverError::Log(_) => Exit::Failed,
                };
                Self::of(exit, error.code(), &error).hint(error.hint())
            }
        }
    }
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        let exit = match &error {
            PackError::NotFound { .. } => Exit::NotFound,
            PackError::Locked { .. } => Exit::Busy,
            PackError::Damaged { .. } => Exit::Integrity,
            PackError::Io { .. } => Exit::Failed,
        };
        Self::of(exit, error.code(), &error).hint(error.hint())
    }
}

impl From<RepairError> for Failure {
    fn from(error: RepairError) -> Self {
        let exit = match error {
            RepairError::Recover(error @ RecoverError::Locked { .. }) => {
                return Self::from(error).hint(REPAIR_LOCKED_HINT);
            }
            RepairError::Recover(error) => return error.into(),
            RepairError::NotDamaged => Exit::Conflict,
            RepairError::NotFound { .. } => Exit::NotFound,
            RepairError::NoReason => Exit::Usage,
            RepairError::DrainLocked { .. } => Exit::Busy,
        };
        Self::of(exit, error.code(), &error).hint(error.hint())
    }
}

impl From<SealError> for Failure {
    fn from(error: SealError) -> Self {
        let exit = match error {
            SealError::Read(error) => return error.into(),
            SealError::NotFound { .. } | SealError::NoChain => Exit::NotFound,
            SealError::Invalid { .. } | SealError::KeyMismatch | SealError::Contradicted { .. } => {
                Exit::Integrity
            }
            SealError::Key { .. } => Exit::Usage,
            SealError::Io { .. } => Exit::Failed,
        };
        Self::of(exit, error.code(), &error).hint(error.hint())
    }
}
