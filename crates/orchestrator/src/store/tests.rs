use std::{
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use proptest::prelude::*;
use rusqlite::Connection;
use tokio::task::JoinSet;
use vfs::{OsVfs, Vfs as _};

use super::{checkpoint::LOG_PAGES_MAX, *};

const DEADLINE: Duration = Duration::from_mins(1);
const PAGE_LEN: u64 = 4096;

fn limits() -> Limits {
    Limits { check_timeout: DEADLINE, ..Limits::STANDARD }
}

fn open(dir: &Path, limits: &Limits) -> Result<Store, OpenError> {
    Store::open(&DataDir::take(dir)?, limits)
}

fn event(number: u64, filler: usize) -> NewEvent {
    NewEvent {
        event_id: format!("e{number}"),
        event_type: format!("t{}", number % 3),
        node_id: format!("n{}", number % 7),
        at_ns: i64::try_from(number).unwrap(),
        body: format!(r#"{{"number":{number},"filler":"{}"}}"#, "x".repeat(filler)),
    }
}

fn all(limit: u32) -> PageQuery {
    PageQuery { limit, ..PageQuery::default() }
}

fn log_len(dir: &Path) -> u64 {
    OsVfs.stat(&dir.join(names::DATABASE_WAL)).unwrap().map_or(0, |it| it.len)
}

/// Waits until `done` says so; the test fails when it never does.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

#[test]
fn the_writer_syncs_every_commit_and_checkpoints_only_when_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &limits()).unwrap();
    let (send, modes) = mpsc::channel();
    store.with_writer(move |conn| {
        let read = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        let journal_mode = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let modes: (String, i64, i64) =
            (journal_mode, read("synchronous"), read("wal_autocheckpoint"));
        send.send(modes).unwrap();
    });
    assert_eq!(modes.recv_timeout(DEADLINE).unwrap(), ("wal".to_owned(), 2, 0));
}

#[tokio::test]
async fn a_request_that_does_not_fit_hurts_no_other_and_space_brings_the_store_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), &limits()).unwrap());
    store.append(vec![event(0, 10)]).await.unwrap();
    // Room for about 40 pages more. The thread is held until the whole group waits.
    let (release, held) = mpsc::channel::<()>();
    store.with_writer(move |conn| {
        let pages: u32 = conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        conn.pragma_update_and_check(None, "max_page_count", pages + 40, |_| Ok(())).unwrap();
        _ = held.recv();
    });
    let mut appends = JoinSet::new();
    for number in 1..=9 {
        let store = Arc::clone(&store);
        let filler = if number == 5 { 400_000 } else { 10 };
        appends.spawn(async move { (number, store.append(vec![event(number, filler)]).await) });
    }
    tokio::task::yield_now().await;
    release.send(()).unwrap();
    for (number, outcome) in appends.join_all().await {
        match outcome {
            Ok(stored) => assert_eq!((number == 5, stored.inserted), (false, 1), "{number}"),
            Err(AppendError::Full { .. }) => assert_eq!(number, 5),
            Err(other) => panic!("{number}: {other}"),
        }
    }
    assert_eq!(store.page(all(100)).await.unwrap().bodies.len(), 9);
    let floor = || mark::read(mark::EVENTS, &dir.path().join(names::USED)).unwrap();
    assert_eq!(floor(), Some(9));

    // Alone it is refused as well, and what is known needs no space.
    assert!(matches!(store.append(vec![event(5, 400_000)]).await, Err(AppendError::Full { .. })));
    assert_eq!(store.append(vec![event(3, 10)]).await.unwrap().deduped, 1);
    // What was rolled back does not raise the floor.
    assert_eq!(floor(), Some(9));
    store.with_writer(|conn| {
        conn.pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(())).unwrap();
    });
    assert_eq!(store.append(vec![event(5, 400_000)]).await.unwrap().inserted, 1);
    store.close().unwrap();
    drop(store);
    let store = open(dir.path(), &limits()).unwrap();
    assert_eq!(store.page(all(100)).await.unwrap().bodies.len(), 10);
}

#[tokio::test]
async fn a_locked_database_is_busy_and_serves_again_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { busy_timeout: Duration::from_millis(50), queue_len_max: 1, ..limits() };
    let store = Arc::new(open(dir.path(), &limits).unwrap());
    let other = Connection::open(dir.path().join(names::DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(store.append(vec![event(1, 1)]).await, Err(AppendError::Busy));
    assert!(store.page(all(1)).await.unwrap().bodies.is_empty());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.append(vec![event(1, 1)]).await.unwrap().inserted, 1);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_loses_nothing_that_waited() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), &Limits { queue_len_max: 2, ..limits() }).unwrap());
    let (release, held) = mpsc::channel::<()>();
    let (holding, held_now) = mpsc::channel();
    store.with_writer(move |_| {
        holding.send(()).unwrap();
        _ = held.recv();
    });
    held_now.recv_timeout(DEADLINE).unwrap();
    let mut appends = JoinSet::new();
    for number in 0..5 {
        let store = Arc::clone(&store);
        appends.spawn(async move { store.append(vec![event(number, 1)]).await });
    }
    let mut refused = Vec::new();
    while refused.len() < 3 {
        refused.push(appends.join_next().await.unwrap().unwrap());
    }
    assert_eq!(refused, vec![Err(AppendError::Overloaded { queued: 2 }); 3]);
    release.send(()).unwrap();
    for outcome in appends.join_all().await {
        assert_eq!(outcome.unwrap().inserted, 1);
    }
    assert_eq!(store.page(all(9)).await.unwrap().bodies.len(), 2);
}

#[tokio::test]
async fn what_waits_when_the_store_is_closed_is_still_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path(), &limits()).unwrap());
    let (release, held) = mpsc::channel::<()>();
    store.with_writer(move |_| _ = held.recv());
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.append(vec![event(1, 1)]).await }
    });
    tokio::task::yield_now().await;
    let closing = tokio::task::spawn_blocking({
        let store = Arc::clone(&store);
        move || store.close()
    });
    release.send(()).unwrap();
    closing.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().inserted, 1);
    assert_eq!(store.append(vec![event(2, 1)]).await, Err(AppendError::Stopped));
    assert_eq!(store.page(all(1)).await, Err(PageError::Stopped));
    store.close().unwrap();
}

#[tokio::test]
async fn the_log_of_sqlite_stays_small_and_is_emptied_when_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &limits()).unwrap();
    let group = |n: u64| (n * 50..n * 50 + 50).map(|it| event(it, 20_000)).collect::<Vec<_>>();
    // 50 events of 20 kB are about 300 pages.
    let bound = (u64::try_from(LOG_PAGES_MAX).unwrap() + 1000) * PAGE_LEN;
    let mut longest = 0;
    for n in 0..40 {
        store.append(group(n)).await.unwrap();
        longest = longest.max(log_len(dir.path()));
    }
    assert!(longest > 1000 * PAGE_LEN, "the test writes too little: {longest}");
    assert!(longest < bound, "{longest} bytes");
    wait_until("the idle checkpoint", || log_len(dir.path()) == 0);

    // A reader of another program keeps the log; writing goes on and recovers afterwards.
    let other = Connection::open(dir.path().join(names::DATABASE)).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    for n in 40..80 {
        store.append(group(n)).await.unwrap();
    }
    assert!(log_len(dir.path()) > bound);
    other.execute_batch("COMMIT").unwrap();
    store.append(group(80)).await.unwrap();
    wait_until("the idle checkpoint", || log_len(dir.path()) == 0);
}

#[tokio::test]
async fn a_late_report_hides_nothing_that_happened_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &limits()).unwrap();
    for at in [2000, 10, 1500, 20] {
        store.append(vec![event(at, 1)]).await.unwrap();
    }
    let since = PageQuery { since_ns: Some(1500), ..all(9) };
    let found = store.page(since).await.unwrap().bodies;
    assert_eq!(found, [event(1500, 1).body, event(2000, 1).body]);
}

#[tokio::test]
async fn a_store_whose_file_was_removed_takes_nothing_more() {
    for name in [names::DATABASE, names::DATABASE_WAL, names::USED] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), &limits()).unwrap();
        store.append(vec![event(1, 1)]).await.unwrap();
        let path = dir.path().join(name);
        OsVfs.remove(&path).unwrap();
        assert_eq!(store.append(vec![event(2, 1)]).await, Err(AppendError::Stopped), "{name}");
        assert_eq!(store.failed().await, Failure::Moved { path });
        assert_eq!(store.append(vec![event(3, 1)]).await, Err(AppendError::Stopped), "{name}");
        store.close().unwrap();
    }
}

#[tokio::test]
async fn the_floor_is_the_last_event_at_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &limits()).unwrap();
    let floor = || mark::read(mark::EVENTS, &dir.path().join(names::USED)).unwrap();
    assert_eq!(floor(), Some(0));
    // Many to a block and past it, so that the id of a block is never taken for that of an event.
    for n in 1..=30_u64 {
        store.append((n * 100..n * 100 + 100).map(|it| event(it, 1)).collect()).await.unwrap();
        assert_eq!(floor(), i64::try_from(n * 100).ok());
    }
}

#[tokio::test]
async fn nothing_is_answered_when_the_floor_cannot_be_raised() {
    let dir = tempfile::tempdir().unwrap();
    let held = DataDir::take(dir.path()).unwrap();
    let mut opened = open::open(&held, &limits()).unwrap();
    opened.mark = mark::Mark::unwritable(&dir.path().join(names::USED));
    let (report, failed) = watch::channel(None);
    let writer = Writer::start(opened, &limits(), (report, watch::channel(0).0)).unwrap();
    for number in 0..2 {
        assert_eq!(writer.append(vec![event(number, 1)]).await, Err(AppendError::Stopped));
    }
    let failure = failed.borrow().clone();
    assert!(
        matches!(&failure, Some(Failure::Io { detail }) if detail.contains(names::USED)),
        "{failure:?}"
    );
    writer.close().unwrap();
}

#[tokio::test]
async fn damage_found_while_reading_stops_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), &limits()).unwrap();
    store.append((0..2000).map(|it| event(it, 100)).collect()).await.unwrap();
    wait_until("the idle checkpoint", || log_len(dir.path()) == 0);
    let path = dir.path().join(names::DATABASE);
    let len = OsVfs.stat(&path).unwrap().unwrap().len;
    let file = OsVfs.open(&path, vfs::OpenMode::ReadWrite).unwrap();
    vfs::write_all_at(&*file, &vec![0x5a; usize::try_from(len - PAGE_LEN).unwrap()], PAGE_LEN)
        .unwrap();
    // The handle stays open: closing it would end SQLite's locks in this process.
    let outcome = store.page(all(1000)).await;
    assert!(matches!(outcome, Err(PageError::Failed { .. })), "{outcome:?}");
    assert!(matches!(store.failed().await, Failure::Corrupt { .. }));
    drop(file);
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_stopped_and_the_connection_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { query_timeout: Duration::ZERO, ..limits() };
    let store = open(dir.path(), &limits).unwrap();
    // Every block holds one event of the future and none of `n9`, so all events are looked at.
    for start in (0..200_000).step_by(10_000) {
        let mut events: Vec<_> = (start..start + 10_000).map(|it| event(it, 1)).collect();
        for event in events.iter_mut().step_by(500) {
            event.at_ns = i64::MAX;
        }
        store.append(events).await.unwrap();
    }
    let slow = || PageQuery {
        node_id: Some("n1".to_owned()),
        event_type: Some("t1".to_owned()),
        since_ns: Some(i64::MAX - 1),
        before: None,
        limit: 1000,
    };
    // A query may be done just before it is stopped; most are not.
    let mut stopped = 0;
    for _ in 0..400 {
        match store.page(slow()).await {
            Ok(_) => {}
            Err(PageError::TimedOut { .. }) => stopped += 1,
            Err(other) => panic!("{other:?}"),
        }
        if stopped == 8 {
            return;
        }
    }
    panic!("only {stopped} of 400 queries were stopped");
}

#[derive(Clone, Debug)]
struct Row {
    node: u8,
    kind: u8,
    at_ns: i64,
}

impl Row {
    fn event(&self, number: usize) -> NewEvent {
        NewEvent {
            event_id: number.to_string(),
            event_type: format!("t{}", self.kind),
            node_id: format!("n{}", self.node),
            at_ns: self.at_ns,
            body: number.to_string(),
        }
    }
}

fn row() -> impl Strategy<Value = Row> {
    // Mostly the present, some late reports, a few clocks that run ahead.
    let at_ns = prop_oneof![20 => 1000..2000_i64, 4 => 0..1000_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    (0..3_u8, 0..3_u8, at_ns).prop_map(|(node, kind, at_ns)| Row { node, kind, at_ns })
}

fn query() -> impl Strategy<Value = PageQuery> {
    let name = |prefix: &'static str| {
        prop::option::of((0..4_u8).prop_map(move |it| format!("{prefix}{it}")))
    };
    let since = prop::option::of(prop_oneof![0..2500_i64, Just(i64::MAX), Just(i64::MIN)]);
    (name("n"), name("t"), since, prop::option::of(1..4000_i64), 1..200_u32).prop_map(
        |(node_id, event_type, since_ns, before, limit)| PageQuery {
            node_id,
            event_type,
            since_ns,
            before,
            limit,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// The model: all rows in a list, filtered from the end.
    #[test]
    fn a_page_is_what_a_walk_over_all_events_would_find(
        rows in prop::collection::vec(row(), 3000),
        queries in prop::collection::vec(query(), 60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(dir.path(), &limits()).unwrap();
            let events: Vec<_> = rows.iter().enumerate().map(|(n, row)| row.event(n)).collect();
            let ids: Vec<_> = (1_i64..).take(events.len()).collect();
            for chunk in events.chunks(700) {
                store.append(chunk.to_vec()).await.unwrap();
            }
            for query in queries {
                let matches = events.iter().zip(&ids).rev().filter(|(event, id)| {
                    query.before.is_none_or(|it| **id < it)
                        && query.since_ns.is_none_or(|it| event.at_ns >= it)
                        && query.node_id.as_ref().is_none_or(|it| *it == event.node_id)
                        && query.event_type.as_ref().is_none_or(|it| *it == event.event_type)
                });
                let mut found: Vec<_> = matches.take(query.limit as usize + 1).collect();
                let more = found.len() > query.limit as usize;
                found.truncate(query.limit as usize);
                let want = Page {
                    next: found.last().filter(|_| more).map(|it| *it.1),
                    bodies: found.iter().map(|it| it.0.body.clone()).collect(),
                    ids: found.iter().map(|it| *it.1).collect(),
                };
                prop_assert_eq!(store.page(query.clone()).await.unwrap(), want, "{:?}", query);
            }
            Ok(())
        })?;
    }
}
