//! `autonomy telemetry drain`: sends what waits to a collector, errors first.

use std::io::{self, Write as _};

use api::exit::Exit;
use drain::Report;
use runtime::{Collector, Consumer, DrainError, DrainOptions, Pace};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};
use vfs::OsVfs;

use super::{
    collector::{batch, connect, failed, holder, seed},
    tell::Teller,
};
use crate::{
    args::{Drain, Output},
    commands::{print_json, wal::directory},
    context::Context,
    counted::counted,
    failure::Failure,
};

pub(crate) fn run(args: &Drain, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let collector = connect(&args.collector, context)?;
    let now = jiff::Timestamp::now();
    let options = DrainOptions {
        node: args.node.clone(),
        batch: batch(&args.collector),
        batch_bytes: args.collector.batch_bytes as u64,
        max_age: args.max_age.0,
        retries: args.collector.retries,
        ..DrainOptions::standard(dir, seed(now), holder(now))
    };
    let output = args.output.output;
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(|it| Failure::process(&it))?;
    let mut course = Course {
        consumer: Consumer::new(options),
        teller: Teller::new(output, context.draws()),
        collector,
    };
    let drained = executor.block_on(async {
        if args.follow { course.follow().await } else { course.pass().await.map_err(Ended::Drain) }
    });
    course.teller.rest();
    match drained {
        Ok(report) => {
            match output {
                Output::Json => print_json(&report)?,
                Output::Text => writeln!(io::stdout().lock(), "{}", told(&report))?,
            }
            // What the collector refused for good is kept, but it was not delivered.
            Ok(if report.dead_lettered > 0 { Exit::Partial } else { Exit::Done })
        }
        Err(Ended::Drain(error)) => Err(failed(error, &course.collector.shown())),
        Err(Ended::Signals(error)) => Err(Failure::process(&error)),
    }
}

/// The last line. Who follows can be stopped while entries wait: that is no delivery of everything.
fn told(report: &Report) -> String {
    match report.pending.total() {
        0 => report.to_string(),
        pending => {
            let sent = report.accepted.total();
            let sent = counted(sent, "event");
            let are = if pending == 1 { "is" } else { "are" };
            format!("drain stopped: {sent} sent, {pending} {are} still in the log")
        }
    }
}

/// Why there is no report.
enum Ended {
    Drain(DrainError),
    Signals(io::Error),
}

struct Course {
    consumer: Consumer,
    collector: Collector,
    teller: Teller,
}

impl Course {
    async fn pass(&mut self) -> Result<Report, DrainError> {
        let teller = &mut self.teller;
        self.consumer.pass(&OsVfs, &self.collector, &mut |notice| teller.tell(notice)).await
    }

    /// Pass after pass, until a signal asks for the end or something needs a person.
    async fn follow(&mut self) -> Result<Report, Ended> {
        let mut terminate = signal(SignalKind::terminate()).map_err(Ended::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Ended::Signals)?;
        let mut pace = Pace::default();
        loop {
            let wait = tokio::select! {
                ended = self.pass() => match ended {
                    Ok(_) => pace.well(),
                    Err(error) if error.may_pass() => {
                        if pace.is_worth_saying(Instant::now()) {
                            self.teller.say(&format!("[drain] {error}; waiting"));
                        }
                        pace.failed(true)
                    }
                    Err(error) => return Err(Ended::Drain(error)),
                },
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            };
            self.teller.rest();
            tokio::select! {
                () = sleep(wait) => {}
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        Ok(self.consumer.report())
    }
}

#[cfg(test)]
mod tests {
    use drain::PerClass;

    use super::*;

    #[test]
    fn a_drain_that_is_stopped_while_entries_wait_is_not_complete() {
        let mut report =
            Report { accepted: PerClass { error: 3, ..PerClass::default() }, ..Report::default() };
        assert_eq!(told(&report), "drain complete: 3 events sent");
        report.pending = PerClass { action: 2, ..PerClass::default() };
        assert_eq!(told(&report), "drain stopped: 3 events sent, 2 are still in the log");
    }
}
