//! Tentacles: the pieces of work of an iteration, each with a directory of its own.
//!
//! The first that fits says what a tentacle is waited for:
//!
//! | what is known                                   | state                | resolved |
//! |-------------------------------------------------|----------------------|----------|
//! | last word in triage (blocked, too big, …)       | resolved_error       | yes      |
//! | another last word, or status completed          | resolved             | yes      |
//! | a dependency failed                             | failed_dependencies  | yes      |
//! | a dependency is pending or missing              | waiting_dependencies | no       |
//! | it has tasks, and none is unchecked             | awaiting_handoff     | no       |
//! | status active                                   | running              | no       |
//! | else                                            | ready                | no       |

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    handoff::{HandoffStatus, Parsed},
    state::stamp,
};

/// Longest name, in bytes.
pub const NAME_LEN_MAX: usize = 128;

/// Why a name is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{name}` is no name of a tentacle: 1 to {NAME_LEN_MAX} bytes, no slash, backslash, `..` or control character, and no leading dot"
)]
pub struct NameError {
    /// What was given.
    pub name: String,
}

impl NameError {
    /// The stable code.
    pub const CODE: &'static str = "GOAL_TENTACLE_NAME";
}

/// Checks a name before it becomes part of a path.
///
/// # Errors
///
/// When it could lead out of the directory of the tentacles, or cannot be shown.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let bad = |it: char| matches!(it, '/' | '\\') || it.is_control();
    let good = !name.is_empty()
        && name.len() <= NAME_LEN_MAX
        && !name.starts_with('.')
        && !name.contains("..")
        && !name.contains(bad)
        && name.trim() == name;
    if good { Ok(()) } else { Err(NameError { name: name.to_owned() }) }
}

/// What a tentacle does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TentacleStatus {
    /// Nothing.
    #[default]
    Idle,
    /// It works.
    Active,
    /// It has ended.
    Completed,
}

impl TentacleStatus {
    /// The name in `meta.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Completed => "completed",
        }
    }
}

/// A check that was made of its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// What was checked.
    #[serde(default)]
    pub label: String,
    /// Exit code of the check.
    #[serde(default)]
    pub exit_code: i64,
    /// How bad a failure is: CRITICAL, HIGH, MEDIUM, LOW; anything else counts as HIGH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Who checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// `meta.json` of a tentacle. Keys that this version does not know stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it does.
    #[serde(default)]
    pub status: TentacleStatus,
    /// Its last word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal_status: Option<HandoffStatus>,
    /// Its own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tentacle_id: Option<String>,
    /// The goal that it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_id: Option<String>,
    /// Title of that goal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_name: Option<String>,
    /// The iteration that it was linked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<u64>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_iteration: Option<u64>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tentacles that have to be resolved before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub todo_deps: Vec<String>,
    /// Another name for the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Criteria that its work is meant for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bridge_links: Vec<String>,
    /// Files that it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_files: Vec<String>,
    /// The quota that stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_reason: Option<String>,
    /// When it may try again, as it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_hint: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<String>,
    /// Checks that were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verifications: Vec<Verification>,
    /// How much of `handoff.md` was said before it was made idle, in bytes: it is no word about what is tried now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<u64>,
    /// How often work on it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<u64>,
    /// What only other programs know.
    #[serde(flatten)]
    pub foreign: Map<String, Value>,
}

impl Meta {
    /// A new one.
    pub fn new(name: &str, tentacle_id: String, description: &str) -> Self {
        let description = (!description.is_empty()).then(|| description.to_owned());
        Self {
            name: name.to_owned(),
            tentacle_id: Some(tentacle_id),
            description,
            ..Self::default()
        }
    }

    /// What it waits for.
    pub fn dependencies(&self) -> impl Iterator<Item = &str> {
        let deps = if self.todo_deps.is_empty() { &self.depends_on } else { &self.todo_deps };
        deps.iter().map(String::as_str)
    }

    /// Notes the goal that it works for.
    pub fn link(&mut self, goal_id: &str, title: &str, iteration: u64) {
        self.goal_id = Some(goal_id.to_owned());
        self.goal_name = Some(title.to_owned());
        (self.iteration, self.goal_iteration) = (Some(iteration), Some(iteration));
    }

    /// Makes it idle, so that it may be tried again; what it said before, so many bytes, is said and done.
    pub fn reset(&mut self, heard: u64) {
        self.heard = Some(heard).filter(|it| *it > 0);
        self.status = TentacleStatus::Idle;
        (self.terminal_status, self.completed_at) = (None, None);
        (self.quota_reason, self.retry_hint) = (None, None);
    }

    /// Ends it with what its last handoff said. A quota counts for what is blocked and for nothing else.
    pub fn complete(&mut self, last: &Parsed, now: Timestamp) {
        self.status = TentacleStatus::Completed;
        self.terminal_status = Some(last.status.unwrap_or(HandoffStatus::Done));
        self.completed_at = Some(stamp(now));
        self.changed_files.clone_from(&last.changed_files);
        self.bridge_links.clone_from(&last.bridge_links);
        let blocked = self.terminal_status == Some(HandoffStatus::Blocked);
        self.quota_reason = last.quota_reason.clone().filter(|_| blocked);
        self.retry_hint = last.retry_hint.clone().filter(|_| blocked);
    }
}

/// Whether failed checks let a tentacle complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletionGate {
    /// Labels of checks that forbid it.
    pub refused: Vec<String>,
    /// Labels of checks that people should look at.
    pub warned: Vec<String>,
}

/// Judges the checks that failed.
pub fn completion_gate(verifications: &[Verification]) -> CompletionGate {
    let mut gate = CompletionGate::default();
    for failed in verifications.iter().filter(|it| it.exit_code != 0) {
        let severity = failed.severity.as_deref().unwrap_or_default().to_ascii_uppercase();
        let list = match severity.as_str() {
            "MEDIUM" | "LOW" => &mut gate.warned,
            _ => &mut gate.refused,
        };
        list.push(failed.label.clone());
    }
    gate
}

/// Tasks of a `todo.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Todos {
    /// All of them.
    pub total: usize,
    /// Those that are not checked.
    pub unchecked: usize,
}

/// Counts the tasks of a `todo.md`: `- [ ]` and `- [x]` lines.
pub fn todos(text: &str) -> Todos {
    let boxes = text.lines().filter_map(|line| {
        let item = line.trim_start();
        let item = item.strip_prefix("- ").or_else(|| item.strip_prefix("* "))?;
        if item.starts_with("[ ]") {
            return Some(false);
        }
        (item.starts_with("[x]") || item.starts_with("[X]")).then_some(true)
    });
    let boxes: Vec<bool> = boxes.collect();
    Todos { total: boxes.len(), unchecked: boxes.iter().filter(|it| !**it).count() }
}

/// What a tentacle is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DispatchState {
    /// Done, or at least nothing that needs an orchestrator.
    Resolved,
    /// Ended with a word that needs an orchestrator.
    ResolvedError,
    /// What it depends on failed.
    FailedDependencies,
    /// What it depends on is not resolved.
    WaitingDependencies,
    /// Its tasks are done, and it has not said so.
    AwaitingHandoff,
    /// It works.
    Running,
    /// It may begin.
    Ready,
}

impl DispatchState {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Resolved,
        Self::ResolvedError,
        Self::FailedDependencies,
        Self::WaitingDependencies,
        Self::AwaitingHandoff,
        Self::Running,
        Self::Ready,
    ];

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::ResolvedError => "resolved_error",
            Self::FailedDependencies => "failed_dependencies",
            Self::WaitingDependencies => "waiting_dependencies",
            Self::AwaitingHandoff => "awaiting_handoff",
            Self::Running => "running",
            Self::Ready => "ready",
        }
    }

    /// Whether nothing more is to be expected of it.
    pub const fn is_resolved(self) -> bool {
        matches!(self, Self::Resolved | Self::ResolvedError | Self::FailedDependencies)
    }

    const fn is_failure(self) -> bool {
        matches!(self, Self::ResolvedError | Self::FailedDependencies)
    }
}

/// A tentacle as its files show it.
#[derive(Clone, Debug, Default)]
pub struct Tentacle {
    /// `meta.json`.
    pub meta: Meta,
    /// `todo.md`.
    pub todos: Todos,
}

impl Tentacle {
    /// What its own files say, its dependencies aside; `None` when those decide.
    fn ended(&self) -> Option<DispatchState> {
        match (self.meta.terminal_status, self.meta.status) {
            (Some(word), _) if word.needs_orchestrator() => Some(DispatchState::ResolvedError),
            (Some(_), _) | (None, TentacleStatus::Completed) => Some(DispatchState::Resolved),
            (None, _) => None,
        }
    }
}

/// Says what each tentacle is waited for. A dependency that is not among them is missing; one that leads back to
/// whoever asks is pending.
pub fn dispatch_states(all: &BTreeMap<String, Tentacle>) -> BTreeMap<String, DispatchState> {
    let ended = all.iter().filter_map(|(name, it)| Some((name.clone(), it.ended()?)));
    let mut known: BTreeMap<String, DispatchState> = ended.collect();
    // Failures run along the dependencies; each round settles at least one, so there are at most as many rounds.
    loop {
        let failed: Vec<String> = all
            .iter()
            .filter(|(name, _)| !known.contains_key(*name))
            .filter(|(_, it)| {
                it.meta.dependencies().any(|dep| known.get(dep).is_some_and(|it| it.is_failure()))
            })
            .map(|it| it.0.clone())
            .collect();
        if failed.is_empty() {
            break;
        }
        known.extend(failed.into_iter().map(|it| (it, DispatchState::FailedDependencies)));
    }
    let open = all.iter().filter(|(name, _)| !known.contains_key(*name)).map(|(name, it)| {
        let waits = it.meta.dependencies().any(|dep| !known.contains_key(dep));
        let state = match (waits, it.todos, it.meta.status) {
            (true, _, _) => DispatchState::WaitingDependencies,
            (_, Todos { total: 1.., unchecked: 0 }, _) => DispatchState::AwaitingHandoff,
            (_, _, TentacleStatus::Active) => DispatchState::Running,
            _ => DispatchState::Ready,
        };
        (name.clone(), state)
    });
    let open: Vec<_> = open.collect();
    known.extend(open);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, change: impl FnOnce(&mut Tentacle)) -> (String, Tentacle) {
        let mut it = Tentacle { meta: Meta::new(name, String::new(), ""), ..Tentacle::default() };
        change(&mut it);
        (name.to_owned(), it)
    }

    #[test]
    fn the_first_row_that_fits_says_what_is_waited_for() {
        let all = BTreeMap::from([
            one("blocked", |it| it.meta.terminal_status = Some(HandoffStatus::Blocked)),
            one("done", |it| it.meta.terminal_status = Some(HandoffStatus::Done)),
            one("reduced", |it| it.meta.terminal_status = Some(HandoffStatus::ScopeReduction)),
            one("completed", |it| it.meta.status = TentacleStatus::Completed),
            one("after-blocked", |it| it.meta.todo_deps = vec!["blocked".to_owned()]),
            one("after-that", |it| it.meta.depends_on = vec!["after-blocked".to_owned()]),
            one("after-ready", |it| it.meta.depends_on = vec!["ready".to_owned()]),
            one("after-nobody", |it| it.meta.depends_on = vec!["nobody".to_owned()]),
            one("after-done", |it| it.meta.depends_on = vec!["done".to_owned()]),
            one("checked", |it| it.todos = Todos { total: 1, unchecked: 0 }),
            one("running", |it| it.meta.status = TentacleStatus::Active),
            one("ready", |it| it.todos = Todos { total: 2, unchecked: 1 }),
            one("loop-a", |it| it.meta.depends_on = vec!["loop-b".to_owned()]),
            one("loop-b", |it| it.meta.depends_on = vec!["loop-a".to_owned()]),
        ]);
        let want = [
            ("after-blocked", "failed_dependencies"),
            ("after-done", "ready"),
            ("after-nobody", "waiting_dependencies"),
            ("after-ready", "waiting_dependencies"),
            ("after-that", "failed_dependencies"),
            ("blocked", "resolved_error"),
            ("checked", "awaiting_handoff"),
            ("completed", "resolved"),
            ("done", "resolved"),
            ("loop-a", "waiting_dependencies"),
            ("loop-b", "waiting_dependencies"),
            ("ready", "ready"),
            ("reduced", "resolved"),
            ("running", "running"),
        ];
        let found = dispatch_states(&all);
        let found: Vec<_> = found.iter().map(|(name, it)| (name.as_str(), it.as_str())).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn a_state_is_written_under_its_name() {
        for state in DispatchState::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{}\"", state.as_str()));
        }
        for status in [TentacleStatus::Idle, TentacleStatus::Active, TentacleStatus::Completed] {
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{}\"", status.as_str()));
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_its_directory() {
        for good in ["a", "fix-login", "Ä b", "v1.2"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(NAME_LEN_MAX + 1);
        for bad in ["", ".", "..", ".hid", "a/b", "a\\b", "a..b", "a\nb", " a", "a ", &long] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tasks_are_counted_by_their_boxes() {
        let text = "# x\n- [ ] a\n  - [x] b\n* [X] c\n-[ ] no\n- [y] no\n";
        assert_eq!(todos(text), Todos { total: 3, unchecked: 1 });
    }

    #[test]
    fn a_check_of_unknown_weight_forbids_completion() {
        let check = |label: &str, exit_code, severity: Option<&str>| Verification {
            label: label.to_owned(),
            exit_code,
            severity: severity.map(str::to_owned),
            source: None,
        };
        let gate = completion_gate(&[
            check("ok", 0, Some("CRITICAL")),
            check("critical", 1, Some("critical")),
            check("none", 1, None),
            check("odd", 2, Some("?")),
            check("medium", 1, Some("Medium")),
            check("low", 1, Some("LOW")),
        ]);
        assert_eq!(gate.refused, ["critical", "none", "odd"]);
        assert_eq!(gate.warned, ["medium", "low"]);
    }

    #[test]
    fn what_only_others_know_stays_in_a_meta() {
        let text = "{\"name\":\"a\",\"status\":\"active\",\"skills\":[\"x\"],\"quota_reason\":\"odd_limit\"}";
        let mut meta: Meta = serde_json::from_str(text).unwrap();
        meta.reset(0);
        let back = serde_json::to_value(&meta).unwrap();
        assert_eq!(back, serde_json::json!({"name": "a", "status": "idle", "skills": ["x"]}));
    }
}
