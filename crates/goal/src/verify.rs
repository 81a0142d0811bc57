//! A loop that verifies until all is met, nothing changes any more, or the retries are used up. No I/O.
//!
//! | after an attempt                                        | step      |
//! |---------------------------------------------------------|-----------|
//! | something ran, and all of it passed                     | passed    |
//! | every criterion that fails is stalled                   | stalled   |
//! | it was the last attempt                                 | exhausted |
//! | else                                                    | again     |
//!
//! A criterion is stalled when it failed in the same way [`STALL_AT`](crate::STALL_AT) times on end.
//!
//! * **V1** An attempt in which nothing ran is no success.
//! * **V2** A loop begins with no memory of earlier loops.

use crate::{
    criteria::Run,
    stall::{StallKey, StallTracker},
};

/// What comes after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All is met.
    Passed,
    /// Another attempt.
    Again,
    /// Nothing changes any more.
    Stalled {
        /// What fails.
        failing: Vec<String>,
    },
    /// No attempt is left.
    Exhausted {
        /// What fails.
        failing: Vec<String>,
    },
}

impl Step {
    /// Why a human is asked for; `None` when there is no need.
    pub const fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Passed | Self::Again => None,
            Self::Stalled { .. } => Some("stall"),
            Self::Exhausted { .. } => Some("retry_exhausted"),
        }
    }

    /// What fails.
    pub fn failing(&self) -> &[String] {
        match self {
            Self::Passed | Self::Again => &[],
            Self::Stalled { failing } | Self::Exhausted { failing } => failing,
        }
    }
}

/// The loop.
#[derive(Debug, Default)]
pub struct VerifyLoop {
    attempts_max: u32,
    attempt: u32,
    stalls: StallTracker,
}

impl VerifyLoop {
    /// Makes one attempt more than there are retries.
    pub fn new(retries: u32) -> Self {
        Self { attempts_max: retries.saturating_add(1), ..Self::default() }
    }

    /// Number of the attempt that is made now, from 1.
    pub const fn attempt(&self) -> u32 {
        self.attempt.saturating_add(1)
    }

    /// Takes what an attempt said.
    pub fn ran(&mut self, runs: &[Run]) -> Step {
        self.attempt = self.attempt.saturating_add(1);
        let mut failing = Vec::new();
        for run in runs {
            if run.passed() {
                self.stalls.passed(&run.id);
            } else {
                self.stalls.failed(&run.id, StallKey::new(run.exit_code, &run.output));
                failing.push(run.id.clone());
            }
        }
        let stalled = self.stalls.all_stalled(failing.iter().map(String::as_str));
        match (runs.is_empty(), failing.is_empty()) {
            // V1
            (false, true) => Step::Passed,
            (false, false) if stalled => Step::Stalled { failing },
            _ if self.attempt >= self.attempts_max => Step::Exhausted { failing },
            _ => Step::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, exit_code: i32, output: &str) -> Run {
        Run { id: id.to_owned(), command: None, exit_code, output: output.to_owned() }
    }

    fn failing(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|it| (*it).to_owned()).collect()
    }

    /// FM-6a, FM-6c
    #[test]
    fn the_same_failure_three_times_is_a_stall_whatever_its_clock_says() {
        for texts in [
            ["x"; 3],
            ["at 2026-01-01T00:00:00Z", "at 2026-01-02T03:04:05Z", "at 2027-01-01T00:00:00Z"],
        ] {
            let mut it = VerifyLoop::new(3);
            assert_eq!(it.ran(&[run("a", 1, texts[0])]), Step::Again);
            assert_eq!(it.ran(&[run("a", 1, texts[1])]), Step::Again);
            let step = it.ran(&[run("a", 1, texts[2])]);
            assert_eq!(step, Step::Stalled { failing: failing(&["a"]) });
            assert_eq!(step.reason(), Some("stall"));
        }
    }

    /// FM-6e
    #[test]
    fn without_retries_there_is_one_attempt_and_two_failures_are_no_stall() {
        assert_eq!(
            VerifyLoop::new(0).ran(&[run("a", 1, "x")]),
            Step::Exhausted { failing: failing(&["a"]) }
        );
        let mut it = VerifyLoop::new(1);
        assert_eq!((it.attempt(), it.ran(&[run("a", 1, "x")])), (1, Step::Again));
        let step = it.ran(&[run("a", 1, "x")]);
        assert_eq!(step.reason(), Some("retry_exhausted"));
    }

    /// FM-8
    #[test]
    fn a_loop_goes_on_while_one_failure_still_changes() {
        let mut it = VerifyLoop::new(4);
        let texts = ["one apple", "two pears", "red plums", "green figs"];
        for text in texts {
            assert_eq!(it.ran(&[run("a", 1, "same"), run("b", 1, text)]), Step::Again);
        }
        let step = it.ran(&[run("a", 1, "same"), run("b", 1, "dates")]);
        assert_eq!(step, Step::Exhausted { failing: failing(&["a", "b"]) });
    }

    /// V1
    #[test]
    fn an_attempt_in_which_nothing_ran_is_no_success() {
        assert_eq!(VerifyLoop::new(0).ran(&[]), Step::Exhausted { failing: Vec::new() });
        assert_eq!(VerifyLoop::new(0).ran(&[run("a", 0, "")]), Step::Passed);
    }
}
