//! What a plan found, for people and for programs.

use serde_json::{Map, Value, json};

use super::{Kill, Plan};
use crate::harness::Finished;

/// One check.
#[derive(Clone, Debug)]
pub struct Check {
    /// For example `VAL11-03`.
    pub id: &'static str,
    /// What must be true.
    pub what: &'static str,
    /// Whether it is.
    pub passed: bool,
    /// What was found.
    pub facts: Vec<(&'static str, String)>,
}

/// A part of the report: several checks with one recommendation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) title: &'static str,
    pub(super) claim: &'static str,
    pub(super) checks: &'static [&'static str],
    /// What to do when a check of it failed.
    pub(super) if_failed: &'static str,
    /// What to think about in any case.
    pub(super) always: Option<&'static str>,
}

/// What a plan found.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) plan: Plan,
    pub(super) date: String,
    pub(super) port: u16,
    pub(super) kill: Option<Kill>,
    /// In the order they were made.
    pub checks: Vec<Check>,
}

impl Check {
    fn finding(&self) -> String {
        let facts = self.facts.iter().map(|(key, value)| format!("{key}={value}"));
        facts.collect::<Vec<_>>().join(" ")
    }

    /// The check in one line.
    pub(super) fn line(&self) -> String {
        let Self { id, what, .. } = self;
        format!("{} {id}  {what}: {}", word(self.passed), self.finding())
    }
}

impl Report {
    /// Whether every check that the plan promises was made and passed.
    pub fn passed(&self) -> bool {
        self.count() == self.total() && self.checks.len() == self.total()
    }

    /// The check of this id.
    pub fn check(&self, id: &str) -> Option<&Check> {
        self.checks.iter().find(|it| it.id == id)
    }

    fn count(&self) -> usize {
        self.checks.iter().filter(|it| it.passed).count()
    }

    /// How many checks the plan promises.
    fn total(&self) -> usize {
        self.plan.sections.iter().map(|it| it.checks.len()).sum()
    }

    fn all_passed(&self, ids: &[&str]) -> bool {
        ids.iter().all(|it| self.check(it).is_some_and(|it| it.passed))
    }

    fn signal(&self) -> String {
        self.kill.map_or_else(String::new, |it| format!(" --signal {}", it.name()))
    }

    /// The plan in one line.
    pub fn line(&self) -> String {
        let verdict = if self.passed() { "PASS" } else { "FAIL" };
        let failed =
            self.checks.iter().filter(|it| !it.passed).map(|it| format!("; {}", it.line()));
        let failed: String = failed.collect();
        let (name, title) = (self.plan.name, self.plan.title);
        let (count, total, signal) = (self.count(), self.total(), self.signal());
        format!("[DRILL {verdict}] {name}{signal}: {title} ({count}/{total} checks){failed}")
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let Plan { name, title, minimum, .. } = self.plan;
        let (count, total, port) = (self.count(), self.total(), self.port);
        let name = name.to_ascii_uppercase();
        let mut parts = vec![format!(
            "## {name} {title} — Operator Recommendations\n\nDate: {}\nPass: {count}/{total}\n\
             Environment: local-SQLite / port {port}\n",
            self.date
        )];
        if let Some(kill) = self.kill {
            parts.push(format!("Signal: SIG{}\n", kill.name().to_ascii_uppercase()));
        }
        if !minimum.is_empty() {
            let verdict = word(self.all_passed(minimum));
            parts.push(format!("Minimum acceptable ({}): {verdict}\n", minimum.join(", ")));
        }
        parts.extend(self.plan.sections.iter().map(|it| self.section(it)));
        parts.push("\n### Checks in the order they were made\n".to_owned());
        parts.extend(self.checks.iter().map(|it| format!("- {}\n", it.line())));
        parts.concat()
    }

    fn section(&self, section: &Section) -> String {
        let Section { title, claim, checks, if_failed, always } = section;
        let passed = self.all_passed(checks);
        let finding = |id: &&str| match self.check(id) {
            Some(check) => format!("{id}: {}", check.finding()),
            None => format!("{id}: not run"),
        };
        let findings: Vec<_> = checks.iter().map(finding).collect();
        let advice = [(!passed).then_some(*if_failed), *always];
        let advice: Vec<_> = advice.into_iter().flatten().collect();
        let advice = if advice.is_empty() { "none".to_owned() } else { advice.join("; ") };
        format!(
            "\n### {title}\n- [{}] {claim} ({})\n- Finding: {}\n- Recommendation: {advice}\n",
            word(passed),
            checks.join(", "),
            findings.join("; ")
        )
    }

    /// For programs.
    pub fn to_json(&self, evidence: &[String]) -> Value {
        let check = |it: &Check| {
            let facts: Map<_, _> =
                it.facts.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
            json!({ "id": it.id, "check": it.what, "passed": it.passed, "facts": facts })
        };
        json!({
            "format": "autonomy.val/1",
            "plan": self.plan.name,
            "title": self.plan.title,
            "date": self.date,
            "environment": format!("local-SQLite / port {}", self.port),
            "signal": self.kill.map(Kill::name),
            "passed": self.passed(),
            "minimum_passed": self.all_passed(self.plan.minimum),
            "pass": self.count(),
            "total": self.total(),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
            "evidence": evidence,
        })
    }
}

const fn word(passed: bool) -> &'static str {
    if passed { "PASS" } else { "FAIL" }
}

/// The exit code of a program, or the signal that ended it.
pub(super) fn exit_code(it: &Finished) -> String {
    it.code().map_or_else(|| it.status.to_string(), |it| it.to_string())
}
