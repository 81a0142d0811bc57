//! SIGKILL at any moment while allowed calls leave marks: no effect without a record, none twice.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use e2e::harness::{Client, Ports, RuntimeOptions, Stack, audit, eventually};
use serde_json::{Value, json};

/// Runtimes at once, each with a log of its own.
const LANES: usize = 4;
/// Kills of each.
const ROUNDS: usize = 50;
/// Callers of each.
const CALLERS: usize = 8;

/// A mark says itself whether the policy allows it.
const POLICY: &str = r#"package autonomy

mark := input.params.argv[4]

decision := {"allow": true, "rule": "marks"} if {
    input.kind == "tool.shell"
    startswith(mark, "allowed-")
}

decision := {"allow": false, "reason": "this mark is denied"} if {
    input.kind == "tool.shell"
    startswith(mark, "denied-")
}
"#;

/// What one runtime went through.
struct Told {
    /// Marks in the sandbox.
    marks: usize,
    /// Calls whose outcome nobody knows.
    unknown: usize,
    /// Calls that were answered 200.
    answered: usize,
}

#[test]
fn two_hundred_kills_leave_no_mark_without_a_record_and_none_twice() {
    let lanes: Vec<_> = (0..LANES).map(|lane| thread::spawn(move || run_lane(lane))).collect();
    let told: Vec<_> = lanes.into_iter().map(|it| it.join().unwrap()).collect();
    let sum = |of: fn(&Told) -> usize| told.iter().map(of).sum::<usize>();
    let (marks, unknown) = (sum(|it| it.marks), sum(|it| it.unknown));
    let answered = sum(|it| it.answered);
    // Otherwise the rounds showed nothing.
    assert!(answered >= LANES * ROUNDS, "{answered} calls were answered");
    assert!(unknown >= LANES * ROUNDS / 4, "{unknown} calls were cut off");
    assert!(marks >= answered, "{marks} marks of {answered} answered calls");
}

fn run_lane(lane: usize) -> Told {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("marks.rego"), POLICY).unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    stack.load_policy(&policies).unwrap();
    let callers = Arc::new(Callers {
        client: Client::new().unwrap(),
        url: format!("{}/v1/tool", stack.runtime_url()),
        sandbox: dir.path().join("marks"),
        lane,
        made: AtomicUsize::default(),
        fresh: AtomicUsize::default(),
        answered: Mutex::default(),
    });
    for round in 0..ROUNDS {
        callers.until_the_kill(&stack, 1 + (lane * 7 + round * 5) % 23);
    }
    // The last start closes what the last kill left open.
    stack.runtime(&enabled()).unwrap().stop().unwrap();
    judge(&stack.export().unwrap(), &callers)
}

fn enabled() -> RuntimeOptions<'static> {
    RuntimeOptions { args: &["--enable-shell"], ..RuntimeOptions::default() }
}

struct Callers {
    client: Client,
    url: String,
    sandbox: PathBuf,
    lane: usize,
    made: AtomicUsize,
    /// Answers of this round.
    fresh: AtomicUsize,
    answered: Mutex<Answered>,
}

/// Mark, number of the decision, and whether the tool ran, by audit id.
type Answered = BTreeMap<String, (String, u64, bool)>;

impl Callers {
    /// Lets all callers call until `enough` calls are answered, then kills.
    fn until_the_kill(self: &Arc<Self>, stack: &Stack, enough: usize) {
        self.fresh.store(0, Ordering::SeqCst);
        let runtime = stack.runtime(&enabled()).unwrap();
        let tasks: Vec<_> = (0..CALLERS)
            .map(|number| {
                let this = Arc::clone(self);
                // One of four asks for what is denied.
                let denied = number.is_multiple_of(4);
                self.client.spawn(this.call_until_the_kill(denied))
            })
            .collect();
        eventually("enough calls are answered", || {
            (self.fresh.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .unwrap();
        runtime.kill().unwrap();
        for task in tasks {
            self.client.block_on(task).unwrap();
        }
    }

    async fn call_until_the_kill(self: Arc<Self>, denied: bool) {
        while self.call(denied).await.is_ok() {}
    }

    /// One call with a mark that no other call has. The first error is the kill; it is never repeated.
    async fn call(&self, denied: bool) -> reqwest::Result<()> {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let word = if denied { "denied" } else { "allowed" };
        let mark = format!("{word}-{}-{number}", self.lane);
        let body = json!({ "kind": "tool.shell", "params": { "argv": [
            "sh", "-c", r#"printf '%s\n' "$1" >> "$2""#, "sh", mark, self.sandbox,
        ]}});
        let response = self.client.http().post(&self.url).body(body.to_string()).send().await?;
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_str(&response.text().await?).unwrap();
        assert_eq!(status, if denied { 403 } else { 200 }, "{answer}");
        let id = answer["audit_id"].as_str().unwrap().to_owned();
        let seq = answer["seq"].as_u64().unwrap();
        self.answered.lock().unwrap().insert(id, (mark, seq, !denied));
        self.fresh.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Holds the log, the answers and the sandbox against each other.
fn judge(lines: &[String], callers: &Callers) -> Told {
    let answered = callers.answered.lock().unwrap();
    let recorded = answered.iter().map(|(id, (_, seq, ran))| (id.clone(), (*seq, *ran))).collect();
    // Every answer has its entries; every allowed call has one outcome, `unknown` included.
    audit(lines, &recorded).unwrap();
    let (marks, allowed) = (marks(&callers.sandbox), allowed(lines));
    let once: BTreeSet<_> = marks.iter().cloned().collect();
    assert_eq!(once.len(), marks.len(), "a mark was left twice");
    let stray: Vec<_> = once.difference(&allowed).collect();
    assert!(stray.is_empty(), "effects without a decision that allows them: {stray:?}");
    for (mark, _, ran) in answered.values() {
        assert_eq!(once.contains(mark), *ran, "{mark} was answered");
    }
    Told {
        marks: marks.len(),
        unknown: lines.iter().filter(|it| it.contains(r#""outcome":"unknown""#)).count(),
        answered: answered.values().filter(|it| it.2).count(),
    }
}

fn marks(sandbox: &Path) -> Vec<String> {
    fs::read_to_string(sandbox).unwrap().lines().map(str::to_owned).collect()
}

/// Marks of durable decisions that allow, each of one decision.
fn allowed(lines: &[String]) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in lines {
        let entry: Value = serde_json::from_str(line).unwrap();
        let attrs = &entry["event"]["attrs"];
        if entry["event"]["kind"] == "autonomy.decision" && attrs["decision"] == "allow" {
            let mark = attrs["params"]["argv"][4].as_str().unwrap();
            assert!(allowed.insert(mark.to_owned()), "{mark} was decided twice");
        }
    }
    allowed
}
