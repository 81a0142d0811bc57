//! `dispatch`: sends out the tentacles of an iteration, each as a command of its own.
//!
//! | tentacle                                              | sent out |
//! |-------------------------------------------------------|----------|
//! | ready                                                 | yes      |
//! | running, and a marker says that its process lives     | no       |
//! | running, and nothing shows that anybody works on it   | yes      |
//! | waits for a quota, and its time has not come          | no       |
//! | anything else                                         | no       |
//!
//! * **D1** Marker and meta are on the disk before the command begins; it is killed with its group, or stands in the
//!   marker as long as it lives.
//! * **D2** What the tentacle says itself counts. Only where it says nothing, its end is its word: 0 is DONE, a
//!   quota in what it said is BLOCKED, any other end is AMBIGUOUS.

use std::{
    collections::BTreeMap, fmt::Write as _, path::Path, sync::Mutex, thread, time::Duration,
};

use api::{env, exit::Exit};
use goal::{
    Classifier, DispatchState, Goal, Handoff, HandoffStatus, Identity, Judgement, MarkerEntry,
    Tentacle, TentacleStatus, add_marker, classify_output, dispatch_states, judge_marker,
    remove_marker,
};
use serde::Serialize;
use serde_json::json;

use super::{Desk, failure, governed::Governor, markers, process, say, wait};
use crate::{
    args::{GoalDispatch, GoalWait},
    context::Context,
    failure::Failure,
};

/// Longest text that a synthetic handoff quotes, in characters.
const QUOTED_MAX: usize = 500;

/// A tentacle that is not sent out.
#[derive(Debug, Serialize)]
struct Deferred {
    name: String,
    reason: String,
}

/// What a dispatch does.
#[derive(Debug, Default, Serialize)]
struct Wave {
    selected: Vec<String>,
    deferred: Vec<Deferred>,
    resolved: Vec<String>,
    /// Tentacles that an eval waits for.
    eval_blocking_count: usize,
}

/// How a command that was sent out ended.
#[derive(Debug, Serialize)]
pub(super) struct Sent {
    name: String,
    exit_code: i32,
    status: String,
}

fn read<T>(result: Result<T, goal::OpError>) -> Result<T, Failure> {
    result.map_err(|it| failure(&it, GoalWait::NONE))
}

/// Who works on a tentacle, as far as the markers say.
fn alive(desk: &Desk, marker: &Path) -> Result<Vec<MarkerEntry>, Failure> {
    let (now, liveness) = (desk.store.now(), desk.store.liveness());
    let mut entries = markers::read(marker)?.active_tentacles;
    entries.retain(|it| judge_marker(it, now, liveness) == Judgement::Live);
    Ok(entries)
}

fn plan(desk: &Desk, goal: &Goal, marker: &Path) -> Result<Wave, Failure> {
    let all = read(desk.store.every_tentacle())?;
    let states = dispatch_states(&all);
    let alive = alive(desk, marker)?;
    let now = desk.store.now();
    let queue = read(desk.store.retry_queue(Some(goal)))?;
    let waits: BTreeMap<&str, _> =
        queue.waiting(now).into_iter().map(|it| (it.tentacle.as_str(), it.not_before)).collect();
    let mut wave = Wave::default();
    for name in goal.current_tentacles() {
        let state = states.get(name).copied();
        if state.is_some_and(DispatchState::is_resolved) {
            wave.resolved.push(name.clone());
            continue;
        }
        wave.eval_blocking_count += 1;
        match why_not(name, state, all.get(name), &alive, desk) {
            Some(reason) => wave.deferred.push(Deferred { name: name.clone(), reason }),
            None => match waits.get(name.as_str()) {
                Some(at) => {
                    let reason = format!("waits for a quota until {at}");
                    wave.deferred.push(Deferred { name: name.clone(), reason });
                }
                None => wave.selected.push(name.clone()),
            },
        }
    }
    Ok(wave)
}

/// A runtime finishes a call whose caller is gone: what was running, and has no marker, is not sent out again while one
/// may be running.
fn hold_back(desk: &Desk, wave: &mut Wave, governor: Option<&Governor>) -> Result<(), Failure> {
    let Some(governor) = governor else { return Ok(()) };
    let all = read(desk.store.every_tentacle())?;
    let began =
        |name: &String| all.get(name).is_some_and(|it| it.meta.status == TentacleStatus::Active);
    if !wave.selected.iter().any(began) || governor.is_at_rest()? {
        return Ok(());
    }
    let (held, free) = std::mem::take(&mut wave.selected).into_iter().partition(began);
    wave.selected = free;
    let reason = "a call of an earlier dispatch may still be running in the runtime";
    let held: Vec<String> = held;
    let deferred = held.into_iter().map(|name| Deferred { name, reason: reason.to_owned() });
    wave.deferred.extend(deferred);
    Ok(())
}

/// Why a tentacle is not sent out; see the table.
fn why_not(
    name: &str,
    state: Option<DispatchState>,
    tentacle: Option<&Tentacle>,
    alive: &[MarkerEntry],
    desk: &Desk,
) -> Option<String> {
    let id = tentacle.and_then(|it| it.meta.tentacle_id.as_deref());
    let root = desk.root.to_string_lossy();
    let works = alive.iter().any(|it| match (&it.tentacle_id, id) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => it.name == name && it.git_root.as_deref() == Some(&*root),
    });
    match state {
        Some(DispatchState::Ready | DispatchState::Running) if works => {
            Some("somebody works on it".to_owned())
        }
        Some(DispatchState::Ready | DispatchState::Running) => None,
        Some(other) => Some(other.as_str().to_owned()),
        None => Some("missing".to_owned()),
    }
}

pub(super) fn run(args: &GoalDispatch, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let goal = read(desk.store.load().map_err(Into::into))?;
    if !goal.status().is_open() {
        let message = format!("the goal is {}; nothing is sent out", goal.status());
        return Err(Failure::new(Exit::Failed, "GOAL_STATUS", message)
            .hint("what is no end is left by: autonomy goal resume"));
    }
    let marker = markers::path(args.marker.as_deref(), context)?;
    let governor = desk.governor(&args.governed, context);
    let mut wave = plan(&desk, &goal, &marker)?;
    hold_back(&desk, &mut wave, governor.as_ref())?;
    let Some(command) = args.cmd.as_deref() else {
        say(args.place.format, &planned(&wave), &json!(wave))?;
        return Ok(Exit::Done);
    };
    process::heed_signals()?;
    let governor = governor.as_ref();
    let out = Out { desk: &desk, goal: &goal, marker: &marker, command, args, governor };
    let sent = out.send(&wave.selected)?;
    let mut text = planned(&wave);
    for it in &sent {
        // Writing to a string does not fail.
        write!(text, "\n{}  {}  exit {}", it.name, it.status, it.exit_code).ok();
    }
    let good = sent.iter().all(|it| it.status == HandoffStatus::Done.as_str());
    let value = json!({
        "selected": wave.selected,
        "deferred": wave.deferred,
        "resolved": wave.resolved,
        "eval_blocking_count": wave.eval_blocking_count,
        "sent": sent,
    });
    say(args.place.format, &text, &value)?;
    Ok(if good { Exit::Done } else { Exit::Partial })
}

fn planned(wave: &Wave) -> String {
    let mut lines = vec![format!("selected: {}", names(&wave.selected))];
    lines.extend(wave.deferred.iter().map(|it| format!("deferred: {} ({})", it.name, it.reason)));
    lines.push(format!("resolved: {}", names(&wave.resolved)));
    lines.join("\n")
}

fn names(list: &[String]) -> String {
    if list.is_empty() { "-".to_owned() } else { list.join(", ") }
}

/// What is sent out, and from where.
struct Out<'a> {
    desk: &'a Desk,
    goal: &'a Goal,
    marker: &'a Path,
    command: &'a str,
    args: &'a GoalDispatch,
    governor: Option<&'a Governor>,
}

impl Out<'_> {
    /// Sends all of them out, some at a time, and waits for them.
    fn send(&self, names: &[String]) -> Result<Vec<Sent>, Failure> {
        let left: Mutex<Vec<&String>> = Mutex::new(names.iter().rev().collect());
        let next = || left.lock().ok()?.pop();
        let lanes = usize::from(self.args.concurrency.get()).min(names.len());
        let works = || {
            let mut sent = Vec::new();
            while let Some(name) = next() {
                sent.push(self.send_one(name)?);
            }
            Ok(sent)
        };
        let ended: Vec<Result<Vec<Sent>, Failure>> = thread::scope(|scope| {
            let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(works)).collect();
            lanes.into_iter().filter_map(|it| it.join().ok()).collect()
        });
        let mut all = Vec::new();
        for lane in ended {
            all.extend(lane?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn send_one(&self, name: &str) -> Result<Sent, Failure> {
        let (desk, args) = (self.desk, self.args);
        let dir = desk.store.place().tentacles().join(name);
        let vars = [
            (env::TENTACLE, name.to_owned()),
            (env::TENTACLE_DIR, dir.display().to_string()),
            (env::GOAL_ID, self.goal.goal_id().to_owned()),
            (env::STATE_DIR, desk.store.place().state().display().to_string()),
        ];
        let limit = Duration::from_secs(args.timeout.into());
        let order = process::Order { command: self.command, dir: &desk.root, vars: &vars, limit };
        let said = desk.store.handoff_len(name);
        let said = read(said)?;
        let id = read(desk.store.tentacle(name))?.and_then(|it| it.meta.tentacle_id);
        let root = desk.root.to_string_lossy().into_owned();
        let mut failed = None;
        let ended = match self.governor {
            Some(governor) => {
                self.begin(name, id.as_deref(), std::process::id())?;
                governor.run(name, &order)?
            }
            None => process::run_order(&order, |pid| {
                self.begin(name, id.as_deref(), pid).map_err(|it| {
                    let why = it.message.clone();
                    failed = Some(it);
                    why
                })
            }),
        };
        if let Some(failure) = failed {
            return Err(failure);
        }
        let status = self.finish(name, said, &ended)?;
        markers::change(self.marker, |file| {
            let who = Identity { name, git_root: Some(&root), tentacle_id: id.as_deref() };
            remove_marker(file, &who, desk.store.now());
        })?;
        Ok(Sent { name: name.to_owned(), exit_code: ended.code, status })
    }

    /// D1
    fn begin(&self, name: &str, id: Option<&str>, pid: u32) -> Result<(), Failure> {
        let (desk, args) = (self.desk, self.args);
        let (now, liveness) = (desk.store.now(), desk.store.liveness());
        let entry = MarkerEntry {
            name: name.to_owned(),
            ts: Some(now.as_second().to_string()),
            git_root: Some(desk.root.to_string_lossy().into_owned()),
            tentacle_id: id.map(str::to_owned),
            pid: Some(pid),
            host: Some(liveness.host().to_owned()),
            proc_start: liveness.start_time(pid),
            boot_id: Some(liveness.boot_id().to_owned()),
            ..MarkerEntry::default()
        };
        markers::change(self.marker, |file| add_marker(file, entry, now))?;
        let begun = desk.store.change_tentacle(wait(args.wait), name, |meta| {
            meta.status = TentacleStatus::Active;
        });
        begun.map_err(|it| failure(&it, args.wait))
    }

    /// D2
    fn finish(
        &self,
        name: &str,
        said_before: usize,
        ended: &process::Ended,
    ) -> Result<String, Failure> {
        let (desk, args) = (self.desk, self.args);
        let spoke = read(desk.store.handoff_len(name))? > said_before;
        let last = read(desk.store.last_handoff(name))?;
        if !spoke || last.as_ref().is_none_or(|it| it.status.is_none()) {
            let quota = (ended.code != 0).then(|| classify_output(&ended.stderr)).flatten();
            let status = match (ended.code, quota) {
                (0, _) => HandoffStatus::Done,
                (_, Some(_)) => HandoffStatus::Blocked,
                (_, None) => HandoffStatus::Ambiguous,
            };
            let stderr = String::from_utf8_lossy(&ended.stderr);
            let quoted: String = stderr.chars().take(QUOTED_MAX).collect();
            let message = format!("the command ended with {}. {}{quoted}", ended.code, ended.note);
            let handoff = Handoff {
                status: Some(status),
                quota_reason: quota,
                message,
                ..Handoff::default()
            };
            let done = desk.store.handoff(wait(args.wait), name, handoff, &Classifier::default());
            done.map_err(|it| failure(&it, args.wait))?;
        }
        let done = desk.store.complete(wait(args.wait), name);
        let (meta, _) = done.map_err(|it| failure(&it, args.wait))?;
        let status = meta.terminal_status.map_or("?".to_owned(), |it| it.to_string());
        desk.audit("goal.dispatched", name, &[("status", status.clone())]);
        Ok(status)
    }
}
