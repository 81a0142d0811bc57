//! What a program does with a goal and the files beside it: lock, read, change, write.
//!
//! * **O1** Files beside the goal are written before the goal, under its lock. Doing it again after a crash between
//!   leads to the same end: what says that a tentacle is to be reset, its meta, is changed after the queue.
//! * **O2** A breadcrumb is written before the goal is paused, and removed after it is resumed, both under the lock. It
//!   counts only beside the pause that it speaks of.
//! * **O3** What is refused writes nothing.

use std::{collections::BTreeMap, fmt::Write as _};

use jiff::SignedDuration;

use crate::{
    breadcrumb::{Breadcrumb, banner, previous_status, speaks_of},
    eval::{EvalRequest, Evaluated, Seen},
    gate::{Said, Word},
    handoff::{Handoff, HandoffStatus},
    lock::{Held, WAIT_MAX},
    quota::Classifier,
    resume::{Linked, ResumeRequest, Resumed},
    retry::Block,
    state::Goal,
    status::Status,
    store::Store,
    tentacle::{CompletionGate, Meta, Tentacle, check_name, completion_gate, dispatch_states},
};

mod error;
mod work;

pub use error::OpError;

/// What a session that ended left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEnded {
    /// Where the goal stood.
    pub before: Status,
    /// Its identity.
    pub goal_id: String,
}

impl Store {
    /// Changes the goal: locks, reads, applies, writes.
    ///
    /// # Errors
    ///
    /// What `change` says; nothing is written then (O3).
    pub fn change<T>(
        &self,
        change: impl FnOnce(&Held, &mut Goal) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        self.change_within(WAIT_MAX, change)
    }

    /// The same, with another wait for the lock.
    ///
    /// # Errors
    ///
    /// What `change` says; nothing is written then (O3).
    pub fn change_within<T>(
        &self,
        wait: SignedDuration,
        change: impl FnOnce(&Held, &mut Goal) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        let held = self.lock(wait)?;
        let mut goal = self.load()?;
        let done = change(&held, &mut goal)?;
        self.save(&held, &mut goal)?;
        Ok(done)
    }

    /// The same, for the goal with this identity: what was found out about one is not written into another.
    ///
    /// # Errors
    ///
    /// [`OpError::Replaced`] when another goal stands there now, and what `change` says; nothing is written then (O3).
    pub fn change_goal<T>(
        &self,
        wait: SignedDuration,
        goal_id: &str,
        change: impl FnOnce(&Held, &mut Goal) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        self.change_within(wait, |held, goal| {
            if goal.goal_id() != goal_id {
                return Err(OpError::Replaced { found: goal.goal_id().to_owned() });
            }
            change(held, goal)
        })
    }

    /// Tentacles of the current iteration, as they are seen now. Only they and what they depend on are read.
    ///
    /// # Errors
    ///
    /// Files that cannot be read.
    pub fn seen(&self, goal: &Goal) -> Result<Vec<Seen>, OpError> {
        let states = dispatch_states(&self.tentacles_behind(goal.current_tentacles())?);
        let seen = goal.current_tentacles().iter().map(|name| {
            let state = states.get(name);
            Seen {
                name: name.clone(),
                state: state.map_or("missing", |it| it.as_str()).to_owned(),
                resolved: state.is_some_and(|it| it.is_resolved()),
            }
        });
        Ok(seen.collect())
    }

    /// Evaluates the current iteration.
    ///
    /// # Errors
    ///
    /// When it is refused, and what the files say.
    pub fn eval(
        &self,
        wait: SignedDuration,
        request: EvalRequest<'_>,
    ) -> Result<Evaluated, OpError> {
        self.change_within(wait, |_, goal| {
            let seen = if request.looks_at_tentacles() { self.seen(goal)? } else { Vec::new() };
            Ok(goal.eval(request, &seen, self.now())?)
        })
    }

    /// Says something about a gate.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn say(
        &self,
        wait: SignedDuration,
        id: &str,
        word: Word<'_>,
        reason: Option<&str>,
    ) -> Result<Said, OpError> {
        self.change_within(wait, |_, goal| Ok(goal.say(id, word, reason, self.now())?))
    }

    /// Resumes, and makes idle what the request asks for (O1). `changed` says what changed in the workspace since
    /// the session ended, if anything did.
    ///
    /// # Errors
    ///
    /// When it is refused, and what the files say.
    pub fn resume(
        &self,
        wait: SignedDuration,
        request: ResumeRequest,
        changed: Option<&str>,
    ) -> Result<Resumed, OpError> {
        let held = self.lock(wait)?;
        let mut goal = self.load()?;
        let all = self.every_tentacle()?;
        let linked = goal.tentacles().iter().filter_map(|name| Some((name, all.get(name)?)));
        let linked: Vec<Linked> = linked
            .map(|(name, it)| Linked {
                name: name.clone(),
                resettable: it.meta.terminal_status.is_some_and(HandoffStatus::resettable),
                goal_iteration: it.meta.goal_iteration,
            })
            .collect();
        let before = self.breadcrumb().and_then(|it| previous_status(&it, &goal));
        let was_awaiting_gate = before == Some(Status::AwaitingGate);
        let request = ResumeRequest { was_awaiting_gate, ..request };
        let done = goal.resume(request, &linked, self.now())?;
        if let Some(changed) = changed {
            goal.workspace_changed(changed);
        }
        self.make_idle(&held, &mut goal, &done.reset, &all)?;
        self.save(&held, &mut goal)?;
        self.remove(&held, self.place().breadcrumb())?;
        Ok(done)
    }

    /// Takes tentacles out of the retry queue, and makes them idle (O1).
    fn make_idle(
        &self,
        held: &Held,
        goal: &mut Goal,
        names: &[String],
        all: &BTreeMap<String, Tentacle>,
    ) -> Result<(), OpError> {
        let known: Vec<_> = names.iter().filter_map(|it| all.get_key_value(it)).collect();
        let leaving: Vec<&str> = known.iter().map(|it| it.0.as_str()).collect();
        self.leave_queue(held, &leaving, Some(goal))?;
        for (name, tentacle) in known {
            let mut meta = tentacle.meta.clone();
            meta.reset(self.handoff_len(name)? as u64);
            self.save_meta(held, name, &meta)?;
        }
        Ok(())
    }

    /// Makes a tentacle with its files.
    ///
    /// # Errors
    ///
    /// When there is one already, and what the files say.
    pub fn create_tentacle(
        &self,
        wait: SignedDuration,
        mut meta: Meta,
        todo: &[String],
    ) -> Result<(), OpError> {
        let name = meta.name.clone();
        check_name(&name)?;
        let held = self.lock(wait)?;
        if self.tentacle(&name)?.is_some() {
            return Err(OpError::TentacleExists { name });
        }
        self.make_tentacle_dir(&name)?;
        let goal = self.look()?;
        let mut tasks = String::new();
        for task in todo {
            // Writing to a string does not fail.
            writeln!(tasks, "- [ ] {task}").ok();
        }
        let about = meta.description.clone().unwrap_or_default();
        let files = [
            ("todo.md", format!("# {name}\n\n{tasks}")),
            ("CONTEXT.md", format!("# {name}\n\n{about}\n")),
        ];
        for (file, text) in &files {
            self.refuse_foreign(&name, file, text)?;
        }
        for (file, text) in &files {
            self.save_text(&held, &name, file, text)?;
        }
        // What lies there already is no word about this one.
        meta.heard = Some(self.handoff_len(&name)? as u64).filter(|it| *it > 0);
        if let Some(goal) = goal.as_ref().filter(|it| it.status().is_open()) {
            meta.goal_name = Some(goal.title().to_owned());
        }
        self.save_meta(&held, &name, &meta)
    }

    /// Links a tentacle to the current iteration. Doing so again refreshes what it knows of the goal.
    ///
    /// # Errors
    ///
    /// When there is no such tentacle, and what the files say.
    pub fn link(&self, wait: SignedDuration, name: &str) -> Result<u64, OpError> {
        check_name(name)?;
        self.change_within(wait, |held, goal| {
            let mut meta = self.meta_of(name)?;
            meta.link(goal.goal_id(), goal.title(), goal.iteration());
            self.save_meta(held, name, &meta)?;
            goal.link(name, self.now());
            Ok(goal.iteration())
        })
    }

    /// Changes what is known about a tentacle.
    ///
    /// # Errors
    ///
    /// When there is no such tentacle, and what the files say.
    pub fn change_tentacle(
        &self,
        wait: SignedDuration,
        name: &str,
        change: impl FnOnce(&mut Meta),
    ) -> Result<(), OpError> {
        let held = self.lock(wait)?;
        let mut meta = self.meta_of(name)?;
        change(&mut meta);
        self.save_meta(&held, name, &meta)
    }

    /// Writes down what a tentacle says. One that is blocked by a quota waits in the retry queue; its last word
    /// counts for the goal at once. Returns the handoff with the quota that was read out of it.
    ///
    /// # Errors
    ///
    /// When there is no such tentacle, and what the files say.
    pub fn handoff(
        &self,
        wait: SignedDuration,
        name: &str,
        handoff: Handoff,
        classifier: &Classifier,
    ) -> Result<Handoff, OpError> {
        let handoff = handoff.classified(classifier);
        let held = self.lock(wait)?;
        let mut meta = self.meta_of(name)?;
        let mut goal = self.look()?;
        let now = self.now();
        self.append_handoff(&held, name, &handoff, now)?;
        if handoff.status == Some(HandoffStatus::Blocked) {
            self.wait_for_quota(&held, name, &handoff, goal.as_mut())?;
        }
        if let Some(status) = handoff.status.filter(|it| it.needs_orchestrator()) {
            meta.terminal_status = Some(status);
            meta.quota_reason = handoff.quota_reason.map(|it| it.as_str().to_owned());
            meta.retry_hint.clone_from(&handoff.retry_hint);
            self.save_meta(&held, name, &meta)?;
        }
        if let Some(goal) = &mut goal {
            goal.touch(now);
            self.save(&held, goal)?;
        }
        Ok(handoff)
    }

    fn wait_for_quota(
        &self,
        held: &Held,
        name: &str,
        handoff: &Handoff,
        goal: Option<&mut Goal>,
    ) -> Result<(), OpError> {
        let Some(reason) = handoff.quota_reason else {
            // Something else blocks it now.
            return self.leave_queue(held, &[name], goal);
        };
        let mut queue = self.retry_queue(goal.as_deref())?;
        let (goal_id, iteration) = goal
            .as_ref()
            .map_or((String::new(), 0), |it| (it.goal_id().to_owned(), it.iteration()));
        let block = Block {
            tentacle: name.to_owned(),
            goal_id,
            iteration,
            reason,
            retry_hint: handoff.retry_hint.clone(),
        };
        queue.upsert(block, self.now());
        self.save_queue(held, &queue, goal)
    }

    /// Ends a tentacle with what it said last; what waited for a quota waits no longer, unless it is blocked still.
    ///
    /// # Errors
    ///
    /// Without a handoff, after failed checks, and what the files say.
    pub fn complete(
        &self,
        wait: SignedDuration,
        name: &str,
    ) -> Result<(Meta, CompletionGate), OpError> {
        let held = self.lock(wait)?;
        let mut meta = self.meta_of(name)?;
        let last = self.last_handoff(name)?;
        let last = last.ok_or_else(|| OpError::NoHandoff { name: name.to_owned() })?;
        let checks = completion_gate(&meta.verifications);
        if !checks.refused.is_empty() {
            let (name, labels) = (name.to_owned(), checks.refused);
            return Err(OpError::ChecksFailed { name, labels });
        }
        let now = self.now();
        meta.complete(&last, now);
        self.save_meta(&held, name, &meta)?;
        let mut goal = self.look()?;
        if meta.terminal_status != Some(HandoffStatus::Blocked) {
            self.leave_queue(&held, &[name], goal.as_mut())?;
        }
        if let Some(goal) = &mut goal {
            goal.touch(now);
            self.save(&held, goal)?;
        }
        Ok((meta, checks))
    }

    pub(crate) fn meta_of(&self, name: &str) -> Result<Meta, OpError> {
        let found = self.tentacle(name)?;
        Ok(found.ok_or_else(|| OpError::NoTentacle { name: name.to_owned() })?.meta)
    }

    /// Pauses the goal because the session ends, and leaves a breadcrumb (O2). `None` when there is no goal, or it
    /// stands where the end of a session changes nothing.
    ///
    /// # Errors
    ///
    /// What the files say; nothing was changed then, or only the breadcrumb.
    pub fn end_session(
        &self,
        wait: SignedDuration,
        reason: &str,
    ) -> Result<Option<SessionEnded>, OpError> {
        if self.look()?.is_none() {
            return Ok(None);
        }
        let held = self.lock(wait)?;
        let Some(mut goal) = self.look()? else { return Ok(None) };
        let Some(before) = goal.end_session(reason, self.now()) else { return Ok(None) };
        let path = self.place().breadcrumb();
        let crumb = Breadcrumb::of(&goal, before, &self.place().goal());
        let mut text = serde_json::to_string_pretty(&crumb)
            .map_err(|source| OpError::Meta { path: path.clone(), source })?;
        text.push('\n');
        self.write(&held, path, text.as_bytes())?;
        self.save(&held, &mut goal)?;
        Ok(Some(SessionEnded { before, goal_id: goal.goal_id().to_owned() }))
    }

    /// What a new session is told; `None` when there is nothing to say.
    pub fn session_banner(&self) -> Option<String> {
        let crumb = self.breadcrumb();
        let goal = match self.look() {
            Ok(Some(goal)) => Some(goal),
            Ok(None) => return None,
            Err(_) => None,
        };
        let other = |bytes: &[u8]| goal.as_ref().is_some_and(|it| !speaks_of(bytes, it));
        let crumb = crumb.filter(|it| !other(it));
        banner(crumb.as_deref(), goal.map(|it| it.status()))
    }
}
