//! The states of the machine, and its accounts.

use crate::{
    Class, Input, PerClass, Progress, Report,
    delivery::{Flight, Traffic},
};

/// What was counted (D6).
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) queued: u64,
    pub(super) accepted: PerClass<u64>,
    pub(super) dead_lettered: u64,
}

impl Accounts {
    /// Counts a part that is settled.
    pub(super) fn add(&mut self, settled: &PerClass<u64>, refused: bool) {
        if refused {
            self.dead_lettered += settled.total();
            return;
        }
        for class in Class::ALL {
            *self.accepted.get_mut(class) += settled.get(class);
        }
    }

    /// Puts the accounts together with what still waits.
    pub(super) fn report(
        &self,
        pending: PerClass<u64>,
        batches: u64,
        traffic: &Traffic,
        progress: &Progress,
    ) -> Report {
        Report {
            queued: self.queued,
            accepted: self.accepted,
            dead_lettered: self.dead_lettered,
            pending,
            batches,
            requests: traffic.requests,
            retries: traffic.retries,
            bytes: traffic.bytes,
            warnings: traffic.warnings,
            cursors: *progress.cursors(),
            position: progress.position().get(),
        }
    }
}

/// What the machine waits for.
#[derive(Debug, Default)]
pub(super) enum State {
    #[default]
    Idle,
    Reading,
    Sending(Flight),
    Waiting(Flight),
    Recording(File, Settlement),
}

impl State {
    /// Returns the name of the state, as the table has it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Reading => "reading",
            Self::Sending(_) => "sending",
            Self::Waiting(_) => "waiting",
            Self::Recording(File::DeadLetters, _) => "writing dead letters",
            Self::Recording(File::Cursors, _) => "writing cursors",
            Self::Recording(File::Position, _) => "writing the position",
        }
    }
}

/// What is being recorded: the progress after it, and whether the part on top was refused.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) next: Progress,
    pub(super) refused: bool,
}

/// The file that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) enum File {
    DeadLetters,
    Cursors,
    Position,
}

/// Returns the name of an input, as the table has it.
pub(crate) const fn input_name(input: &Input) -> &'static str {
    match input {
        Input::Indexed => "indexed",
        Input::Read(_) => "read",
        Input::Prepared(_) => "prepared",
        Input::Answered(_) => "answered",
        Input::Unanswered(_) => "unanswered",
        Input::Written => "written",
        Input::Waited => "waited",
        Input::Failed(_) => "failed",
    }
}
