//! Faults by name: what is done to a log, and the one right answer.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod harness;

use std::{io, path::Path};

use harness::{DIR, entry, foreign_frames, frames, open, opening, oracle, read, write};
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, Op, Vfs as _};
use wal_format::{Origin, Seq, names};
use wal_recovery::{
    AppendError, Decision, Opening, Overrides, Reader, RecoverError, SurveyError, Violation, codes,
    recover, survey,
};

const LEGACY: Overrides = Overrides { legacy_upgrade: true, operator_reset: false };
const RESET: Overrides = Overrides { legacy_upgrade: false, operator_reset: true };

/// A log of `count` entries after its birth, closed cleanly.
fn log_of(count: u64) -> MemVfs {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    for id in 1..=count {
        writer.commit(&[entry(id, 10)]).unwrap();
    }
    writer.close().unwrap();
    vfs
}

fn foreign(seqs: &[u64], safe: u64) -> MemVfs {
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, &foreign_frames(seqs.iter().copied()));
    write(&vfs, names::SAFE_SEQ, &safe.to_le_bytes());
    vfs
}

fn with(overrides: Overrides) -> Opening {
    Opening { overrides, ..opening() }
}

/// Every file of the directory but the lock, which an attempt may create.
fn files(vfs: &MemVfs) -> Vec<(String, Vec<u8>)> {
    let names = vfs.list(Path::new(DIR)).unwrap();
    let names = names.into_iter().filter(|it| it != names::LOCK);
    names.map(|it| (it.clone(), read(vfs, &it).unwrap())).collect()
}

/// The log is refused with this text, twice, and nothing changes.
#[track_caller]
fn refused(vfs: &MemVfs, want: &str) -> Violation {
    let before = files(vfs);
    let mut last = None;
    for _ in 0..2 {
        match recover(vfs, &opening()) {
            Err(error @ RecoverError::Violation { .. }) => {
                assert_eq!(error.to_string(), want);
                let RecoverError::Violation { violation, .. } = error else { unreachable!() };
                last = Some(violation);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(files(vfs), before);
    last.unwrap()
}

const MISSING: &str = "telemetry/wal: safe_seq missing in steady-state at \
    \"/wal/telemetry.safe_seq\"; to upgrade from a pre-Phase-1 WAL set \
    AUTONOMYOPS_WAL_LEGACY_UPGRADE=1; to accept telemetry loss after deleting telemetry.wal set \
    AUTONOMYOPS_WAL_OPERATOR_RESET=1";

#[test]
fn row_a_a_first_run_starts_a_log() {
    for overrides in [Overrides::default(), LEGACY, RESET] {
        let vfs = MemVfs::default();
        let recovered = recover(&vfs, &with(overrides)).unwrap();
        assert_eq!(recovered.report.decision, Decision::Initialize);
        let reset = overrides.operator_reset;
        let origin = if reset { Origin::OperatorReset } else { Origin::FirstRun };
        assert_eq!(recovered.report.identity.origin, origin);
        assert_eq!(recovered.report.is_reset(), reset, "a reset that was asked for is marked");
        assert_eq!(read(&vfs, names::SAFE_SEQ).unwrap(), 1_u64.to_le_bytes());
        assert_eq!(oracle::parse(&frames(&vfs)).unwrap().len(), 1);
    }
}

#[test]
fn row_b_an_operator_reset_starts_over_and_forgets_the_progress() {
    let vfs = log_of(3);
    write(&vfs, names::POS, &4_u64.to_le_bytes());
    write(&vfs, names::CURSORS, b"{}");
    vfs.remove(&Path::new(DIR).join(names::WAL)).unwrap();
    vfs.remove(&Path::new(DIR).join(names::SAFE_SEQ)).unwrap();
    refused(&vfs, MISSING);
    assert!(recover(&vfs, &with(LEGACY)).is_err(), "the wrong override opens nothing");
    let recovered = recover(&vfs, &with(RESET)).unwrap();
    assert_eq!(recovered.report.decision, Decision::InitializeAudited);
    assert_eq!(recovered.report.identity.origin, Origin::OperatorReset);
    assert_eq!(read(&vfs, names::POS).unwrap(), 0_u64.to_le_bytes());
    assert_eq!(read(&vfs, names::CURSORS), None);
    drop(recovered);
    open(&vfs).unwrap();
}

#[test]
fn row_c_a_legacy_upgrade_adopts_every_whole_frame() {
    let vfs = MemVfs::default();
    let mut log = foreign_frames(1..=5);
    let whole = log.len();
    log.extend_from_slice(&foreign_frames(6..=6)[..20]);
    write(&vfs, names::WAL, &log);
    refused(&vfs, MISSING);
    assert!(recover(&vfs, &with(RESET)).is_err(), "the wrong override opens nothing");
    let recovered = recover(&vfs, &with(LEGACY)).unwrap();
    assert_eq!(recovered.report.decision, Decision::AdoptAll);
    assert_eq!(recovered.report.identity.origin, Origin::Adopted);
    drop(recovered);
    let after = read(&vfs, names::WAL).unwrap();
    assert_eq!(after[..whole], log[..whole], "the frames of others are kept byte for byte");
    assert_eq!(oracle::parse(&after).unwrap().len(), 6);
    // The override is for one start; the next needs none and sees the same identity.
    let id = |it: &MemVfs| recover(it, &opening()).unwrap().report.identity;
    assert_eq!(id(&vfs), id(&vfs));
    // The first chained entry covers what others wrote.
    let mut flipped = after;
    flipped[60] ^= 1;
    write(&vfs, names::WAL, &flipped);
    assert!(matches!(open(&vfs), Err(RecoverError::Violation { .. })));
}

#[test]
fn row_d_a_used_directory_without_a_safe_point_is_refused() {
    for evidence in [names::POS, names::CURSORS, names::ACTIVE_LOCK] {
        let vfs = MemVfs::default();
        write(&vfs, evidence, &[0; 8]);
        refused(&vfs, MISSING);
    }
    let vfs = MemVfs::default();
    vfs.create_dir_all(&Path::new(DIR).join(names::ARCHIVE_DIR)).unwrap();
    assert_eq!(open(&vfs).unwrap_err().code(), codes::SAFESEQ_NOT_FOUND);
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, b"");
    refused(&vfs, MISSING);
}

#[test]
fn row_e_a_safe_point_of_the_wrong_size_is_refused() {
    for len in [0, 7, 9, 1000] {
        let vfs = log_of(3);
        write(&vfs, names::SAFE_SEQ, &vec![1; len]);
        for overrides in [LEGACY, RESET] {
            assert_eq!(recover(&vfs, &with(overrides)).unwrap_err().code(), codes::SAFESEQ_CORRUPT);
        }
        refused(
            &vfs,
            &format!("telemetry/wal: SAFESEQ_CORRUPT — safe_seq is {len} bytes long (expected 8)"),
        );
    }
}

#[test]
fn r1_the_first_number_is_one() {
    let vfs = foreign(&[2, 3], 3);
    refused(&vfs, "telemetry/wal: FIRST_SEQ_NOT_ONE — first frame Seq=2 (expected 1)");
    let vfs = foreign(&[0, 1], 1);
    refused(&vfs, "telemetry/wal: FIRST_SEQ_NOT_ONE — first frame Seq=0 (expected 1)");
}

#[test]
fn r2_numbers_are_contiguous_in_the_committed_range() {
    let vfs = foreign(&[1, 3], 3);
    let violation =
        refused(&vfs, "telemetry/wal: SEQ_GAP — frame Seq=3 follows Seq=1 (expected 2)");
    let first = foreign_frames([1]).len() as u64;
    assert_eq!(violation.place(), Some((2, first)));
    refused(
        &foreign(&[1, 1], 2),
        "telemetry/wal: SEQ_GAP — frame Seq=1 follows Seq=1 (expected 2)",
    );
    // Beyond the safe point it is a phantom.
    let vfs = foreign(&[1, 3], 1);
    let recovered = recover(&vfs, &opening()).unwrap();
    assert_eq!((recovered.report.phantoms, recovered.report.last.map(Seq::get)), (1, Some(1)));
}

#[test]
fn r3_the_safe_point_is_in_the_log() {
    let want = "telemetry/wal: SAFESEQ_GT_MAXSEQ — safe_seq=7 but maxSeq=5";
    refused(&foreign(&[1, 2, 3, 4, 5], 7), want);
    let vfs = log_of(4);
    write(&vfs, names::SAFE_SEQ, &7_u64.to_le_bytes());
    refused(&vfs, want);
    // A log that vanished, was emptied, or was zeroed is the same loss.
    let lost = "telemetry/wal: SAFESEQ_GT_MAXSEQ — safe_seq=5 but maxSeq=0";
    let vfs = log_of(4);
    vfs.remove(&Path::new(DIR).join(names::WAL)).unwrap();
    refused(&vfs, lost);
    for zeros in [0, 3, 70_000] {
        let vfs = log_of(4);
        write(&vfs, names::WAL, &vec![0; zeros]);
        refused(&vfs, lost);
    }
}

#[test]
fn a_committed_frame_that_is_torn_is_a_lost_tail_and_not_a_torn_one() {
    let whole = read(&log_of(4), names::WAL).unwrap();
    for cut in 1..40 {
        let vfs = log_of(4);
        write(&vfs, names::WAL, &whole[..whole.len() - cut]);
        refused(&vfs, "telemetry/wal: SAFESEQ_GT_MAXSEQ — safe_seq=5 but maxSeq=4");
    }
}

#[test]
fn a_committed_payload_is_json() {
    let mut log = foreign_frames(1..=3);
    let at = log.len();
    log.extend_from_slice(&[0, 0, 0, 9]);
    log.extend_from_slice(b"{\"seq\":4,");
    let vfs = foreign(&[], 4);
    write(&vfs, names::WAL, &log);
    let violation = refused(
        &vfs,
        "telemetry/wal: WAL_CORRUPT_INVALID_JSON — frame at Seq=4 contains invalid JSON",
    );
    assert_eq!(violation.place(), Some((4, at as u64)));
    write(&vfs, names::SAFE_SEQ, &3_u64.to_le_bytes());
    assert_eq!(recover(&vfs, &opening()).unwrap().report.phantoms, 1);
}

#[test]
fn a_committed_length_is_possible() {
    let mut log = foreign_frames(1..=2);
    log.extend_from_slice(&[0xff; 64]);
    let vfs = foreign(&[], 3);
    write(&vfs, names::WAL, &log);
    refused(
        &vfs,
        "telemetry/wal: WAL_CORRUPT_FRAME — frame at Seq=3 has an impossible length of 4294967295 bytes",
    );
    let mut log = foreign_frames(1..=2);
    log.extend_from_slice(&[0; 64]);
    log.push(1);
    write(&vfs, names::WAL, &log);
    refused(
        &vfs,
        "telemetry/wal: WAL_CORRUPT_FRAME — frame at Seq=3 has an impossible length of 0 bytes",
    );
}

#[test]
fn a_frame_without_a_chain_after_one_with_a_chain_is_damage() {
    let vfs = log_of(2);
    let mut log = read(&vfs, names::WAL).unwrap();
    log.extend_from_slice(&foreign_frames([4]));
    write(&vfs, names::WAL, &log);
    write(&vfs, names::SAFE_SEQ, &4_u64.to_le_bytes());
    refused(
        &vfs,
        "telemetry/wal: WAL_CORRUPT_CHAIN — frame at Seq=4 does not follow from the bytes before it",
    );
    write(&vfs, names::SAFE_SEQ, &3_u64.to_le_bytes());
    assert_eq!(recover(&vfs, &opening()).unwrap().report.phantoms, 1);
}

#[test]
fn entries_behind_the_safe_point_prove_themselves_and_are_kept() {
    let vfs = log_of(5);
    write(&vfs, names::SAFE_SEQ, &2_u64.to_le_bytes());
    let before = read(&vfs, names::WAL).unwrap();
    let recovered = recover(&vfs, &opening()).unwrap();
    assert_eq!(recovered.report.beyond_safe_point, 4);
    assert_eq!((recovered.report.phantoms, recovered.report.bytes_cut), (0, 0));
    assert_eq!(read(&vfs, names::WAL).unwrap(), before);
    assert_eq!(read(&vfs, names::SAFE_SEQ).unwrap(), 6_u64.to_le_bytes());
}

#[test]
fn a_phantom_is_cut_counted_and_its_number_is_used_again() {
    let vfs = log_of(2);
    let good = read(&vfs, names::WAL).unwrap();
    let mut log = good.clone();
    log.extend_from_slice(&foreign_frames([4, 5]));
    log.extend_from_slice(b"\0\0\0\x05{to");
    write(&vfs, names::WAL, &log);
    let recovered = recover(&vfs, &opening()).unwrap();
    assert_eq!(recovered.report.phantoms, 2);
    assert_eq!(recovered.report.bytes_cut, (log.len() - good.len()) as u64);
    assert_eq!(read(&vfs, names::WAL).unwrap(), good);
    let mut writer = recovered.writer;
    assert_eq!(writer.commit(&[entry(9, 0)]).unwrap()[0].seq.get(), 4);
    assert_eq!(oracle::ids(&frames(&vfs)), [1, 2, 9]);
}

#[test]
fn every_torn_tail_is_cut_silently() {
    let vfs = log_of(2);
    let good = read(&vfs, names::WAL).unwrap();
    let next = foreign_frames([4]);
    for cut in 1..next.len() {
        let mut log = good.clone();
        log.extend_from_slice(&next[..cut]);
        write(&vfs, names::WAL, &log);
        let recovered = recover(&vfs, &opening()).unwrap();
        // The first bytes of a length are zeros: nothing tells them from preallocated space.
        let counted = if next[..cut].iter().all(|it| *it == 0) { 0 } else { cut as u64 };
        assert_eq!((recovered.report.phantoms, recovered.report.bytes_cut), (0, counted));
        assert_eq!(read(&vfs, names::WAL).unwrap(), good);
    }
}

#[test]
fn zeros_behind_the_log_are_no_phantoms() {
    let vfs = log_of(2);
    let good = read(&vfs, names::WAL).unwrap();
    for zeros in [1, 3, 4, 5, 300_000] {
        let mut log = good.clone();
        log.resize(good.len() + zeros, 0);
        write(&vfs, names::WAL, &log);
        assert_eq!(recover(&vfs, &opening()).unwrap().report.phantoms, 0);
        assert_eq!(read(&vfs, names::WAL).unwrap(), good);
    }
}

#[test]
fn every_single_flipped_bit_of_a_log_is_found_at_its_entry() {
    harness::flip_every_bit(|vfs, hit, bit| {
        match survey(vfs, Path::new(DIR), Overrides::default()) {
            Err(SurveyError::Violation(it)) => assert_eq!(it.place(), Some(hit), "{bit}: {it}"),
            other => panic!("{bit}: {other:?}"),
        }
    });
}

#[test]
fn two_processes_never_write_one_log() {
    let vfs = MemVfs::default();
    let first = open(&vfs).unwrap();
    let before = files(&vfs);
    let error = open(&vfs).unwrap_err();
    assert_eq!(error.code(), codes::WAL_LOCKED);
    assert_eq!(error.to_string(), "telemetry/wal: WAL_LOCKED — /wal is in use by pid 1");
    assert_eq!(files(&vfs), before);
    drop(first);
    open(&vfs).unwrap();
}

#[test]
fn a_deleted_lock_file_does_not_make_room_for_a_second_writer() {
    let vfs = MemVfs::default();
    let mut first = open(&vfs).unwrap();
    vfs.remove(&Path::new(DIR).join(names::LOCK)).unwrap();
    let error = open(&vfs).unwrap_err();
    assert_eq!(error.code(), codes::WAL_LOCKED);
    first.commit(&[entry(1, 10)]).unwrap();
    drop(first);
    drop(open(&vfs).unwrap());
    assert_eq!(oracle::ids(&frames(&vfs)), [1]);
}

/// Fails the operation for which `hit` is true, once.
fn fail_once(fault: Fault, hit: impl Fn(&Op) -> bool + Send + 'static) -> FaultPlan {
    let mut done = false;
    FaultPlan::new(move |_, op| {
        let now = !done && hit(op);
        done |= now;
        now.then_some(fault)
    })
}

fn is_file(op: &Op, name: &str) -> bool {
    match op {
        Op::Write { path, .. } | Op::Sync(path) | Op::SetLen(path, _) => path.ends_with(name),
        _ => false,
    }
}

#[test]
fn a_failed_write_or_sync_poisons_the_log_and_is_never_repeated() {
    let write_wal = |op: &Op| is_file(op, names::WAL) && matches!(op, Op::Write { .. });
    let sync_wal = |op: &Op| is_file(op, names::WAL) && matches!(op, Op::Sync(_));
    let write_safe = |op: &Op| is_file(op, names::SAFE_SEQ) && matches!(op, Op::Write { .. });
    let read_only = Fault::ReadOnly;
    for plan in [
        fail_once(Fault::Eio, write_wal),
        fail_once(read_only, write_wal),
        fail_once(Fault::Eio, sync_wal),
        fail_once(Fault::Enospc, sync_wal),
        fail_once(Fault::Eio, write_safe),
    ] {
        let vfs = MemVfs::default();
        let mut writer = open(&vfs).unwrap();
        writer.commit(&[entry(1, 10)]).unwrap();
        vfs.set_plan(plan);
        let first = writer.commit(&[entry(2, 10)]).unwrap_err();
        assert_eq!(first.code(), codes::WAL_POISONED);
        let steps = vfs.steps();
        assert_eq!(writer.commit(&[entry(3, 10)]).unwrap_err(), first);
        assert_eq!(writer.sync_safe_point().unwrap_err(), first);
        assert_eq!(vfs.steps(), steps, "nothing touches the disk again");
        drop(writer);
        // The next recovery reads what is there; a power loss right after it loses none of that.
        vfs.process_kill();
        drop(open(&vfs).unwrap());
        let found = oracle::ids(&read(&vfs, names::WAL).unwrap());
        assert!(found == [1] || found == [1, 2], "{found:?}");
        vfs.power_loss(CrashPolicy::LoseAll);
        drop(open(&vfs).unwrap());
        assert_eq!(oracle::ids(&read(&vfs, names::WAL).unwrap()), found);
    }
}

#[test]
fn a_failed_sync_of_the_safe_point_poisons_the_log() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    writer.commit(&[entry(1, 10)]).unwrap();
    vfs.set_plan(fail_once(Fault::Eio, |op| is_file(op, names::SAFE_SEQ)));
    assert_eq!(writer.sync_safe_point().unwrap_err().code(), codes::WAL_POISONED);
    assert_eq!(writer.commit(&[entry(2, 10)]).unwrap_err().code(), codes::WAL_POISONED);
}

#[test]
fn a_full_disk_costs_the_group_and_nothing_else() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    writer.commit(&[entry(1, 10)]).unwrap();
    let before = frames(&vfs);
    vfs.set_plan(fail_once(Fault::Enospc, |op| matches!(op, Op::Write { .. })));
    let error = writer.commit(&[entry(2, 10), entry(3, 10)]).unwrap_err();
    assert!(matches!(error, AppendError::DiskFull { bytes } if bytes > 200), "{error}");
    assert_eq!(read(&vfs, names::WAL).unwrap(), before, "the half-written tail is cut");
    writer.commit(&[entry(4, 10)]).unwrap();
    assert_eq!(oracle::ids(&frames(&vfs)), [1, 4]);
}

#[test]
fn a_full_disk_whose_tail_cannot_be_cut_poisons_the_log() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    vfs.set_plan(FaultPlan::new(|_, op| match op {
        Op::Write { .. } => Some(Fault::Enospc),
        Op::SetLen(..) => Some(Fault::Eio),
        _ => None,
    }));
    assert_eq!(writer.commit(&[entry(1, 10)]).unwrap_err().code(), codes::WAL_POISONED);
    vfs.process_kill();
    assert_eq!(writer.commit(&[entry(2, 10)]).unwrap_err().code(), codes::WAL_POISONED);
}

#[test]
fn a_disk_without_room_for_zeros_takes_the_frames_all_the_same() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    // Room for frames, none for zeros; some of them are written before the disk says so.
    vfs.set_plan(FaultPlan::new(|_, op| match op {
        Op::Write { len, .. } if *len > 4096 => Some(Fault::Enospc),
        _ => None,
    }));
    for id in 1..=3 {
        writer.commit(&[entry(id, 10)]).unwrap();
        let log = read(&vfs, names::WAL).unwrap();
        assert_eq!(log.len() as u64, writer.len(), "the zeros are cut off again (Z2)");
        assert_eq!(oracle::ids(&log), (1..=id).collect::<Vec<_>>());
    }
}

#[test]
fn zeros_are_ahead_of_the_frames_and_gone_when_the_log_is_closed() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for id in 1..=400 {
        writer.commit(&[entry(id, 600)]).unwrap();
        lengths.insert(read(&vfs, names::WAL).unwrap().len());
    }
    assert!(lengths.len() < 5, "a few steps, not one a commit: {lengths:?}");
    let len = usize::try_from(writer.len()).unwrap();
    writer.close().unwrap();
    let log = read(&vfs, names::WAL).unwrap();
    assert_eq!((log.len(), oracle::ids(&log).len()), (len, 400));
}

#[test]
fn a_process_that_dies_leaves_zeros_and_the_next_start_cuts_them_without_a_word() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    writer.commit(&[entry(1, 10)]).unwrap();
    let len = writer.len();
    vfs.process_kill();
    assert!(read(&vfs, names::WAL).unwrap().len() as u64 > len);
    let recovered = recover(&vfs, &opening()).unwrap();
    assert_eq!((recovered.report.phantoms, recovered.report.bytes_cut), (0, 0));
    assert_eq!(read(&vfs, names::WAL).unwrap().len() as u64, len);
}

/// Appends until the answer is an error, which must come at once and stay.
#[track_caller]
fn notices(vfs: &MemVfs, mut writer: wal_recovery::Writer, name: &str) {
    let error = writer.commit(&[entry(2, 10)]).unwrap_err();
    assert_eq!(error, AppendError::FileReplaced { path: Path::new(DIR).join(name) });
    assert_eq!(error.code(), codes::WAL_FILE_REPLACED);
    let steps = vfs.steps();
    assert_eq!(writer.commit(&[entry(3, 10)]), Err(error.clone()));
    assert_eq!(writer.sync_safe_point(), Err(error.clone()));
    assert_eq!(vfs.steps(), steps, "nothing is written any more (W3)");
    assert_eq!(writer.close(), Err(error));
}

/// `> telemetry.wal`, or a rotation that copies and truncates.
#[test]
fn a_log_that_is_cut_off_under_the_writer_ends_it() {
    let path = Path::new(DIR).join(names::WAL);
    let cut = |disk: &MemVfs, len| disk.open(&path, vfs::OpenMode::ReadWrite).unwrap().set_len(len);
    // While the group fits into what is preallocated, and at the moment when it does not.
    for (size, left) in [(10, 0), (10, 100), (200_000, 0), (200_000, 100)] {
        let vfs = MemVfs::default();
        let mut writer = open(&vfs).unwrap();
        writer.commit(&[entry(1, 10)]).unwrap();
        let before = read(&vfs, names::WAL).unwrap().len() as u64;
        cut(&vfs, left).unwrap();
        let error = writer.commit(&[entry(2, size)]).unwrap_err();
        assert!(matches!(&error, AppendError::FileCut { end, .. } if *end == before), "{error}");
        assert_eq!(error.code(), codes::WAL_FILE_REPLACED);
        assert_eq!(writer.commit(&[entry(3, 10)]), Err(error.clone()));
        assert_eq!(writer.close(), Err(error));
    }
}

#[test]
fn a_file_that_is_removed_or_replaced_under_the_writer_ends_it() {
    for name in [names::WAL, names::SAFE_SEQ] {
        let path = Path::new(DIR).join(name);
        let begin = || {
            let vfs = MemVfs::default();
            let mut writer = open(&vfs).unwrap();
            writer.commit(&[entry(1, 10)]).unwrap();
            (vfs, writer)
        };
        let (vfs, writer) = begin();
        vfs.remove(&path).unwrap();
        notices(&vfs, writer, name);

        let (vfs, writer) = begin();
        let copy = read(&vfs, name).unwrap();
        write(&vfs, name, &copy);
        notices(&vfs, writer, name);
        // The copy holds what was acknowledged, and the next start goes on with it. Entry 2 was
        // not, but it is whole where only the safe point was replaced.
        vfs.process_kill();
        open(&vfs).unwrap();
        let want: &[u64] = if name == names::WAL { &[1] } else { &[1, 2] };
        assert_eq!(oracle::ids(&frames(&vfs)), want);
    }
}

#[test]
fn a_file_system_that_turns_read_only_poisons_the_log() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    vfs.set_plan(FaultPlan::new(|_, op| (!matches!(op, Op::Sync(_))).then_some(Fault::ReadOnly)));
    let error = writer.commit(&[entry(1, 10)]).unwrap_err();
    assert_eq!(error.code(), codes::WAL_POISONED);
    assert!(error.to_string().contains("read-only"), "{error}");
}

#[test]
fn a_clock_that_goes_back_changes_no_order_and_is_reported_once() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    let at = |seconds: i64| {
        let at = harness::now() + jiff::SignedDuration::from_secs(seconds);
        let event = wal_format::Event::new(wal_format::Kind::Action).with("id", 1);
        wal_recovery::Submission::new(&event, at).unwrap()
    };
    let group = [at(100), at(99), at(40), at(41), at(200)];
    let receipts = writer.commit(&group).unwrap();
    let back: Vec<_> = receipts.iter().map(|it| it.clock_back.map(|it| it.as_secs())).collect();
    assert_eq!(back, [None, Some(1), Some(59), None, None]);
    assert!(receipts.windows(2).all(|it| it[0].seq < it[1].seq));
    let receipts = writer.commit(&[at(0), at(1)]).unwrap();
    assert_eq!(receipts[0].clock_back, Some(std::time::Duration::from_secs(200)));
    assert_eq!(receipts[1].clock_back, None);
}

#[test]
fn short_writes_and_interruptions_are_finished() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    vfs.set_plan(FaultPlan::new(|step, op| match op {
        Op::Write { .. } if step % 2 == 0 => Some(Fault::Short(3)),
        Op::Write { .. } => Some(Fault::Interrupted),
        _ => None,
    }));
    writer.commit(&[entry(1, 50)]).unwrap();
    assert_eq!(oracle::ids(&frames(&vfs)), [1]);
}

#[test]
fn every_io_error_of_a_recovery_is_reported_and_the_next_one_succeeds() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ReadOnly] {
        for step in 0.. {
            let vfs = log_of(3);
            write(&vfs, names::SAFE_SEQ, &2_u64.to_le_bytes());
            let mut log = read(&vfs, names::WAL).unwrap();
            log.extend_from_slice(&[9; 10]);
            write(&vfs, names::WAL, &log);
            vfs.set_plan(FaultPlan::new(move |now, _| (now == step).then_some(fault)));
            let opened = open(&vfs);
            let hit = vfs.steps() > step;
            match opened {
                Ok(_) => assert!(!hit, "{fault:?} at step {step} went unnoticed"),
                Err(error) => assert_eq!(error.code(), codes::WAL_IO, "{error}"),
            }
            vfs.process_kill();
            drop(open(&vfs).unwrap());
            assert_eq!(oracle::ids(&read(&vfs, names::WAL).unwrap()), [1, 2, 3]);
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn a_reader_sees_what_was_acknowledged_and_stops_there() {
    let vfs = log_of(3);
    let mut log = read(&vfs, names::WAL).unwrap();
    log.extend_from_slice(&foreign_frames([5]));
    write(&vfs, names::WAL, &log);
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    let mut seen = Vec::new();
    while let Some(item) = reader.next_entry().unwrap() {
        seen.push((item.seq.get(), item.offset, item.payload.to_vec()));
    }
    assert_eq!(seen.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(reader.identity().unwrap().birth.as_ref().unwrap().node, "edge-1");
    for (_, offset, payload) in &seen {
        assert_eq!(&reader.payload_at(*offset).unwrap(), payload);
    }
    assert_eq!(read(&vfs, names::WAL).unwrap(), log, "a reader changes nothing");
    // Together, in any order, some left out, one asked for with a length that is not its own.
    for order in [&[0, 1, 2, 3][..], &[3, 2, 1, 0], &[0, 3], &[2, 2], &[]] {
        for wrong in 0..=order.len() {
            let place = |(n, at): (usize, &usize)| {
                let (_, offset, payload) = &seen[*at];
                (*offset, u32::try_from(payload.len()).unwrap() + u32::from(n == wrong))
            };
            let places: Vec<_> = order.iter().enumerate().map(place).collect();
            let want: Vec<_> = order.iter().map(|at| seen[*at].2.clone()).collect();
            assert_eq!(reader.payloads_at(&places).unwrap(), want, "{places:?}");
        }
    }
    assert!(reader.payloads_at(&[(log.len() as u64, 9)]).is_err(), "no frame stands there");
}

/// More and longer payloads than are read at once, near to one another and far apart.
#[test]
fn payloads_read_together_are_those_read_one_by_one() {
    let lengths = [10, 300 << 10, 20, 20 << 10, 5, 5, 100 << 10, 100 << 10, 100 << 10, 7];
    let frames = (1..).zip(lengths).flat_map(|(seq, len)| {
        let payload = format!(r#"{{"seq":{seq},"event":{{"kind":"{}"}}}}"#, "x".repeat(len));
        let header = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [header.to_vec(), payload.into_bytes()].concat()
    });
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, &frames.collect::<Vec<_>>());
    write(&vfs, names::SAFE_SEQ, &10_u64.to_le_bytes());
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    let mut seen = Vec::new();
    while let Some(item) = reader.next_entry().unwrap() {
        seen.push((
            (item.offset, u32::try_from(item.payload.len()).unwrap()),
            item.payload.to_vec(),
        ));
    }
    assert_eq!(seen.len(), lengths.len());
    for step in 1..4 {
        let (places, payloads): (Vec<_>, Vec<_>) = seen.iter().step_by(step).cloned().unzip();
        assert!(reader.payloads_at(&places).unwrap() == payloads, "every {step}");
    }
}

#[test]
fn a_reader_gives_out_the_good_entries_and_then_the_violation() {
    let vfs = foreign(&[1, 2, 4], 4);
    let mut reader = Reader::open(&vfs, Path::new(DIR)).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().seq.get(), 1);
    assert_eq!(reader.next_entry().unwrap().unwrap().seq.get(), 2);
    assert_eq!(reader.next_entry().unwrap_err().code(), codes::SEQ_GAP);
    let empty = MemVfs::default();
    assert_eq!(
        Reader::open(&empty, Path::new("/nowhere")).unwrap_err().code(),
        codes::WAL_NOT_FOUND
    );
}

#[test]
fn a_path_that_is_something_else_is_named() {
    let vfs = MemVfs::default();
    vfs.create_dir_all(&Path::new(DIR).join(names::WAL)).unwrap();
    write(&vfs, names::SAFE_SEQ, &[0; 8]);
    match open(&vfs).unwrap_err() {
        RecoverError::Io { path, source, .. } => {
            assert!(path.ends_with(names::WAL));
            assert_eq!(source.kind(), io::ErrorKind::IsADirectory);
        }
        other => panic!("{other:?}"),
    }
    let vfs = MemVfs::default();
    drop(vfs.open(Path::new(DIR), vfs::OpenMode::Create).unwrap());
    assert_eq!(open(&vfs).unwrap_err().code(), codes::WAL_IO);
}
