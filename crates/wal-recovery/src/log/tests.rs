use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use vfs::{Fault, FaultPlan, MemVfs, Op, OsVfs, Vfs};
use wal_format::{Event, Kind};

use super::*;
use crate::{Durability, Opening, Overrides, Reader, recover};

fn start(vfs: &dyn Vfs, dir: &Path) -> Log {
    let opening = Opening {
        dir: dir.to_owned(),
        node: "edge-1".to_owned(),
        random: [7; 16],
        now: jiff::Timestamp::UNIX_EPOCH,
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: "pid 1".to_owned(),
    };
    Log::start(recover(vfs, &opening).unwrap().writer).unwrap()
}

fn entry(id: u64) -> Submission {
    let event = Event::new(Kind::Action).with("id", id);
    Submission::new(&event, jiff::Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn many_callers_get_many_places_and_all_of_them_are_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(&OsVfs, dir.path());
    let next = AtomicU64::new(0);
    let append = || {
        let id = next.fetch_add(1, Ordering::Relaxed);
        (log.append(entry(id)).unwrap().seq.get(), id)
    };
    let mut places = thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| (0..50).map(|_| append()).collect::<Vec<_>>()))
            .collect();
        let of_one = callers.into_iter().map(|it| it.join().unwrap());
        of_one.inspect(|it| assert!(it.is_sorted(), "K2")).flatten().collect::<Vec<_>>()
    });
    places.sort_unstable();
    assert_eq!(log.status().last_seq, 801);
    log.close().unwrap();
    let mut reader = Reader::open(&OsVfs, dir.path()).unwrap();
    reader.next_entry().unwrap().unwrap();
    for (seq, id) in places {
        let item = reader.next_entry().unwrap().unwrap();
        assert_eq!(item.seq.get(), seq);
        let text = std::str::from_utf8(item.payload).unwrap();
        assert!(text.contains(&format!(r#""attrs":{{"id":{id}}}"#)), "{id} {text}");
    }
    assert_eq!(reader.next_entry().unwrap(), None);
}

#[test]
fn submissions_are_answered_once_and_in_order_without_anybody_waiting() {
    let vfs = MemVfs::default();
    let log = start(&vfs, Path::new("/wal"));
    let (sender, receiver) = mpsc::channel();
    for id in 0..500 {
        let sender = sender.clone();
        log.submit(entry(id), move |answer| sender.send((id, answer.unwrap().seq)).unwrap())
            .unwrap();
    }
    drop(sender);
    let answers: Vec<_> = receiver.iter().collect();
    let want: Vec<_> = (0..500).map(|id| (id, wal_format::Seq::new(id + 2).unwrap())).collect();
    assert_eq!(answers, want);
}

#[test]
fn waiting_entries_are_committed_before_the_log_closes() {
    let vfs = MemVfs::default();
    let log = start(&vfs, Path::new("/wal"));
    let answered = Arc::new(AtomicU64::new(0));
    for id in 0..100 {
        let answered = Arc::clone(&answered);
        log.submit(entry(id), move |answer| {
            answer.unwrap();
            answered.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    }
    log.close().unwrap();
    assert_eq!(answered.load(Ordering::Relaxed), 100);
}

#[test]
fn the_safe_point_is_synced_soon_after_the_log_falls_idle() {
    let vfs = MemVfs::default();
    let log = start(&vfs, Path::new("/wal"));
    let (sender, receiver) = mpsc::channel();
    vfs.set_plan(FaultPlan::new(move |_, op| {
        if matches!(op, Op::Sync(path) if path.ends_with("telemetry.safe_seq")) {
            sender.send(()).ok();
        }
        None
    }));
    log.append(entry(1)).unwrap();
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    drop(log);
}

#[test]
fn after_a_failure_every_caller_gets_that_failure_and_none_hangs() {
    let vfs = MemVfs::default();
    let log = start(&vfs, Path::new("/wal"));
    vfs.set_plan(FaultPlan::new(|_, op| matches!(op, Op::Sync(_)).then_some(Fault::Eio)));
    thread::scope(|scope| {
        for id in 0..16 {
            let log = &log;
            scope.spawn(move || {
                assert!(matches!(log.append(entry(id)), Err(AppendError::Poisoned { .. })));
            });
        }
    });
    vfs.set_plan(FaultPlan::none());
    let error = log.append(entry(99)).unwrap_err();
    assert!(matches!(error, AppendError::Poisoned { .. }), "a working disk does not heal it (K4)");
    assert_eq!(log.status().failure, Some(error.clone()));
    assert_eq!(log.close(), Err(error));
}

#[test]
fn too_much_waiting_is_refused_and_what_waits_is_kept() {
    let vfs = MemVfs::default();
    let log = start(&vfs, Path::new("/wal"));
    // Hold the commit of the first entry until the queue is full.
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(Some(held));
    vfs.set_plan(FaultPlan::new(move |_, op| {
        if matches!(op, Op::Write { .. })
            && let Some(held) = held.lock().unwrap().take()
        {
            held.recv().unwrap();
        }
        None
    }));
    let (sender, receiver) = mpsc::channel();
    let padding = "x".repeat(1 << 20);
    let big = Event::new(Kind::Action).with("padding", padding);
    let big = Submission::new(&big, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let mut taken = 0;
    let refusal = loop {
        let sender = sender.clone();
        match log.submit(big.clone(), move |answer| sender.send(answer.is_ok()).unwrap()) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, AppendError::Overloaded { .. }), "{refusal}");
    assert!(taken >= QUEUE_BYTES_MAX >> 20, "{taken}");
    release.send(()).unwrap();
    drop(sender);
    assert_eq!(receiver.iter().filter(|it| *it).count(), taken);
}
