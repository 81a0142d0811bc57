//! The thread that moves plans: it reads and plans with a connection of its own, and asks the writer for the
//! steps like everybody else.
//!
//! # Invariants
//!
//! * **R1** A plan that cannot be read, planned or stepped is named once and stops nobody.
//! * **R2** A pass that takes long is followed by a pause that is longer: promoting never takes more than a fifth
//!   of a core.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use audit::Category;
use rollout_store::{
    Actor, PlanId, PlannedStep, ReadError, SqliteReader, Step, Write, store::Planner,
};

use super::{
    Draft,
    boot::RolloutsError,
    queue::{Ask, AskError, Clock, Writer},
};

/// Steps that wait for the writer at once.
const STEPS_AT_ONCE: usize = 64;
/// How many times as long as a pass the pause behind it is (R2).
const PAUSES_PER_PASS: u32 = 4;

enum Word {
    Now,
    Stop,
}

/// The handle to the thread.
#[derive(Debug)]
pub(super) struct Promoter {
    words: SyncSender<Word>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Promoter {
    pub(super) fn start(
        reader: SqliteReader,
        writer: Arc<Writer>,
        clock: Clock,
        interval: Duration,
    ) -> Result<Self, RolloutsError> {
        let (words, heard) = sync_channel(1);
        let work = Work { reader, writer, clock, poisoned: BTreeMap::new() };
        let run = move || work.run(&heard, interval);
        let thread = thread::Builder::new()
            .name("promoter".to_owned())
            .spawn(run)
            .map_err(|source| RolloutsError::Thread { source })?;
        Ok(Self { words, thread: Mutex::new(Some(thread)) })
    }

    /// Asks for a pass now; one that waits already is enough.
    pub(super) fn nudge(&self) {
        _ = self.words.try_send(Word::Now);
    }

    /// Ends the thread after the step in hand. Blocks.
    pub(super) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that ended before cannot be told.
        _ = self.words.send(Word::Stop);
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the promoter ended unexpectedly");
        }
    }
}

struct Work {
    reader: SqliteReader,
    writer: Arc<Writer>,
    clock: Clock,
    /// What was said about plans that are set aside (R1).
    poisoned: BTreeMap<PlanId, String>,
}

impl Work {
    fn run(mut self, heard: &Receiver<Word>, interval: Duration) {
        let mut pause = interval;
        loop {
            match heard.recv_timeout(pause) {
                Ok(Word::Now) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Word::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            let begun = Instant::now();
            if let Err(error) = self.pass() {
                tracing::warn!(code = error.code(), %error, "a pass of the promoter ended early");
            }
            pause = interval.max(begun.elapsed() * PAUSES_PER_PASS);
        }
    }

    fn pass(&mut self) -> Result<(), ReadError> {
        let mut planner = Planner::new((self.clock)());
        let mut poisoned = BTreeMap::new();
        while let Some(page) = planner.next_page(&self.reader)? {
            for poison in page.poisoned {
                poisoned.insert(poison.plan_id, poison.why);
            }
            for steps in page.steps.chunks(STEPS_AT_ONCE) {
                self.execute(steps, &mut poisoned);
            }
        }
        for (plan_id, why) in &poisoned {
            if self.poisoned.get(plan_id) != Some(why) {
                tracing::error!(%plan_id, why, "plan set aside; the others go on");
            }
        }
        self.poisoned = poisoned;
        Ok(())
    }

    /// Asks for all of them, then waits for all of them.
    fn execute(&self, steps: &[PlannedStep], poisoned: &mut BTreeMap<PlanId, String>) {
        let begun: Vec<_> = steps.iter().map(|it| (it, self.writer.begin(ask(it)))).collect();
        for (step, begun) in begun {
            let answer = begun.and_then(|it| it.blocking_recv().unwrap_or(Err(AskError::Stopped)));
            if let Err(error) = answer {
                refused(step, &error, poisoned);
            }
        }
    }
}

/// A plan that has changed in between is planned anew; anything else is said.
fn refused(step: &PlannedStep, error: &AskError, poisoned: &mut BTreeMap<PlanId, String>) {
    match error {
        AskError::Refused(rollout_store::WriteError::StaleStep { .. }) => {}
        AskError::Refused(error) => {
            poisoned.insert(step.plan_id.clone(), error.to_string());
        }
        error => tracing::warn!(plan_id = %step.plan_id, %error, "step not executed"),
    }
}

/// A step, with what it puts on record.
pub(crate) fn ask(step: &PlannedStep) -> Ask {
    let (event, action) = match step.step {
        Step::Promote { .. } => ("rollout.stage.promoted", "promote"),
        Step::Fail { .. } => ("rollout.plan.failed", "fail"),
        Step::Reanchor => ("rollout.plan.reanchored", "reanchor"),
    };
    let actor = Actor::promoter();
    let draft = Draft::new(
        event,
        (Category::Rollout, action),
        ("rollout_plan", step.plan_id.as_str()),
        actor.as_str(),
    );
    Ask { write: Write::Step(step.clone()), idempotency: None, draft: Some(draft) }
}
