//! What one process does to a trail, and what it refuses.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use audit::{AppendError, Kind, NewRecord, OpenError, Receipt, Trail};
use harness::{all, at, damaged, dir, disk, event, files, ids, open, own, path, shared, whole};
use vfs::{Fault, FaultPlan, MemVfs, Op, OpenMode, Vfs as _, write_all_at};

fn append(trail: &mut Trail, records: &[NewRecord]) -> Result<Vec<Receipt>, AppendError> {
    trail.append(records, at(0))
}

/// L1 and L3, and the price of an append: one write of records, one sync, one slot of the head.
#[test]
fn an_append_is_one_write_one_sync_and_one_slot_of_the_head() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    append(&mut trail, &[event(1, 0)]).unwrap();
    for batch in [1, 3, 500] {
        vfs.set_plan(FaultPlan::none());
        let records: Vec<_> = (0..batch).map(|it| event(it, 10)).collect();
        let receipts = append(&mut trail, &records).unwrap();
        assert_eq!(receipts.len(), records.len());
        let ops: Vec<_> = vfs
            .trace()
            .into_iter()
            .map(|it| match it {
                Op::Write { path, len, .. } => format!("write {} {}", path.display(), len > 256),
                Op::Sync(path) => format!("sync {}", path.display()),
                Op::Lock(_) => "lock".to_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        let want = [
            "lock",
            "write /audit/audit.jsonl true",
            "sync /audit/audit.jsonl",
            "write /audit/audit.head false",
        ];
        assert_eq!(ops, want);
    }
    let verified = whole(&vfs);
    assert_eq!((verified.records, verified.first_seq), (505, Some(1)));
    assert_eq!(verified.head, trail.head());
    let more: Vec<_> = all(&vfs).iter().map(|it| it.more).take(6).collect();
    assert_eq!(more, [0, 0, 2, 1, 0, 499]);
}

/// L2: two values, as two processes have them, continue each other's chain, also over sealed segments.
#[test]
fn two_writers_continue_one_chain() {
    let vfs = MemVfs::default();
    let mut writers = [open(&vfs, 3000).unwrap(), open(&vfs, 3000).unwrap()];
    for id in 1..=200_u64 {
        // Not in turn: one of them meets segments that the other has sealed.
        let writer = usize::from(id % 7 < 4);
        append(&mut writers[writer], &[event(id, 20)]).unwrap();
    }
    let verified = whole(&vfs);
    assert!(verified.segments > 20, "{}", verified.segments);
    let records = all(&vfs);
    assert_eq!(ids(&records), (1..=200).collect::<Vec<_>>());
    let seqs: Vec<_> = records.iter().map(|it| it.seq).collect();
    assert_eq!(seqs, (1..=records.len() as u64).collect::<Vec<_>>());
}

#[test]
fn what_breaks_a_bound_is_refused_and_leaves_no_trace() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    append(&mut trail, &[event(1, 0)]).unwrap();
    let before = files(&vfs);
    let bad = NewRecord { event_name: "A".to_owned(), ..event(3, 0) };
    let error = append(&mut trail, &[event(2, 0), bad]).unwrap_err();
    assert_eq!(error.to_string(), "record 1: event_name contains 'A'");
    assert_eq!(error.code(), "AUDIT_RECORD_INVALID");
    let many = vec![event(2, 0); 1025];
    let error = append(&mut trail, &many).unwrap_err();
    assert_eq!(error.to_string(), "1025 records in one append, more than 1024");
    let large = vec![event(2, 30_000); 150];
    assert_eq!(append(&mut trail, &large).unwrap_err().code(), "AUDIT_APPEND_TOO_LARGE");
    assert!(trail.append(&[event(2, 0)], jiff::Timestamp::MIN).is_err(), "no time of a seal");
    assert_eq!(append(&mut trail, &[]).unwrap(), []);
    assert_eq!(files(&vfs), before);
    append(&mut trail, &[event(2, 0)]).unwrap();
    assert_eq!(ids(&all(&vfs)), [1, 2]);
}

#[test]
fn a_lock_that_is_not_given_back_is_an_error_that_names_the_holder() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    let held = vfs.lock(&path(audit::LOCK), "pid 42").unwrap();
    let error = append(&mut trail, &[event(1, 0)]).unwrap_err();
    assert_eq!(error.to_string(), "the audit trail is locked by pid 42");
    assert_eq!(error.code(), "AUDIT_LOCKED");
    assert!(matches!(open(&vfs, 1 << 20), Err(OpenError::Locked { .. })));
    drop(held);
    append(&mut trail, &[event(1, 0)]).unwrap();
}

/// L6, for each operation of an append and each way to fail.
#[test]
fn after_a_failed_write_or_sync_the_value_refuses_everything() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ReadOnly] {
        for step in 1..4 {
            let vfs = MemVfs::default();
            let mut trail = open(&vfs, 1 << 20).unwrap();
            append(&mut trail, &[event(1, 0)]).unwrap();
            vfs.set_plan(FaultPlan::new(move |now, _| (now == step).then_some(fault)));
            let error = append(&mut trail, &[event(2, 600), event(3, 600)]).unwrap_err();
            let want = if fault == Fault::Enospc { "AUDIT_DISK_FULL" } else { "AUDIT_IO" };
            assert_eq!(error.code(), want, "{error}");
            let error = append(&mut trail, &[event(4, 0)]).unwrap_err();
            assert_eq!(error.code(), "AUDIT_POISONED");
            assert_eq!(vfs.steps(), step + 1, "nothing is tried again");
            vfs.set_plan(FaultPlan::none());
            let mut trail = open(&vfs, 1 << 20).unwrap();
            append(&mut trail, &[event(5, 0)]).unwrap();
            let found = ids(&all(&vfs));
            assert!(found == [1, 5] || found == [1, 2, 3, 5], "{fault:?} {step} {found:?}");
            whole(&vfs);
        }
    }
}

/// L5: a sync that failed is made up for by whoever builds on what it left.
#[test]
fn what_another_process_failed_to_sync_is_written_again_before_it_is_built_on() {
    for seed in 0..60 {
        let vfs = MemVfs::default();
        let mut first = open(&vfs, 1 << 20).unwrap();
        let mut second = open(&vfs, 1 << 20).unwrap();
        append(&mut first, &[event(1, 0)]).unwrap();
        vfs.set_plan(FaultPlan::new(|now, _| (now == 2).then_some(Fault::Eio)));
        append(&mut first, &[event(2, 900)]).unwrap_err();
        vfs.set_plan(FaultPlan::none());
        append(&mut second, &[event(3, 0)]).unwrap();
        vfs.power_loss(vfs::CrashPolicy::Random(seed));
        assert_eq!(ids(&all(&vfs)), [1, 2, 3]);
        whole(&vfs);
    }
}

fn cut(vfs: &MemVfs, name: &str, len: u64) {
    vfs.open(&path(name), OpenMode::ReadWrite).unwrap().set_len(len).unwrap();
}

fn add(vfs: &MemVfs, bytes: &[u8]) {
    let file = vfs.open(&path(audit::OPEN), OpenMode::ReadWrite).unwrap();
    write_all_at(&*file, bytes, file.stat().unwrap().len).unwrap();
}

#[test]
fn a_torn_line_is_cut_by_the_next_append_and_that_is_on_record() {
    for torn in [&b"{\"action\":\"cr"[..], b"x", b"\0\0\0", b"\0\0\n{}\n"] {
        let vfs = MemVfs::default();
        let mut old = open(&vfs, 1 << 20).unwrap();
        append(&mut old, &[event(1, 0)]).unwrap();
        add(&vfs, torn);
        let verified = whole(&vfs);
        let (name, _, bytes) = verified.torn_tail.unwrap();
        assert_eq!((name.as_str(), bytes), (audit::OPEN, torn.len() as u64));
        assert_eq!(ids(&all(&vfs)), [1], "it is not there yet");
        let mut new = open(&vfs, 1 << 20).unwrap();
        append(&mut new, &[event(2, 0)]).unwrap();
        append(&mut old, &[event(3, 0)]).unwrap();
        let records = all(&vfs);
        assert_eq!(
            (ids(&records), own(&records)),
            (vec![1, 2, 3], vec!["audit.tail.repaired".to_owned()])
        );
        assert_eq!(records[1].event.fields["bytes"], torn.len());
        assert_eq!(whole(&vfs).torn_tail, None);
    }
}

#[test]
fn an_end_that_no_crash_leaves_is_refused_and_not_repaired() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    for id in 1..=3 {
        append(&mut trail, &[event(id, 0)]).unwrap();
    }
    let good = files(&vfs);
    let refused = |break_it: &dyn Fn(&MemVfs)| {
        let vfs = disk(&good);
        let mut trail = open(&vfs, 1 << 20).unwrap();
        break_it(&vfs);
        let before = files(&vfs);
        let fresh = open(&vfs, 1 << 20).map(|_| ()).unwrap_err();
        let error = append(&mut trail, &[event(4, 0)]).unwrap_err();
        assert_eq!((fresh.code(), error.code()), ("AUDIT_CORRUPT", "AUDIT_CORRUPT"), "{error}");
        assert_eq!(files(&vfs), before, "nothing is changed");
        assert!(damaged(&vfs).is_some());
        let OpenError::Corrupt(damage) = fresh else { panic!("{fresh}") };
        damage.kind
    };
    let len = good.iter().find(|it| it.0 == audit::OPEN).unwrap().1.len() as u64;
    assert_eq!(refused(&|vfs| add(vfs, b"{}\n")), Kind::BadJson);
    assert_eq!(refused(&|vfs| add(vfs, &good[1].1)), Kind::Inserted);
    assert_eq!(refused(&|vfs| cut(vfs, audit::OPEN, len - 1)), Kind::Truncated);
    assert_eq!(refused(&|vfs| cut(vfs, audit::OPEN, 0)), Kind::Truncated);
    assert_eq!(refused(&|vfs| cut(vfs, audit::HEAD, 0)), Kind::HeadMismatch);
    assert_eq!(refused(&|vfs| vfs.remove(&path(audit::HEAD)).unwrap()), Kind::HeadMismatch);
    assert_eq!(refused(&|vfs| vfs.remove(&path(audit::OPEN)).unwrap()), Kind::SegmentMissing);
}

/// A value that is open remembers more than an old copy of the files says.
#[test]
fn an_old_copy_of_all_files_is_noticed_by_a_process_that_runs() {
    let vfs = MemVfs::default();
    let mut trail = open(&vfs, 1 << 20).unwrap();
    append(&mut trail, &[event(1, 0)]).unwrap();
    let old = files(&vfs);
    append(&mut trail, &[event(2, 0)]).unwrap();
    for (name, bytes) in &old {
        vfs::replace(&vfs, &path(name), bytes).unwrap();
    }
    let error = append(&mut trail, &[event(3, 0)]).unwrap_err();
    assert_eq!(error.code(), "AUDIT_CORRUPT", "{error}");
    whole(&vfs);
}

#[test]
fn a_head_that_is_half_unreadable_is_mended_and_that_is_on_record() {
    for byte in [10, 300] {
        let vfs = MemVfs::default();
        let mut trail = open(&vfs, 1 << 20).unwrap();
        append(&mut trail, &[event(1, 0)]).unwrap();
        let head = vfs.open(&path(audit::HEAD), OpenMode::ReadWrite).unwrap();
        write_all_at(&*head, b"#", byte).unwrap();
        assert_eq!(damaged(&vfs).unwrap().kind, Kind::HeadMismatch);
        if byte > 256 {
            // The slot that counts. A process that runs knows that there was more than the other one says.
            let error = append(&mut trail, &[event(2, 0)]).unwrap_err();
            assert_eq!(error.code(), "AUDIT_CORRUPT");
            trail = open(&vfs, 1 << 20).unwrap();
        }
        append(&mut trail, &[event(2, 0)]).unwrap();
        let records = all(&vfs);
        assert_eq!(own(&records), ["audit.head.repaired"], "{byte}");
        assert_eq!(ids(&records), [1, 2]);
        whole(&vfs);
    }
}

#[test]
fn a_newer_version_is_named_and_left_alone() {
    let vfs = MemVfs::default();
    open(&vfs, 1 << 20).unwrap();
    let head = vfs.open(&path(audit::HEAD), OpenMode::ReadWrite).unwrap();
    write_all_at(&*head, b"autonomy-audit-head 2", 0).unwrap();
    assert_eq!(open(&vfs, 1 << 20).unwrap_err().code(), "AUDIT_NEWER");
    let error = audit::verify(&shared(&vfs), dir()).unwrap_err();
    assert_eq!(error.code(), "AUDIT_NEWER");
}

#[test]
fn a_trail_without_records_is_whole_and_no_trail_is_not_found() {
    let vfs = MemVfs::default();
    let error = audit::verify(&shared(&vfs), dir()).unwrap_err();
    assert_eq!(error.code(), "AUDIT_NOT_FOUND");
    let trail = open(&vfs, 1 << 20).unwrap();
    assert_eq!(trail.head(), None);
    let verified = whole(&vfs);
    assert_eq!((verified.records, verified.first_seq, verified.head), (0, None, None));
    assert_eq!(all(&vfs), []);
}

/// H1, P2: whoever sealed a segment failed to sync the head; another process prunes that segment.
#[test]
fn a_head_that_was_not_synced_is_synced_before_what_it_names_is_removed() {
    for failures in 0..40 {
        let vfs = MemVfs::default();
        let mut first = open(&vfs, 1000).unwrap();
        // It has the trail open already: opening would sync the head, too.
        let mut second = open(&vfs, 1000).unwrap();
        append(&mut first, &[event(1, 200)]).unwrap();
        append(&mut first, &[event(2, 200)]).unwrap();
        // What a failed sync leaves is decided by a generator: move it on.
        let other = vfs.open(&path("other"), OpenMode::Create).unwrap();
        let fails = |name: &'static str| {
            let is_it = move |op: &Op| matches!(op, Op::Sync(path) if path.ends_with(name));
            vfs.set_plan(FaultPlan::new(move |_, op| is_it(op).then_some(Fault::Eio)));
        };
        fails("other");
        for _ in 0..failures {
            write_all_at(&*other, b"x", 0).unwrap();
            other.sync_data().unwrap_err();
        }
        fails(audit::HEAD);
        append(&mut first, &[event(3, 200)]).unwrap_err();
        vfs.set_plan(FaultPlan::none());
        second.prune(at(50), at(60), "ann").unwrap();
        vfs.power_loss(vfs::CrashPolicy::LoseAll);
        append(&mut open(&vfs, 1000).unwrap(), &[event(4, 0)]).unwrap();
        whole(&vfs);
    }
}
