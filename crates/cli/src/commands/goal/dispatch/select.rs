//! Which tentacles are sent out now; see the table of `dispatch`.

use std::{collections::BTreeMap, path::Path};

use goal::{
    DispatchState, Goal, Judgement, MarkerEntry, Meta, Tentacle, TentacleStatus, dispatch_states,
    judge_marker,
};
use serde::Serialize;

use super::read;
use crate::{
    args::GoalWait,
    commands::goal::{Desk, failure, governed::Governor, markers, wait},
    failure::Failure,
};

/// A tentacle that is not sent out.
#[derive(Debug, Serialize)]
pub(in crate::commands::goal) struct Deferred {
    pub(super) name: String,
    pub(super) reason: String,
}

/// What a dispatch does.
#[derive(Debug, Default, Serialize)]
pub(in crate::commands::goal) struct Wave {
    pub(in crate::commands::goal) selected: Vec<String>,
    pub(super) deferred: Vec<Deferred>,
    pub(super) resolved: Vec<String>,
    /// Tentacles that an eval waits for.
    pub(super) eval_blocking_count: usize,
    /// What every tentacle was when that was decided: work begins only on one that still is so (D0).
    #[serde(skip)]
    pub(super) seen: BTreeMap<String, Meta>,
}

/// What is looked at.
pub(in crate::commands::goal) struct Look<'a> {
    pub(in crate::commands::goal) desk: &'a Desk,
    pub(in crate::commands::goal) goal: &'a Goal,
    pub(in crate::commands::goal) marker: &'a Path,
    pub(in crate::commands::goal) governor: Option<&'a Governor>,
    /// Whether what began, and whose end nobody saw, is sent out again.
    pub(in crate::commands::goal) resend: bool,
}

impl Look<'_> {
    /// What a dispatch would do now.
    pub(in crate::commands::goal) fn plan(&self) -> Result<Wave, Failure> {
        let mut wave = self.select()?;
        self.hold_back(&mut wave)?;
        Ok(wave)
    }

    /// Completes what began, lives no more, and has said how it ended: nobody was there to write it down.
    pub(in crate::commands::goal) fn adopt(&self, waits: GoalWait) -> Result<(), Failure> {
        let all = read(self.desk.store.every_tentacle())?;
        let alive = self.alive()?;
        for name in self.goal.current_tentacles() {
            let Some(tentacle) = all.get(name).filter(|it| began(it)) else { continue };
            let said = read(self.desk.store.last_handoff(name))?;
            let ended = said.is_some_and(|it| it.status.is_some());
            if ended && !self.works(name, tentacle, &alive) {
                let done = self.desk.store.complete(wait(waits), name);
                done.map_err(|it| failure(&it, waits))?;
            }
        }
        Ok(())
    }

    /// Who works on a tentacle, as far as the markers say.
    fn alive(&self) -> Result<Vec<MarkerEntry>, Failure> {
        let (now, liveness) = (self.desk.store.now(), self.desk.store.liveness());
        let mut entries = markers::read(self.marker)?.active_tentacles;
        entries.retain(|it| judge_marker(it, now, liveness) == Judgement::Live);
        Ok(entries)
    }

    fn works(&self, name: &str, tentacle: &Tentacle, alive: &[MarkerEntry]) -> bool {
        let id = tentacle.meta.tentacle_id.as_deref();
        let root = self.desk.root.to_string_lossy();
        alive.iter().any(|it| match (&it.tentacle_id, id) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => it.name == name && it.git_root.as_deref() == Some(&*root),
        })
    }

    fn select(&self) -> Result<Wave, Failure> {
        let (desk, goal) = (self.desk, self.goal);
        let all = read(desk.store.every_tentacle())?;
        let states = dispatch_states(&all);
        let alive = self.alive()?;
        let queue = read(desk.store.retry_queue(Some(goal)))?;
        let waiting = queue.waiting(desk.store.now()).into_iter();
        let ours = waiting.filter(|it| it.goal_id.is_empty() || it.goal_id == goal.goal_id());
        let waits: BTreeMap<&str, _> =
            ours.map(|it| (it.tentacle.as_str(), it.not_before)).collect();
        let mut wave = Wave::default();
        for name in goal.current_tentacles() {
            let state = states.get(name).copied();
            if state.is_some_and(DispatchState::is_resolved) {
                wave.resolved.push(name.clone());
                continue;
            }
            wave.eval_blocking_count += 1;
            let quota =
                || waits.get(name.as_str()).map(|at| format!("waits for a quota until {at}"));
            match self.why_not(name, state, all.get(name), &alive).or_else(quota) {
                Some(reason) => wave.deferred.push(Deferred { name: name.clone(), reason }),
                None => wave.selected.push(name.clone()),
            }
        }
        wave.seen = all.into_iter().map(|(name, it)| (name, it.meta)).collect();
        Ok(wave)
    }

    fn why_not(
        &self,
        name: &str,
        state: Option<DispatchState>,
        tentacle: Option<&Tentacle>,
        alive: &[MarkerEntry],
    ) -> Option<String> {
        let (Some(state), Some(tentacle)) = (state, tentacle) else {
            return Some("missing".to_owned());
        };
        if !matches!(state, DispatchState::Ready | DispatchState::Running) {
            return Some(state.as_str().to_owned());
        }
        if self.works(name, tentacle, alive) {
            return Some("somebody works on it".to_owned());
        }
        let unseen = began(tentacle) && !self.resend;
        unseen.then(|| {
            "it began, and nobody saw its end: look, then write its handoff, or pass --resend"
                .to_owned()
        })
    }

    /// A runtime finishes a call whose caller is gone: what was running, and has no marker, is not sent out again while one
    /// may be running.
    fn hold_back(&self, wave: &mut Wave) -> Result<(), Failure> {
        let Some(governor) = self.governor else { return Ok(()) };
        let all = read(self.desk.store.every_tentacle())?;
        let begun = |name: &String| all.get(name).is_some_and(began);
        if !wave.selected.iter().any(begun) || governor.is_at_rest()? {
            return Ok(());
        }
        let (held, free): (Vec<String>, _) =
            std::mem::take(&mut wave.selected).into_iter().partition(begun);
        wave.selected = free;
        let reason = "a call of an earlier dispatch may still be running in the runtime";
        let deferred = held.into_iter().map(|name| Deferred { name, reason: reason.to_owned() });
        wave.deferred.extend(deferred);
        Ok(())
    }
}

/// Whether somebody began to work on it, and no end is written down.
fn began(tentacle: &Tentacle) -> bool {
    tentacle.meta.status == TentacleStatus::Active && tentacle.meta.terminal_status.is_none()
}
