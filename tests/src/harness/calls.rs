//! Many callers at once, what they were answered, and whether the log bears it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use api::tool::{ToolResponse, Verdict};
use serde_json::{Value, json};

use super::Client;

/// What was answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// By audit id: the number of the entry, and whether the tool ran and its outcome is recorded.
    pub recorded: BTreeMap<String, (u64, bool)>,
    /// Answers without a number: nothing of these calls may be in the log.
    pub unrecorded: Vec<(u16, ToolResponse)>,
}

impl Answers {
    /// Adds an answer.
    pub fn add(&mut self, status: u16, answer: ToolResponse) {
        match answer.seq {
            Some(seq) => {
                let ran = answer.decision == Verdict::Allow && status != 500;
                self.recorded.insert(answer.audit_id, (seq, ran));
            }
            None => self.unrecorded.push((status, answer)),
        }
    }
}

/// Lets `callers` call `tool.echo` with 1 KiB, each until an answer has no number or `calls` are
/// made.
///
/// # Errors
///
/// When a call is not answered.
pub fn call_until_refused(
    client: &Client,
    runtime: &str,
    callers: usize,
    calls: usize,
) -> Result<Answers> {
    let answers = Arc::new(Mutex::new(Answers::default()));
    let body = json!({ "kind": "tool.echo", "params": { "message": "x".repeat(1 << 10) } });
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let caller = Caller {
                http: client.http().clone(),
                url: format!("{runtime}/v1/tool"),
                body: body.to_string(),
                answers: Arc::clone(&answers),
            };
            client.spawn(async move { caller.call_until_refused(calls).await })
        })
        .collect();
    for task in tasks {
        client.block_on(task)??;
    }
    Ok(std::mem::take(&mut answers.lock().unwrap_or_else(PoisonError::into_inner)))
}

struct Caller {
    http: reqwest::Client,
    url: String,
    body: String,
    answers: Arc<Mutex<Answers>>,
}

impl Caller {
    async fn call_until_refused(self, calls: usize) -> Result<()> {
        let mut made = 0;
        while made < calls && !self.call().await? {
            made += 1;
        }
        Ok(())
    }

    /// Whether the answer had no number.
    async fn call(&self) -> Result<bool> {
        let response = self.http.post(&self.url).body(self.body.clone()).send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let answer: ToolResponse = serde_json::from_str(&text).context(text)?;
        let refused = answer.seq.is_none();
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).add(status, answer);
        Ok(refused)
    }
}

/// Compares an exported log with what was answered: every answered call has its decision where the
/// answer said, once; every call that ran its outcome; every other allowed call one outcome, and no
/// call has an outcome without an allow. The log must be at rest after a start, which closes what was
/// open.
///
/// # Errors
///
/// The first thing that is not so.
pub fn audit(lines: &[String], recorded: &BTreeMap<String, (u64, bool)>) -> Result<()> {
    let mut decisions = BTreeMap::new();
    let mut outcomes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut allowed = BTreeSet::new();
    for (number, line) in (1_u64..).zip(lines) {
        let entry: Value = serde_json::from_str(line)?;
        ensure!(entry["seq"].as_u64() == Some(number), "entry {number} is {line}");
        let attrs = &entry["event"]["attrs"];
        let Some(id) = attrs["audit_id"].as_str().map(str::to_owned) else { continue };
        if entry["event"]["kind"] == "autonomy.decision" {
            if attrs["decision"] == "allow" {
                allowed.insert(id.clone());
            }
            let before = decisions.insert(id, number);
            ensure!(before.is_none(), "entry {number} is a second decision: {line}");
        } else {
            let outcome = attrs["outcome"].as_str().context("an outcome without one")?.to_owned();
            outcomes.entry(id).or_default().push(outcome);
        }
    }
    for (id, (seq, ran)) in recorded {
        let found = decisions.get(id);
        ensure!(found == Some(seq), "answered call {id} is at {found:?}, not at {seq}");
        let outcome = outcomes.get(id).map(Vec::as_slice);
        ensure!(!ran || outcome == Some(&["ok".to_owned()]), "{id} ran, but has {outcome:?}");
    }
    for id in &allowed {
        let found = outcomes.get(id).map_or(0, Vec::len);
        ensure!(found == 1, "allowed call {id} has {found} outcomes");
    }
    let without = outcomes.keys().find(|it| !allowed.contains(*it));
    ensure!(without.is_none(), "an outcome without an allow: {without:?}");
    Ok(())
}
