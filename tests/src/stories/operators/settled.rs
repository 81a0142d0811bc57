//! Compares store and audit trail with what operators were answered, when all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::memory::{self, Answer, Memory};
use crate::harness::{Bin, Client, Stack, program, run_to_end};

/// Entries of a page.
const PAGE: usize = 1000;

/// O1, O3: the store has what was answered, and nothing else; keys get the answers they got.
///
/// # Errors
///
/// The first thing that is not so.
pub fn what_was_answered_is_there(stack: &Stack, client: &Client, all: &[Memory]) -> Result<()> {
    let url = stack.orchestrator_url();
    let mut found = plans(client, &url)?;
    for memory in all {
        for (id, known) in &memory.plans {
            let plan = found.remove(id).with_context(|| format!("{id} is gone; {known:?}"))?;
            ensure!(known.is(&plan), "{id} was answered as {known:?} and is {plan}");
        }
        let latest = format!("{url}/v1/releases/latest?channel={}", memory.channel());
        let latest = client.get_json(&latest)?["sequence"].as_u64();
        ensure!(latest.unwrap_or(0) == memory.released, "{latest:?}, not {}", memory.released);
        let stored = events(client, &url, &memory.node())?;
        let told: BTreeSet<_> = memory.events.iter().cloned().collect();
        ensure!(stored == told, "events of {}: {stored:?}, not {told:?}", memory.node());
        for (ask, first) in &memory.kept {
            let again = client.block_on(async {
                let request = client.http().post(format!("{url}{}", ask.path));
                let request = request.header("x-autonomy-operator", memory.name());
                let request = request.header("idempotency-key", &ask.key).json(&ask.body);
                let response = request.send().await?;
                let status = response.status();
                let replayed = response.headers().contains_key("idempotency-replayed");
                let text = response.text().await?;
                anyhow::Ok(Answer { status, replayed, text, attempts: 1 })
            })?;
            memory::same(ask, first, &again)?;
        }
    }
    ensure!(found.is_empty(), "nobody was told about {:?}", found.keys());
    Ok(())
}

/// Every plan by its id.
fn plans(client: &Client, url: &str) -> Result<BTreeMap<String, Value>> {
    let mut plans = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client.get_json(&format!("{url}/v1/rollouts?limit={PAGE}{cursor}"))?;
        ensure!(page["unreadable"].is_null(), "unreadable: {}", page["unreadable"]);
        for plan in page["rollouts"].as_array().context("no list")? {
            let id = plan["plan"]["metadata"]["id"].as_str().context("no id")?;
            let before = plans.insert(id.to_owned(), plan.clone());
            ensure!(before.is_none(), "{id} is listed twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(plans),
        }
    }
}

/// Ids of the events of a node.
fn events(client: &Client, url: &str, node: &str) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = format!("{url}/v1/events?node_id={node}&limit={PAGE}{cursor}");
        let page = client.get_json(&page)?;
        for event in page["events"].as_array().context("no list")? {
            let id = event["event_id"].as_str().context("no id")?;
            ensure!(ids.insert(id.to_owned()), "{id} is stored twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(ids),
        }
    }
}

/// O4: the audit trail is what was written, and has each change once: the notes of the store are told without a
/// gap, and those about a plan are its generations. Returns how many there are.
///
/// # Errors
///
/// The first thing that is not so.
pub fn trail_is_exact(stack: &Stack, all: &[Memory]) -> Result<usize> {
    let audit = |args: &[&str]| {
        let mut command = program(Bin::Autonomy)?;
        command.arg("audit").args(args).arg("--audit-dir").arg(stack.audit_dir());
        run_to_end(&mut command)
    };
    let verified = audit(&["verify"])?;
    ensure!(verified.code() == Some(0), "{verified:?}");
    let asked = audit(&["query", "--source", "orchestrator", "--limit", "0", "--output", "json"])?;
    ensure!(asked.code() == Some(0), "{}", asked.stderr);
    let records: Value = serde_json::from_str(&asked.stdout)?;
    let records = records.as_array().or(records["records"].as_array()).context("no list")?;
    let mut notes = BTreeSet::new();
    let mut steps: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for record in records {
        let fields = &record["fields"];
        let Some(note) = fields["note"].as_u64() else { continue };
        ensure!(notes.insert(note), "note {note} is told twice: {record}");
        ensure!(record["outcome"] == "success", "a note of what was not done: {record}");
        let resource = record["resource"].as_str().context("about nothing")?;
        let step = fields["generation"].as_u64().or(fields["sequence"].as_u64());
        steps.entry(resource).or_default().push(step.with_context(|| record.to_string())?);
    }
    let last = notes.last().copied().unwrap_or(0);
    ensure!(notes.len() as u64 == last, "{} notes up to {last}", notes.len());
    for memory in all {
        for (id, known) in &memory.plans {
            let told = steps.get(id.as_str()).map(Vec::as_slice).unwrap_or_default();
            let wanted: Vec<_> = (1..=known.generation).collect();
            ensure!(told == wanted, "the trail has {told:?} of {id}, not {wanted:?}");
        }
    }
    let changes: u64 = all.iter().map(Memory::changes).sum();
    ensure!(changes == last, "{last} notes of {changes} changes");
    Ok(notes.len())
}
