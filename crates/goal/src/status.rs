//! Statuses of a goal, and which one follows which: one table.
//!
//! | from            | event            | to            |
//! |-----------------|------------------|---------------|
//! | open            | `Continue`       | active        |
//! | open            | `OverBudget`     | needs-human   |
//! | open            | `Blocked`        | awaiting-gate |
//! | open            | `Complete`       | completed     |
//! | open            | `Pause`          | paused        |
//! | open            | `Abandon`        | abandoned     |
//! | open            | `Escalate`       | needs-human   |
//! | any other       | those of an eval | refused       |
//! | any other       | `Escalate`       | stays         |
//! | awaiting-gate   | `GateCleared`    | active        |
//! | active, paused, `budget_limited` | `GateCleared` | stays |
//! | open, `budget_limited` | `GateTouched` | stays       |
//! | active, awaiting-gate | `GateRejected` | awaiting-gate |
//! | paused, `budget_limited` | `GateRejected` | stays   |
//! | completed, abandoned, needs-human | those of a gate | refused |
//! | active, awaiting-gate | `SessionEnd` | paused     |
//! | any other       | `SessionEnd`     | stays         |
//! | completed, abandoned | `Resume`, `ResumeBlocked` | refused |
//! | any other       | `Resume`         | active        |
//! | any other       | `ResumeBlocked`  | awaiting-gate |
//! | active          | `LimitReached`   | `budget_limited` |
//! | any other       | `LimitReached`   | stays         |
//!
//! *Open* is active, paused or awaiting-gate. A goal begins active; `init` needs no row.
//!
//! * **G1** A status changes by this table and in no other way.
//! * **G2** Completed and abandoned are ends: nothing leads out of them.
//! * **G3** Needs-human is left by a resume alone, which a human asks for.

use serde::{Deserialize, Serialize};

/// Where a goal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Work goes on.
    Active,
    /// Stopped by an operator or by the end of a session.
    Paused,
    /// A gate is pending or was rejected.
    AwaitingGate,
    /// A human has to decide.
    NeedsHuman,
    /// The goal was met. An end.
    Completed,
    /// The goal was given up. An end.
    Abandoned,
    /// The loop ended at one of its limits.
    #[serde(rename = "budget_limited")]
    BudgetLimited,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::Paused,
        Self::AwaitingGate,
        Self::NeedsHuman,
        Self::Completed,
        Self::Abandoned,
        Self::BudgetLimited,
    ];

    /// The name in `goal.json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::AwaitingGate => "awaiting-gate",
            Self::NeedsHuman => "needs-human",
            Self::Completed => "completed",
            Self::Abandoned => "abandoned",
            Self::BudgetLimited => "budget_limited",
        }
    }

    /// Whether nothing leads out of it (G2).
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Abandoned)
    }

    /// Whether an eval may be made.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Active | Self::Paused | Self::AwaitingGate)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What happened to a goal. Conditions are part of the event: the table has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// An eval continues: within the budget or forced, everything resolved, no gate blocks.
    Continue,
    /// An eval would continue, but the budget is spent and nobody forced it.
    OverBudget,
    /// An eval would continue or complete, but a gate blocks.
    Blocked,
    /// An eval completes, and no gate blocks.
    Complete,
    /// An eval pauses.
    Pause,
    /// An eval abandons.
    Abandon,
    /// A gate was approved, passed or failed, and no gate blocks any more.
    GateCleared,
    /// A gate was added, or answered while another one blocks.
    GateTouched,
    /// A gate was rejected.
    GateRejected,
    /// The session of the agent ended.
    SessionEnd,
    /// A resume.
    Resume,
    /// A resume of a goal that was awaiting a gate when its session ended, and a gate blocks still.
    ResumeBlocked,
    /// Verification stalled or ran out of retries.
    Escalate,
    /// The loop reached one of its limits.
    LimitReached,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 14] = [
        Self::Continue,
        Self::OverBudget,
        Self::Blocked,
        Self::Complete,
        Self::Pause,
        Self::Abandon,
        Self::GateCleared,
        Self::GateTouched,
        Self::GateRejected,
        Self::SessionEnd,
        Self::Resume,
        Self::ResumeBlocked,
        Self::Escalate,
        Self::LimitReached,
    ];
}

/// What an event does to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It becomes this one, or is this one again.
    To(Status),
    /// Nothing.
    Stays,
    /// The event must not happen here, and nothing is written.
    Refused,
}

/// Applies the table (G1).
#[expect(clippy::match_same_arms, reason = "one arm a row of the table")]
pub const fn transition(from: Status, event: Event) -> Next {
    use Event as E;
    use Next::{Refused, Stays, To};
    use Status as S;
    match (from, event) {
        (S::Active | S::Paused | S::AwaitingGate, E::Continue) => To(S::Active),
        (S::Active | S::Paused | S::AwaitingGate, E::OverBudget | E::Escalate) => To(S::NeedsHuman),
        (S::Active | S::Paused | S::AwaitingGate, E::Blocked) => To(S::AwaitingGate),
        (S::Active | S::Paused | S::AwaitingGate, E::Complete) => To(S::Completed),
        (S::Active | S::Paused | S::AwaitingGate, E::Pause) => To(S::Paused),
        (S::Active | S::Paused | S::AwaitingGate, E::Abandon) => To(S::Abandoned),
        (
            S::NeedsHuman | S::Completed | S::Abandoned | S::BudgetLimited,
            E::Continue | E::OverBudget | E::Blocked | E::Complete | E::Pause | E::Abandon,
        ) => Refused,
        (S::NeedsHuman | S::Completed | S::Abandoned | S::BudgetLimited, E::Escalate) => Stays,

        (S::AwaitingGate, E::GateCleared) => To(S::Active),
        (S::Active | S::Paused | S::BudgetLimited, E::GateCleared) => Stays,
        (S::Active | S::Paused | S::AwaitingGate | S::BudgetLimited, E::GateTouched) => Stays,
        (S::Active | S::AwaitingGate, E::GateRejected) => To(S::AwaitingGate),
        (S::Paused | S::BudgetLimited, E::GateRejected) => Stays,
        (
            S::NeedsHuman | S::Completed | S::Abandoned,
            E::GateCleared | E::GateTouched | E::GateRejected,
        ) => Refused,

        (S::Active | S::AwaitingGate, E::SessionEnd) => To(S::Paused),
        (
            S::Paused | S::NeedsHuman | S::Completed | S::Abandoned | S::BudgetLimited,
            E::SessionEnd,
        ) => Stays,

        (S::Completed | S::Abandoned, E::Resume | E::ResumeBlocked) => Refused,
        (S::Active | S::Paused | S::AwaitingGate | S::NeedsHuman | S::BudgetLimited, E::Resume) => {
            To(S::Active)
        }
        (
            S::Active | S::Paused | S::AwaitingGate | S::NeedsHuman | S::BudgetLimited,
            E::ResumeBlocked,
        ) => To(S::AwaitingGate),

        (S::Active, E::LimitReached) => To(S::BudgetLimited),
        (
            S::Paused
            | S::AwaitingGate
            | S::NeedsHuman
            | S::Completed
            | S::Abandoned
            | S::BudgetLimited,
            E::LimitReached,
        ) => Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table once more, written apart: one letter a status, in the order of `Status::ALL`. A capital
    /// is the status it becomes, `.` stays, `-` is refused.
    const TABLE: [(Event, &str); 14] = [
        (Event::Continue, "AAA----"),
        (Event::OverBudget, "NNN----"),
        (Event::Blocked, "GGG----"),
        (Event::Complete, "CCC----"),
        (Event::Pause, "PPP----"),
        (Event::Abandon, "XXX----"),
        (Event::GateCleared, "..A---."),
        (Event::GateTouched, "...---."),
        (Event::GateRejected, "G.G---."),
        (Event::SessionEnd, "P.P...."),
        (Event::Resume, "AAAA--A"),
        (Event::ResumeBlocked, "GGGG--G"),
        (Event::Escalate, "NNN...."),
        (Event::LimitReached, "L......"),
    ];

    fn letter(next: Next) -> char {
        match next {
            Next::Stays => '.',
            Next::Refused => '-',
            Next::To(Status::Active) => 'A',
            Next::To(Status::Paused) => 'P',
            Next::To(Status::AwaitingGate) => 'G',
            Next::To(Status::NeedsHuman) => 'N',
            Next::To(Status::Completed) => 'C',
            Next::To(Status::Abandoned) => 'X',
            Next::To(Status::BudgetLimited) => 'L',
        }
    }

    /// G1
    #[test]
    fn every_status_answers_every_event_as_the_table_says() {
        assert_eq!(TABLE.map(|it| it.0), Event::ALL);
        for (event, row) in TABLE {
            let found: String =
                Status::ALL.iter().map(|it| letter(transition(*it, event))).collect();
            assert_eq!(found, row, "{event:?}");
        }
    }

    /// G2, G3
    #[test]
    fn nothing_leads_out_of_an_end_and_only_a_resume_out_of_needs_human() {
        for event in Event::ALL {
            for end in Status::ALL.into_iter().filter(|it| it.is_end()) {
                assert!(!matches!(transition(end, event), Next::To(_)), "{end} {event:?}");
            }
            let left = matches!(transition(Status::NeedsHuman, event), Next::To(_));
            assert_eq!(left, matches!(event, Event::Resume | Event::ResumeBlocked), "{event:?}");
        }
    }

    #[test]
    fn a_status_is_written_under_its_name() {
        for status in Status::ALL {
            let text = serde_json::to_string(&status).unwrap();
            assert_eq!(text, format!("\"{status}\""));
            assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
        }
    }
}
