//! `autonomy policy replay`: decides every recorded call again.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use api::exit::Exit;
use jiff::Timestamp;
use policy::{
    Evaluator, Source,
    replay::{Change, NotReplayable, Recorded, Replayed, Said},
};
use serde::Serialize;
use vfs::OsVfs;
use wal_format::{Entry, Kind, WalId};
use wal_recovery::{Reader, archive};

use super::{slots, subject::Subject};
use crate::{
    args::{Output, PolicyReplay},
    commands::{print_json, print_pairs, wal::directory},
    context::Context,
    failure::Failure,
    filter::Filter,
    printable::printable,
};

/// A call that would be decided otherwise.
#[derive(Debug, Serialize)]
struct Changed {
    seq: u64,
    /// The archived log that it is in; absent for the live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_id: Option<String>,
    kind: String,
    change: &'static str,
    then: Answer,
    now: Answer,
}

#[derive(Debug, Serialize)]
struct Answer {
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    obligations: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    policy_ref: String,
    policy_digest: String,
    decisions: u64,
    replayable: u64,
    archived_logs: u64,
    not_replayable: BTreeMap<&'static str, u64>,
    changes: BTreeMap<&'static str, u64>,
    /// Versions of the policies that decided then, with the number of replayed calls.
    decided_by: BTreeMap<String, u64>,
}

/// One run over a log and its archive.
struct Run<'a> {
    evaluator: &'a dyn Evaluator,
    filter: Filter,
    first: usize,
    summary: Summary,
    changed: Vec<Changed>,
}

pub(super) fn replay(args: &PolicyReplay, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let evaluator = evaluator(args, context)?;
    let since = args.since.map(|it| it.resolve(Timestamp::now()));
    let filter = Filter { since, kind: None, seq: args.seq };
    let summary = Summary {
        policy_ref: evaluator.policy_ref().to_owned(),
        policy_digest: evaluator.policy_digest().to_owned(),
        ..Summary::default()
    };
    let evaluator = &*evaluator;
    let mut run = Run { evaluator, filter, first: args.first, summary, changed: Vec::new() };
    // A number names an entry of one log.
    if args.seq.is_none() {
        run.archived(&dir)?;
    }
    let mut reader = Reader::open(&OsVfs, &dir)?;
    while let Some(item) = reader.next_entry()? {
        run.entry(item.payload, None);
    }
    let Run { summary, changed, .. } = run;
    match args.output.output {
        Output::Json => {
            changed.iter().try_for_each(print_json)?;
            print_json(&summary)?;
        }
        Output::Text => print(&summary, &changed)?,
    }
    verdict(&summary)
}

/// What was not decided again is not unchanged.
fn verdict(summary: &Summary) -> Result<Exit, Failure> {
    if summary.replayable == 0 {
        let all = summary.decisions;
        let message = format!("none of {all} recorded decisions could be made again");
        let hint = match all {
            0 => "no decision was looked at: check --wal, --since and --seq",
            _ => "see the reasons; --redact-params keeps out of the log what a replay needs",
        };
        return Err(Failure::new(Exit::NotFound, "NOTHING_REPLAYED", message).hint(hint));
    }
    let effective = Change::ALL.into_iter().filter(|it| it.is_effective());
    match effective.map(|it| summary.count(it)).sum::<u64>() {
        0 => Ok(Exit::Done),
        // Nothing was denied: what is on record and the candidate disagree.
        _ => Ok(Exit::Conflict),
    }
}

fn evaluator(args: &PolicyReplay, context: Context<'_>) -> Result<Arc<dyn Evaluator>, Failure> {
    let policy_dir = args.policy_dir.as_deref();
    if let Some(candidate) = &args.candidate {
        return Ok(Arc::new(Subject::open(candidate, policy_dir, context)?.evaluator()?));
    }
    let loaded = slots(policy_dir, context)?.load();
    if loaded.source == Source::None {
        return Err(Failure::new(Exit::NotFound, "NO_POLICY_LOADED", "no policy is loaded")
            .hint("pass --candidate, or --policy-dir of the runtime"));
    }
    Ok(loaded.evaluator)
}

impl Run<'_> {
    fn archived(&mut self, dir: &Path) -> Result<(), Failure> {
        let failed = |error: archive::PackError| {
            Failure::of(Exit::Integrity, error.code(), &error).hint(error.hint())
        };
        for wal_id in archive::packed(&OsVfs, dir).map_err(failed)? {
            archive::read(&OsVfs, dir, wal_id, &mut |_, payload| {
                self.entry(payload, Some(wal_id));
            })
            .map_err(failed)?;
            self.summary.archived_logs += 1;
        }
        Ok(())
    }

    fn entry(&mut self, payload: &[u8], wal_id: Option<WalId>) {
        // An entry that is none is no decision; other readers of the log complain about it.
        let Ok(entry) = Entry::parse(payload) else { return };
        if entry.event.kind() != Kind::Decision || !self.filter.takes(&entry) {
            return;
        }
        self.summary.decisions += 1;
        let attrs = entry.event.attrs().map_err(|_| NotReplayable::Unreadable);
        let unmet = runtime::CallCode::ObligationUnknown.as_str();
        let recorded = match attrs.and_then(|it| Recorded::read(&it, unmet)) {
            Ok(recorded) => recorded,
            Err(why) => {
                *self.summary.not_replayable.entry(why.as_str()).or_default() += 1;
                return;
            }
        };
        self.summary.replayable += 1;
        *self.summary.decided_by.entry(recorded.policy_ref().to_owned()).or_default() += 1;
        let kind = recorded.kind().to_owned();
        let Replayed { then, now, change } = recorded.replay(self.evaluator);
        *self.summary.changes.entry(change.as_str()).or_default() += 1;
        if change.is_effective() && self.changed.len() < self.first {
            self.changed.push(Changed {
                seq: entry.seq.get(),
                wal_id: wal_id.map(|it| it.to_string()),
                kind,
                change: change.as_str(),
                then: Answer::of(then),
                now: Answer::of(now),
            });
        }
    }
}

impl Summary {
    fn count(&self, change: Change) -> u64 {
        self.changes.get(change.as_str()).copied().unwrap_or_default()
    }
}

impl Answer {
    fn of(said: Said) -> Self {
        let Said { allow, code, reason, rule, obligations } = said;
        Self { decision: if allow { "allow" } else { "deny" }, rule, code, reason, obligations }
    }

    fn short(&self) -> String {
        let why = self.rule.as_ref().or(self.code.as_ref());
        match why {
            Some(why) => format!("{} ({why})", self.decision),
            None => self.decision.to_owned(),
        }
    }
}

fn print(summary: &Summary, changed: &[Changed]) -> io::Result<()> {
    let mut pairs = vec![("policy", summary.policy_ref.clone())];
    let logs = match summary.archived_logs {
        0 => "the live log".to_owned(),
        logs => format!("the live log and {logs} archived"),
    };
    pairs.push(("logs", logs));
    pairs.push(("decisions", summary.decisions.to_string()));
    pairs.push(("replayable", summary.replayable.to_string()));
    for why in NotReplayable::ALL {
        if let Some(count) = summary.not_replayable.get(why.as_str()) {
            pairs.push(("not replayable", format!("{count} {why}: {}", why.text())));
        }
    }
    let other = summary.count(Change::OtherReason);
    let unchanged = summary.count(Change::Nothing) + other;
    let other = match other {
        0 => String::new(),
        other => format!(", {other} of them with another rule, code or reason"),
    };
    pairs.push(("unchanged", format!("{unchanged}{other}")));
    for (name, change) in [
        ("would allow", Change::WouldAllow),
        ("would deny", Change::WouldDeny),
        ("other obligations", Change::OtherObligations),
    ] {
        pairs.push((name, summary.count(change).to_string()));
    }
    print_pairs(&pairs)?;
    let mut out = io::stdout().lock();
    for it in changed {
        let log = it.wal_id.as_ref().map(|it| format!(" of {it}")).unwrap_or_default();
        let (then, now) = (it.then.short(), it.now.short());
        let text = format!("seq {}{log}  {}  {then} -> {now}", it.seq, it.kind);
        writeln!(out, "{}", printable(&text))?;
    }
    out.flush()
}
