//! Faults in the life of logs, by name: what happens, and the one right answer.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use harness::{DIR, entry, now, open, opening, oracle, read, world::World, write};
use vfs::{
    CrashPolicy, Fault, FaultPlan, File, Lock, LockError, MemVfs, Op, OpenMode, OsVfs, Stat, Vfs,
};
use wal_format::{Event, Kind, Origin, Position, Seq, WalId, names};
use wal_recovery::{
    AppendError, Opening, Overrides, Reader, RecoverError, Refreshed, RollOver, RollOverError,
    RolledOver, Violation, Writer,
    archive::{self, ArchiveError, Keep, PackError},
    codes, recover,
    repair::{self, Nobody, Order, RepairError, Seen, Witness},
    seal::{SealError, SigningKey, check_seal, seal},
    survey, verify,
};

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn how(random: u8) -> RollOver {
    RollOver { random: [random; 16], now: now(), node: "edge-1".into(), holder: "pid 9".into() }
}

/// A log of `count` entries after its birth, all of them delivered.
fn delivered(vfs: &dyn Vfs, count: u64) -> Writer {
    let mut writer = open(vfs).unwrap();
    for id in 1..=count {
        writer.commit(&[entry(id, 10)]).unwrap();
    }
    position(vfs, count + 1);
    writer
}

fn position(vfs: &dyn Vfs, seq: u64) {
    write(vfs, names::POS, &Position::at(Seq::new(seq)).to_bytes());
}

/// Every file below the log directory but the locks, with its content.
fn files(vfs: &MemVfs) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for folder in ["", names::ARCHIVE_DIR] {
        for name in vfs.list(&dir().join(folder)).unwrap_or_default() {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if Path::new(&path).extension() != Some("lock".as_ref()) {
                found.push((path.clone(), read(vfs, &path).unwrap()));
            }
        }
    }
    found
}

fn order() -> Order {
    Order { reason: "disk replaced".into(), operator: "ada".into() }
}

#[test]
fn a_log_that_is_not_delivered_stays_and_goes_on() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 3);
    let refused = |writer: &mut Writer, want: &str| {
        let before = files(&vfs);
        let error = writer.roll_over(&vfs, &how(1)).unwrap_err();
        assert_eq!((error.code(), &*error.to_string()), (codes::WAL_NOT_DRAINED, want));
        assert_eq!(files(&vfs), before);
    };
    let text = "telemetry/wal: WAL_NOT_DRAINED — ";
    position(&vfs, 1);
    refused(&mut writer, &format!("{text}3 of 4 entries wait for a consumer (position 1)"));
    position(&vfs, 9);
    refused(&mut writer, &format!("{text}0 of 4 entries wait for a consumer (position 9)"));
    write(&vfs, names::POS, b"nine byte");
    refused(&mut writer, &format!("{text}telemetry.pos is 9 bytes long (expected 8)"));
    write(&vfs, names::POS, &[0; 100]);
    refused(&mut writer, &format!("{text}telemetry.pos is 100 bytes long (expected 8)"));
    vfs.remove(&dir().join(names::POS)).unwrap();
    refused(&mut writer, &format!("{text}4 of 4 entries wait for a consumer (position 0)"));
    writer.commit(&[entry(4, 1)]).unwrap();
    position(&vfs, 5);
    assert!(matches!(writer.roll_over(&vfs, &how(1)).unwrap(), RolledOver::Switched { .. }));
}

#[test]
fn a_consumer_at_work_is_not_waited_for() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 3);
    let held = vfs.lock(&dir().join(names::DRAIN_LOCK), "pid 7").unwrap();
    let before = files(&vfs);
    let error = writer.roll_over(&vfs, &how(1)).unwrap_err();
    assert_eq!(error.to_string(), "telemetry/wal: DRAIN_LOCKED — the log is drained by pid 7");
    assert_eq!(files(&vfs), before);
    drop(held);
    assert!(writer.roll_over(&vfs, &how(1)).is_ok());
}

#[test]
fn a_log_whose_name_is_taken_in_the_archive_stays() {
    for end in ["wal", "wal.zst"] {
        let vfs = MemVfs::default();
        let mut writer = delivered(&vfs, 3);
        vfs.create_dir_all(&dir().join(names::ARCHIVE_DIR)).unwrap();
        let name = format!("archive/telemetry-07070707-0707-4707-8707-070707070707.{end}");
        write(&vfs, &name, b"something else");
        let error = writer.roll_over(&vfs, &how(1)).unwrap_err();
        assert!(matches!(error, RollOverError::NotBegun(_)), "{error}");
        writer.commit(&[entry(4, 1)]).unwrap();
        assert_eq!(read(&vfs, &name).unwrap(), b"something else");
    }
}

#[test]
fn a_log_with_nothing_but_its_birth_is_not_archived() {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    assert_eq!(writer.roll_over(&vfs, &how(1)).unwrap(), RolledOver::Nothing);
    drop(writer);
    let archived = archive::archive(&vfs, &opening()).unwrap();
    assert_eq!(archived.rolled, RolledOver::Nothing);
    let nowhere = archive::archive(&MemVfs::default(), &opening()).unwrap_err();
    assert!(matches!(nowhere, ArchiveError::NotFound { .. }), "{nowhere}");
}

#[test]
fn the_next_log_is_linked_and_a_reader_of_the_old_one_finishes_on_it() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 3);
    let old = oracle::facts(&read(&vfs, names::WAL).unwrap()).unwrap();
    let mut reader = Reader::open(&vfs, dir()).unwrap();
    reader.next_entry().unwrap().unwrap();
    let rolled = writer.roll_over(&vfs, &how(1)).unwrap();
    let RolledOver::Switched { from, entries, to, .. } = rolled else { panic!("{rolled:?}") };
    assert_eq!((from.to_string(), entries), (old.id.clone(), 4));
    assert_eq!(to.origin, Origin::Rollover);
    let mut rest = 0;
    while reader.next_entry().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, 3);
    let receipt = writer.commit(&[entry(4, 1)]).unwrap()[0];
    assert_eq!(receipt.seq.get(), 2);
    let new = oracle::facts(&read(&vfs, names::WAL).unwrap()).unwrap();
    assert_eq!(new.previous, Some((old.id, old.chains.last().unwrap().clone())));
    assert!(matches!(open(&vfs), Err(RecoverError::Locked { .. })), "the lock was kept");
    drop(writer);
    assert_eq!(open(&vfs).unwrap().last(), Seq::new(2));
}

/// Each operation of a roll-over fails, one a run.
#[test]
fn a_roll_over_that_fails_leaves_the_log_usable_or_poisoned_and_loses_nothing() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ReadOnly] {
        let mut answers = std::collections::BTreeMap::new();
        for step in 0.. {
            let mut world = World::new(1);
            let mut writer = world.open().unwrap();
            world.append(&mut writer, 3, 10).unwrap();
            world.seal().unwrap();
            world.drain().unwrap();
            world.vfs.set_plan(FaultPlan::new(move |now, _| (now == step).then_some(fault)));
            let result = writer.roll_over(&world.vfs, &how(9));
            let hit = world.vfs.steps() > step;
            world.vfs.set_plan(FaultPlan::none());
            let answer = match result {
                Ok(_) => "rolled",
                Err(RollOverError::NotBegun(_)) => "usable",
                Err(RollOverError::Log(AppendError::Poisoned { .. })) => "poisoned",
                Err(error) => panic!("{error}"),
            };
            *answers.entry(answer).or_insert(0) += 1;
            let appended = world.append(&mut writer, 1, 10).is_some();
            assert_eq!(appended, answer != "poisoned", "{fault:?} at step {step}");
            drop(writer);
            world.vfs.process_kill();
            world.audit(Overrides::default());
            if !hit {
                assert_eq!(answer, "rolled");
                break;
            }
        }
        // Before the switch is durable, and after.
        assert!(answers["usable"] > 5 && answers["poisoned"] > 5, "{answers:?}");
    }
}

#[test]
fn packing_that_fails_leaves_the_log_as_it_was_and_the_next_call_finishes() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ReadOnly] {
        for step in 0.. {
            let mut world = World::new(1);
            let mut writer = world.open().unwrap();
            world.append(&mut writer, 3, 10).unwrap();
            world.drain().unwrap();
            world.roll_over(&mut writer).unwrap();
            world.vfs.set_plan(FaultPlan::new(move |now, _| (now == step).then_some(fault)));
            let packed = world.pack();
            let hit = world.vfs.steps() > step;
            world.vfs.set_plan(FaultPlan::none());
            assert_eq!(packed.is_some(), !hit, "{fault:?} at step {step}");
            world.append(&mut writer, 1, 10).unwrap();
            drop(writer);
            world.vfs.process_kill();
            world.audit(Overrides::default());
            if !hit {
                break;
            }
        }
    }
}

#[test]
fn a_repair_that_fails_is_finished_or_has_not_happened() {
    for fault in [Fault::Eio, Fault::Enospc, Fault::ReadOnly] {
        for step in 0.. {
            let mut world = World::new(5);
            let mut writer = world.open().unwrap();
            world.append(&mut writer, 3, 10).unwrap();
            drop(writer);
            world.audit(Overrides::default());
            world.damage();
            world.vfs.set_plan(FaultPlan::new(move |now, _| (now == step).then_some(fault)));
            let repaired = world.repair();
            let hit = world.vfs.steps() > step;
            world.vfs.set_plan(FaultPlan::none());
            assert_eq!(repaired.is_some(), !hit, "{fault:?} at step {step}");
            world.vfs.process_kill();
            world.audit(Overrides::default());
            if !hit {
                break;
            }
        }
    }
}

/// What stands in the directory when a roll-over was stopped at each of its steps.
fn stopped() -> Vec<MemVfs> {
    let mut states = Vec::new();
    for step in 0.. {
        let vfs = MemVfs::default();
        let mut writer = delivered(&vfs, 3);
        seal(&vfs, dir(), &SigningKey::from_bytes(&[7; 32]), now()).unwrap();
        vfs.set_plan(FaultPlan::crash_at(step));
        let done = writer.roll_over(&vfs, &how(1)).is_ok();
        vfs.process_kill();
        states.push(vfs);
        if done {
            return states;
        }
    }
    states
}

#[test]
fn who_reads_a_stopped_switch_sees_the_log_before_it_or_after_it_and_changes_nothing() {
    let (mut old, mut new) = (0, 0);
    for vfs in stopped() {
        let before = files(&vfs);
        let seen = survey(&vfs, dir(), Overrides::default()).unwrap().scanned.unwrap();
        let mut reader = Reader::open(&vfs, dir()).unwrap();
        let mut count = 0;
        while reader.next_entry().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(seen.last.map(Seq::get), Some(count));
        assert_ne!(reader.refresh(&vfs).unwrap(), Refreshed::Grown, "nobody appends");
        assert!(reader.next_entry().unwrap().is_none());
        let seal = match check_seal(&vfs, dir(), None) {
            Ok(sealed) => Some(sealed.point()),
            Err(SealError::NotFound { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(seal.is_some(), count == 4, "a new log has no seal yet");
        let verified = verify(&vfs, dir(), seal.as_ref()).unwrap();
        assert_eq!(verified.entries(), count);
        match count {
            4 => old += 1,
            1 => new += 1,
            other => panic!("{other} entries"),
        }
        assert_eq!(files(&vfs), before);
        // The next start comes to the same log.
        assert_eq!(open(&vfs).unwrap().last().map(Seq::get), Some(count));
    }
    assert!(old > 5 && new > 5, "{old} before, {new} after");
}

/// A switch was begun, and then something else happened to the directory.
#[track_caller]
fn refused(vfs: &MemVfs, want: &str) {
    let before = files(vfs);
    for _ in 0..2 {
        let error = recover(vfs, &opening()).unwrap_err();
        assert_eq!(error.code(), codes::WAL_SWITCH_BROKEN);
        assert_eq!(error.to_string(), format!("telemetry/wal: WAL_SWITCH_BROKEN — {want}"));
    }
    let reading = Reader::open(vfs, dir()).unwrap_err();
    assert_eq!(reading.code(), codes::WAL_SWITCH_BROKEN);
    assert_eq!(files(vfs), before);
    // The way out.
    let plan = repair::plan_repair(vfs, dir(), now()).unwrap();
    assert!(matches!(plan.violation, Violation::SwitchBroken { .. }));
    assert_eq!(files(vfs), before);
    let again = Opening { random: [8; 16], ..opening() };
    let repaired = repair::repair(vfs, &again, &order(), &mut Nobody).unwrap();
    assert_eq!(repaired.plan, plan);
    for (name, bytes) in before.iter().filter(|it| it.0.starts_with("telemetry.")) {
        let kept = read(vfs, &format!("{}/{name}", plan.aside));
        assert_eq!(kept.as_ref(), Some(bytes), "{name}");
    }
    assert_eq!(open(vfs).unwrap().last(), Seq::new(2));
}

/// A switch that stands between S2 and S3, or behind S4.
fn begun(after: bool) -> MemVfs {
    let here = |it: &MemVfs| {
        let next = read(it, names::NEXT).is_some();
        read(it, names::SWITCH).is_some() && next != after
    };
    stopped().into_iter().find(here).unwrap()
}

#[test]
fn a_switch_that_does_not_fit_is_refused_and_never_guessed_at() {
    let gone = |vfs: &MemVfs, name: &str| vfs.remove(&dir().join(name)).unwrap();

    let vfs = begun(false);
    write(&vfs, names::SWITCH, b"{}");
    refused(&vfs, "telemetry.switch is not readable: missing field `format` at line 1 column 2");

    let vfs = begun(false);
    write(&vfs, names::SWITCH, &[b'x'; 5000]);
    refused(&vfs, "telemetry.switch is too long");

    let vfs = begun(false);
    gone(&vfs, names::NEXT);
    refused(&vfs, "telemetry.wal is not the new log 01010101-0101-4101-8101-010101010101");

    let vfs = begun(false);
    gone(&vfs, names::WAL);
    let old = "archive/telemetry-07070707-0707-4707-8707-070707070707.wal";
    if read(&vfs, old).is_some() {
        gone(&vfs, old);
    }
    refused(&vfs, &format!("there is neither telemetry.wal nor {old}"));

    let vfs = begun(false);
    gone(&vfs, names::WAL);
    gone(&vfs, names::NEXT);
    refused(&vfs, "there is neither telemetry.wal nor telemetry.wal.next");

    let vfs = begun(false);
    let mut next = read(&vfs, names::NEXT).unwrap();
    next.extend_from_slice(&harness::foreign_frames(2..=2));
    write(&vfs, names::NEXT, &next);
    refused(&vfs, "telemetry.wal.next is not the new log 01010101-0101-4101-8101-010101010101");

    let vfs = begun(false);
    write(&vfs, names::WAL, &harness::foreign_frames(1..=3));
    refused(&vfs, "telemetry.wal is not the old log 07070707-0707-4707-8707-070707070707");

    let vfs = begun(false);
    vfs.create_dir_all(&dir().join(names::ARCHIVE_DIR)).unwrap();
    write(&vfs, old, b"something else");
    refused(&vfs, &format!("{old} is another file already"));

    let vfs = begun(true);
    let mut log = read(&vfs, names::WAL).unwrap();
    log[40] ^= 1;
    write(&vfs, names::WAL, &log);
    refused(&vfs, "telemetry.wal is not the new log 01010101-0101-4101-8101-010101010101");
}

#[test]
fn a_next_log_without_a_switch_is_nothing() {
    let vfs = MemVfs::default();
    drop(delivered(&vfs, 2));
    write(&vfs, names::NEXT, b"left behind");
    assert_eq!(open(&vfs).unwrap().last(), Seq::new(3));
    assert_eq!(read(&vfs, names::NEXT), None);
}

#[test]
fn a_switch_waits_for_a_consumer_that_writes_the_position() {
    let vfs = begun(true);
    let held = vfs.lock(&dir().join(names::DRAIN_LOCK), "pid 7").unwrap();
    let error = recover(&vfs, &opening()).unwrap_err();
    assert_eq!(error.code(), codes::WAL_LOCKED);
    assert!(error.to_string().contains("pid 7 (telemetry.drain.lock"), "{error}");
    drop(held);
    open(&vfs).unwrap();
}

/// A file system on which a file has one name, or which gives back other packed logs than it was
/// given.
#[derive(Debug)]
struct Odd {
    os: OsVfs,
    links: bool,
    packed: Option<Vec<u8>>,
}

impl Vfs for Odd {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        if let Some(bytes) = &self.packed
            && mode == OpenMode::Read
            && path.to_string_lossy().ends_with(".wal.zst.tmp")
        {
            std::fs::write(path, bytes)?;
        }
        self.os.open(path, mode)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.os.create_dir_all(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.os.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.links {
            self.os.link(from, to)
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.os.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.os.sync_dir(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        self.os.stat(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.os.list(dir)
    }
    fn lock(&self, path: &Path, holder: &str) -> Result<Lock, LockError> {
        self.os.lock(path, holder)
    }
}

#[test]
fn a_log_is_replaced_on_a_real_disk_with_and_without_links() {
    let one_name = Odd { os: OsVfs, links: false, packed: None };
    for vfs in [&OsVfs as &dyn Vfs, &one_name] {
        let temp = tempfile::tempdir().unwrap();
        let opening = Opening { dir: temp.path().to_owned(), ..opening() };
        let mut writer = recover(vfs, &opening).unwrap().writer;
        writer.commit(&[entry(1, 10)]).unwrap();
        std::fs::write(temp.path().join(names::POS), 2_u64.to_le_bytes()).unwrap();
        writer.roll_over(vfs, &how(1)).unwrap();
        writer.commit(&[entry(2, 10)]).unwrap();
        drop(writer);
        std::fs::write(temp.path().join(names::POS), 2_u64.to_le_bytes()).unwrap();
        let archived = archive::archive(vfs, &Opening { random: [2; 16], ..opening.clone() });
        let archived = archived.unwrap();
        assert!(matches!(archived.rolled, RolledOver::Switched { .. }));
        assert_eq!(archived.finished.packed.len(), 2);
        for manifest in archived.finished.packed {
            assert_eq!(archive::check(vfs, temp.path(), manifest.wal_id).unwrap(), manifest);
        }
        std::fs::remove_file(temp.path().join(names::SAFE_SEQ)).unwrap();
        let repaired = repair::repair(
            vfs,
            &Opening { random: [3; 16], ..opening.clone() },
            &order(),
            &mut Nobody,
        )
        .unwrap();
        assert!(temp.path().join(repaired.plan.aside).join(names::WAL).exists());
        recover(vfs, &opening).unwrap();
    }
}

/// Looks at a log in every way, from its first entry to its last.
fn look(dir: &Path) {
    survey(&OsVfs, dir, Overrides::default()).unwrap();
    verify(&OsVfs, dir, None).unwrap();
    let mut reader = Reader::open(&OsVfs, dir).unwrap();
    for _ in 0..3 {
        while reader.next_entry().unwrap().is_some() {}
        reader.refresh(&OsVfs).unwrap();
    }
}

/// Replacements can be too fast for a seal, which it says; nothing else may go wrong.
fn seal_unless_too_fast(dir: &Path, key: &SigningKey) {
    if let Err(error) = seal(&OsVfs, dir, key, now()) {
        assert!(format!("{error:?}").contains("is being replaced"), "{error:?}");
    }
}

#[test]
fn readers_that_race_with_switches_never_see_a_damaged_log() {
    let temp = tempfile::tempdir().unwrap();
    let opening = Opening { dir: temp.path().to_owned(), ..opening() };
    let mut writer = recover(&OsVfs, &opening).unwrap().writer;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let race = || {
            look(temp.path());
            while !done.load(Ordering::Relaxed) {
                look(temp.path());
            }
        };
        let readers = [scope.spawn(race), scope.spawn(race)];
        let sealer = scope.spawn(|| {
            let key = SigningKey::from_bytes(&[7; 32]);
            while !done.load(Ordering::Relaxed) {
                seal_unless_too_fast(temp.path(), &key);
            }
        });
        for round in 0..60_u8 {
            writer.commit(&[entry(u64::from(round), 10), entry(0, 10)]).unwrap();
            let position = 3_u64.to_le_bytes();
            vfs::replace(&OsVfs, &temp.path().join(names::POS), &position).unwrap();
            let rolled = writer.roll_over(&OsVfs, &how(100 + round)).unwrap();
            assert!(matches!(rolled, RolledOver::Switched { .. }));
        }
        done.store(true, Ordering::Relaxed);
        for thread in readers.into_iter().chain([sealer]) {
            thread.join().unwrap();
        }
    });
    // Whatever seal is left is one of the log that is left (L4).
    let seal = match check_seal(&OsVfs, temp.path(), None) {
        Ok(sealed) => Some(sealed.point()),
        Err(SealError::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    verify(&OsVfs, temp.path(), seal.as_ref()).unwrap();
}

#[test]
fn an_archived_log_that_is_not_what_it_was_is_found() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 5);
    writer.roll_over(&vfs, &how(1)).unwrap();
    let finished = archive::finish_archives(&vfs, dir(), now(), "pid 1").unwrap();
    let wal_id = finished.packed[0].wal_id;
    assert_eq!(archive::check(&vfs, dir(), wal_id).unwrap(), finished.packed[0]);
    let path = |end: &str| format!("archive/telemetry-{wal_id}{end}");
    let good = read(&vfs, &path(".wal.zst")).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        write(&vfs, &path(".wal.zst"), &bad);
        let error = archive::check(&vfs, dir(), wal_id).unwrap_err();
        assert!(matches!(error, PackError::Damaged { .. }), "byte {at}: {error}");
    }
    write(&vfs, &path(".wal.zst"), &good[..good.len() - 1]);
    assert_eq!(archive::check(&vfs, dir(), wal_id).unwrap_err().code(), codes::ARCHIVE_DAMAGED);
    write(&vfs, &path(".wal.zst"), &good);
    let text = String::from_utf8(read(&vfs, &path(".json")).unwrap()).unwrap();
    write(&vfs, &path(".json"), text.replace("\"entries\": 6", "\"entries\": 7").as_bytes());
    assert_eq!(archive::check(&vfs, dir(), wal_id).unwrap_err().code(), codes::ARCHIVE_DAMAGED);
    vfs.remove(&dir().join(path(".json"))).unwrap();
    assert_eq!(archive::check(&vfs, dir(), wal_id).unwrap_err().code(), codes::WAL_NOT_FOUND);
}

#[test]
fn a_log_that_has_rotted_before_it_was_packed_is_kept_and_stops_no_other() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 2);
    let mut ids = Vec::new();
    for random in 1..=2 {
        let rolled = writer.roll_over(&vfs, &how(random)).unwrap();
        let RolledOver::Switched { from, .. } = rolled else { panic!("{rolled:?}") };
        ids.push(from);
        writer.commit(&[entry(9, 10), entry(10, 10)]).unwrap();
        position(&vfs, 3);
    }
    let plain = format!("archive/telemetry-{}.wal", ids[0]);
    let mut bytes = read(&vfs, &plain).unwrap();
    bytes[100] ^= 1;
    write(&vfs, &plain, &bytes);
    let finished = archive::finish_archives(&vfs, dir(), now(), "pid 1").unwrap();
    assert_eq!(finished.packed.iter().map(|it| it.wal_id).collect::<Vec<_>>(), ids[1..]);
    assert_eq!(finished.failed[0].code(), codes::ARCHIVE_DAMAGED);
    assert_eq!(read(&vfs, &plain), Some(bytes));
}

#[test]
fn a_packed_log_that_does_not_come_back_is_not_trusted() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 5);
    let rolled = writer.roll_over(&vfs, &how(1)).unwrap();
    let RolledOver::Switched { from, .. } = rolled else { panic!("{rolled:?}") };
    let plain = format!("archive/telemetry-{from}.wal");
    let before = read(&vfs, &plain);
    // A disk that loses what it was given and says nothing.
    vfs.set_plan(FaultPlan::new(|_, op| match op {
        Op::Write { path, .. } if path.to_string_lossy().ends_with(".wal.zst.tmp") => {
            Some(Fault::Lie)
        }
        _ => None,
    }));
    let finished = archive::finish_archives(&vfs, dir(), now(), "pid 1").unwrap();
    assert_eq!(finished.failed[0].code(), codes::ARCHIVE_DAMAGED);
    assert_eq!((finished.packed.len(), read(&vfs, &plain)), (0, before));
    vfs.set_plan(FaultPlan::none());
    let finished = archive::finish_archives(&vfs, dir(), now(), "pid 1").unwrap();
    assert_eq!(finished.packed[0].wal_id, from);
}

#[test]
fn a_packed_log_that_comes_back_as_another_is_not_trusted() {
    let temp = tempfile::tempdir().unwrap();
    let opening = Opening { dir: temp.path().to_owned(), ..opening() };
    let mut writer = recover(&OsVfs, &opening).unwrap().writer;
    writer.commit(&[entry(1, 10)]).unwrap();
    std::fs::write(temp.path().join(names::POS), 2_u64.to_le_bytes()).unwrap();
    let rolled = writer.roll_over(&OsVfs, &how(1)).unwrap();
    let RolledOver::Switched { from, .. } = rolled else { panic!("{rolled:?}") };
    let plain = temp.path().join(format!("archive/telemetry-{from}.wal"));
    let before = std::fs::read(&plain).unwrap();
    // It unpacks, and only whoever compares can tell.
    let packed = Some(zstd::encode_all(&b"another log"[..], 3).unwrap());
    let odd = Odd { os: OsVfs, links: true, packed };
    let finished = archive::finish_archives(&odd, temp.path(), now(), "pid 1").unwrap();
    assert_eq!((finished.packed.len(), finished.failed[0].code()), (0, codes::ARCHIVE_DAMAGED));
    assert_eq!(std::fs::read(&plain).unwrap(), before);
}

#[test]
fn one_process_at_a_time_packs_or_deletes() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 2);
    let pack = |vfs: &MemVfs| archive::finish_archives(vfs, dir(), now(), "pid 1");
    let prune = |vfs: &MemVfs| archive::prune(vfs, dir(), Keep::default(), now(), "pid 1");
    writer.roll_over(&vfs, &how(1)).unwrap();
    {
        let _held = vfs.lock(&dir().join(names::ARCHIVE_LOCK), "pid 3").unwrap();
        let error = pack(&vfs).unwrap_err();
        let text = "telemetry/wal: ARCHIVE_LOCKED — the archive is in use by pid 3";
        assert_eq!((error.code(), &*error.to_string()), (codes::ARCHIVE_LOCKED, text));
    }
    pack(&vfs).unwrap();
    let _held = vfs.lock(&dir().join(names::ARCHIVE_LOCK), "pid 3").unwrap();
    assert_eq!(prune(&vfs).unwrap_err().code(), codes::ARCHIVE_LOCKED);
}

#[test]
fn a_log_that_is_in_the_archive_as_it_was_is_not_deleted() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 2);
    let rolled = writer.roll_over(&vfs, &how(1)).unwrap();
    let RolledOver::Switched { from, .. } = rolled else { panic!("{rolled:?}") };
    let plain = format!("archive/telemetry-{from}.wal");
    let bytes = read(&vfs, &plain).unwrap();
    archive::finish_archives(&vfs, dir(), now(), "pid 1").unwrap();
    // As a crash leaves it before the last step of the packing.
    write(&vfs, &plain, &bytes);
    let before = files(&vfs);
    let all = Keep { age: None, bytes: Some(0) };
    assert_eq!(archive::prune(&vfs, dir(), all, now(), "pid 1").unwrap().deleted, []);
    assert_eq!(files(&vfs), before);
    archive::finish_archives(&vfs, dir(), now(), "pid 1").unwrap();
    assert_eq!(archive::prune(&vfs, dir(), all, now(), "pid 1").unwrap().deleted, [from]);
}

#[test]
fn old_archives_go_oldest_first_and_nothing_else_does() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 2);
    let mut ids = Vec::new();
    for day in 1..=3_u8 {
        let rolled = writer.roll_over(&vfs, &how(day)).unwrap();
        let RolledOver::Switched { from, .. } = rolled else { panic!("{rolled:?}") };
        let at = format!("2026-01-0{day}T00:00:00Z").parse().unwrap();
        let finished = archive::finish_archives(&vfs, dir(), at, "pid 1").unwrap();
        ids.push((from, finished.packed[0].packed.bytes));
        writer.commit(&[entry(9, 10), entry(10, 10)]).unwrap();
        position(&vfs, 3);
    }
    // One that is not packed yet, and one without a description.
    writer.roll_over(&vfs, &how(4)).unwrap();
    write(&vfs, "archive/telemetry-07070707-0000-4707-8707-070707070707.wal.zst", b"?");
    let now = "2026-01-04T00:00:00Z".parse().unwrap();
    let day = std::time::Duration::from_hours(24);
    let prune = |keep| archive::prune(&vfs, dir(), keep, now, "pid 1").unwrap();

    assert_eq!(prune(Keep::default()).deleted, []);
    let before = files(&vfs).len();
    let keep = Keep { age: Some(day * 5 / 2), bytes: None };
    assert_eq!(prune(keep).deleted, [ids[0].0]);
    assert_eq!(files(&vfs).len(), before - 2);
    let keep = Keep { age: None, bytes: Some(ids[2].1) };
    let pruned = prune(keep);
    assert_eq!((pruned.deleted, pruned.bytes_kept), (vec![ids[1].0], ids[2].1));
    let keep = Keep { age: None, bytes: Some(0) };
    assert_eq!(prune(keep).deleted, [ids[2].0]);
    assert_eq!(files(&vfs).len(), before - 6);
    let finished = archive::finish_archives(&vfs, dir(), now, "pid 1").unwrap();
    assert_eq!(finished.packed.len(), 1, "the log that was not packed is still there");
}

#[test]
fn every_step_of_a_deletion_can_be_the_last() {
    let filled = || {
        let vfs = MemVfs::default();
        let mut writer = delivered(&vfs, 2);
        for random in 1..=2 {
            writer.roll_over(&vfs, &how(random)).unwrap();
            archive::finish_archives(&vfs, dir(), now(), "pid 1").unwrap();
            writer.commit(&[entry(9, 10), entry(10, 10)]).unwrap();
            position(&vfs, 3);
        }
        drop(writer);
        vfs
    };
    let all = Keep { age: None, bytes: Some(0) };
    let whole = filled();
    whole.set_plan(FaultPlan::none());
    assert_eq!(archive::prune(&whole, dir(), all, now(), "pid 1").unwrap().deleted.len(), 2);
    for step in 0..whole.steps() {
        for seed in 0..8 {
            let vfs = filled();
            vfs.set_plan(FaultPlan::crash_at(step));
            assert!(archive::prune(&vfs, dir(), all, now(), "pid 1").is_err());
            vfs.power_loss(CrashPolicy::Random(seed));
            let none = Keep::default();
            archive::prune(&vfs, dir(), none, now(), "pid 1").unwrap();
            let left = vfs.list(&dir().join(names::ARCHIVE_DIR)).unwrap();
            assert_eq!(left.len() % 2, 0, "a log without its description or the reverse: {left:?}");
            for name in left.iter().filter_map(|it| it.strip_suffix(".wal.zst")) {
                let wal_id = name.trim_start_matches("telemetry-").parse().unwrap();
                archive::check(&vfs, dir(), wal_id).unwrap();
            }
            assert_eq!(open(&vfs).unwrap().last(), Seq::new(3), "the live log is not touched");
        }
    }
}

#[test]
fn a_log_that_was_replaced_under_its_writer_is_not_archived() {
    let vfs = MemVfs::default();
    let mut writer = delivered(&vfs, 3);
    write(&vfs, names::WAL, b"not ours");
    let error = writer.roll_over(&vfs, &how(1)).unwrap_err();
    assert!(matches!(error, RollOverError::NotBegun(_)), "{error}");
    assert_eq!(read(&vfs, names::WAL).unwrap(), b"not ours");
}

#[test]
fn a_healthy_log_is_not_repaired_and_a_repair_needs_a_reason() {
    let vfs = MemVfs::default();
    drop(delivered(&vfs, 2));
    let before = files(&vfs);
    assert!(matches!(repair::plan_repair(&vfs, dir(), now()), Err(RepairError::NotDamaged)));
    let error = repair::repair(&vfs, &opening(), &order(), &mut Nobody).unwrap_err();
    assert_eq!(error.code(), codes::WAL_NOT_DAMAGED);
    for reason in ["", "  \n", &"x".repeat(5000)] {
        let order = Order { reason: reason.into(), operator: "ada".into() };
        let error = repair::repair(&vfs, &opening(), &order, &mut Nobody).unwrap_err();
        assert_eq!(error.code(), codes::REPAIR_REASON_MISSING);
    }
    assert_eq!(files(&vfs), before);
    let nowhere = MemVfs::default();
    assert!(matches!(
        repair::repair(&nowhere, &opening(), &order(), &mut Nobody),
        Err(RepairError::NotFound { .. })
    ));
    assert_eq!(nowhere.steps(), 0);
}

#[test]
fn a_repair_says_what_it_found_and_keeps_everything() {
    let vfs = MemVfs::default();
    drop(delivered(&vfs, 5));
    position(&vfs, 2);
    let mut log = read(&vfs, names::WAL).unwrap();
    let at = log.windows(8).position(|it| it == b"\"seq\":5,").unwrap();
    log[at + 40] ^= 1;
    write(&vfs, names::WAL, &log);
    let good = oracle::facts(&log).unwrap();

    let plan = repair::plan_repair(&vfs, dir(), now()).unwrap();
    assert_eq!(plan.violation.code(), codes::WAL_CORRUPT_CHAIN);
    assert_eq!(plan.violation.place(), Some((5, at as u64 - 5)));
    assert_eq!((plan.held, plan.held_end), (4, at as u64 - 5));
    assert_eq!((plan.position, plan.waiting), (Some(2), 2));
    assert_eq!(plan.aside, "damaged/20260102T030405Z-1");
    let again = Opening { random: [8; 16], ..opening() };
    {
        let _held = vfs.lock(&dir().join(names::LOCK), "pid 3").unwrap();
        let error = repair::repair(&vfs, &again, &order(), &mut Nobody).unwrap_err();
        assert_eq!(error.code(), codes::WAL_LOCKED);
    }
    {
        let _held = vfs.lock(&dir().join(names::DRAIN_LOCK), "pid 3").unwrap();
        let error = repair::repair(&vfs, &again, &order(), &mut Nobody).unwrap_err();
        assert_eq!(error.code(), codes::DRAIN_LOCKED);
    }
    let repaired = repair::repair(&vfs, &again, &order(), &mut Nobody).unwrap();
    assert_eq!(repaired.plan, plan);
    assert_eq!(read(&vfs, &format!("{}/telemetry.wal", plan.aside)), Some(log));
    let new = read(&vfs, names::WAL).unwrap();
    let facts = oracle::facts(&new).unwrap();
    assert_eq!(facts.previous, Some((good.id, good.chains[3].clone())));
    let text = String::from_utf8_lossy(&new).into_owned();
    for part in [
        r#""origin":"repair""#,
        r#""event":"wal.repaired""#,
        r#""reason":"disk replaced""#,
        r#""operator":"ada""#,
        r#""code":"WAL_CORRUPT_CHAIN""#,
        r#""first_bad_seq":5"#,
        r#""entries_aside":4"#,
        r#""entries_not_delivered":2"#,
        r#""aside":"damaged/20260102T030405Z-1""#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(read(&vfs, names::POS).unwrap(), [0; 8]);
    open(&vfs).unwrap();
}

#[test]
fn a_directory_without_its_log_is_repaired_too() {
    for lost in [&[names::WAL][..], &[names::SAFE_SEQ], &[names::WAL, names::SAFE_SEQ]] {
        let vfs = MemVfs::default();
        drop(delivered(&vfs, 2));
        for name in lost {
            vfs.remove(&dir().join(name)).unwrap();
        }
        assert!(matches!(open(&vfs), Err(RecoverError::Violation { .. })));
        let again = Opening { random: [8; 16], ..opening() };
        let repaired = repair::repair(&vfs, &again, &order(), &mut Nobody).unwrap();
        assert_eq!(repaired.plan.has_log, !lost.contains(&names::WAL));
        assert_eq!(repaired.birth.previous.is_some(), repaired.plan.has_log);
        assert_eq!(open(&vfs).unwrap().last(), Seq::new(2));
    }
}

/// Leaves so many events of so many bytes, and counts what it sees.
struct Heavy {
    events: usize,
    bytes: usize,
    seen: Vec<bool>,
}

impl Witness for Heavy {
    fn see(&mut self, entry: Seen<'_>) {
        self.seen.push(entry.holds);
    }

    fn leave(&mut self, _: Option<WalId>) -> Vec<Event> {
        vec![Event::new(Kind::Error).with("text", "x".repeat(self.bytes)); self.events]
    }
}

#[test]
fn a_repair_carries_what_a_witness_leaves_and_counts_what_does_not_fit() {
    for (events, bytes, carried) in [(0, 0, 0), (3, 10, 3), (9, 1 << 20, 3), (2, 15 << 20, 0)] {
        let vfs = MemVfs::default();
        drop(delivered(&vfs, 3));
        let mut log = read(&vfs, names::WAL).unwrap();
        let third = log.windows(8).position(|it| it == br#"{"seq":3"#).unwrap();
        log[third + 20] ^= 1;
        write(&vfs, names::WAL, &log);
        let mut witness = Heavy { events, bytes, seen: Vec::new() };
        let again = Opening { random: [3; 16], ..opening() };
        let repaired = repair::repair(&vfs, &again, &order(), &mut witness).unwrap();
        assert_eq!(witness.seen, [true, true, false, false], "behind the damage, too");
        assert_eq!((repaired.carried, repaired.not_carried), (carried, events - carried));
        let live = recover(&vfs, &again).unwrap();
        assert_eq!(live.report.last.map(Seq::get), Some(2 + carried as u64));
        let log = read(&vfs, names::WAL).unwrap();
        let second = String::from_utf8_lossy(&log);
        let text = format!(r#""not_carried":{}"#, events - carried);
        assert_eq!(second.contains(&text), events > carried);
    }
}

/// A log whose birth names a node of so many bytes.
fn with_long_node(bytes: usize) -> MemVfs {
    let vfs = MemVfs::default();
    let opening = Opening { node: "n".repeat(bytes), ..opening() };
    let mut writer = recover(&vfs, &opening).unwrap().writer;
    writer.commit(&[entry(1, 10)]).unwrap();
    position(&vfs, 2);
    vfs
}

#[test]
fn no_name_of_a_node_makes_a_switch_that_no_start_finishes() {
    for bytes in [4 << 10, 2 << 20, 15 << 20] {
        let vfs = with_long_node(bytes);
        let archived = archive::archive(&vfs, &opening());
        let seen = survey(&vfs, dir(), Overrides::default()).unwrap();
        assert!(seen.scanned.unwrap().last.is_some(), "{archived:?}");
        drop(open(&vfs).unwrap());

        let vfs = with_long_node(bytes);
        let mut log = read(&vfs, names::WAL).unwrap();
        let second = log.windows(8).position(|it| it == br#"{"seq":2"#).unwrap();
        log[second + 20] ^= 1;
        write(&vfs, names::WAL, &log);
        let again = Opening { random: [3; 16], ..opening() };
        repair::repair(&vfs, &again, &order(), &mut Nobody).unwrap();
        drop(open(&vfs).unwrap());
    }
}
