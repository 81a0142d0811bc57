//! SIGKILL at any moment under load: every answered call is in the log.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use e2e::harness::{Client, Ports, RuntimeOptions, Stack, audit, eventually};
use serde_json::{Value, json};

/// Rounds of kill and recovery.
const ROUNDS: usize = 100;
/// Callers at once.
const CALLERS: usize = 64;
/// Rounds on one log before a new one: recovery reads the whole log, and this is no test of that.
const ROUNDS_PER_LOG: usize = 20;

/// What was answered: entry number by audit id, and whether the tool ran.
type Answered = Arc<Mutex<BTreeMap<String, (u64, bool)>>>;

#[test]
fn a_hundred_kills_under_64_callers_lose_no_answered_call() {
    let client = Client::new().unwrap();
    let mut total = 0;
    for log in 0..ROUNDS / ROUNDS_PER_LOG {
        let dir = tempfile::tempdir().unwrap();
        let stack = Stack::new(dir.path(), Ports::free().unwrap());
        stack.load_demo_policy().unwrap();
        let answered = Answered::default();
        for round in 0..ROUNDS_PER_LOG {
            kill_under_load(&stack, &client, &answered, (log * 31 + round * 17) % 150);
        }
        // The last start closes what the last kill left open.
        stack.runtime(&RuntimeOptions::default()).unwrap().stop().unwrap();
        let answered = answered.lock().unwrap();
        audit(&stack.export().unwrap(), &answered).unwrap();
        total += answered.len();
    }
    assert!(total > ROUNDS * 20, "only {total} calls were answered: the rounds showed nothing");
}

/// Lets all callers call until `more` calls are answered beyond the first 30, then kills.
fn kill_under_load(stack: &Stack, client: &Client, answered: &Answered, more: usize) {
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let url = format!("{}/v1/tool", stack.runtime_url());
    let fresh = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let caller = Caller {
                http: client.http().clone(),
                url: url.clone(),
                body: body(number).to_string(),
                answered: Arc::clone(answered),
                fresh: Arc::clone(&fresh),
            };
            client.spawn(caller.call_until_the_kill())
        })
        .collect();
    let enough = 30 + more;
    eventually("enough calls are answered", || {
        (fresh.load(Ordering::Relaxed) >= enough).then_some(())
    })
    .unwrap();
    runtime.kill().unwrap();
    for caller in callers {
        client.block_on(caller).unwrap();
    }
}

struct Caller {
    http: reqwest::Client,
    url: String,
    body: String,
    answered: Answered,
    fresh: Arc<AtomicUsize>,
}

impl Caller {
    /// Calls until there is no answer; the first error is the kill.
    async fn call_until_the_kill(self) {
        while let Ok(answer) = self.call().await {
            let id = answer["audit_id"].as_str().unwrap().to_owned();
            let ran = answer["decision"] == "allow";
            let seq = answer["seq"].as_u64().unwrap();
            self.answered.lock().unwrap().insert(id, (seq, ran));
            self.fresh.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn call(&self) -> reqwest::Result<Value> {
        let request = self.http.post(&self.url).body(self.body.clone());
        let text = request.send().await?.text().await?;
        // An answer that was cut is no answer; the client reports that as an error above.
        Ok(serde_json::from_str(&text).unwrap())
    }
}

/// A quarter of the callers ask for what is denied.
fn body(number: usize) -> Value {
    if number.is_multiple_of(4) {
        json!({ "kind": "tool.shell", "params": { "command": "id" } })
    } else {
        json!({ "kind": "tool.echo", "params": { "message": "x" } })
    }
}
