//! Calls that were allowed and never heard of again.
//!
//! A process that dies between the decision and the outcome leaves an open intent: the tool may
//! have run or not. At the next start each gets an outcome `unknown`; none is run again.

use std::{collections::BTreeMap, mem, path::Path};

use jiff::Timestamp;
use serde_json::Value;
use supply_chain::Floor;
use vfs::Vfs;
use wal_format::{Entry, Event, Kind, WalId};
use wal_recovery::{
    ReadError, Reader,
    repair::{Seen, Witness},
};

use api::tool::Verdict;

use crate::{
    records::{unknown_outcome, verdict_in},
    releases::{FloorSeen, floor_event},
};

/// An allowed call without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// The call.
    pub audit_id: String,
    /// Kind of the tool.
    pub kind: String,
    /// Number of its decision.
    pub seq: u64,
    /// When it was decided; nothing when the entry does not say.
    pub at: Option<Timestamp>,
}

/// Code of a log that is not archived because of an open intent.
pub const CALLS_OPEN: &str = "CALLS_OPEN";

/// Finds the open intents of a log, oldest first. Memory grows with the open ones only.
///
/// # Errors
///
/// [`ReadError`] when the log cannot be read or trusted.
pub fn open_intents(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<OpenIntent>, ReadError> {
    look_over(vfs, dir).map(|it| it.open)
}

/// What a start wants to know of the log.
#[derive(Debug)]
pub(crate) struct LookedOver {
    /// Calls without an outcome, oldest first.
    pub(crate) open: Vec<OpenIntent>,
    /// The rollback floor, if one is on record.
    pub(crate) floor: Option<Floor>,
}

/// Looks over the whole log, once.
pub(crate) fn look_over(vfs: &dyn Vfs, dir: &Path) -> Result<LookedOver, ReadError> {
    let mut reader = Reader::open(vfs, dir)?;
    let (mut calls, mut floor) = (Calls::default(), FloorSeen::default());
    while let Some(item) = reader.next_entry()? {
        // An entry that is not one of ours opens and closes nothing.
        let Ok(entry) = Entry::parse(item.payload) else { continue };
        calls.see(&entry);
        floor.see(&entry);
    }
    Ok(LookedOver { open: calls.open(), floor: floor.floor() })
}

/// Calls that have a decision and no outcome so far.
#[derive(Debug, Default)]
struct Calls(BTreeMap<String, OpenIntent>);

impl Calls {
    fn see(&mut self, entry: &Entry<'_>) {
        let kind = entry.event.kind();
        if !matches!(kind, Kind::Decision | Kind::Action | Kind::Error) {
            return;
        }
        let Ok(attrs) = entry.event.attrs() else { return };
        let text = |key: &str| attrs.get(key).and_then(Value::as_str).map(str::to_owned);
        let Some(audit_id) = text("audit_id") else { return };
        if kind != Kind::Decision {
            self.0.remove(&audit_id);
        } else if verdict_in(&attrs) == Some(Verdict::Allow) {
            let kind = text("kind").unwrap_or_default();
            let (seq, at) = (entry.seq.get(), entry.time());
            let intent = OpenIntent { audit_id: audit_id.clone(), kind, seq, at };
            self.0.insert(audit_id, intent);
        }
    }

    fn open(self) -> Vec<OpenIntent> {
        let mut found: Vec<_> = self.0.into_values().collect();
        found.sort_by_key(|it| it.seq);
        found
    }
}

/// Keeps the open calls of a log that is repaired: the next start looks into the new log only, so the new
/// log says that their outcome is unknown.
///
/// A call that was allowed before the damage is closed by an outcome before the damage and by no other.
/// What stands behind it proves nothing; a call that seems to be open there is kept too, and marked: one
/// too many is better than one forgotten.
#[derive(Debug, Default)]
pub struct OpenCallsOfDamaged {
    holding: Calls,
    behind: Calls,
    /// The rollback floor, which the new log carries on: of every entry, since one too high refuses too much.
    floor: FloorSeen,
}

impl Witness for OpenCallsOfDamaged {
    fn see(&mut self, entry: Seen<'_>) {
        let calls = if entry.holds { &mut self.holding } else { &mut self.behind };
        if let Ok(entry) = Entry::parse(entry.payload) {
            calls.see(&entry);
            self.floor.see(&entry);
        }
    }

    fn leave(&mut self, of: Option<WalId>) -> Vec<Event> {
        let Self { holding, mut behind, floor } = mem::take(self);
        behind.0.retain(|audit_id, _| !holding.0.contains_key(audit_id));
        let unknown = |it: &OpenIntent| {
            unknown_outcome(&it.audit_id, &it.kind, it.seq)
                .with_some("decision_wal_id", of.map(|it| it.to_string()))
        };
        let mut events: Vec<_> = holding.open().iter().map(unknown).collect();
        let marked = |it: &OpenIntent| unknown(it).with("behind_damage", true);
        events.extend(behind.open().iter().map(marked));
        events.extend(floor.floor().map(|it| floor_event("floor_carried", &it)));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, kind: &str, audit_id: &str, decision: &str) -> String {
        format!(
            r#"{{"seq":{seq},"event":{{"kind":"autonomy.{kind}","attrs":{{"audit_id":"{audit_id}","decision":"{decision}","kind":"tool.x"}}}}}}"#
        )
    }

    #[test]
    fn what_was_allowed_before_the_damage_is_closed_before_it_or_unknown() {
        let mut witness = OpenCallsOfDamaged::default();
        let mut see = |holds, text: String| witness.see(Seen { payload: text.as_bytes(), holds });
        see(true, entry(2, "decision", "closed", "allow"));
        see(true, entry(3, "action", "closed", ""));
        see(true, entry(4, "decision", "denied", "deny"));
        see(true, entry(5, "decision", "open", "allow"));
        see(true, entry(6, "decision", "closed-behind", "allow"));
        see(false, "no json".to_owned());
        see(false, entry(8, "error", "closed-behind", ""));
        see(false, entry(9, "decision", "begun-behind", "allow"));
        see(false, entry(10, "decision", "whole-behind", "allow"));
        see(false, entry(11, "action", "whole-behind", ""));
        see(false, entry(12, "decision", "open", "allow"));
        let id = WalId::of_foreign_log(b"x");
        let events = witness.leave(Some(id));
        let said: Vec<_> = events
            .iter()
            .map(|it| {
                assert_eq!((&it.kind, &it.attrs["outcome"]), (&Kind::Error, &"unknown".into()));
                assert_eq!(it.attrs["decision_wal_id"], id.to_string());
                (it.attrs["audit_id"].as_str().unwrap(), it.attrs.contains_key("behind_damage"))
            })
            .collect();
        assert_eq!(said, [("open", false), ("closed-behind", false), ("begun-behind", true)]);
    }
}
