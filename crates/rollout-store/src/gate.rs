//! What a gate says about a stage.
//!
//! # Table
//!
//! | kind        | pass                                     | fail                     | inconclusive                 |
//! |-------------|------------------------------------------|--------------------------|------------------------------|
//! | `manual`    | approved, for this content, not expired  | rejected, for this content | everything else            |
//! | `time_soak` | the stage is open for that long          | –                        | not yet, or not opened       |
//! | `health`    | share reached, failures within bounds    | too many failures        | no node, or share not reached |
//!
//! # Invariants
//!
//! * **G1** No data is inconclusive, never a pass.
//! * **G2** An approval counts for the content it was given for, on its stage, until it expires.
//! * **G3** Equal inputs give equal answers.

use serde::{Deserialize, Serialize};

use crate::{
    evidence::{Evidence, Tally, spell_nodes},
    moment::{Moment, spell_seconds},
    name::{Actor, GateId, Reason},
    plan::{Gate, GateRule, PlanDigest},
};

/// How long an approval counts when nobody says.
pub const APPROVAL_SECONDS_DEFAULT: u64 = 24 * 3600;
/// How long an approval may count at most.
pub const APPROVAL_SECONDS_MAX: u64 = 30 * 24 * 3600;
/// Detail of a gate that waits for a person.
const AWAITING: &str = "awaiting operator approval";

/// What a person said about a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Yes or no.
    pub verdict: Verdict,
    /// The content it was said about.
    pub digest: PlanDigest,
    /// Who.
    pub actor: Actor,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Moment,
    /// Until when it counts.
    pub expires_at: Moment,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Approved,
    /// Stop.
    Rejected,
}

/// The answer of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The condition holds.
    Pass,
    /// It does not, and waiting will not change that.
    Fail,
    /// It is not known to hold.
    Inconclusive,
}

impl Outcome {
    /// The name in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// A gate and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateReport {
    /// Which.
    pub id: GateId,
    /// `manual`, `time_soak` or `health`.
    pub kind: &'static str,
    /// Its answer.
    pub outcome: Outcome,
    /// Why, for a person.
    pub detail: String,
}

/// All that a gate may look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// When the stage was opened.
    pub entered_at: Option<Moment>,
    /// The attempt of the plan.
    pub attempt: u32,
    /// The content of the plan.
    pub digest: PlanDigest,
    /// What a person said about this gate.
    pub ruling: Option<&'a Ruling>,
    /// What nodes said about the stage.
    pub evidence: &'a Evidence,
    /// The time.
    pub now: Moment,
}

/// Asks a gate.
pub fn evaluate(gate: &Gate, facts: &Facts<'_>) -> GateReport {
    let (outcome, detail) = match gate.rule {
        GateRule::Manual => manual(facts),
        GateRule::TimeSoak { soak_seconds } => soak(soak_seconds, facts),
        GateRule::Health { min_verified_percent, max_failures, window_seconds } => {
            let tally = facts.evidence.tally(facts.attempt, Some(window_seconds), facts.now);
            health(min_verified_percent, max_failures, &tally)
        }
    };
    GateReport { id: gate.id.clone(), kind: gate.rule.kind(), outcome, detail }
}

fn manual(facts: &Facts<'_>) -> (Outcome, String) {
    let Some(it) = facts.ruling else {
        return (Outcome::Inconclusive, AWAITING.to_owned());
    };
    let (actor, reason) = (&it.actor, &it.reason);
    if it.digest != facts.digest {
        let detail = format!("{AWAITING}: {actor} spoke about another content of the plan");
        return (Outcome::Inconclusive, detail);
    }
    match it.verdict {
        Verdict::Rejected => (Outcome::Fail, format!("rejected by {actor}: {reason}")),
        Verdict::Approved if facts.now >= it.expires_at => {
            let detail = format!("{AWAITING}: that of {actor} expired at {}", it.expires_at);
            (Outcome::Inconclusive, detail)
        }
        Verdict::Approved => (Outcome::Pass, format!("approved by {actor}: {reason}")),
    }
}

fn soak(required: u32, facts: &Facts<'_>) -> (Outcome, String) {
    let required = u64::from(required);
    let elapsed = facts.entered_at.map_or(0, |it| facts.now.seconds_since(it));
    let (elapsed_text, required_text) = (spell_seconds(elapsed), spell_seconds(required));
    let detail = format!("soak elapsed {elapsed_text} of required {required_text}");
    let passed = facts.entered_at.is_some() && elapsed >= required;
    (if passed { Outcome::Pass } else { Outcome::Inconclusive }, detail)
}

fn health(min_percent: u8, max_failures: u32, tally: &Tally) -> (Outcome, String) {
    let Tally { targeted, verified, failed, .. } = tally;
    if *targeted == 0 {
        return (Outcome::Inconclusive, "no node of the stage is known".to_owned());
    }
    let share = verified.saturating_mul(100) / targeted;
    let counts = format!(
        "{verified} of {targeted} nodes healthy ({share}% of required {min_percent}%), \
         {failed} failed of at most {max_failures}"
    );
    let failed_nodes = match failed {
        0 => String::new(),
        count => format!("; failed: {}", spell_nodes(&tally.failed_nodes, *count)),
    };
    let detail = format!("{counts}{failed_nodes}");
    if *failed > u64::from(max_failures) {
        return (Outcome::Fail, detail);
    }
    // Compared without division, so that no share is rounded up to a pass.
    if verified.saturating_mul(100) >= targeted.saturating_mul(min_percent.into()) {
        return (Outcome::Pass, detail);
    }
    let missing = match tally.missing() {
        0 => String::new(),
        count => {
            let names = spell_nodes(&tally.missing_nodes, count);
            format!("; no fresh report of health: {names}")
        }
    };
    (Outcome::Inconclusive, format!("{detail}{missing}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::{Progress, Report},
        name::NodeId,
    };

    const NOW: Moment = Moment::from_unix_ms(1_767_323_045_000);

    fn digest(of: u8) -> PlanDigest {
        PlanDigest::parse(&format!("blake3:{}", hex::encode([of; 32]))).unwrap()
    }

    #[track_caller]
    fn check(rule: GateRule, facts: &Facts<'_>, outcome: Outcome, detail: &str) {
        let gate = Gate { id: GateId::new("g").unwrap(), rule };
        let report = evaluate(&gate, facts);
        assert_eq!((report.outcome, report.detail.as_str()), (outcome, detail));
    }

    fn facts<'a>(evidence: &'a Evidence, ruling: Option<&'a Ruling>) -> Facts<'a> {
        let entered_at = Some(NOW.minus_seconds(1800));
        Facts { entered_at, attempt: 1, digest: digest(1), ruling, evidence, now: NOW }
    }

    #[test]
    fn a_soak_passes_at_its_second_and_says_how_far_it_is() {
        let none = Evidence::default();
        let rule = |soak_seconds| GateRule::TimeSoak { soak_seconds };
        let facts = facts(&none, None);
        check(rule(1800), &facts, Outcome::Pass, "soak elapsed 30m of required 30m");
        check(rule(1801), &facts, Outcome::Inconclusive, "soak elapsed 30m of required 30m1s");
        let back = Facts { now: NOW.minus_seconds(86_400), ..facts };
        check(rule(60), &back, Outcome::Inconclusive, "soak elapsed 0s of required 1m");
        let pending = Facts { entered_at: None, ..facts };
        check(rule(1), &pending, Outcome::Inconclusive, "soak elapsed 0s of required 1s");
    }

    /// G2.
    #[test]
    fn an_approval_counts_for_its_content_until_it_expires() {
        let none = Evidence::default();
        let ruling = Ruling {
            verdict: Verdict::Approved,
            digest: digest(1),
            actor: Actor::new("ann").unwrap(),
            reason: Reason::new("seen it").unwrap(),
            at: NOW.minus_seconds(10),
            expires_at: NOW.plus_seconds(1),
        };
        let rule = GateRule::Manual;
        check(rule, &facts(&none, None), Outcome::Inconclusive, "awaiting operator approval");
        check(rule, &facts(&none, Some(&ruling)), Outcome::Pass, "approved by ann: seen it");
        let later = Facts { now: NOW.plus_seconds(1), ..facts(&none, Some(&ruling)) };
        let text = "awaiting operator approval: that of ann expired at 2026-01-02T03:04:06Z";
        check(rule, &later, Outcome::Inconclusive, text);
        let other = Facts { digest: digest(2), ..facts(&none, Some(&ruling)) };
        let text = "awaiting operator approval: ann spoke about another content of the plan";
        check(rule, &other, Outcome::Inconclusive, text);
        let no = Ruling { verdict: Verdict::Rejected, ..ruling.clone() };
        check(rule, &facts(&none, Some(&no)), Outcome::Fail, "rejected by ann: seen it");
    }

    /// G1.
    #[test]
    fn health_needs_data_and_tolerates_as_many_failures_as_it_says() {
        let rule = |min_verified_percent, max_failures| GateRule::Health {
            min_verified_percent,
            max_failures,
            window_seconds: 60,
        };
        let of = |progress: &[(&str, Progress)]| {
            let report = |progress| Report { progress, attempt: 1, at: NOW, detail: String::new() };
            let node = |name| NodeId::new(name).unwrap();
            Evidence::new(progress.iter().map(|it| (node(it.0), Some(report(it.1)))).collect())
        };
        let none = Evidence::default();
        let text = "no node of the stage is known";
        check(rule(1, 9), &facts(&none, None), Outcome::Inconclusive, text);
        let some = of(&[
            ("a", Progress::Healthy),
            ("b", Progress::Activated),
            ("c", Progress::Healthy),
            ("d", Progress::Failed),
        ]);
        let facts = facts(&some, None);
        let text = "2 of 4 nodes healthy (50% of required 50%), 1 failed of at most 1; failed: d";
        check(rule(50, 1), &facts, Outcome::Pass, text);
        let text = "2 of 4 nodes healthy (50% of required 50%), 1 failed of at most 0; failed: d";
        check(rule(50, 0), &facts, Outcome::Fail, text);
        let text = "2 of 4 nodes healthy (50% of required 51%), 1 failed of at most 1; failed: d; \
                    no fresh report of health: b";
        check(rule(51, 1), &facts, Outcome::Inconclusive, text);
    }
}
