//! Drives a redelivery: reads letters, sends requests, appends lines, waits. Decides nothing.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use drain::{
    Failure, Input, Notice, Place, Redelivery, RedeliveryEffect, RedeliveryReport, Request, Terms,
};
use jiff::Timestamp;
use otlp::Encoding;
use serde::Serialize;
use thiserror::Error;
use vfs::Vfs;
use wal_format::names;

use super::{DeadLetters, Flaw, LetterFileError, fill::fill};
use crate::exporter::{
    Collector,
    lock::{self, DrainLockError},
    written,
};

/// What a retry is about.
#[derive(Clone, Debug)]
pub struct RetryOptions {
    /// Directory of the log.
    pub dir: PathBuf,
    /// Most letters in one request.
    pub batch: NonZeroUsize,
    /// Encoding of requests.
    pub encoding: Encoding,
    /// Most bytes of payload in one request; a single entry may be larger.
    pub batch_bytes: u64,
    /// Attempts after the first.
    pub retries: u32,
    /// Seed of the jitter.
    pub seed: u64,
    /// Who we are, for whoever finds the lock taken.
    pub holder: String,
    /// How long to wait for the lock.
    pub wait: Duration,
}

/// What a retry did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RetryReport {
    /// The accounts.
    #[serde(flatten)]
    pub letters: RedeliveryReport,
    /// Lines of the file that mean nothing and stay in it.
    pub damaged_lines: u64,
}

/// Something to tell the operator.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// About the delivery.
    Notice(&'a Notice),
    /// About a line of the file.
    Flaw(&'a Flaw),
}

/// Sends every open dead letter to a collector again, then compacts the file.
///
/// # Errors
///
/// [`RetryError`]. What was accepted before stays accepted; everything else is still in the file.
pub async fn retry_dead_letters(
    vfs: &dyn Vfs,
    options: &RetryOptions,
    collector: &Collector,
    tell: impl FnMut(Said<'_>),
) -> Result<RetryReport, RetryError> {
    retry_with(vfs, options, async |request| collector.send(&request).await, tell).await
}

/// [`retry_dead_letters`] with any way of sending.
pub(super) async fn retry_with(
    vfs: &dyn Vfs,
    options: &RetryOptions,
    mut send: impl AsyncFnMut(Request) -> Input,
    mut tell: impl FnMut(Said<'_>),
) -> Result<RetryReport, RetryError> {
    let dir = &*options.dir;
    let _lock = lock::take(vfs, dir, &options.holder, options.wait).await?;
    let mut opened = DeadLetters::open(vfs, dir, |flaw| tell(Said::Flaw(&flaw)))?;
    if fill(vfs, dir, &opened, &mut |notice| tell(Said::Notice(notice)))? {
        opened = DeadLetters::open(vfs, dir, |_| ())?;
    }
    let path = dir.join(names::DEADLETTER);
    let mut terms = Terms::standard(options.seed);
    terms.encoding = options.encoding;
    (terms.batch_entries_max, terms.retries_max) = (options.batch, options.retries);
    terms.batch_bytes_max = options.batch_bytes;
    let mut machine = Redelivery::new(terms, std::mem::take(&mut opened.letters));

    let mut input = Input::Indexed;
    let letters = loop {
        let step = machine.step(input, Timestamp::now());
        for notice in &step.notices {
            tell(Said::Notice(notice));
        }
        input = match step.effect {
            RedeliveryEffect::Read(places) => read(&opened, &places),
            RedeliveryEffect::Send(request) => send(request).await,
            RedeliveryEffect::Append(lines) => written(vfs::append_lines(vfs, &path, &lines)),
            RedeliveryEffect::Wait(duration) => {
                tokio::time::sleep(duration).await;
                Input::Waited
            }
            RedeliveryEffect::Finished(report) => break report,
            RedeliveryEffect::Failed(failure, report) => {
                return Err(RetryError::Stopped { failure, report: Box::new(report) });
            }
        };
    };
    let done = DeadLetters::open(vfs, dir, |_| ())?;
    done.compact(vfs)?;
    Ok(RetryReport { letters, damaged_lines: done.flaws() })
}

fn read(letters: &DeadLetters, places: &[Place]) -> Input {
    let lines: Result<Vec<_>, _> = places.iter().map(|it| letters.read(*it)).collect();
    lines.map_or_else(|error| Input::Failed(error.to_string()), Input::Read)
}

/// Why a retry did not send everything.
#[derive(Debug, Error)]
pub enum RetryError {
    /// The lock was not taken.
    #[error("retry failed: {0}")]
    Lock(#[from] DrainLockError),
    /// The file cannot be used.
    #[error("retry failed: {0}")]
    File(#[from] LetterFileError),
    /// The retry stopped.
    #[error("retry failed: {failure}")]
    Stopped {
        /// Why.
        failure: Failure,
        /// What was delivered until then.
        report: Box<RedeliveryReport>,
    },
}
