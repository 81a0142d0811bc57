//! What somebody needs to know who goes on with a goal and knows nothing: `goal-context.md`.
//!
//! * **X1** The summary is bounded: [`CONTEXT_LEN_MAX`] bytes at most. What does not fit is counted, never left out in silence.
//! * **X2** What others wrote stands in it as a quotation, line by line, so that no text of a tentacle reads as a heading or as a word
//!   of this program.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    advise::NextMove,
    criteria::CriterionStatus,
    eval::Seen,
    handoff::Parsed,
    retry::RetryEntry,
    state::{Goal, stamp},
};

/// Longest summary, in bytes.
pub const CONTEXT_LEN_MAX: usize = 64 << 10;
/// Handoffs that are quoted when nobody says how many.
pub const CONTEXT_HANDOFFS: usize = 5;
/// Longest quotation, in characters.
const QUOTED_MAX: usize = 800;
/// Evals that are listed, the last of the history.
const EVALS_SHOWN: usize = 5;
/// Entries of any list that are shown.
const LISTED_MAX: usize = 50;

/// What a summary is made of, beside the goal.
#[derive(Clone, Copy, Debug)]
pub struct ContextParts<'a> {
    /// Tentacles of the current iteration.
    pub seen: &'a [Seen],
    /// What tentacles said last, the newest first.
    pub handoffs: &'a [(String, Parsed)],
    /// Work that waits for a quota.
    pub waiting: &'a [RetryEntry],
    /// The one next thing to do.
    pub next: &'a NextMove,
    /// The time of the summary.
    pub now: Timestamp,
}

/// A text of many lines that others wrote (X2).
fn quoted(text: &str) -> String {
    let kept: String = text.trim().chars().take(QUOTED_MAX).collect();
    let more = text.trim().chars().count().saturating_sub(QUOTED_MAX);
    let mut quoted = String::new();
    for line in kept.lines() {
        writeln!(quoted, "> {line}").ok();
    }
    if more > 0 {
        writeln!(quoted, "> (and {more} characters more)").ok();
    }
    quoted
}

/// A text of others in one line of ours.
fn inline(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(QUOTED_MAX).collect()
}

/// A section: heading, lines, and how many were left out (X1).
fn section(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {heading}\n\n");
    for line in lines.iter().take(LISTED_MAX) {
        writeln!(text, "- {line}").ok();
    }
    if let Some(more) = lines.len().checked_sub(LISTED_MAX).filter(|it| *it > 0) {
        writeln!(text, "- (and {more} more)").ok();
    }
    text
}

impl Goal {
    /// The summary for whoever goes on.
    pub fn context(&self, parts: &ContextParts<'_>) -> String {
        let mut text = self.context_head(parts);
        let tentacles = parts.seen.iter().map(|it| format!("{}: {}", it.name, it.state));
        text += &section("Tentacles of this iteration", &tentacles.collect::<Vec<_>>());
        let criteria: Vec<String> = self.criteria().iter().map(told_criterion).collect();
        text += &section("Criteria", &criteria);
        let gates = self
            .gates()
            .iter()
            .map(|it| format!("{}: {} ({})", it.id, inline(&it.description), it.status.as_str()));
        text += &section("Gates", &gates.collect::<Vec<_>>());
        let waiting = parts.waiting.iter().map(|it| {
            format!("{}: {}, not before {}", it.tentacle, it.quota_reason, it.not_before)
        });
        text += &section("Waiting for a quota", &waiting.collect::<Vec<_>>());
        text += &section("Last evals", &self.last_evals());
        if !parts.handoffs.is_empty() {
            text += "\n## Last handoffs\n";
        }
        for (at, (name, said)) in parts.handoffs.iter().enumerate() {
            let more = told_handoff(name, said);
            if text.len() + more.len() > CONTEXT_LEN_MAX {
                let left = parts.handoffs.len() - at;
                writeln!(text, "\n(and {left} more)").ok();
                break;
            }
            text += &more;
        }
        text
    }

    fn context_head(&self, parts: &ContextParts<'_>) -> String {
        let spent = self.spent(parts.now);
        let mut text = format!("# {}\n\n", inline(self.title()));
        if !self.description().trim().is_empty() {
            text += &quoted(self.description());
            text.push('\n');
        }
        writeln!(text, "- goal: {}", self.goal_id()).ok();
        writeln!(text, "- status: {}", self.status()).ok();
        writeln!(text, "- iteration: {}", of(self.iteration(), spent.max_iterations)).ok();
        if spent.max_tentacles.is_some() {
            writeln!(text, "- tentacles: {}", of(spent.tentacle_count, spent.max_tentacles)).ok();
        }
        if let (Some(limit), Some(used)) = (spent.timeout_minutes, spent.elapsed_minutes) {
            writeln!(text, "- minutes: {used} of {limit}").ok();
        }
        if let Some(reason) = self.pause_reason() {
            writeln!(text, "- paused: {}", inline(reason)).ok();
        }
        if let Some(reason) = self.needs_human_reason() {
            writeln!(text, "- a human has to decide: {}", inline(reason)).ok();
        }
        if let Some(reason) = self.budget_limited_reason() {
            writeln!(text, "- a limit was reached: {}", inline(reason)).ok();
        }
        let command = parts.next.command.as_deref().unwrap_or("nothing");
        writeln!(text, "- next: `{command}` ({})", inline(&parts.next.why)).ok();
        writeln!(text, "- anchor: `{}`, written {}", self.anchor(), stamp(parts.now)).ok();
        text
    }

    /// The last evals. A history that is none shows nothing: other commands say so.
    fn last_evals(&self) -> Vec<String> {
        let history = self.eval_history().unwrap_or_default();
        let last = history.iter().rev().take(EVALS_SHOWN).rev();
        let entries = last.filter_map(|it| serde_json::from_str::<Value>(it.get()).ok());
        let word = |of: &Value, key: &str| {
            of.get(key).and_then(Value::as_str).map(inline).unwrap_or_default()
        };
        entries
            .map(|it| {
                let iteration = it.get("iteration").and_then(Value::as_u64).unwrap_or_default();
                format!("iteration {iteration}: {} {}", word(&it, "decision"), word(&it, "notes"))
            })
            .collect()
    }
}

fn of(used: u64, limit: Option<u64>) -> String {
    limit.map_or_else(|| used.to_string(), |it| format!("{used} of {it}"))
}

fn told_criterion(it: &crate::criteria::Criterion) -> String {
    let mut line = format!("{}: {} ({})", it.id, inline(&it.description), it.status.as_str());
    if !it.verification_command.trim().is_empty() {
        write!(line, ", by `{}`", inline(&it.verification_command)).ok();
    }
    let evidence = it.evidence.as_deref().unwrap_or_default();
    if it.status == CriterionStatus::Failed && !evidence.trim().is_empty() {
        write!(line, ": {}", inline(evidence)).ok();
    }
    line
}

fn told_handoff(name: &str, said: &Parsed) -> String {
    let status = said.status.map_or("no status".to_owned(), |it| it.to_string());
    let at = said.at.map(|it| format!(", {it}")).unwrap_or_default();
    let mut text = format!("\n### {name} ({status}{at})\n\n");
    if !said.changed_files.is_empty() {
        let shown: Vec<String> =
            said.changed_files.iter().take(LISTED_MAX).map(|it| inline(it)).collect();
        let more = said.changed_files.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        writeln!(text, "changed: {}{more}\n", shown.join(", ")).ok();
    }
    text += &quoted(&said.message);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        criteria::{Criterion, Run},
        eval::EvalRequest,
        handoff::HandoffStatus,
        state::NewGoal,
    };

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    fn goal() -> Goal {
        let new = NewGoal {
            goal_id: "g-1".to_owned(),
            title: "Ship\n# v2".to_owned(),
            description: "The plan\n# is long".to_owned(),
            ..NewGoal::default()
        };
        Goal::new(new, now())
    }

    fn text(goal: &Goal, handoffs: &[(String, Parsed)]) -> String {
        let next = goal.next_move(&goal.spent(now()), &[]);
        let (now, next) = (now(), &next);
        goal.context(&ContextParts { seen: &[], handoffs, waiting: &[], next, now })
    }

    fn said(message: &str) -> Parsed {
        let status = Some(HandoffStatus::Done);
        Parsed { status, message: message.to_owned(), ..Parsed::default() }
    }

    /// X2
    #[test]
    fn no_word_of_others_is_a_heading() {
        let mut goal = goal();
        goal.eval(EvalRequest { notes: "a\n# b", ..EvalRequest::default() }, &[], now()).unwrap();
        let new = Criterion {
            description: "x\n# y".to_owned(),
            verification_command: "make\n# all".to_owned(),
            ..Criterion::default()
        };
        goal.add_criterion(new, now()).unwrap();
        let run =
            Run { id: "sc-1".to_owned(), command: None, exit_code: 1, output: "e\n# f".to_owned() };
        goal.record_runs(&[run], now());
        let text = text(&goal, &[("t".to_owned(), said("m\n# n"))]);
        let headings: Vec<&str> = text.lines().filter(|it| it.starts_with('#')).collect();
        let want =
            ["# Ship # v2", "## Criteria", "## Last evals", "## Last handoffs", "### t (DONE)"];
        assert_eq!(headings, want, "{text}");
        for part in ["> # is long", "> # n", "sc-1: x # y (failed), by `make # all`: e # f"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("iteration 1: continue a # b"), "{text}");
    }

    /// X1
    #[test]
    fn a_summary_is_bounded_and_counts_what_it_leaves_out() {
        let goal = goal();
        let long = "word ".repeat(10_000);
        let handoffs: Vec<_> = (0..500).map(|it| (format!("t{it}"), said(&long))).collect();
        let text = text(&goal, &handoffs);
        assert!(text.len() <= CONTEXT_LEN_MAX + 100, "{}", text.len());
        assert!(text.contains("(and 49199 characters more)"), "{text}");
        let shown = text.matches("\n### ").count();
        assert!(text.ends_with(&format!("\n(and {} more)\n", 500 - shown)), "{shown}");
    }
}
