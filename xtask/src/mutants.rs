//! Takes the protections of the log away, one at a time, and sees that a test misses each.
//!
//! The tests of `wal-recovery` are built once, with the feature `mutants`. Each row below names a
//! protection, the rule that it keeps, and a test. That test must pass in a process that has all
//! protections, and fail in one that goes without this one. A mutant that survives is a missing test:
//! the answer is a test, never a weaker mutant.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Histories of the crash models in each run; a protection that is missed is missed early.
const SEEDS: &str = "0..1000";

/// What is left out, the rule it keeps, and who misses it.
///
/// A name of one word is a switch in the code (`wal_recovery::mutants`); one of two is an operation
/// that `MemVfs` only pretends to do, and the file it does it to.
type Row = (&'static str, &'static str, &'static str);

const MODEL: &str = "crash_model::nothing_acknowledged_is_lost_and_nothing_is_made_up";
const LIFE: &str = "crash_life::every_acknowledged_entry_is_in_the_log_the_archive_or_aside";
const ROLL_OVER: &str = "crash_life::every_step_of_a_roll_over_and_an_archive_can_be_the_last";
const RESTART: &str =
    "crash_life::every_step_of_the_start_after_a_crashed_roll_over_can_be_the_last";
const REPAIR: &str = "crash_life::every_step_of_a_repair_can_be_the_last";
const DELETION: &str = "known_faults_life::every_step_of_a_deletion_can_be_the_last";
const BROKEN: &str =
    "known_faults_life::a_switch_that_does_not_fit_is_refused_and_never_guessed_at";
const PACKING: &str =
    "known_faults_life::packing_that_fails_leaves_the_log_as_it_was_and_the_next_call_finishes";

#[rustfmt::skip]
const APPEND: &[Row] = &[
    ("sync telemetry.wal", "W1: frames are synced before the answer", MODEL),
    ("sync telemetry.safe_seq", "W2, strict: the safe point is synced", MODEL),
    ("sync telemetry.safe_seq.tmp", "P1: a replaced file is synced before it takes the name", MODEL),
    ("sync_dir wal", "V1: names are synced", MODEL),
    ("set_len telemetry.wal", "W4, W7, recovery: what is behind the end is cut", MODEL),
    ("lock telemetry.lock", "one writer: the lock of the directory", "known_faults::two_processes_never_write_one_log"),
    ("lock_file telemetry.wal", "one writer: the lock of the log itself", "known_faults::a_deleted_lock_file_does_not_make_room_for_a_second_writer"),
    ("DataBeforeSafePoint", "W2: the order of data and safe point", MODEL),
    ("SafePointBeforeAnswer", "W5: the safe point is written before the answer", MODEL),
    ("StrictSync", "strict: the safe point is synced before the answer", MODEL),
    ("Poison", "W3: a failed write or sync poisons the log", "known_faults::a_failed_write_or_sync_poisons_the_log_and_is_never_repeated"),
    ("CutOnFullDisk", "W4: a group that did not fit is cut off", "known_faults::a_full_disk_costs_the_group_and_nothing_else"),
    ("NamesChecked", "W6: the names are looked at before the answer", "known_faults::a_file_that_is_removed_or_replaced_under_the_writer_ends_it"),
];

#[rustfmt::skip]
const RECOVERY: &[Row] = &[
    ("Rewrite", "recovery: what is kept behind the safe point is written again", "known_faults::a_failed_write_or_sync_poisons_the_log_and_is_never_repeated"),
    ("SafePointMovesUp", "recovery: the safe point moves up to what is kept", "known_faults::entries_behind_the_safe_point_prove_themselves_and_are_kept"),
    ("SafePointBeforeLog", "recovery: a new log has its safe point first", MODEL),
    ("ChainCheck", "scan: chain values are compared", MODEL),
    ("Contiguous", "R1, R2: numbers begin at 1 and have no gaps", "known_faults::r2_numbers_are_contiguous_in_the_committed_range"),
    ("SafePointInside", "R3: the safe point is not beyond the last entry", "known_faults::r3_the_safe_point_is_in_the_log"),
    ("PhantomsNeedAChain", "scan: behind the safe point only a chain proves a frame", "wal_recovery::scan::tests::only_a_chain_speaks_for_a_frame_behind_the_safe_point"),
    ("ReaderStops", "B1: readers stop at the safe point", "follow::a_reader_reads_on_where_it_stopped"),
];

#[rustfmt::skip]
const SWITCH: &[Row] = &[
    ("NextSynced", "S1: the next log is synced before a switch names it", ROLL_OVER),
    ("SwitchFirst", "S2: the switch is written before anything is switched", ROLL_OVER),
    ("sync telemetry.switch.tmp", "S2: the switch is synced before it takes its name", ROLL_OVER),
    ("SwitchDurable", "T1: a switch that was found is made durable before it is carried through", RESTART),
    ("LinkBeforeRename", "T2: the old log has two names before it loses one", ROLL_OVER),
    ("AsideNameSynced", "S3, T2: the second name is durable before the first goes", ROLL_OVER),
    ("PositionBegins", "S5: a new log has a position of 0", "known_faults_life::a_roll_over_that_fails_leaves_the_log_usable_or_poisoned_and_loses_nothing"),
    ("ForgottenBeforeSwitchEnd", "S5: cursors and seal are gone for good before the switch is", ROLL_OVER),
    ("SwitchEndSynced", "S6, T3: the switch is gone for good before anything is appended", ROLL_OVER),
    ("NewLogAsNamed", "T3: the new log is what the switch says", BROKEN),
    ("OldLogAsNamed", "T3: the old log is the one that the switch is about", BROKEN),
    ("SwitchLookedAtAgain", "T4: a reader looks for the switch again", "between::a_survey_describes_the_old_log_or_the_new_one"),
    ("NameLookedAtAgain", "T4: a reader looks at the name of the log again", "between::a_reader_gives_out_the_old_log_or_the_new_one"),
];

#[rustfmt::skip]
const ARCHIVE: &[Row] = &[
    ("Delivered", "A1: only what was delivered goes to the archive", "known_faults_life::a_log_that_is_not_delivered_stays_and_goes_on"),
    ("lock telemetry.drain.lock", "A1: no consumer is at work meanwhile", "known_faults_life::a_consumer_at_work_is_not_waited_for"),
    ("NameFree", "A2: a log takes no name that another has", "known_faults_life::a_log_whose_name_is_taken_in_the_archive_stays"),
    ("SettledBeforeArchive", "W7: a log ends with its last entry before it is archived", "known_faults_life::an_archived_log_that_is_not_what_it_was_is_found"),
    ("SealKept", "the seal goes to the archive with its log", ROLL_OVER),
    ("PackedReadBack", "A2: what was packed is read back", "known_faults_life::a_packed_log_that_does_not_come_back_is_not_trusted"),
    ("PackedCompared", "A2: what was read back is compared with what was packed", "known_faults_life::a_packed_log_that_comes_back_as_another_is_not_trusted"),
    ("sync telemetry-*", "A2: packed logs and their descriptions are synced", ROLL_OVER),
    ("sync_dir archive", "A2: names in the archive are synced", ROLL_OVER),
    ("DescribedFirst", "A2: a log is removed after its description is durable", PACKING),
    ("SealGoesLast", "A2: the copy of a seal is removed after the log", ROLL_OVER),
    ("RemovalSynced", "prune: the packed log is gone for good before its description", DELETION),
    ("DescriptionGoesLast", "prune: the packed log goes before its description", DELETION),
    ("PackedOnly", "A3: only what is packed, and there in no other form, is deleted", "known_faults_life::a_log_that_is_in_the_archive_as_it_was_is_not_deleted"),
    ("lock telemetry.archive.lock", "one process packs or deletes", "known_faults_life::one_process_at_a_time_packs_or_deletes"),
];

#[rustfmt::skip]
const REPAIR_AND_SEAL: &[Row] = &[
    ("OnlyDamaged", "P3: a log that opens is never repaired", "known_faults_life::a_healthy_log_is_not_repaired_and_a_repair_needs_a_reason"),
    ("AsideFree", "P1: a damaged log goes where nothing is yet", LIFE),
    ("sync_dir 20260102T*", "P1: the second name of a damaged log is durable", REPAIR),
    ("EvidenceKept", "the small files of a damaged log are kept", BROKEN),
    ("NotContradicted", "L2: a seal is not replaced by one that contradicts it", "seals::a_log_that_lost_sealed_entries_or_was_rewritten_is_not_sealed_again"),
    ("SignatureChecked", "L3: the signature of a seal is checked", "seals::a_seal_of_another_key_and_a_changed_one_do_not_count"),
    ("SignatureStrict", "L3: keys that sign everything are refused", "seals::a_key_that_signs_everything_is_refused"),
    ("sync telemetry.seal.tmp", "P1: a seal is synced before it takes its name", ROLL_OVER),
];

/// Where the tests are, by the names of their programs.
type Programs = BTreeMap<String, PathBuf>;

/// Runs all of them, as many at a time as there are cores. `false` when one was missed by nobody.
pub(crate) fn run() -> bool {
    let rows: Vec<Row> = [APPEND, RECOVERY, SWITCH, ARCHIVE, REPAIR_AND_SEAL].concat();
    let Some(programs) = build() else { return false };
    let tests: BTreeSet<_> = rows.iter().map(|it| it.2).collect();
    let tests: Vec<_> = tests.into_iter().collect();
    let passed = in_parallel(&tests, |test| {
        let passed = run_test(&programs, test, None) == Some(true);
        if !passed {
            eprintln!("  FAILED    {test}: without any mutant");
        }
        passed
    });
    if passed.contains(&false) {
        return false;
    }
    eprintln!("{} tests pass with every protection; without it:", tests.len());
    let caught = in_parallel(&rows, |(mutant, rule, test)| {
        let caught = run_test(&programs, test, Some(mutant)) == Some(false);
        if caught {
            eprintln!("  caught    {mutant:<28} {rule}");
        } else {
            eprintln!("  SURVIVED  {mutant:<28} {rule}\n            not missed by {test}");
        }
        caught
    });
    let count = caught.iter().filter(|it| **it).count();
    eprintln!("{count} of {} mutants caught", rows.len());
    count == rows.len()
}

/// Does one job after the other on each core. The answers have the order of the jobs.
fn in_parallel<T: Sync>(jobs: &[T], work: impl Fn(&T) -> bool + Sync) -> Vec<bool> {
    let next = AtomicUsize::new(0);
    let take = || {
        let at = next.fetch_add(1, Ordering::Relaxed);
        jobs.get(at).map(|job| (at, job))
    };
    let answers = Mutex::new(vec![false; jobs.len()]);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let worker = || {
        while let Some((at, job)) = take() {
            let answer = work(job);
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.iter_mut().skip(at).take(1).for_each(|it| *it = answer);
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(worker);
        }
    });
    answers.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Builds the tests and returns their programs.
fn build() -> Option<Programs> {
    let args = ["test", "-p", "wal-recovery", "--features", "mutants", "--no-run", "--lib"];
    let mut command = super::command(&args);
    command.args(["--tests", "--message-format=json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    let messages = text.lines().filter_map(|it| serde_json::from_str(it).ok());
    let programs = messages.filter_map(|it: serde_json::Value| {
        it.get("profile")?.get("test")?.as_bool()?.then_some(())?;
        let name = it.get("target")?.get("name")?.as_str()?.replace('-', "_");
        Some((name, PathBuf::from(it.get("executable")?.as_str()?)))
    });
    Some(programs.collect())
}

/// Runs one test, and nothing else. `None` when there is none of this name.
fn run_test(programs: &Programs, test: &str, mutant: Option<&str>) -> Option<bool> {
    let (program, name) = test.split_once("::")?;
    let mut command = Command::new(programs.get(program)?);
    command.args(["--exact", name]);
    command.env("AUTONOMY_CRASH_SEEDS", SEEDS).env("RUST_BACKTRACE", "0");
    command.env_remove("AUTONOMY_MUTANT").envs(mutant.map(|it| ("AUTONOMY_MUTANT", it)));
    let output = command.current_dir(super::root().join("crates/wal-recovery")).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.contains("running 1 test\n").then(|| output.status.success())
}
