//! What a call may take, and what is said when it takes more.

use std::{
    sync::mpsc,
    task::{Context, Waker},
};

use super::*;
use crate::refusals::tell_now;

fn in_a_task(world: &World) -> tokio::task::JoinHandle<Answer> {
    let interceptor = Arc::clone(&world.interceptor);
    tokio::spawn(async move { interceptor.call(call(), Map::new()).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tool_that_does_not_end_is_said_to_run_still() {
    let world = world(allow(), Act::Block);
    let (release, released) = mpsc::channel::<()>();
    let (locked, is_locked) = mpsc::channel();
    let log_then = Arc::clone(&world.probe.log_then);
    let holder = std::thread::spawn(move || {
        let held = log_then.lock().unwrap();
        locked.send(()).unwrap();
        released.recv().unwrap();
        drop(held);
    });
    is_locked.recv().unwrap();
    let answer = in_a_task(&world).await.unwrap();
    assert_eq!(answer.body.code.as_deref(), Some("tool_timeout"));
    assert!(answer.body.error.unwrap().contains("has not ended"));
    assert_eq!(count(&world.vfs, r#""still_running":true"#), 1);
    assert_eq!(world.interceptor.measures.tools_still_running(), 1);
    release.send(()).unwrap();
    while world.interceptor.measures.tools_still_running() > 0 {
        tokio::task::yield_now().await;
    }
    holder.join().unwrap();
}

/// I3, without a tool and without a task that anybody waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_while_its_decision_waits_for_the_disk_leaves_it_there() {
    let world = world(Decision::deny(DenyCode::PolicyDenied, None, None), Act::Succeed);
    let (release, released) = mpsc::channel::<()>();
    let (takes, has_taken) = mpsc::channel();
    let interceptor = Arc::clone(&world.interceptor);
    let holder = std::thread::spawn(move || {
        interceptor.journal.with_writer(|_| {
            takes.send(()).unwrap();
            released.recv().unwrap();
        })
    });
    has_taken.recv().unwrap();
    let mut caller = Box::pin(world.interceptor.call(call(), Map::new()));
    assert!(caller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(caller);
    assert_eq!(world.interceptor.in_flight(), 1, "it goes on");
    release.send(()).unwrap();
    holder.join().unwrap().unwrap();
    world.interceptor.drained().await;
    assert_eq!(count(&world.vfs, r#""decision":"deny""#), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_was_dropped_at_its_deadline_is_not_said_to_run() {
    let world = world(allow(), Act::Hang);
    assert_eq!(world.call().await.body.code.as_deref(), Some("tool_timeout"));
    assert_eq!(count(&world.vfs, "still_running"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_breaks_after_its_decision_is_not_answered_as_if_nothing_was_decided() {
    let world = world(allow(), Act::Succeed);
    let decided = OnceLock::new();
    let error = tokio::spawn(async { panic!("a bug") }).await.unwrap_err();
    let before = world.interceptor.lost("audit-1", &decided, &error);
    assert_eq!((before.status, before.body.decision), (503, Verdict::Deny));
    decided.set(world.call().await.body).unwrap();
    let after = world.interceptor.lost("audit-1", &decided, &error);
    assert_eq!((after.status, after.body.decision), (500, Verdict::Allow));
    assert_eq!(after.body.code.as_deref(), Some("OUTCOME_NOT_RECORDED"));
    assert_eq!((after.body.seq, after.body.audit_id.as_str()), (Some(2), "audit-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_stays_open_unless_it_is_closed() {
    let world = world(allow(), Act::Succeed);
    let open = &world.interceptor.open;
    assert_eq!(world.call().await.status, 200);
    assert!(open.none(), "its outcome is on record");
    let held = Arc::clone(open);
    let broken = tokio::spawn(async move {
        let _open = held.enter("lost");
        panic!("a bug between decision and outcome");
    });
    assert!(broken.await.is_err());
    let (calls, oldest) = open.summary();
    assert_eq!((calls, oldest.unwrap().audit_id.as_str()), (1, "lost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_too_many_are_on_record_as_one_count() {
    let mut plan = Plan::new(allow(), Act::Hang);
    plan.limits.calls = 1;
    let world = plan.make();
    let first = in_a_task(&world);
    world.probe.at_work.notified().await;
    for _ in 0..300 {
        let answer = world.call().await;
        assert_eq!((answer.status, answer.body.code.as_deref()), (503, Some("OVERLOADED")));
    }
    world.interceptor.turn_away("x", CallCode::HostRefused, "");
    first.await.unwrap();
    tell_now(&world.interceptor).await;
    tell_now(&world.interceptor).await;
    let told: Vec<_> = events(&world.vfs)
        .into_iter()
        .filter(|it| it["attrs"]["event"] == "calls.refused")
        .collect();
    assert_eq!(told.len(), 1, "nothing new is nothing to tell");
    assert_eq!(told[0]["attrs"]["total"], 301);
    assert_eq!(told[0]["attrs"]["by_code"], json!({ "OVERLOADED": 300, "HOST_REFUSED": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_cannot_be_recorded_is_told_later() {
    let world = world(allow(), Act::Succeed);
    world.interceptor.turn_away("x", CallCode::Overloaded, "");
    let full = |_, op: &Op| matches!(op, Op::Write { .. }).then_some(Fault::Enospc);
    world.vfs.set_plan(FaultPlan::new(full));
    tell_now(&world.interceptor).await;
    world.vfs.set_plan(FaultPlan::none());
    tell_now(&world.interceptor).await;
    assert_eq!(count(&world.vfs, r#""by_code":{"OVERLOADED":1}"#), 1);
}

/// Comes back when it is told to.
#[derive(Debug)]
struct Slow(Mutex<mpsc::Receiver<()>>, mpsc::Sender<()>);

impl Evaluator for Slow {
    fn evaluate(&self, _: &policy::Request) -> Decision {
        self.1.send(()).unwrap();
        self.0.lock().unwrap().recv().unwrap();
        allow()
    }

    fn policy_ref(&self) -> &'static str {
        "7.0.0"
    }

    fn policy_digest(&self) -> &'static str {
        "sha256:00"
    }
}

/// Both workers would be taken if each call was evaluated on one; then nothing here could go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_policies_leave_a_worker_for_everything_else() {
    let (go, wait) = mpsc::channel();
    let (begun, has_begun) = mpsc::channel();
    let slow = Arc::new(Slow(Mutex::new(wait), begun));
    let world = Plan { evaluator: slow, ..Plan::new(allow(), Act::Succeed) }.make();
    let calls: Vec<_> = (0..6).map(|_| in_a_task(&world)).collect();
    // One evaluates on a worker, others wait for it.
    let waits = move || (has_begun.recv().unwrap(), has_begun);
    let ((), _has_begun) = tokio::task::spawn_blocking(waits).await.unwrap();
    // A timer and a task need a worker.
    tokio::time::sleep(Duration::from_millis(20)).await;
    tokio::spawn(async {}).await.unwrap();
    for _ in 0..6 {
        go.send(()).unwrap();
    }
    for call in calls {
        assert_eq!(call.await.unwrap().status, 200);
    }
}
