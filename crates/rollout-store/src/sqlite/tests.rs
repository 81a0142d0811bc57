use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::{
    Actor, ListQuery, Phase, PlanId, PlanRequest, Strictness, Verb, Write, WriteError, Written,
    promote_once, store::Order,
};

const NOW: Moment = Moment::from_unix_ms(1_767_323_045_000);

fn home() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollouts.db");
    (dir, path)
}

fn create(id: &str) -> Request {
    let body = format!(
        r#"{{"id":"{id}","artifact_ref":"a","target_lock_fingerprint":"f","stages":
           [{{"id":"s1","percent":100,"gates":[{{"kind":"time_soak","soak_seconds":60}}]}}]}}"#
    );
    let request = PlanRequest::parse(body.as_bytes(), Strictness::Warn).unwrap();
    let by = Actor::new("ann").unwrap();
    Write::Create { request: Box::new(request), by }.into()
}

fn order(id: &str) -> Order {
    let by = Actor::new("ann").unwrap();
    let reason = Some(crate::Reason::new("test").unwrap());
    Order { plan: PlanId::new(id).unwrap(), if_match: None, by, reason }
}

fn retry(id: &str) -> Request {
    let strategy = crate::Strategy::Retry;
    Write::Recover { order: order(id), strategy, stage: None }.into()
}

fn all() -> ListQuery {
    ListQuery { phase: None, after: None, limit: 1000 }
}

/// Z4.
#[test]
fn every_query_walks_its_index_and_sorts_nothing() {
    let (_dir, path) = home();
    let store = SqliteStore::open(&path).unwrap();
    for (which, want) in [
        (read::sql::PAGE, "SEARCH rollouts USING INTEGER PRIMARY KEY (rowid<?)"),
        (
            read::sql::PAGE_OF_PHASE,
            "SEARCH rollouts USING INDEX rollouts_by_phase (phase=? AND rowid<?)",
        ),
        (read::sql::QUIET, "SEARCH rollouts USING INDEX rollouts_quiet (quiet_since<?)"),
        (read::sql::LIVE, "SEARCH rollouts USING INDEX rollouts_live (live=? AND rowid>?)"),
        (read::sql::LIVE_OF, "SEARCH rollouts USING INDEX rollouts_live_of (channel=?)"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN SELECT body FROM rollouts {which}");
        let mut statement = store.reader.conn.prepare(&sql).unwrap();
        let params = rusqlite::params_from_iter(vec![1; statement.parameter_count()]);
        let rows = statement.query_map(params, |row| row.get::<_, String>(3)).unwrap();
        let plan: Vec<_> = rows.map(Result::unwrap).collect();
        assert_eq!(plan, [want]);
    }
}

/// B5, T1, K2, Q3.
#[test]
fn one_poison_plan_among_a_thousand_stops_nobody() {
    const PLANS: usize = 1000;
    const POISON: &str = "p-0500";
    let (_dir, path) = home();
    let mut store = SqliteStore::open(&path).unwrap();
    let epoch = store.acquire().unwrap();
    let ids: Vec<_> = (0..PLANS).map(|it| format!("p-{it:04}")).collect();
    let creates: Vec<_> = ids.iter().map(|it| create(it)).collect();
    let retries: Vec<_> = ids.iter().map(|it| retry(it)).collect();
    for batch in [creates, retries] {
        assert!(store.apply(epoch, NOW, &batch).unwrap().iter().all(Result::is_ok));
    }
    let conn = &store.reader.conn;
    let sql = "UPDATE rollouts SET body = '{\"plan\":7}' WHERE id = ?1";
    conn.execute(sql, [POISON]).unwrap();

    let later = NOW.plus_seconds(3600);
    let stuck = store.reader.stuck(3600, later, 1000).unwrap();
    assert_eq!(stuck.plans.len(), PLANS);
    assert!(stuck.plans.iter().all(|it| !it.diagnosis.is_empty()));
    let poisoned: Vec<_> = stuck.plans.iter().filter(|it| it.phase.is_none()).collect();
    assert_eq!(poisoned.len(), 1);
    assert_eq!(poisoned[0].plan_id.as_str(), POISON);

    let pass = promote_once(&mut store, epoch, later).unwrap();
    assert_eq!((pass.looked_at, pass.stepped), (1000, 999));
    assert_eq!(pass.poisoned.len(), 1);
    assert_eq!(pass.refused, []);

    let page = store.reader.rollouts(&all()).unwrap();
    assert_eq!((page.rollouts.len(), page.unreadable.len(), page.total), (999, 1, 1000));
    assert!(page.rollouts.iter().all(|it| it.phase() == Phase::Completed));
    let poison = PlanId::new(POISON).unwrap();
    assert_eq!(store.reader.rollout(&poison).unwrap_err().code(), "PLAN_UNREADABLE");
    let answers = store.apply(epoch, later, &[retry(POISON), create("after")]).unwrap();
    assert_eq!(answers[0].as_ref().unwrap_err().code(), "PLAN_UNREADABLE");
    assert!(answers[1].is_ok());
}

/// B2, Z2: a request that the database refuses after it has written.
#[test]
fn what_a_refused_request_wrote_is_taken_back_and_the_others_stay() {
    let (_dir, path) = home();
    let mut store = SqliteStore::open(&path).unwrap();
    let epoch = store.acquire().unwrap();
    let trap = "CREATE TRIGGER trap BEFORE INSERT ON nodes WHEN new.id = 'n2'
                BEGIN SELECT raise(ABORT, 'trapped'); END";
    store.reader.conn.execute_batch(trap).unwrap();
    let body = br#"{"id":"bad","artifact_ref":"a","target_lock_fingerprint":"f",
                    "stages":[{"id":"s","nodes":["n1","n2"]}]}"#;
    let request = PlanRequest::parse(body, Strictness::Warn).unwrap();
    let bad = Write::Create { request: Box::new(request), by: Actor::new("ann").unwrap() };
    let batch = [create("a"), bad.into(), create("b")];
    let answers = store.apply(epoch, NOW, &batch).unwrap();
    let outcome: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(outcome, [true, false, true]);
    assert!(
        matches!(&answers[1], Err(WriteError::Database { detail }) if detail.contains("trapped"))
    );
    let page = store.reader.rollouts(&all()).unwrap();
    let ids: Vec<_> = page.rollouts.iter().map(|it| it.id().as_str()).collect();
    assert_eq!((ids, page.total), (vec!["b", "a"], 2));
    assert_eq!(store.reader.fleet(None, 10).unwrap(), []);
    assert_eq!(
        store.reader.conn.query_row(
            "SELECT coalesce(sum(n),0) FROM counts WHERE name = 'nodes'",
            [],
            |row| row.get::<_, i64>(0)
        ),
        Ok(0)
    );
}

/// Z5.
#[test]
fn a_newer_file_is_refused_by_name_and_left_as_it_is() {
    let (_dir, path) = home();
    SqliteStore::open(&path).unwrap().close().unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(error.code(), "STORE_NEWER");
    assert!(error.to_string().ends_with("has version 99; this program knows versions up to 2"));
    assert_eq!(SqliteReader::open(&path).unwrap_err().code(), "STORE_NEWER");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_of_somebody_else_is_refused() {
    let (_dir, path) = home();
    std::fs::write(&path, "no database, but long enough to be taken for one").unwrap();
    assert_eq!(SqliteStore::open(&path).unwrap_err().code(), "STORE_UNUSABLE");
    let other = path.with_file_name("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert_eq!(SqliteStore::open(&other).unwrap_err().code(), "STORE_FOREIGN");
    let absent = path.with_file_name("absent.db");
    assert_eq!(SqliteReader::open(&absent).unwrap_err().code(), "STORE_UNUSABLE");
}

/// B3, across connections: what several machines on one store need.
#[test]
fn a_writer_that_was_deposed_elsewhere_cannot_write() {
    let (_dir, path) = home();
    let mut old = SqliteStore::open(&path).unwrap();
    let old_epoch = old.acquire().unwrap();
    let mut new = SqliteStore::open(&path).unwrap();
    let new_epoch = new.acquire().unwrap();
    let error = old.apply(old_epoch, NOW, &[create("a")]).unwrap_err();
    assert_eq!(error, ApplyError::StaleEpoch { given: 1, current: 2 });
    assert!(new.apply(new_epoch, NOW, &[create("a")]).unwrap()[0].is_ok());
    assert_eq!(old.reader.rollouts(&all()).unwrap().total, 1);
}

#[test]
fn a_reader_sees_what_was_answered_and_cannot_write() {
    let (_dir, path) = home();
    let mut store = SqliteStore::open(&path).unwrap();
    let epoch = store.acquire().unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    assert!(matches!(
        store.apply(epoch, NOW, &[create("a")]).unwrap()[0],
        Ok(crate::Applied { written: Written::Created(_), replayed: false, .. })
    ));
    assert_eq!(reader.rollouts(&all()).unwrap().total, 1);
    assert!(reader.conn.execute("DELETE FROM rollouts", []).is_err());
}

#[test]
fn a_full_disk_refuses_the_batch_and_the_next_one_is_taken() {
    let (_dir, path) = home();
    let mut store = SqliteStore::open(&path).unwrap();
    let epoch = store.acquire().unwrap();
    store.reader.conn.pragma_update_and_check(None, "max_page_count", 40, |_| Ok(())).unwrap();
    let many: Vec<_> = (0..500).map(|it| create(&format!("p{it}"))).collect();
    let error = store.apply(epoch, NOW, &many).unwrap_err();
    assert_eq!(error.code(), "STORE_FULL", "{error}");
    assert_eq!(store.reader.rollouts(&all()).unwrap().total, 0);
    store.reader.conn.pragma_update_and_check(None, "max_page_count", 100_000, |_| Ok(())).unwrap();
    assert!(store.apply(epoch, NOW, &many).unwrap().iter().all(Result::is_ok));
    let publish = Write::Transition { order: order("p1"), verb: Verb::Publish };
    let answers = store.apply(epoch, NOW, &[publish.into()]).unwrap();
    assert!(matches!(&answers[0], Ok(it) if matches!(it.written, Written::Unchanged(_))));
}

#[test]
fn the_log_is_emptied_when_it_is_long_and_at_the_end() {
    let (_dir, path) = home();
    let log = path.with_file_name("rollouts.db-wal");
    let mut store = SqliteStore::open(&path).unwrap();
    let epoch = store.acquire().unwrap();
    for round in 0..40 {
        let many: Vec<_> = (0..400).map(|it| create(&format!("p{round}-{it}"))).collect();
        store.apply(epoch, NOW, &many).unwrap();
    }
    let bound = 4096 * (LOG_PAGES_MAX.unsigned_abs() * 3);
    assert!(std::fs::metadata(&log).unwrap().len() < bound);
    store.close().unwrap();
    assert!(!log.exists());
}

/// Two hundred of the largest plans in one answer would be a hundred megabytes.
#[test]
fn a_page_of_large_plans_ends_early_with_a_cursor_and_loses_none() {
    const PLANS: usize = 24;
    let (_dir, path) = home();
    let mut store = SqliteStore::open(&path).unwrap();
    let epoch = store.acquire().unwrap();
    let nodes: Vec<_> = (0..4000).map(|it| format!("\"{it:0100}\"")).collect();
    let nodes = nodes.join(",");
    for number in 0..PLANS {
        let body = format!(
            r#"{{"id":"p{number}","artifact_ref":"a","target_lock_fingerprint":"f",
               "stages":[{{"id":"s","nodes":[{nodes}]}}]}}"#
        );
        let request = PlanRequest::parse(body.as_bytes(), Strictness::Warn).unwrap();
        let by = Actor::new("ann").unwrap();
        let write = Write::Create { request: Box::new(request), by };
        store.apply(epoch, NOW, &[write.into()]).unwrap().remove(0).unwrap();
    }
    let (mut seen, mut pages, mut after) = (0, 0, None);
    loop {
        let page = store.reader().rollouts(&ListQuery { after, ..all() }).unwrap();
        let len: usize = page.rollouts.iter().map(|it| serde_json::to_vec(it).unwrap().len()).sum();
        assert!(len < read::PAGE_LEN_MAX + crate::plan::PLAN_LEN_MAX, "{len} bytes");
        assert_eq!(page.total, PLANS as u64);
        (seen, pages, after) = (seen + page.rollouts.len(), pages + 1, page.next);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, PLANS);
    assert!(pages > 1, "{pages} page");
}
