//! One command for each tentacle: begun once, accompanied, and its end written down.

use std::{path::Path, sync::Mutex, thread, time::Duration};

use api::{env, exit::Exit};
use goal::{
    Classifier, Goal, Handoff, HandoffStatus, Identity, Judgement, MarkerEntry, Meta, add_marker,
    classify_output, judge_marker, remove_marker,
};
use jiff::SignedDuration;
use serde::Serialize;

use super::{Wave, read};
use crate::{
    args::GoalWait,
    commands::goal::{Desk, failure, governed::Governor, markers, process, wait},
    failure::Failure,
};

/// Longest text that a synthetic handoff quotes, in characters.
const QUOTED_MAX: usize = 500;
/// Least wait for the lock when the end of a command is written down: it is seen once.
const END_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// How a command that was sent out ended.
#[derive(Debug, Serialize)]
pub(in crate::commands::goal) struct Sent {
    pub(in crate::commands::goal) name: String,
    pub(in crate::commands::goal) exit_code: i32,
    pub(in crate::commands::goal) status: String,
}

/// What came of a wave.
#[derive(Debug, Default)]
pub(in crate::commands::goal) struct Ended {
    pub(in crate::commands::goal) sent: Vec<Sent>,
    /// What went wrong beside them: the first of it.
    pub(in crate::commands::goal) failure: Option<Failure>,
}

/// What is sent out, and from where.
pub(in crate::commands::goal) struct Out<'a> {
    pub(in crate::commands::goal) desk: &'a Desk,
    pub(in crate::commands::goal) goal: &'a Goal,
    pub(in crate::commands::goal) marker: &'a Path,
    pub(in crate::commands::goal) command: &'a str,
    /// How many run at a time.
    pub(in crate::commands::goal) lanes: usize,
    /// Longest run of a command.
    pub(in crate::commands::goal) limit: Duration,
    pub(in crate::commands::goal) wait: GoalWait,
    pub(in crate::commands::goal) governor: Option<&'a Governor>,
}

/// Why a command was not begun.
enum NotBegun {
    /// Somebody else took the tentacle, or ended it.
    Taken,
    Failed(Failure),
}

/// A command that the system did not start: nothing was begun, so the tentacle is as it was.
fn not_started(name: &str, ended: &process::Ended) -> Failure {
    let message = format!("{name}: the command {}", ended.note);
    Failure::new(Exit::Failed, "COMMAND_NOT_STARTED", message)
        .hint("nothing was begun: mend the command, then dispatch again")
}

/// The end of work that somebody began again meanwhile.
fn taken_over(name: &str, ended: &process::Ended) -> Failure {
    let code = ended.code;
    let message = format!(
        "somebody began {name} again while this command worked on it; it ended with {code}"
    );
    Failure::new(Exit::Conflict, "GOAL_TAKEN_OVER", message).hint(
        "how it ended is not written down: look at what both did, then at autonomy tentacle status",
    )
}

impl Out<'_> {
    /// Sends all of them out, some at a time, and waits for them. Where a runtime is named that does not answer, nothing is
    /// begun.
    pub(in crate::commands::goal) fn send(&self, wave: &Wave) -> Result<Ended, Failure> {
        let names = wave.selected.as_slice();
        if let Some(governor) = self.governor.filter(|_| !names.is_empty()) {
            governor.ready()?;
        }
        let left: Mutex<Vec<&String>> = Mutex::new(names.iter().rev().collect());
        let next = || left.lock().ok()?.pop();
        let lanes = self.lanes.min(names.len());
        let works = || {
            let mut ended = Ended::default();
            while let Some(name) = next() {
                match self.send_one(name, wave.seen.get(name)) {
                    Ok(sent) => ended.sent.extend(sent),
                    Err(failure) => ended.failure = ended.failure.or(Some(failure)),
                }
            }
            ended
        };
        let lanes: Vec<Ended> = thread::scope(|scope| {
            let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(works)).collect();
            lanes.into_iter().filter_map(|it| it.join().ok()).collect()
        });
        let mut all = Ended::default();
        for lane in lanes {
            all.sent.extend(lane.sent);
            all.failure = all.failure.or(lane.failure);
        }
        all.sent.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// `None` when somebody else took it.
    fn send_one(&self, name: &str, seen: Option<&Meta>) -> Result<Option<Sent>, Failure> {
        let Some(seen) = seen else { return Ok(None) };
        let desk = self.desk;
        let dir = desk.store.place().tentacles().join(name);
        let vars = [
            (env::TENTACLE, name.to_owned()),
            (env::TENTACLE_DIR, dir.display().to_string()),
            (env::GOAL_ID, self.goal.goal_id().to_owned()),
            (env::STATE_DIR, desk.store.place().state().display().to_string()),
        ];
        let limit = self.limit;
        let order = process::Order { command: self.command, dir: &desk.root, vars: &vars, limit };
        let (mut mine, mut not_begun) = (None, None);
        let ended = match self.governor {
            Some(governor) => match self.begin(name, seen, std::process::id()) {
                Ok(meta) => {
                    mine = Some(meta);
                    governor.run(name, &order)?
                }
                Err(NotBegun::Taken) => return Ok(None),
                Err(NotBegun::Failed(failure)) => return Err(failure),
            },
            None => process::run_order(&order, |pid| {
                let begun = self.begin(name, seen, pid).map_err(|it| {
                    not_begun = Some(it);
                    "not begun".to_owned()
                })?;
                mine = Some(begun);
                Ok(())
            }),
        };
        match not_begun {
            Some(NotBegun::Taken) => return Ok(None),
            Some(NotBegun::Failed(failure)) => return Err(failure),
            None => {}
        }
        let Some(mine) = mine else { return Err(not_started(name, &ended)) };
        // D3
        if !read(desk.store.is_my_work(name, &mine))? {
            return Err(taken_over(name, &ended));
        }
        let status = self.finish(name, &ended)?;
        self.unmark(name, seen)?;
        Ok(Some(Sent { name: name.to_owned(), exit_code: ended.code, status }))
    }

    fn unmark(&self, name: &str, seen: &Meta) -> Result<(), Failure> {
        let (desk, root) = (self.desk, self.desk.root.to_string_lossy());
        markers::change(self.marker, |file| {
            let who =
                Identity { name, git_root: Some(&*root), tentacle_id: seen.tentacle_id.as_deref() };
            remove_marker(file, &who, desk.store.now());
        })
    }

    /// D0, D1
    fn begin(&self, name: &str, seen: &Meta, pid: u32) -> Result<Meta, NotBegun> {
        let desk = self.desk;
        let (now, liveness) = (desk.store.now(), desk.store.liveness());
        let entry = MarkerEntry {
            name: name.to_owned(),
            ts: Some(now.as_second().to_string()),
            git_root: Some(desk.root.to_string_lossy().into_owned()),
            tentacle_id: seen.tentacle_id.clone(),
            pid: Some(pid),
            host: Some(liveness.host().to_owned()),
            proc_start: liveness.start_time(pid),
            boot_id: Some(liveness.boot_id().to_owned()),
            ..MarkerEntry::default()
        };
        let taken = markers::change(self.marker, |file| {
            let same = |it: &&MarkerEntry| {
                it.name == entry.name
                    && it.git_root == entry.git_root
                    && it.tentacle_id == entry.tentacle_id
            };
            let living = |it: &MarkerEntry| judge_marker(it, now, liveness) == Judgement::Live;
            if file.active_tentacles.iter().find(same).is_some_and(living) {
                return true;
            }
            add_marker(file, entry, now);
            false
        });
        if taken.map_err(NotBegun::Failed)? {
            return Err(NotBegun::Taken);
        }
        let begun = desk.store.begin_work(wait(self.wait), name, seen);
        match begun {
            Ok(Some(meta)) => Ok(meta),
            Ok(None) => {
                self.unmark(name, seen).map_err(NotBegun::Failed)?;
                Err(NotBegun::Taken)
            }
            Err(error) => {
                // The first failure is the one to be told.
                self.unmark(name, seen).ok();
                Err(NotBegun::Failed(failure(&error, self.wait)))
            }
        }
    }

    /// D2
    fn finish(&self, name: &str, ended: &process::Ended) -> Result<String, Failure> {
        let desk = self.desk;
        let waits = wait(self.wait).max(END_WAIT);
        let last = read(desk.store.last_handoff(name))?;
        if last.as_ref().is_none_or(|it| it.status.is_none()) {
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
            let done = desk.store.handoff(waits, name, handoff, &Classifier::default());
            done.map_err(|it| failure(&it, self.wait))?;
        }
        let done = desk.store.complete(waits, name);
        let (meta, _) = done.map_err(|it| failure(&it, self.wait))?;
        let status = meta.terminal_status.map_or("?".to_owned(), |it| it.to_string());
        desk.audit("goal.dispatched", name, &[("status", status.clone())]);
        Ok(status)
    }
}
