use std::{
    path::Path,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use vfs::{Fault, FaultPlan, MemVfs, Op, OsVfs, Vfs};
use wal_format::{Event, Kind};

use super::*;
use crate::{Durability, Opening, Overrides, Reader, recover};

fn opening(dir: &Path) -> Opening {
    Opening {
        dir: dir.to_owned(),
        node: "edge-1".to_owned(),
        random: [7; 16],
        now: jiff::Timestamp::UNIX_EPOCH,
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: "pid 1".to_owned(),
    }
}

fn start(vfs: &dyn Vfs, dir: &Path) -> Log {
    Log::start(recover(vfs, &opening(dir)).unwrap().writer).unwrap()
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
    assert!(taken >= Limits::STANDARD.queue_bytes >> 20, "{taken}");
    release.send(()).unwrap();
    drop(sender);
    assert_eq!(receiver.iter().filter(|it| *it).count(), taken);
}

#[test]
fn a_group_is_not_longer_than_its_limit() {
    let vfs = MemVfs::default();
    let limits = Limits { group_bytes: 200, queue_bytes: 1 << 20 };
    let opened = opening(Path::new("/wal"));
    let log = Log::with_limits(recover(&vfs, &opened).unwrap().writer, limits).unwrap();
    let longest = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&longest);
    vfs.set_plan(FaultPlan::new(move |_, op| {
        if let Op::Write { path, len, .. } = op
            && path.ends_with("telemetry.wal")
            && *len < 60_000
        {
            seen.fetch_max(*len as u64, Ordering::Relaxed);
        }
        None
    }));
    for id in 0..200 {
        log.submit(entry(id), |answer| assert!(answer.is_ok())).unwrap();
    }
    // One that does not fit a group of others gets one of its own.
    let event = Event::new(Kind::Action).with("padding", "x".repeat(2000));
    log.append(Submission::new(&event, jiff::Timestamp::UNIX_EPOCH).unwrap()).unwrap();
    log.close().unwrap();
    let frame = 2000 + 250;
    assert!((2000..frame).contains(&longest.load(Ordering::Relaxed)), "{longest:?}");
}

#[test]
fn the_writer_is_lent_out_while_callers_wait_and_they_go_on_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let log = start(&OsVfs, dir.path());
    thread::scope(|scope| {
        for caller in 0..8 {
            let log = &log;
            let append = move |id: u64| log.append(entry(caller * 100 + id)).is_ok();
            scope.spawn(move || assert!((0..50).all(append)));
        }
        for _ in 0..20 {
            let (before, after) = log
                .with_writer(|writer| {
                    let before = writer.len();
                    thread::yield_now();
                    (before, writer.len())
                })
                .unwrap();
            assert_eq!(before, after, "nobody else writes meanwhile (K1)");
        }
    });
    assert_eq!(log.status().last_seq, 401);
    log.close().unwrap();
    assert_eq!(log.with_writer(|_| ()), Err(AppendError::Closed));
}

#[test]
fn a_callback_that_panics_costs_nobody_else_an_answer() {
    let vfs = MemVfs::default();
    let log = start(&vfs, Path::new("/wal"));
    let (sender, receiver) = mpsc::channel();
    for id in 0..20 {
        let sender = sender.clone();
        let done = move |answer: Result<Receipt, AppendError>| {
            assert!(id % 3 != 0, "on purpose");
            sender.send(answer.unwrap().seq.get()).unwrap();
        };
        log.submit(entry(id), done).unwrap();
    }
    drop(sender);
    assert_eq!(receiver.iter().count(), 13);
    assert_eq!(log.append(entry(99)).unwrap().seq.get(), 22);
    log.close().unwrap();
}

#[test]
fn a_failed_sync_of_the_safe_point_is_not_repeated_when_the_log_is_closed() {
    let vfs = MemVfs::default();
    let log = start(&vfs, Path::new("/wal"));
    let (sender, receiver) = mpsc::channel();
    vfs.set_plan(FaultPlan::new(move |_, op| match op {
        Op::Sync(path) if path.ends_with("telemetry.safe_seq") => {
            sender.send(()).ok();
            Some(Fault::Eio)
        }
        _ => None,
    }));
    log.append(entry(1)).unwrap();
    receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    let error = loop {
        match log.append(entry(2)) {
            Err(error) => break error,
            Ok(_) => thread::yield_now(),
        }
    };
    assert!(matches!(error, AppendError::Poisoned { action: "sync the safe point", .. }));
    assert_eq!(log.close(), Err(error));
    assert_eq!(receiver.try_iter().count(), 0, "one sync, which failed (W3)");
}
