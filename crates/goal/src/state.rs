//! A goal: what `goal.json` says, and the only ways to change it.
//!
//! * **S1** Reading and writing a goal without changing it changes no key, but that a history which is too long is moved
//!   ([`History`](crate::History)).
//! * **S2** `tentacles` is the union of those of the iterations, in the order of the iterations.
//! * **S3** Each change of the machine (eval, gate, resume, session end, escalation, budget) counts `seq` up by
//!   one, so that an [anchor](Goal::anchor) names one moment in the life of a goal.

use std::collections::BTreeMap;

use jiff::{Timestamp, Unit};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::{
    budget::Budget,
    criteria::Criterion,
    document::Document,
    eval::RecordedOutcome,
    gate::Gate,
    history::Moved,
    status::{Event, Next, Status, transition},
};

mod known;

pub use known::Iteration;
pub(crate) use known::Known;
use known::{OWNED, legacy_iterations, untitled};

/// Title of a goal that was given none.
pub const UNTITLED: &str = "Unnamed Goal";
/// Longest title and description together that is not warned about, in characters.
pub const TEXT_SOFT_LIMIT: usize = 3000;
/// Longest title and description together, in characters.
pub const TEXT_HARD_LIMIT: usize = 5000;
/// Outcomes of evals that are remembered for callers that ask again.
pub const OUTCOMES_MAX: usize = 32;

/// Key of the history of evals.
pub(crate) const EVALS: &str = "eval_history";
/// Key of the history of attempts to verify.
pub(crate) const ATTEMPTS: &str = "verify_loop_history";

/// A time as it stands in the files: UTC, to the millisecond.
pub(crate) fn stamp(now: Timestamp) -> String {
    // Rounding fails beyond the year 9999 alone.
    now.round(Unit::Millisecond).unwrap_or(now).to_string()
}

/// A goal.
#[derive(Clone, Debug)]
pub struct Goal {
    document: Document,
    pub(crate) known: Known,
}

/// What a goal begins with.
#[derive(Clone, Debug, Default)]
pub struct NewGoal {
    /// Its identity: a UUID, drawn by the caller.
    pub goal_id: String,
    /// Its title; [`UNTITLED`] when empty.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Its limits.
    pub budget: Budget,
    /// What tells that it is met.
    pub criteria: Vec<Criterion>,
    /// Whether a resume after a change of the workspace makes a verification necessary.
    pub require_reverify: bool,
}

impl Goal {
    /// Begins a goal: active, in its first iteration.
    pub fn new(new: NewGoal, now: Timestamp) -> Self {
        let at = stamp(now);
        let first = Iteration { started_at: Some(at.clone()), ..Iteration::default() };
        let title = if new.title.is_empty() { untitled() } else { new.title };
        let known = Known {
            goal_id: new.goal_id,
            title,
            description: new.description,
            created_at: at.clone(),
            updated_at: at,
            status: Status::Active,
            iteration: 1,
            seq: 1,
            tentacles: Vec::new(),
            iterations: BTreeMap::from([(1, first)]),
            success_criteria: new.criteria,
            gates: Vec::new(),
            budget: new.budget,
            resumed_at: None,
            completed_at: None,
            paused_at: None,
            pause_reason: None,
            needs_human_at: None,
            needs_human_reason: None,
            needs_human_failing_criteria: None,
            awaiting_gate_id: None,
            awaiting_gate_reason: None,
            budget_limited_at: None,
            budget_limited_reason: None,
            require_reverify: new.require_reverify,
            reverify_needed: None,
            eval_outcomes: Vec::new(),
            history_moved: Moved::default(),
        };
        let mut document = Document::default();
        // An empty list always becomes JSON.
        for key in [EVALS, ATTEMPTS] {
            if let Ok(raw) = RawValue::from_string("[]".to_owned()) {
                document.set_raw(key, raw);
            }
        }
        Self { document, known }
    }

    /// Reads a goal.
    ///
    /// # Errors
    ///
    /// When it is not an object, lacks its identity, status or birth, or a key has a type that no version wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let document = Document::parse(bytes)?;
        let mut known: Known = document.read(OWNED)?;
        for key in [EVALS, ATTEMPTS] {
            document.check_list(key)?;
        }
        if document.raw("iterations").is_none() {
            known.iterations = legacy_iterations(&document, &known)?;
        }
        Ok(Self { document, known })
    }

    /// The text of `goal.json` (S1).
    ///
    /// # Errors
    ///
    /// None that this crate knows of: every value of a goal has a form in JSON.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        self.document.to_text(&self.known, OWNED)
    }

    /// Identity.
    pub fn goal_id(&self) -> &str {
        &self.known.goal_id
    }

    /// Title.
    pub fn title(&self) -> &str {
        &self.known.title
    }

    /// What it is about.
    pub fn description(&self) -> &str {
        &self.known.description
    }

    /// Where it stands.
    pub const fn status(&self) -> Status {
        self.known.status
    }

    /// The current iteration, from 1.
    pub const fn iteration(&self) -> u64 {
        self.known.iteration
    }

    /// Every linked tentacle, in the order of the iterations (S2).
    pub fn tentacles(&self) -> &[String] {
        &self.known.tentacles
    }

    /// Iterations by number.
    pub const fn iterations(&self) -> &BTreeMap<u64, Iteration> {
        &self.known.iterations
    }

    /// Tentacles of the current iteration.
    pub fn current_tentacles(&self) -> &[String] {
        self.known.iterations.get(&self.known.iteration).map_or(&[], |it| &it.tentacles)
    }

    /// What tells that it is met.
    pub fn criteria(&self) -> &[Criterion] {
        &self.known.success_criteria
    }

    /// Its gates.
    pub fn gates(&self) -> &[Gate] {
        &self.known.gates
    }

    /// Its limits.
    pub const fn budget(&self) -> &Budget {
        &self.known.budget
    }

    /// When it began, as written.
    pub fn created_at(&self) -> &str {
        &self.known.created_at
    }

    /// Why and since when it is paused.
    pub fn pause_reason(&self) -> Option<&str> {
        self.known.pause_reason.as_deref()
    }

    /// Why a human has to decide.
    pub fn needs_human_reason(&self) -> Option<&str> {
        self.known.needs_human_reason.as_deref()
    }

    /// Criteria that failed when a human was asked for.
    pub fn needs_human_failing(&self) -> &[String] {
        self.known.needs_human_failing_criteria.as_deref().unwrap_or_default()
    }

    /// The gate that is waited for, and why.
    pub fn awaiting_gate(&self) -> Option<(&str, Option<&str>)> {
        let reason = self.known.awaiting_gate_reason.as_deref();
        self.known.awaiting_gate_id.as_deref().map(|id| (id, reason))
    }

    /// Whether a resume after a change of the workspace makes a verification necessary.
    pub const fn requires_reverify(&self) -> bool {
        self.known.require_reverify
    }

    /// Why evals wait for a verification.
    pub fn reverify_needed(&self) -> Option<&str> {
        self.known.reverify_needed.as_deref()
    }

    /// Names this moment of its life, and no moment of another goal: `seq:status:iteration:goal` (S3), the last being
    /// eight hexadecimal digits of the SHA-256 of its identity.
    pub fn anchor(&self) -> String {
        let known = &self.known;
        let of = hex::encode(
            Sha256::digest(known.goal_id.as_bytes()).as_slice().get(..4).unwrap_or_default(),
        );
        format!("{}:{}:{}:{of}", known.seq, known.status, known.iteration)
    }

    /// What was answered to evals lately, oldest first.
    pub fn outcomes(&self) -> &[RecordedOutcome] {
        &self.known.eval_outcomes
    }

    /// Entries of the history of evals that `goal.json` holds, the newest ones, unparsed, oldest first. All of them:
    /// [`Store::whole_history`](crate::Store::whole_history).
    ///
    /// # Errors
    ///
    /// When the file holds something else there.
    pub fn eval_history(&self) -> Result<Vec<&RawValue>, serde_json::Error> {
        self.entries(EVALS)
    }

    /// Attempts of the loops that verified, as far as `goal.json` holds them, unparsed, oldest first.
    ///
    /// # Errors
    ///
    /// When the file holds something else there.
    pub fn attempts(&self) -> Result<Vec<&RawValue>, serde_json::Error> {
        self.entries(ATTEMPTS)
    }

    pub(crate) fn entries(&self, key: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
        self.document.entries(key)
    }

    pub(crate) fn list_len(&self, key: &str) -> usize {
        self.document.list_len(key)
    }

    pub(crate) fn set_raw(&mut self, key: &str, raw: Box<RawValue>) {
        self.document.set_raw(key, raw);
    }

    /// A key that only other programs write.
    pub fn foreign(&self, key: &str) -> Option<&RawValue> {
        self.document.raw(key)
    }

    /// Sets a key that is no part of the machine.
    pub(crate) fn set_foreign<T: Serialize>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        let raw = RawValue::from_string(serde_json::to_string(value)?)?;
        self.document.set_raw(key, raw);
        Ok(())
    }

    pub(crate) fn append<T: Serialize>(
        &mut self,
        key: &str,
        entry: &T,
    ) -> Result<(), serde_json::Error> {
        self.document.append(key, entry)
    }

    /// Moves by the table of statuses; `false` when the event must not happen here.
    pub(crate) fn apply(&mut self, event: Event) -> bool {
        match transition(self.known.status, event) {
            Next::Refused => return false,
            Next::Stays => {}
            Next::To(status) => self.known.status = status,
        }
        true
    }

    /// Writes down that something changed.
    pub(crate) fn touch(&mut self, now: Timestamp) {
        self.known.updated_at = stamp(now);
    }

    /// Writes down that the machine moved (S3).
    pub(crate) fn moved(&mut self, now: Timestamp) {
        self.touch(now);
        self.known.seq = self.known.seq.saturating_add(1);
    }

    /// Links a tentacle to the current iteration. Doing so again changes nothing.
    pub fn link(&mut self, tentacle: &str, now: Timestamp) {
        let current = self.known.iterations.entry(self.known.iteration).or_default();
        if !current.tentacles.iter().any(|it| it == tentacle) {
            current.tentacles.push(tentacle.to_owned());
        }
        self.unite();
        self.touch(now);
    }

    /// S2
    fn unite(&mut self) {
        let known = &mut self.known;
        let mut seen = std::collections::HashSet::new();
        let listed = known.iterations.values().flat_map(|it| &it.tentacles);
        let mut union: Vec<String> = listed.filter(|it| seen.insert(*it)).cloned().collect();
        // A list that an older version kept without iterations is lost by no link.
        let stray = known.tentacles.iter().filter(|it| !seen.contains(it)).cloned();
        union.extend(stray.collect::<Vec<_>>());
        known.tentacles = union;
    }

    /// Changes the limits.
    pub fn set_budget(&mut self, budget: Budget, now: Timestamp) {
        self.known.budget = budget;
        self.moved(now);
    }

    /// Asks for a human after a verification that got nowhere; `false` where that is skipped: at an end, at a
    /// limit, or when one is asked for already.
    pub fn escalate(&mut self, reason: &str, failing: &[String], now: Timestamp) -> bool {
        if !self.known.status.is_open() {
            return false;
        }
        self.apply(Event::Escalate);
        self.ask_human(reason, failing, now);
        self.moved(now);
        true
    }

    pub(crate) fn ask_human(&mut self, reason: &str, failing: &[String], now: Timestamp) {
        self.known.needs_human_at = Some(stamp(now));
        self.known.needs_human_reason = Some(reason.to_owned());
        self.known.needs_human_failing_criteria = Some(failing.to_vec());
        self.forget_gate();
    }

    pub(crate) fn forget_gate(&mut self) {
        self.known.awaiting_gate_id = None;
        self.known.awaiting_gate_reason = None;
    }

    /// Pauses because the session ended. Returns the status before, or `None` when nothing changed.
    pub fn end_session(&mut self, reason: &str, now: Timestamp) -> Option<Status> {
        let before = self.known.status;
        if !matches!(transition(before, Event::SessionEnd), Next::To(_)) {
            return None;
        }
        self.apply(Event::SessionEnd);
        self.known.pause_reason = Some(format!("session_end:{reason}"));
        self.forget_gate();
        self.moved(now);
        self.known.paused_at = Some(self.known.updated_at.clone());
        Some(before)
    }
}

#[cfg(test)]
mod tests;
