//! Where the goal is, and who asks.
//!
//! | first that applies                   | state                                    |
//! |--------------------------------------|------------------------------------------|
//! | `--state-dir`                        | that directory                           |
//! | `--session-dir`                      | the parent of its tentacles              |
//! | `AUTONOMY_STATE_DIR`                 | that directory                           |
//! | `TENTACLE_SESSION_DIR`               | the parent of its tentacles              |
//! | a directory with `.git` here or above | `.octogent` in it                       |
//! | else                                 | refused                                  |

use std::{
    env::current_dir,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use api::{env, exit::Exit};
use audit::{Category, NewRecord, Outcome, Source};
use goal::{Clock, Decision, Evaluated, LinuxLiveness, Place, STATE_DIR, Status, Store};
use jiff::{SignedDuration, Timestamp};
use vfs::OsVfs;

use super::{
    governed::Governor,
    workspace::{self, Workspace},
};
use crate::{
    args::{GoalGoverned, GoalPlace, GoalWait},
    commands::{actor, audit as trail, note},
    context::Context,
    failure::Failure,
};

/// The clock on the wall.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn pause(&self, duration: SignedDuration) {
        thread::sleep(duration.unsigned_abs());
    }
}

/// How long the lock is waited for.
pub(in crate::commands) fn wait(args: GoalWait) -> SignedDuration {
    SignedDuration::from_secs(args.lock_timeout.into())
}

/// The files of a goal, and who asks.
pub(in crate::commands) struct Desk {
    pub(in crate::commands) store: Store,
    /// Where commands of criteria run.
    pub(in crate::commands) root: PathBuf,
    actor: String,
    audit_dir: Result<PathBuf, Failure>,
}

impl Desk {
    /// Finds the goal. No file is opened.
    pub(in crate::commands) fn open(
        args: &GoalPlace,
        context: Context<'_>,
    ) -> Result<Self, Failure> {
        let here = current_dir().map_err(|error| Failure::file("find", Path::new("."), &error))?;
        let repository = here.ancestors().find(|it| it.join(".git").exists());
        let place = place(args, context, repository)?;
        let alive = LinuxLiveness::new().map_err(|error| Failure::process(&error))?;
        let vfs = Arc::new(OsVfs);
        let store = Store::new(vfs, place, std::process::id(), Arc::new(alive), Arc::new(Wall));
        let (actor, audit_dir) = (actor(context), trail::directory(None, context));
        Ok(Self { store, root: repository.unwrap_or(&here).to_owned(), actor, audit_dir })
    }

    /// Identity of the goal, for records; empty when it cannot be read.
    pub(in crate::commands) fn goal_id(&self) -> String {
        let goal = self.store.look().ok().flatten();
        goal.map(|it| it.goal_id().to_owned()).unwrap_or_default()
    }

    /// What changed in the workspace since the session ended, if that can be told; where the goal demands to know,
    /// what cannot be compared counts as changed.
    pub(in crate::commands) fn changed_since(&self) -> Option<String> {
        let goal = self.store.look().ok().flatten()?;
        if goal.status() != Status::Paused {
            return None;
        }
        let place = self.store.place();
        let digest = place.workspace_digest();
        let demanded = goal.requires_reverify();
        match workspace::since(&self.root, place.state(), &digest) {
            Ok(None) if demanded && !digest.exists() => {
                Some("nobody wrote down what it was".to_owned())
            }
            Ok(changed) => changed,
            Err(why) if demanded => Some(format!("it cannot be compared: {why}")),
            Err(why) => {
                note(&format!("the workspace cannot be compared: {why}"));
                None
            }
        }
    }

    /// Writes down what the workspace is.
    pub(in crate::commands) fn remember_workspace(&self) {
        let place = self.store.place();
        let looked = Workspace::look(&self.root, place.state());
        if let Err(why) = looked.and_then(|it| it.save(&place.workspace_digest())) {
            self.forget_workspace();
            note(&format!("what the workspace is was not written down: {why}"));
        }
    }

    /// Removes what was written down: it is about a session that is over.
    pub(in crate::commands) fn forget_workspace(&self) {
        // What stays is compared with once more, and changes nothing else.
        std::fs::remove_file(self.store.place().workspace_digest()).ok();
    }

    /// The runtime that governs commands, if one is named.
    pub(super) fn governor(&self, args: &GoalGoverned, context: Context<'_>) -> Option<Governor> {
        let url = args.runtime_url.clone().or_else(|| context.var(env::RUNTIME_URL))?;
        Some(Governor::new(url, self.goal_id(), context))
    }

    /// Puts what was done on record in the audit trail. The goal itself is the truth about the goal: a trail that
    /// takes no record is said aloud and undoes nothing.
    pub(in crate::commands) fn audit(&self, event: &str, on: &str, fields: &[(&str, String)]) {
        let now = Timestamp::now();
        let action = event.rsplit('.').next().unwrap_or(event);
        let record =
            NewRecord::new(event, (Category::Goal, action), Outcome::Success, Source::Cli, now);
        let mut record = record.by(&self.actor).on("goal", on);
        for (name, value) in fields {
            record = record.with(name, value.as_str());
        }
        trail::append_or_note(self.audit_dir.as_deref(), record, now);
    }

    /// The same for an eval, when one was made.
    pub(super) fn audit_eval(&self, done: &Evaluated, decision: Decision) {
        if done.replayed {
            return;
        }
        let it = &done.recorded;
        let fields = [
            ("decision", decision.as_str().to_owned()),
            ("outcome", it.outcome.as_str().to_owned()),
            ("iteration", it.iteration.to_string()),
        ];
        self.audit("goal.evaluated", &self.goal_id(), &fields);
    }
}

fn place(
    args: &GoalPlace,
    context: Context<'_>,
    repository: Option<&Path>,
) -> Result<Place, Failure> {
    if let Some(dir) = &args.state_dir {
        return Ok(Place::in_state_dir(dir));
    }
    if let Some(dir) = &args.session_dir {
        return Ok(Place::in_session_dir(dir));
    }
    if let Some(dir) = context.var(env::STATE_DIR) {
        return Ok(Place::in_state_dir(Path::new(&dir)));
    }
    if let Some(dir) = context.var(env::TENTACLE_SESSION_DIR) {
        return Ok(Place::in_session_dir(Path::new(&dir)));
    }
    let message =
        "no goal can be here: this is no repository, and no directory of a state was named";
    let failure = || {
        Failure::new(Exit::Failed, "GOAL_NO_PLACE", message)
            .hint("go into a repository, or pass --state-dir DIR")
    };
    repository.map(|it| Place::in_state_dir(&it.join(STATE_DIR))).ok_or_else(failure)
}
