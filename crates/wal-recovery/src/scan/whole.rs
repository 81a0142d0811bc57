//! A whole file: in sequence where something has to be decided, in blocks where nothing has.

use std::{io, sync::Arc};

use vfs::File;

use super::{
    Scanner, Stop, Tail, Trust, Verdict,
    blocks::{Pace, pass_blocks, worth_it},
    end_of_log,
};
use crate::{
    Scanned, Violation,
    frames::{FrameReader, Next},
};

/// Scans a whole file.
///
/// It stops at the first violation: a log that is refused is refused quickly.
pub(crate) fn scan(file: &Arc<dyn File>, trust: Trust) -> io::Result<Result<Scanned, Violation>> {
    let mut scanner = Scanner::new(trust);
    let tail = run(file, &mut scanner)?;
    Ok(tail.map(|tail| scanner.result(tail)))
}

/// Drives a scanner over a whole file. Afterwards it knows what held, whatever the answer.
pub(crate) fn run(
    file: &Arc<dyn File>,
    scanner: &mut Scanner,
) -> io::Result<Result<Tail, Violation>> {
    run_at(file, scanner, Pace::of_machine())
}

/// A log that is not longer than a few blocks never pays for threads: one block is always checked
/// frame by frame before more are taken together.
pub(super) fn run_at(
    file: &Arc<dyn File>,
    scanner: &mut Scanner,
    pace: Pace,
) -> io::Result<Result<Tail, Violation>> {
    loop {
        let mut frames = FrameReader::new(Arc::clone(file), scanner.at.end);
        let until = scanner.at.end.saturating_add(pace.block_len as u64);
        while frames.offset() < until {
            if let Some(end) = step(&mut frames, scanner)? {
                return Ok(end);
            }
        }
        if worth_it(&**file, scanner.at.end, pace)? {
            pass_blocks(&**file, scanner, pace);
        }
    }
}

/// Checks the next frame; the answer is there when it was the last.
fn step(
    frames: &mut FrameReader,
    scanner: &mut Scanner,
) -> io::Result<Option<Result<Tail, Violation>>> {
    let stop = match frames.next()? {
        Next::Frame { offset, payload } => match scanner.frame(offset, payload) {
            Ok(Verdict::Holds(_)) => return Ok(None),
            Ok(Verdict::Phantom) => Stop::Phantom,
            Err(violation) => return Ok(Some(Err(violation))),
        },
        Next::Torn => Stop::Torn,
        Next::End => Stop::Zeros,
        Next::TooLong(len) => Stop::Impossible(len),
    };
    let end = end_of_log(frames, stop, scanner.lacks_promised())?;
    Ok(Some(scanner.judge(end)))
}

#[cfg(test)]
mod tests;
