//! Validation plans of the control plane, with evidence: VAL 07 to VAL 11.
//!
//! | plan    | port  | what it validates                                                          |
//! |---------|-------|----------------------------------------------------------------------------|
//! | `val07` | 18992 | how long a plan takes to create and a list to read                           |
//! | `val08` | 18993 | many creates at once                                                       |
//! | `val09` | 18994 | which plans a scan for stuck ones names, and when                            |
//! | `val10` | 18995 | previews, retries and rollbacks of operators, and what stays on record     |
//! | `val11` | 18996 | kills of the control plane, a corrupt artifact, silent nodes                 |
//!
//! Unlike a drill, a plan goes on after a check that failed: its report says how many of all passed. One whose
//! fault (or load) is left out must fail.

mod chaos;
mod lab;
mod latency;
mod report;
mod rollback;
mod stuck;
mod throughput;

use std::path::PathBuf;

use anyhow::Result;
use rustix::process::Signal;

use crate::stories::{Narrator, drill::Fault};
use lab::Lab;
pub use report::{Check, Report};

/// A validation plan.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Name on the command line, and how its files begin.
    pub name: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// The documented port.
    pub port: u16,
    /// Who acts.
    operator: &'static str,
    /// What the report says, part by part.
    sections: &'static [report::Section],
    /// Checks without which nothing else counts.
    minimum: &'static [&'static str],
    play: fn(&mut Lab) -> Result<()>,
}

/// Every plan, by number.
pub const ALL: &[Plan] =
    &[latency::PLAN, throughput::PLAN, stuck::PLAN, rollback::PLAN, chaos::PLAN];

/// Which port the control plane gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The one that the plan documents; when it is taken, the plan ends there.
    Documented,
    /// A free one, so that plans can run beside each other.
    Free,
}

/// How the control plane is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// SIGTERM, as a supervisor does it.
    Term,
    /// SIGKILL.
    Kill,
}

impl Kill {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Term, Self::Kill];

    /// Name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Term => "term",
            Self::Kill => "kill",
        }
    }

    const fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Kill => Signal::KILL,
        }
    }
}

/// How a plan is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the control plane listens.
    pub port: Port,
    /// Whether the fault, or the load, is there.
    pub fault: Fault,
    /// How the control plane is ended, in the plan that does.
    pub kill: Kill,
    /// Each run gets a directory of its own below this.
    pub evidence: PathBuf,
}

impl Plan {
    /// Name of the directory with the evidence of a run.
    pub fn evidence_name(&self, kill: Kill) -> String {
        if self.kills() { format!("{}-{}", self.name, kill.name()) } else { self.name.to_owned() }
    }

    /// Whether it ends the control plane by a signal.
    pub fn kills(&self) -> bool {
        self.name == chaos::PLAN.name
    }

    /// Runs it and writes evidence and reports.
    ///
    /// # Errors
    ///
    /// When the documented port is taken, or the machine has no resources for it; what the checks found is in the
    /// report.
    pub fn run(&self, options: &Options, narrator: Narrator) -> Result<Report> {
        let mut lab = Lab::open(self, options, narrator)?;
        // A step that could not be taken is a finding; the checks that stand on it did not pass.
        if let Err(error) = (self.play)(&mut lab) {
            lab.interrupted(&error);
        }
        lab.close(self)
    }
}

/// Runs plans aloud on their documented ports and says a line about each. Returns whether all of them passed.
///
/// # Errors
///
/// When a plan could not be run.
pub fn run(plans: &[(Plan, Kill)], fault: Fault, evidence: &std::path::Path) -> Result<bool> {
    let mut lines = Vec::new();
    let mut good = true;
    for (plan, kill) in plans {
        let evidence = evidence.to_owned();
        let options = Options { port: Port::Documented, fault, kill: *kill, evidence };
        let report = plan.run(&options, Narrator::loud())?;
        good &= report.passed();
        lines.push(report.line());
    }
    Narrator::loud().say(&format!("\n{}", lines.join("\n")));
    Ok(good)
}
