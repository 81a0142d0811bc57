//! A consumer inside the runtime: pass after pass, for as long as the runtime serves.
//!
//! | what happened                                | next pass                                        | state     |
//! |----------------------------------------------|--------------------------------------------------|-----------|
//! | everything was sent                          | see `pace`                                       | `idle`    |
//! | another consumer holds the lock              | as if everything was sent                        | `waiting` |
//! | no answer, busy, unreadable answer           | see `pace`                                       | `waiting` |
//! | anything else: refused, files, disk          | see `pace`                                       | `stopped` |
//! | a hurry was asked for, and all is well       | at once                                          | –         |
//! | the runtime ends                             | at once, the last one, for at most [`FLUSH`]     | –         |
//!
//! Even what looks final is tried again: whoever mends the collector does not know of every robot
//! that waits for it. The lock is free between two passes, so that an operator can drain by hand.
//!
//! * **X1** A collector that is down costs one WARN a minute at most, whatever it answers.
//! * **X2** The consumer has a thread of its own: reading a long backlog delays no call.
//! * **X3** Whatever a collector does, the runtime ends: the thread is waited for, but not for ever. What it is
//!   in the middle of then is as after a kill.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use api::health::{ExporterError, ExporterState, ExporterStatus};
use drain::{Notice, PerClass, Report};
use jiff::Timestamp;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use vfs::Vfs;

use super::{
    collector::Collector,
    consumer::{Consumer, DrainError, DrainOptions},
    lock::DrainLockError,
    pace::{PAUSE, Pace},
};

/// Time for the last pass when the runtime ends.
const FLUSH: Duration = Duration::from_secs(5);

/// Time that the runtime waits for the end of the thread: the pass that is under way and the last one, and some
/// for a collector that keeps the thread itself busy.
const END_MAX: Duration = Duration::from_secs(12);

/// What everybody else sees of it.
#[derive(Clone, Debug)]
pub(crate) struct Exporting(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    status: Mutex<ExporterStatus>,
    hurry: Notify,
}

impl Exporting {
    pub(crate) fn status(&self) -> ExporterStatus {
        self.lock().clone()
    }

    /// Asks for a pass now: somebody waits for the log to be delivered.
    pub(crate) fn hurry(&self) {
        self.0.hurry.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, ExporterStatus> {
        self.0.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running consumer.
#[derive(Debug)]
pub(crate) struct Exporter {
    shown: Exporting,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
    /// Closed when the thread is at its end.
    running: mpsc::Receiver<Infallible>,
}

impl Exporter {
    /// Starts it on its own thread (X2).
    pub(crate) fn start(
        vfs: Arc<dyn Vfs>,
        options: DrainOptions,
        collector: Collector,
    ) -> io::Result<Self> {
        let shown = Exporting(Arc::new(Shared {
            status: Mutex::new(nothing_yet(&collector)),
            hurry: Notify::new(),
        }));
        let (stop, stopped) = watch::channel(false);
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let course = Course {
            vfs,
            consumer: Consumer::new(options),
            collector,
            shown: shown.clone(),
            stopped,
            pace: Pace::default(),
        };
        let thread = thread::Builder::new().name("exporter".to_owned());
        let (runs, running) = mpsc::channel();
        let thread = thread.spawn(move || {
            let _runs: mpsc::Sender<Infallible> = runs;
            executor.block_on(course.run());
        })?;
        Ok(Self { shown, stop, thread, running })
    }

    pub(crate) fn shown(&self) -> Exporting {
        self.shown.clone()
    }

    /// Lets it send what waits, for at most [`FLUSH`], and ends it. Blocks, for at most [`END_MAX`] (X3).
    pub(crate) fn finish(self) {
        self.finish_within(END_MAX);
    }

    fn finish_within(self, most: Duration) {
        self.stop.send_replace(true);
        if self.running.recv_timeout(most) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("exporter still busy with the collector; what waits is in the log");
            return;
        }
        if self.thread.join().is_err() {
            tracing::error!("exporter ended by a defect; what waits is in the log");
        }
    }
}

struct Course {
    vfs: Arc<dyn Vfs>,
    consumer: Consumer,
    collector: Collector,
    shown: Exporting,
    stopped: watch::Receiver<bool>,
    pace: Pace,
}

impl Course {
    async fn run(mut self) {
        while !*self.stopped.borrow() {
            let mut stopped = self.stopped.clone();
            let bounded = async {
                // A sender that is gone means the same.
                stopped.wait_for(|it| *it).await.ok();
                sleep(FLUSH).await;
            };
            tokio::select! {
                wait = self.pass() => self.pause(wait).await,
                () = bounded => return,
            }
        }
        // What was written last is about the end of this process.
        timeout(FLUSH, self.pass()).await.ok();
    }

    async fn pause(&mut self, wait: Duration) {
        let shared = Arc::clone(&self.shown.0);
        tokio::select! {
            () = sleep(wait) => {}
            () = shared.hurry.notified(), if !self.pace.in_trouble() => {}
            _ = self.stopped.wait_for(|it| *it) => {}
        }
    }

    /// One pass; returns how long to wait until the next (the table of the module).
    async fn pass(&mut self) -> Duration {
        self.shown.lock().state = ExporterState::Sending;
        let shown = self.shown.clone();
        let mut tell = |notice: &Notice| note(&shown, notice);
        let ended = self.consumer.pass(&*self.vfs, &self.collector, &mut tell).await;
        match ended {
            Ok(report) => {
                if self.pace.in_trouble() {
                    tracing::info!("collector takes events again");
                }
                let mut status = self.shown.lock();
                count(&mut status, &report);
                status.state = ExporterState::Idle;
                status.last_error = None;
                status.last_success = Some(Timestamp::now().to_string());
                drop(status);
                self.pace.well()
            }
            Err(DrainError::Lock(DrainLockError::Held { .. })) => {
                self.shown.lock().state = ExporterState::Waiting;
                PAUSE
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &DrainError) -> Duration {
        let may_pass = error.may_pass();
        let mut status = self.shown.lock();
        if let DrainError::Stopped { report, .. } = error {
            count(&mut status, report);
        }
        status.state = if may_pass { ExporterState::Waiting } else { ExporterState::Stopped };
        let (code, text) = (error.code(), explain(error));
        let pending = status.pending;
        status.last_error = Some(ExporterError {
            code: code.to_owned(),
            text: text.clone(),
            at: Timestamp::now().to_string(),
        });
        drop(status);
        // X1.
        if self.pace.is_worth_saying(Instant::now()) {
            tracing::warn!(code, error = text, pending, "events not delivered; the log keeps them");
        }
        self.pace.failed(may_pass)
    }
}

/// What nobody looks at while it happens is worth a line only when it is lasting.
fn note(shown: &Exporting, notice: &Notice) {
    match notice {
        Notice::DeadLetter { event_id, text } => {
            tracing::warn!(event_id, text, "event refused by the collector; kept as a dead letter");
        }
        Notice::Warning { text } => tracing::warn!(text, "warning of the collector"),
        Notice::CursorsOfOtherLog { .. } => tracing::warn!("{notice}"),
        Notice::Queue { events } => shown.lock().pending = events.total(),
        Notice::Accepted { events, refused, .. } => {
            let mut status = shown.lock();
            status.pending = status.pending.saturating_sub(events + refused);
            tracing::debug!(events, refused, "batch delivered");
        }
        _ => tracing::debug!("{notice}"),
    }
}

fn explain(error: &DrainError) -> String {
    match error {
        DrainError::Stopped { failure: drain::Failure::Unreachable { text, .. }, .. } => {
            format!("{error}: {text}")
        }
        _ => error.to_string(),
    }
}

fn count(status: &mut ExporterStatus, report: &Report) {
    let PerClass { error, decision, action, lifecycle } = report.accepted;
    status.accepted = api::health::PerClass { error, decision, action, lifecycle };
    status.pending = report.pending.total();
    status.dead_lettered = report.dead_lettered;
    status.batches = report.batches;
    status.requests = report.requests;
    status.retries = report.retries;
    status.bytes = report.bytes;
}

fn nothing_yet(collector: &Collector) -> ExporterStatus {
    ExporterStatus {
        endpoint: collector.shown(),
        state: ExporterState::Idle,
        accepted: api::health::PerClass::default(),
        pending: 0,
        dead_lettered: 0,
        batches: 0,
        requests: 0,
        retries: 0,
        bytes: 0,
        last_success: None,
        last_error: None,
    }
}

#[cfg(test)]
mod tests {
    use vfs::MemVfs;

    use super::*;
    use crate::CollectorSettings;

    /// X3: a thread that hears nothing any more, as one that a collector keeps busy.
    #[test]
    fn a_thread_that_does_not_end_is_not_waited_for_for_ever() {
        let (busy, until) = mpsc::channel::<Infallible>();
        let (runs, running) = mpsc::channel();
        let thread = thread::spawn(move || {
            let _runs: mpsc::Sender<Infallible> = runs;
            until.recv().unwrap_err();
        });
        let collector = Collector::new(&CollectorSettings::plain("http://127.0.0.1:1")).unwrap();
        let shown = Exporting(Arc::new(Shared {
            status: Mutex::new(nothing_yet(&collector)),
            hurry: Notify::new(),
        }));
        let (stop, stopped) = watch::channel(false);
        Exporter { shown, stop, thread, running }.finish_within(Duration::from_millis(1));
        assert!(*stopped.borrow(), "it was told to end");
        drop(busy);
    }

    #[test]
    fn a_runtime_that_ends_waits_for_the_thread() {
        let options = DrainOptions::standard("/wal".into(), 1, String::new());
        let collector = Collector::new(&CollectorSettings::plain("http://127.0.0.1:1")).unwrap();
        let vfs = Arc::new(MemVfs::default());
        let exporter = Exporter::start(Arc::clone(&vfs) as Arc<dyn Vfs>, options, collector);
        exporter.unwrap().finish();
        assert_eq!(Arc::strong_count(&vfs), 1, "the thread is gone, and what it held");
    }
}
