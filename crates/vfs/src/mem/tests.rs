use super::*;
use crate::{read_whole, replace, write_all_at};

fn path() -> PathBuf {
    PathBuf::from("/x")
}

fn file(vfs: &MemVfs) -> Arc<dyn File> {
    let file = vfs.open(&path(), OpenMode::Create).unwrap();
    vfs.sync_dir(Path::new("/")).unwrap();
    file
}

fn content(vfs: &MemVfs) -> Option<Vec<u8>> {
    read_whole(vfs, &path(), 1 << 20).unwrap()
}

#[test]
fn what_was_synced_survives_and_what_was_not_may_vanish() {
    for (policy, want) in [(CrashPolicy::LoseAll, &b"ab"[..]), (CrashPolicy::KeepAll, b"abcd")] {
        let vfs = MemVfs::default();
        let file = file(&vfs);
        write_all_at(&*file, b"ab", 0).unwrap();
        file.sync_data().unwrap();
        write_all_at(&*file, b"cd", 2).unwrap();
        vfs.power_loss(policy);
        assert_eq!(content(&vfs).unwrap(), want);
    }
}

#[test]
fn a_name_that_was_not_synced_may_vanish_with_all_its_synced_bytes() {
    let vfs = MemVfs::default();
    let file = vfs.open(&path(), OpenMode::Create).unwrap();
    write_all_at(&*file, b"ab", 0).unwrap();
    file.sync_data().unwrap();
    vfs.power_loss(CrashPolicy::LoseAll);
    assert_eq!(content(&vfs), None);
}

#[test]
fn a_second_name_is_the_same_file_and_durable_after_its_directory() {
    let (second, dir) = (Path::new("/d/y"), Path::new("/d"));
    for synced in [false, true] {
        let vfs = MemVfs::default();
        let file = file(&vfs);
        vfs.create_dir_all(dir).unwrap();
        vfs.link(&path(), second).unwrap();
        let taken = vfs.link(&path(), second).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(vfs.stat(second).unwrap().unwrap().id, file.stat().unwrap().id);
        if synced {
            vfs.sync_dir(dir).unwrap();
        }
        vfs.remove(&path()).unwrap();
        vfs.power_loss(CrashPolicy::LoseAll);
        assert_eq!(vfs.stat(second).unwrap().is_some(), synced);
        assert!(vfs.stat(&path()).unwrap().is_some(), "the removal was not synced");
    }
}

#[test]
fn large_writes_tear_at_sectors_and_survive_out_of_order() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let vfs = MemVfs::default();
        let file = file(&vfs);
        write_all_at(&*file, &[7; 1024], 0).unwrap();
        vfs.power_loss(CrashPolicy::Random(seed));
        let found = content(&vfs).unwrap();
        let sectors: Vec<_> = found.chunks(512).map(|it| it.iter().all(|b| *b == 7)).collect();
        assert!(found.iter().all(|b| [0, 7].contains(b)));
        seen.insert(sectors);
    }
    let all = [vec![], vec![true], vec![true, true], vec![false, true]];
    assert_eq!(seen, all.into_iter().collect(), "nothing, first, both, only the second");
}

#[test]
fn after_a_failed_sync_a_later_sync_does_not_make_up_for_it() {
    let mut lost = 0;
    for seed in 0..40 {
        let vfs = MemVfs::default();
        let file = file(&vfs);
        vfs.state().random = Random::new(seed);
        write_all_at(&*file, b"ab", 0).unwrap();
        vfs.set_plan(FaultPlan::new(|step, _| (step == 0).then_some(Fault::Eio)));
        file.sync_data().unwrap_err();
        file.sync_data().unwrap();
        assert_eq!(content(&vfs).unwrap(), b"ab", "the page cache still shows it");
        vfs.power_loss(CrashPolicy::LoseAll);
        lost += usize::from(content(&vfs).unwrap().is_empty());
    }
    assert!((5..35).contains(&lost), "{lost}");
}

#[test]
fn a_replaced_file_is_old_or_new_at_every_crash_point() {
    for step in 0.. {
        let mut done = true;
        for seed in 0..50 {
            let vfs = MemVfs::default();
            replace(&vfs, &path(), b"old").unwrap();
            vfs.set_plan(FaultPlan::crash_at(step));
            done = replace(&vfs, &path(), b"new").is_ok();
            vfs.power_loss(CrashPolicy::Random(seed));
            let found = content(&vfs).unwrap();
            assert!(found == b"new" || (!done && found == b"old"), "{step} {seed} {found:?}");
        }
        if done {
            assert_eq!(step, 5, "create, write, sync, rename, sync of the directory");
            break;
        }
    }
}

#[test]
fn a_full_disk_takes_half_of_a_write_and_a_short_write_says_so() {
    let vfs = MemVfs::default();
    let file = file(&vfs);
    vfs.set_plan(FaultPlan::new(|step, _| match step {
        0 => Some(Fault::Short(1)),
        1 => Some(Fault::Interrupted),
        _ => None,
    }));
    write_all_at(&*file, b"abcd", 0).unwrap();
    assert_eq!(vfs.steps(), 3, "one byte, an interruption, the rest");
    vfs.set_plan(FaultPlan::new(|_, _| Some(Fault::Enospc)));
    let error = write_all_at(&*file, b"efgh", 4).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(content(&vfs).unwrap(), b"abcdef");
}

#[test]
fn the_same_seed_gives_the_same_result() {
    let run = |seed| {
        let vfs = MemVfs::default();
        let file = file(&vfs);
        write_all_at(&*file, &[7; 9000], 100).unwrap();
        vfs.power_loss(CrashPolicy::Random(seed));
        content(&vfs)
    };
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn a_lock_ends_with_its_value_or_with_the_process() {
    let vfs = MemVfs::default();
    let lock = vfs.lock(&path(), "first").unwrap();
    assert!(matches!(vfs.lock(&path(), "b"), Err(LockError::Held { holder }) if holder == "first"));
    drop(lock);
    let stale = vfs.lock(&path(), "second").unwrap();
    vfs.process_kill();
    let _third = vfs.lock(&path(), "third").unwrap();
    drop(stale);
    assert!(vfs.lock(&path(), "b").is_err(), "a dead process does not free the lock of another");
}

/// V4 of `port`, as the real one has it.
#[test]
fn a_file_with_a_second_name_is_neither_emptied_nor_taken_as_a_lock() {
    let vfs = MemVfs::default();
    write_all_at(&*file(&vfs), b"content", 0).unwrap();
    let second = path().with_extension("second");
    vfs.link(&path(), &second).unwrap();
    let two = Some(crate::NotOwn::Names { names: 2 });
    let error = vfs.open(&second, OpenMode::Truncate).unwrap_err();
    assert_eq!(crate::NotOwn::of(&error), two);
    let error = vfs.lock(&second, "a").unwrap_err();
    assert!(matches!(error, LockError::Io(it) if crate::NotOwn::of(&it) == two));
    assert_eq!(content(&vfs).unwrap(), b"content");
    vfs.remove(&path()).unwrap();
    vfs.lock(&second, "a").unwrap();
}
