//! `loop`: goes through iterations by itself. What follows when is the table of `goal::LoopLimits`; this carries it out.
//!
//! * **L1** Each look at the goal is a fresh one: who pauses the goal, adds a gate or evaluates meanwhile is heeded.
//! * **L2** An eval names the anchor that its round saw; where somebody else evaluated, the loop ends and says so.
//! * **L3** Work that a quota blocked is no resolved work for a loop: it is made idle when its time has come, and sent out again.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use api::exit::Exit;
use goal::{
    CriterionStatus, Decision, EvalError, EvalRequest, Goal, LOOP_SOURCE, LoopLimits, LoopMove,
    LoopUsed, OpError, Outcome, Run, Seen, Status, StoreError, loop_verified,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Desk, STRICT_BLOCKED, STRICT_ESCALATED, brief, criteria,
    dispatch::{self, Look, Out, Sent},
    failed::left_by,
    failure,
    governed::Governor,
    markers, process, say, wait,
};
use crate::{
    args::{GoalLoop, Output},
    commands::note,
    context::Context,
    failure::Failure,
};

/// What a round did.
#[derive(Debug, Serialize)]
struct Round {
    iteration: u64,
    sent: Vec<Sent>,
    verified: Value,
    outcome: String,
}

/// A loop that runs.
struct Runner<'a> {
    desk: Desk,
    args: &'a GoalLoop,
    limits: LoopLimits,
    /// What work is sent out with; `None` where others do the work.
    command: Option<String>,
    governor: Option<Governor>,
    marker: PathBuf,
    begun: Instant,
    rounds: Vec<Round>,
}

pub(super) fn run(args: &GoalLoop, context: Context<'_>) -> Result<u8, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let limits = LoopLimits {
        rounds: args.max_iterations.map(Into::into),
        time: args.timeout.map(|it| Duration::from_secs(60 * u64::from(it.get()))),
        wait: Duration::from_secs(args.poll_timeout.into()),
    };
    let command = dispatch::command(&args.work, context).filter(|_| !args.no_auto_dispatch);
    if command.is_none() && !args.no_auto_dispatch {
        let message = "the loop has no command to send out work with";
        return Err(Failure::new(Exit::Failed, "GOAL_LOOP_NO_COMMAND", message)
            .hint("pass --cmd COMMAND, or --no-auto-dispatch where others do the work"));
    }
    let goal = read(&desk, args)?;
    refuse(&goal, &limits)?;
    warn(&goal);
    process::heed_signals()?;
    let governor = desk.governor(&args.governed, context);
    let marker = markers::path(args.work.marker.as_deref(), context)?;
    let (begun, rounds) = (Instant::now(), Vec::new());
    Runner { desk, args, limits, command, governor, marker, begun, rounds }.run()
}

fn read(desk: &Desk, args: &GoalLoop) -> Result<Goal, Failure> {
    desk.store.load().map_err(|it| failure(&it.into(), args.wait))
}

/// Refuses a loop that would not begin, and one that would not end.
fn refuse(goal: &Goal, limits: &LoopLimits) -> Result<(), Failure> {
    if goal.status() != Status::Active {
        let message = format!("the goal is {}; no loop begins", goal.status());
        return Err(Failure::new(Exit::Failed, "GOAL_STATUS", message).hint(left_by(goal.status())));
    }
    if !limits.bound(goal) {
        let message = "nothing ends this loop: no iterations and no time are limited";
        return Err(Failure::new(Exit::Failed, "GOAL_LOOP_UNBOUNDED", message)
            .hint("pass --max-iterations N or --timeout MINUTES, or: autonomy goal budget --max-iterations N"));
    }
    Ok(())
}

/// Says what keeps this loop from completing the goal.
fn warn(goal: &Goal) {
    let open = goal.criteria().iter().filter(|it| it.status != CriterionStatus::Verified);
    let silent = open.filter(|it| it.verification_command.trim().is_empty());
    let ids: Vec<&str> = silent.map(|it| it.id.as_str()).collect();
    if goal.criteria().is_empty() {
        note("the goal has no criteria: this loop goes on until a limit ends it");
    } else if !ids.is_empty() {
        let ids = ids.join(", ");
        note(&format!("no command verifies {ids}: this loop will not complete the goal"));
    }
}

impl Runner<'_> {
    fn run(mut self) -> Result<u8, Failure> {
        loop {
            if let Some(end) = self.round()? {
                return self.end(&end);
            }
        }
    }

    fn used(&self, waited: Duration) -> LoopUsed {
        LoopUsed { rounds: self.rounds.len() as u64, time: self.begun.elapsed(), waited }
    }

    /// One round; what ended the loop, if something did.
    fn round(&mut self) -> Result<Option<LoopMove>, Failure> {
        let goal = self.goal()?;
        let spent = goal.spent(self.desk.store.now());
        let begins = self.limits.begins(&goal, &spent, &self.used(Duration::ZERO));
        if begins != LoopMove::Send {
            return Ok(Some(begins));
        }
        let mut round = Round {
            iteration: goal.iteration(),
            sent: Vec::new(),
            verified: Value::Null,
            outcome: String::new(),
        };
        self.tell(&format!("iteration {}", round.iteration))?;
        let end = self.work(&mut round)?;
        let end = match end {
            LoopMove::Verify => self.verify(&mut round)?,
            other => Some(other),
        };
        self.rounds.push(round);
        Ok(end)
    }

    /// Sends out, and waits, until all is resolved or the loop ends.
    fn work(&self, round: &mut Round) -> Result<LoopMove, Failure> {
        let mut waited = Duration::ZERO;
        loop {
            let goal = self.goal()?;
            if goal.iteration() != round.iteration {
                return Ok(LoopMove::Stop(goal.status()));
            }
            let seen = self.seen(&goal)?;
            let next = self.limits.waits(&goal, &seen, &self.used(waited));
            if next != LoopMove::Send {
                return Ok(next);
            }
            let sent = self.send(&goal)?;
            if sent.is_empty() {
                let pause = Duration::from_secs(self.args.poll_interval.get().into());
                let since = Instant::now();
                thread::sleep(pause.min(self.limits.wait.saturating_sub(waited)));
                waited += since.elapsed();
            }
            for it in sent {
                self.tell(&format!("  {}  {}  exit {}", it.name, it.status, it.exit_code))?;
                round.sent.push(it);
            }
        }
    }

    /// Tentacles of the iteration as a loop sees them (L3).
    fn seen(&self, goal: &Goal) -> Result<Vec<Seen>, Failure> {
        let queue = self.op(self.desk.store.retry_queue(Some(goal)))?;
        let mut seen = self.op(self.desk.store.seen(goal))?;
        for it in &mut seen {
            let same = |id: &str| id.is_empty() || id == goal.goal_id();
            let mut waiting = queue.entries.iter();
            let entry = waiting.find(|entry| entry.tentacle == it.name && same(&entry.goal_id));
            if let Some(entry) = entry.filter(|_| it.resolved) {
                it.resolved = false;
                it.state = format!("waits for a quota until {}", entry.not_before);
            }
        }
        Ok(seen)
    }

    /// Sends out what is ready, and what waited for a quota whose time has come.
    fn send(&self, goal: &Goal) -> Result<Vec<Sent>, Failure> {
        let Some(command) = &self.command else { return Ok(Vec::new()) };
        let store = &self.desk.store;
        let queue = self.op(store.retry_queue(Some(goal)))?;
        for entry in queue.due(store.now()) {
            let same = entry.goal_id.is_empty() || entry.goal_id == goal.goal_id();
            let ours = same && goal.current_tentacles().contains(&entry.tentacle);
            let tentacle = self.op(store.tentacle(&entry.tentacle))?;
            if ours && tentacle.is_some_and(|it| it.meta.terminal_status.is_some()) {
                self.op(store.retry_tentacle(wait(self.args.wait), &entry.tentacle))?;
            }
        }
        let look = Look {
            desk: &self.desk,
            goal,
            marker: &self.marker,
            governor: self.governor.as_ref(),
            resend: self.args.work.resend,
        };
        look.adopt(self.args.wait)?;
        let wave = look.plan()?;
        let out = Out {
            desk: &self.desk,
            goal,
            marker: &self.marker,
            command,
            lanes: self.args.work.concurrency.get().into(),
            limit: Duration::from_secs(self.args.work_timeout.into()),
            wait: self.args.wait,
            governor: self.governor.as_ref(),
        };
        let ended = out.send(&wave)?;
        ended.failure.map_or(Ok(ended.sent), Err)
    }

    /// Runs the commands of the criteria, writes down what they say, evaluates.
    fn verify(&self, round: &mut Round) -> Result<Option<LoopMove>, Failure> {
        let goal = self.goal()?;
        let chosen: Vec<_> = goal
            .criteria()
            .iter()
            .filter(|it| !it.verification_command.trim().is_empty())
            .cloned()
            .collect();
        let anchor = goal.anchor();
        let runs = criteria::run_all(
            &self.desk,
            &chosen,
            self.args.verify_timeout,
            self.governor.as_ref(),
        )?;
        round.verified = criteria::results(&runs);
        if !runs.is_empty() {
            self.tell(&criteria::told(&runs))?;
        }
        let goal = self.record(goal.goal_id(), &runs)?;
        if goal.status() != Status::Active {
            return Ok(Some(LoopMove::Stop(goal.status())));
        }
        let spent = goal.spent(self.desk.store.now());
        let next = loop_verified(&goal, &spent);
        let decision = match next {
            LoopMove::Complete => Decision::Complete,
            LoopMove::Continue => Decision::Continue,
            other => return Ok(Some(other)),
        };
        let Some(done) = self.eval(decision, Some(&anchor))? else {
            return Ok(Some(LoopMove::Stop(self.goal()?.status())));
        };
        done.as_str().clone_into(&mut round.outcome);
        Ok(match done {
            Outcome::Advanced => None,
            Outcome::Completed => Some(LoopMove::Complete),
            Outcome::Blocked => Some(LoopMove::Gate(self.blocking()?)),
            _ => Some(LoopMove::Stop(self.goal()?.status())),
        })
    }

    fn record(&self, id: &str, runs: &[Run]) -> Result<Goal, Failure> {
        let stored = self.desk.store.change_goal(wait(self.args.wait), id, |_, goal| {
            if !runs.is_empty() {
                goal.record_runs(runs, self.desk.store.now());
            }
            Ok(goal.clone())
        });
        self.op(stored)
    }

    /// L2
    fn eval(&self, decision: Decision, anchor: Option<&str>) -> Result<Option<Outcome>, Failure> {
        let request = EvalRequest {
            decision,
            if_anchor: anchor,
            source: Some(LOOP_SOURCE),
            ..EvalRequest::default()
        };
        let done = self.op(self.desk.store.eval(wait(self.args.wait), request))?;
        self.desk.audit_eval(&done, decision);
        if done.recorded.outcome == Outcome::Advanced {
            brief::refresh(&self.desk);
        }
        Ok((!done.replayed).then_some(done.recorded.outcome))
    }

    fn blocking(&self) -> Result<Vec<String>, Failure> {
        Ok(self.goal()?.blocking().map(|it| it.id.clone()).collect())
    }

    /// Writes the end into the goal, says it, and how the process ends.
    fn end(&self, end: &LoopMove) -> Result<u8, Failure> {
        let strict = self.args.wait.strict_exit;
        let failed = Exit::Failed.code();
        let (outcome, reason, exit) = match end {
            LoopMove::Limit(reason) if self.limit(reason)? => {
                ("budget_limited", reason.clone(), if strict { STRICT_ESCALATED } else { failed })
            }
            LoopMove::Gate(ids) => {
                self.await_gate()?;
                ("gate", ids.join(", "), if strict { STRICT_BLOCKED } else { failed })
            }
            LoopMove::Complete => ("completed", String::new(), Exit::Done.code()),
            _ => {
                let goal = self.goal()?;
                let reason =
                    format!("the goal is {}, iteration {}", goal.status(), goal.iteration());
                ("stopped", reason, failed)
            }
        };
        let goal = self.goal()?;
        let text = match reason.as_str() {
            "" => format!("the goal is {}", goal.status()),
            reason => format!("the loop ended: {outcome}: {reason}"),
        };
        let value = json!({
            "outcome": outcome,
            "reason": reason,
            "status": goal.status(),
            "iteration": goal.iteration(),
            "anchor": goal.anchor(),
            "rounds": self.rounds,
        });
        say(self.args.place.format, &text, &value)?;
        Ok(exit)
    }

    /// Writes a limit into the goal; `false` when somebody moved the goal meanwhile.
    fn limit(&self, reason: &str) -> Result<bool, Failure> {
        let stored = self.desk.store.change_within(wait(self.args.wait), |_, goal| {
            let path = self.desk.store.place().goal();
            let limited = goal.limit(reason, self.desk.store.now());
            limited.map_err(|source| OpError::Store(StoreError::Corrupt { path, source }))
        });
        let limited = self.op(stored)?;
        if limited {
            let fields = [("reason", reason.to_owned())];
            self.desk.audit("goal.limited", &self.desk.goal_id(), &fields);
        }
        Ok(limited)
    }

    /// Makes the goal wait for its gate; where work is still out, the next eval does.
    fn await_gate(&self) -> Result<(), Failure> {
        if self.goal()?.status() != Status::Active {
            return Ok(());
        }
        let request = EvalRequest { source: Some(LOOP_SOURCE), ..EvalRequest::default() };
        match self.desk.store.eval(wait(self.args.wait), request) {
            Ok(done) => self.desk.audit_eval(&done, Decision::Continue),
            Err(OpError::Eval(EvalError::Unresolved { .. })) => {}
            Err(other) => return Err(failure(&other, self.args.wait)),
        }
        Ok(())
    }

    fn goal(&self) -> Result<Goal, Failure> {
        read(&self.desk, self.args)
    }

    fn op<T>(&self, result: Result<T, OpError>) -> Result<T, Failure> {
        result.map_err(|it| failure(&it, self.args.wait))
    }

    /// Says what happens while it happens; JSON is one document, at the end.
    fn tell(&self, text: &str) -> Result<(), Failure> {
        match self.args.place.format {
            Output::Text => say(Output::Text, text, &Value::Null),
            Output::Json => Ok(()),
        }
    }
}
