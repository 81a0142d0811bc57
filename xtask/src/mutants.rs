//! Takes the protections of the log away, one at a time, and sees that a test misses each.
//!
//! The tests of `wal-recovery` are built once, with the feature `mutants`, and run once for each
//! name below in a process that leaves that protection out. Without any name left out they must
//! pass; with one they must fail. A mutant that survives is a missing test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Histories of the crash models in each run; a protection that is missed is missed early.
const SEEDS: &str = "0..1500";
/// The tests that miss most are asked first.
const FIRST: [&str; 2] = ["known_faults-", "crash_model-"];

/// Begins the name of the one test that takes longer than all others together: it is asked last.
const SLOW: &str = "every_single_flipped_bit";

/// What is left out, and the rule it protects. A name of one word is a switch in the writer or the
/// recovery (`wal_recovery::mutants`); one of two is an operation that `MemVfs` only pretends to do.
const MUTANTS: &[(&str, &str)] = &[
    ("sync telemetry.wal", "W1: frames are synced before the answer"),
    ("sync telemetry.safe_seq", "W2, strict: the safe point is synced"),
    ("sync telemetry.safe_seq.tmp", "P1: a replaced file is synced before it takes the name"),
    ("sync_dir wal", "V1: names are synced"),
    ("set_len telemetry.wal", "W4, W7, recovery: what is behind the end is cut"),
    ("lock telemetry.lock", "one writer: the lock of the directory"),
    ("lock_file telemetry.wal", "one writer: the lock of the log itself"),
    ("DataBeforeSafePoint", "W2: the order of data and safe point"),
    ("SafePointBeforeAnswer", "W5: the safe point is written before the answer"),
    ("StrictSync", "strict: the safe point is synced before the answer"),
    ("Poison", "W3: a failed write or sync poisons the log"),
    ("CutOnFullDisk", "W4: a group that did not fit is cut off"),
    ("NamesChecked", "W6: the names are looked at before the answer"),
    ("Rewrite", "recovery: what is kept behind the safe point is written again"),
    ("SafePointMovesUp", "recovery: the safe point moves up to what is kept"),
    ("SafePointBeforeLog", "recovery: a new log has its safe point first"),
    ("ChainCheck", "scan: chain values are compared"),
    ("Contiguous", "R1, R2: numbers begin at 1 and have no gaps"),
    ("SafePointInside", "R3: the safe point is not beyond the last entry"),
    ("PhantomsNeedAChain", "scan: behind the safe point only a chain proves a frame"),
    ("ReaderStops", "B1: readers stop at the safe point"),
];

/// Runs all of them and prints who missed what. `false` when one was missed by nobody.
pub(crate) fn run() -> bool {
    let Some(tests) = build() else { return false };
    eprintln!("without any mutant, the tests pass:");
    for test in &tests {
        if let Err(failed) = run_test(test, None, &[]) {
            eprintln!("  no: {} fails: {failed}", test.display());
            return false;
        }
    }
    let mut survivors = 0;
    for (mutant, rule) in MUTANTS {
        let missed = |args| tests.iter().find_map(|it| run_test(it, Some(mutant), args).err());
        if let Some(test) = missed(&["--skip", SLOW]).or_else(|| missed(&[SLOW])) {
            eprintln!("  caught    {mutant:<28} {rule}\n            by {test}");
        } else {
            survivors += 1;
            eprintln!("  SURVIVED  {mutant:<28} {rule}");
        }
    }
    eprintln!("{} of {} mutants caught", MUTANTS.len() - survivors, MUTANTS.len());
    survivors == 0
}

/// Builds the tests and returns their programs.
fn build() -> Option<Vec<PathBuf>> {
    let args = ["test", "-p", "wal-recovery", "--features", "mutants", "--no-run", "--lib"];
    let mut command = super::command(&args);
    command.args(["--tests", "--message-format=json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let messages = text.lines().filter_map(|it| serde_json::from_str(it).ok());
    let tests = messages.filter_map(|it: serde_json::Value| {
        it.get("profile")?.get("test")?.as_bool()?.then_some(())?;
        it.get("executable")?.as_str().map(PathBuf::from)
    });
    let mut tests: Vec<_> = tests.collect();
    tests.sort_by_key(|it| {
        let name = it.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        FIRST.iter().position(|first| name.starts_with(first)).unwrap_or(FIRST.len())
    });
    Some(tests)
}

/// Runs one program of tests. The error is the name of a test that failed.
fn run_test(test: &Path, mutant: Option<&str>, args: &[&str]) -> Result<(), String> {
    let mut command = Command::new(test);
    command.args(args);
    command.env("AUTONOMY_CRASH_SEEDS", SEEDS).env("RUST_BACKTRACE", "0");
    command.env_remove("AUTONOMY_MUTANT").envs(mutant.map(|it| ("AUTONOMY_MUTANT", it)));
    let output = command.current_dir(super::root().join("crates/wal-recovery")).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = said.lines().find_map(|it| it.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    Err(failed.unwrap_or("a test that ended the process").to_owned())
}
