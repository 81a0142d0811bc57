//! How to go on after the end of a session: what is left behind, and what the next one is told.
//!
//! | breadcrumb            | status of the goal | banner |
//! |-----------------------|--------------------|--------|
//! | absent or unreadable  | any                | none   |
//! | there, of this pause  | paused             | shown  |
//! | there, of another     | paused             | none   |
//! | there                 | cannot be read     | shown  |
//! | there                 | any other          | none   |

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{state::Goal, status::Status};

/// The command that goes on.
pub const RESUME_COMMAND: &str = "autonomy goal resume";
/// Longest breadcrumb, in bytes.
pub const BREADCRUMB_LEN_MAX: u64 = 64 << 10;
/// What a goal is called that has neither title nor identity.
const NAMELESS: &str = "(a goal without a name)";
/// Longest text of a banner, in characters.
const SHOWN_MAX: usize = 200;

/// What a session leaves behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breadcrumb {
    /// The goal.
    pub goal_id: String,
    /// Its title.
    pub goal_title: String,
    /// Its file.
    pub goal_path: String,
    /// Why it is paused.
    pub pause_reason: String,
    /// What goes on.
    pub resume_command: String,
    /// Since when.
    pub paused_at: String,
    /// Where it stood before.
    pub previous_status: Status,
    /// What was spent.
    pub budget_snapshot: BudgetSnapshot,
}

/// What was spent when the session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetSnapshot {
    /// The iteration.
    pub current_iteration: u64,
    /// Most iterations.
    pub max_iterations: Option<u64>,
    /// Tentacles.
    pub tentacle_count: u64,
    /// Most tentacles.
    pub max_tentacles: Option<u64>,
}

impl Breadcrumb {
    /// Of a goal that was just paused.
    pub(crate) fn of(goal: &Goal, before: Status, path: &std::path::Path) -> Self {
        Self {
            goal_id: goal.goal_id().to_owned(),
            goal_title: goal.title().to_owned(),
            goal_path: path.display().to_string(),
            pause_reason: goal.pause_reason().unwrap_or_default().to_owned(),
            resume_command: RESUME_COMMAND.to_owned(),
            paused_at: goal.known.updated_at.clone(),
            previous_status: before,
            budget_snapshot: BudgetSnapshot {
                current_iteration: goal.iteration(),
                max_iterations: goal.budget().max_iterations,
                tentacle_count: goal.tentacles().len() as u64,
                max_tentacles: goal.budget().max_tentacles,
            },
        }
    }
}

/// Where the goal stood before its session ended, as far as a breadcrumb says and speaks of the goal as it is.
pub(crate) fn previous_status(bytes: &[u8], goal: &Goal) -> Option<Status> {
    if !speaks_of(bytes, goal) {
        return None;
    }
    let read: Value = serde_json::from_slice(bytes).ok()?;
    serde_json::from_value(read.get("previous_status")?.clone()).ok()
}

/// Whether a breadcrumb speaks of this pause of this goal. A crash leaves some behind that speak of an earlier one, or
/// of one that did not come to be. What a breadcrumb does not say fits everything.
pub(crate) fn speaks_of(bytes: &[u8], goal: &Goal) -> bool {
    let read: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let fits = |key: &str, own: Option<&str>| {
        read.get(key).and_then(Value::as_str).is_none_or(|it| Some(it) == own)
    };
    goal.status() == Status::Paused
        && fits("goal_id", Some(goal.goal_id()))
        && fits("paused_at", goal.known.paused_at.as_deref())
}

/// What the next session is told; `None` when there is nothing to say. `status` is `None` when the goal cannot be
/// read.
pub fn banner(breadcrumb: Option<&[u8]>, status: Option<Status>) -> Option<String> {
    let read: Value = serde_json::from_slice(breadcrumb?).ok()?;
    let read = read.as_object()?;
    if status.is_some_and(|it| it != Status::Paused) {
        return None;
    }
    let text = |key: &str| read.get(key).and_then(Value::as_str).filter(|it| !it.is_empty());
    let title = text("goal_title").or_else(|| text("goal_id")).unwrap_or(NAMELESS);
    let reason = text("pause_reason").unwrap_or_default();
    let label = match reason.split(':').next() {
        Some("session_end") => "session ended",
        Some("compaction") => "context was compacted",
        Some("quota") => "quota used up",
        _ => "paused",
    };
    let resume = text("resume_command").unwrap_or(RESUME_COMMAND);
    let budget = read.get("budget_snapshot").and_then(budget_line).unwrap_or_default();
    Some(format!("Goal: {} ({label})\nResume: {}\n{budget}----\n", shown(title), shown(resume)))
}

fn budget_line(snapshot: &Value) -> Option<String> {
    let number = |key: &str| snapshot.get(key).and_then(Value::as_u64);
    let limit = |key: &str| number(key).map_or("no limit".to_owned(), |it| it.to_string());
    let (iteration, tentacles) = (number("current_iteration")?, number("tentacle_count")?);
    let (iterations_max, tentacles_max) = (limit("max_iterations"), limit("max_tentacles"));
    Some(format!(
        "Budget: iteration {iteration} of {iterations_max}, tentacles {tentacles} of {tentacles_max}\n"
    ))
}

/// A text from a file, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).map(|it| if it.is_control() { '\u{fffd}' } else { it }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_has_title_label_and_command_and_copes_with_any_file() {
        let file = br#"{"goal_title":"Ship \u001b[31mv2","pause_reason":"session_end:normal",
            "resume_command":"x resume","budget_snapshot":{"current_iteration":3,"max_iterations":5,"tentacle_count":1}}"#;
        let want = "Goal: Ship \u{fffd}[31mv2 (session ended)\nResume: x resume\n\
            Budget: iteration 3 of 5, tentacles 1 of no limit\n----\n";
        assert_eq!(banner(Some(file), Some(Status::Paused)).as_deref(), Some(want));
        assert_eq!(banner(Some(file), None).as_deref(), Some(want));
        let odd = br#"{"goal_title":3,"goal_id":"g","pause_reason":[],"budget_snapshot":"x"}"#;
        let want = "Goal: g (paused)\nResume: autonomy goal resume\n----\n";
        assert_eq!(banner(Some(odd), None).as_deref(), Some(want));
        let nameless = banner(Some(b"{\"pause_reason\":\"quota:x\"}"), None).unwrap();
        assert!(
            nameless.starts_with("Goal: (a goal without a name) (quota used up)"),
            "{nameless}"
        );
    }

    #[test]
    fn there_is_no_banner_without_a_breadcrumb_or_for_a_goal_that_is_not_paused() {
        for file in [None, Some(&b"{"[..]), Some(b"[]"), Some(b"3")] {
            assert_eq!(banner(file, Some(Status::Paused)), None);
        }
        for status in Status::ALL.into_iter().filter(|it| *it != Status::Paused) {
            assert_eq!(banner(Some(b"{}"), Some(status)), None, "{status}");
        }
    }
}
