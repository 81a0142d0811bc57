use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use audit::{Category, Filter, Outcome};
use rollout_store::{
    Actor, Moment, PlanId, PlanRequest, Reason, RolloutReader as _, Strategy, Strictness, Write,
    Written, store::Order,
};
use vfs::{Fault, FaultPlan, MemVfs, OsVfs};

use super::*;
use crate::store::names;

/// Long enough for a promoter that is not asked.
const NEVER: Duration = Duration::from_hours(1);

fn limits(promote_interval: Duration) -> Limits {
    Limits { check_timeout: Duration::from_mins(1), promote_interval, ..Limits::STANDARD }
}

struct World {
    rollouts: Rollouts,
    now: Arc<AtomicI64>,
    _dir: DataDir,
}

fn try_open(dir: &Path, vfs: Arc<dyn Vfs>, interval: Duration) -> Result<World, RolloutsError> {
    let data = DataDir::take(dir).unwrap();
    let now = Arc::new(AtomicI64::new(1_767_323_045_000));
    let clock = Arc::clone(&now);
    let limits = limits(interval);
    let rollouts = Rollouts::open(Opening {
        dir: &data,
        audit_dir: dir.join("audit"),
        vfs,
        clock: Arc::new(move || Moment::from_unix_ms(clock.load(Ordering::SeqCst))),
        limits: &limits,
    })?;
    Ok(World { rollouts, now, _dir: data })
}

fn open(dir: &Path) -> World {
    try_open(dir, Arc::new(OsVfs), NEVER).unwrap()
}

fn body(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","artifact_ref":"oci:x@sha256:{0}","target_lock_fingerprint":"blake3:{0}"}}"#,
        "0".repeat(64)
    )
}

fn create(id: &str) -> Ask {
    let plan = PlanRequest::parse(body(id).as_bytes(), Strictness::Warn).unwrap();
    let by = Actor::new("ann").unwrap();
    let draft = Draft::new(
        "rollout.plan.created",
        (Category::Rollout, "create"),
        ("rollout_plan", id),
        "ann",
    );
    let write = Write::Create { request: Box::new(plan), by };
    Ask { write, idempotency: None, draft: Some(draft) }
}

fn roll_back(id: &str) -> Ask {
    let order = Order {
        plan: PlanId::new(id).unwrap(),
        if_match: None,
        by: Actor::new("ann").unwrap(),
        reason: Some(Reason::new("because").unwrap()),
    };
    let draft = Draft::new(
        "rollback.executed",
        (Category::Rollback, "rollback"),
        ("rollout_plan", id),
        "ann",
    );
    let write = Write::Recover { order, strategy: Strategy::Rollback, stage: None };
    Ask { write, idempotency: None, draft: Some(draft) }
}

fn trail(vfs: &Arc<dyn Vfs>, dir: &Path) -> Vec<(String, Outcome, Option<String>)> {
    let found = audit::query(vfs, &dir.join("audit"), &Filter::default(), 0).unwrap();
    found.into_iter().map(|it| (it.event.event_name, it.event.outcome, it.event.resource)).collect()
}

fn os() -> Arc<dyn Vfs> {
    Arc::new(OsVfs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_and_a_refusal_are_on_record_when_they_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    let applied = world.rollouts.ask(create("p1")).await.unwrap();
    assert!(matches!(applied.written, Written::Created(_)));
    world.rollouts.ask(roll_back("p1")).await.unwrap();
    let error = world.rollouts.ask(roll_back("p1")).await.unwrap_err();
    assert!(matches!(error, AskError::Refused(_)), "{error}");
    let p1 = Some("p1".to_owned());
    let want = [
        ("rollout.plan.created".to_owned(), Outcome::Success, p1.clone()),
        ("rollback.executed".to_owned(), Outcome::Success, p1.clone()),
        ("rollback.executed".to_owned(), Outcome::Failure, p1),
    ];
    assert_eq!(trail(&os(), dir.path()), want);
}

/// W2: what a kill left between the commit and the trail is told by the next start, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_and_not_told_is_told_once_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    for id in ["p1", "p2"] {
        world.rollouts.ask(create(id)).await.unwrap();
    }
    world.rollouts.close().unwrap();
    drop(world);
    // Notes as the commit leaves them, of which the trail knows the first.
    let filter = Filter::default();
    let newest = audit::query(&os(), &dir.path().join("audit"), &filter, 1).unwrap().remove(0);
    let told = newest.event.fields["note_id"].as_str().unwrap().to_owned();
    let conn = rusqlite::Connection::open(dir.path().join(names::ROLLOUTS)).unwrap();
    for (number, id) in [(2, "p2"), (3, "p3"), (4, "p4")] {
        let draft = create(id).draft.unwrap();
        let own = draft.id().to_owned();
        let text = draft.to_note().unwrap();
        let text = if id == "p2" { text.replace(&own, &told) } else { text };
        let sql = "INSERT INTO notes VALUES (?1, ?2, ?3, '{\"result\":\"created\"}')";
        conn.execute(sql, rusqlite::params![number, 1_767_323_045_000_i64, text]).unwrap();
    }
    drop(conn);
    for _ in 0..2 {
        let world = open(dir.path());
        world.rollouts.close().unwrap();
        let told: Vec<_> = trail(&os(), dir.path()).into_iter().filter_map(|it| it.2).collect();
        assert_eq!(told, ["p1", "p2", "p3", "p4"]);
    }
}

/// W3, G2: a trail that cannot be written refuses what has to be on record and nothing else, loses nothing, and is
/// written again as soon as that is possible.
#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_cannot_be_written_refuses_changes_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let disk = MemVfs::new(FaultPlan::none());
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let world = try_open(dir.path(), Arc::clone(&vfs), NEVER).unwrap();
    world.rollouts.ask(create("p1")).await.unwrap();
    // The change behind the failure is made: it stands in the store and is told later.
    disk.set_plan(FaultPlan::new(|_, _| Some(Fault::Enospc)));
    world.rollouts.ask(create("p2")).await.unwrap();
    assert!(world.rollouts.record_blocked().is_some());
    let error = world.rollouts.ask(create("p3")).await.unwrap_err();
    assert!(matches!(error, AskError::NotOnRecord { .. }), "{error}");
    let p3 = PlanId::new("p3").unwrap();
    assert_eq!(world.rollouts.read(move |it| it.rollout(&p3)).await.unwrap(), None);
    let quiet = Ask { draft: None, ..create("p4") };
    world.rollouts.ask(quiet).await.unwrap();
    disk.set_plan(FaultPlan::none());
    world.rollouts.ask(create("p5")).await.unwrap();
    assert_eq!(world.rollouts.record_blocked(), None);
    let told: Vec<_> = trail(&vfs, dir.path()).into_iter().filter_map(|it| it.2).collect();
    assert_eq!(told, ["p1", "p2", "p5"]);
}

/// G1: the numbers of a restored store are in the trail already, for other changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_from_a_backup_beside_a_newer_trail_has_its_changes_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = [names::ROLLOUTS, names::ROLLOUTS_USED].map(|it| dir.path().join(it));
    let disk = MemVfs::new(FaultPlan::none());
    let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
    let world = try_open(dir.path(), Arc::clone(&vfs), NEVER).unwrap();
    world.rollouts.close().unwrap();
    drop(world);
    let backup = files.clone().map(|it| std::fs::read(it).unwrap());
    let world = try_open(dir.path(), Arc::clone(&vfs), NEVER).unwrap();
    for id in ["p1", "p2", "p3"] {
        world.rollouts.ask(create(id)).await.unwrap();
    }
    world.rollouts.close().unwrap();
    drop(world);
    for (path, bytes) in files.iter().zip(backup) {
        std::fs::write(path, bytes).unwrap();
    }
    let world = try_open(dir.path(), Arc::clone(&vfs), NEVER).unwrap();
    disk.set_plan(FaultPlan::new(|_, _| Some(Fault::Enospc)));
    world.rollouts.ask(create("q1")).await.unwrap();
    disk.set_plan(FaultPlan::none());
    world.rollouts.ask(create("q2")).await.unwrap();
    let told: Vec<_> = trail(&vfs, dir.path()).into_iter().filter_map(|it| it.2).collect();
    assert_eq!(told, ["p1", "p2", "p3", "q1", "q2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_answered_commits_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.rollouts.ask(create("p1")).await.unwrap();
    world.rollouts.close().unwrap();
    drop(world);
    let copy = std::fs::read(dir.path().join(names::ROLLOUTS)).unwrap();
    let world = open(dir.path());
    world.rollouts.ask(create("p2")).await.unwrap();
    world.rollouts.close().unwrap();
    drop(world);
    std::fs::write(dir.path().join(names::ROLLOUTS), copy).unwrap();
    let error = try_open(dir.path(), os(), NEVER).map(drop).unwrap_err();
    assert!(matches!(error, RolloutsError::RolledBack { found: 1 | 2, .. }), "{error}");
    std::fs::remove_file(dir.path().join(names::ROLLOUTS)).unwrap();
    let error = try_open(dir.path(), os(), NEVER).map(drop).unwrap_err();
    assert!(
        matches!(error, RolloutsError::Open(crate::store::OpenError::Missing { .. })),
        "{error}"
    );
}

/// W5.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_back_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.now.fetch_add(60_000, Ordering::SeqCst);
    let (first, _) = plan_of(world.rollouts.ask(create("p1")).await.unwrap().written);
    world.now.fetch_sub(3_600_000, Ordering::SeqCst);
    let (second, _) = plan_of(world.rollouts.ask(create("p2")).await.unwrap().written);
    assert_eq!(first, second);
}

fn plan_of(written: Written) -> (Moment, String) {
    match written {
        Written::Created(it) => (it.created_at(), it.id().to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poison_plan_among_a_thousand_stops_nobody() {
    const PLANS: usize = 1000;
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    let asks: Vec<_> = (0..PLANS).map(|it| world.rollouts.ask(create(&format!("p{it}")))).collect();
    let mut answers = Vec::new();
    for chunk in chunks(asks, 100) {
        answers.extend(futures_util::future::join_all(chunk).await);
    }
    assert!(answers.iter().all(Result::is_ok));
    let node = rollout_store::NodeId::new("n1").unwrap();
    for chunk in (0..PLANS).collect::<Vec<_>>().chunks(100) {
        let reports = chunk.iter().map(|it| {
            world.rollouts.ask(Ask {
                write: Write::Report {
                    plan: PlanId::new(&format!("p{it}")).unwrap(),
                    node: node.clone(),
                    progress: rollout_store::Progress::Healthy,
                    detail: String::new(),
                },
                idempotency: None,
                draft: None,
            })
        });
        assert!(futures_util::future::join_all(reports).await.iter().all(Result::is_ok));
    }
    let conn = rusqlite::Connection::open(dir.path().join(names::ROLLOUTS)).unwrap();
    conn.execute("UPDATE rollouts SET body = '{}' WHERE id = 'p500'", []).unwrap();
    drop(conn);
    world.rollouts.nudge();
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        let query = rollout_store::ListQuery { phase: Some("completed"), after: None, limit: 1 };
        let done = world.rollouts.read(move |it| it.rollouts(&query)).await.unwrap().total;
        if done == PLANS as u64 - 1 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{done} of {PLANS}");
        tokio::task::yield_now().await;
    }
    let stuck = world.rollouts.read(|it| it.stuck(0, Moment::from_unix_ms(i64::MAX), 10)).await;
    let stuck: Vec<_> = stuck.unwrap().plans.into_iter().map(|it| it.plan_id.to_string()).collect();
    assert_eq!(stuck, ["p500"]);
}

fn chunks<T>(mut all: Vec<T>, len: usize) -> Vec<Vec<T>> {
    let mut chunks = Vec::new();
    while !all.is_empty() {
        let rest = all.split_off(len.min(all.len()));
        chunks.push(std::mem::replace(&mut all, rest));
    }
    chunks
}

/// A test of its own, so that nobody can use the handle of another.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_are_each_answered_with_their_own_result() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    let seen = Mutex::new(Vec::new());
    let all = (0..200).map(|it| {
        let (rollouts, seen) = (&world.rollouts, &seen);
        async move {
            let id = format!("p{it}");
            let (_, found) = plan_of(rollouts.ask(create(&id)).await.unwrap().written);
            assert_eq!(found, id);
            seen.lock().unwrap().push(id);
        }
    });
    futures_util::future::join_all(all).await;
    let mut told: Vec<_> = trail(&os(), dir.path()).into_iter().filter_map(|it| it.2).collect();
    let mut seen = seen.into_inner().unwrap();
    told.sort();
    seen.sort();
    assert_eq!(told, seen);
}

/// G3.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_trail_in_the_place_of_the_one_that_was_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let world = open(dir.path());
    world.rollouts.ask(create("p1")).await.unwrap();
    let files = [audit::OPEN, audit::HEAD].map(|it| dir.path().join("audit").join(it));
    let older = files.clone().map(|it| std::fs::read(it).unwrap());
    for id in ["p2", "p3"] {
        world.rollouts.ask(create(id)).await.unwrap();
    }
    for (path, bytes) in files.iter().zip(older) {
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    // The change that meets it stands in the store; nothing is made after it.
    world.rollouts.ask(create("p4")).await.unwrap();
    for id in ["p5", "p6"] {
        let error = world.rollouts.ask(create(id)).await.unwrap_err();
        assert!(matches!(error, AskError::NotOnRecord { .. }), "{error}");
    }
    assert!(world.rollouts.record_blocked().is_some());
}
