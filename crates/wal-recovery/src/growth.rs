//! Zeros ahead of the frames, so that most syncs have no new length to write.
//!
//! A sync after a write inside the file writes data; a sync after a write that made the file longer
//! writes the new length too, which on a journaling file system is a second round to the disk. So
//! the log is made longer in steps, with zeros: a zero length prefix is the end of the log to every
//! reader.
//!
//! * **Z1** Zeros are written behind frames, never over them.
//! * **Z2** No room for zeros is no failure: they are cut off again, and the frames stand.
//! * **Z3** Zeros are at least as durable as the frames that later overwrite them need: they are
//!   synced with the group that wrote them. Nothing depends on them: a crash that loses them leaves
//!   the file shorter.

use std::io;

use vfs::{File, write_all_at};

use crate::writer::is_full;

/// First step, in bytes; each step is twice the one before. A log that is hardly used stays small.
const FIRST: u64 = 64 << 10;
/// Longest step unless the program says otherwise, in bytes.
pub(crate) const STEP_MAX: u64 = 4 << 20;
/// A group longer than this part of the longest step is not worth it: writing the zeros costs more
/// than the sync saves.
const GROUP_PART: u64 = 16;
/// After the disk was too full for zeros, this many bytes of frames are written without.
const PAUSE: u64 = 1 << 20;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// How far a log is preallocated.
#[derive(Debug)]
pub(crate) struct Growth {
    /// Where the zeros end.
    allocated: u64,
    step: u64,
    step_max: u64,
    /// No zeros before the frames reach this.
    pause_until: u64,
}

impl Growth {
    /// A log whose file ends at `end`.
    pub(crate) fn new(end: u64, step_max: u64) -> Self {
        Self { allocated: end, step: FIRST.min(step_max), step_max, pause_until: 0 }
    }

    /// The same for the next log, whose file ends at `end`.
    pub(crate) fn begin_again(&mut self, end: u64) {
        *self = Self::new(end, self.step_max);
    }

    /// Where the file ends, at least.
    pub(crate) const fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Writes zeros behind frames that end at `end` and whose last group has `group` bytes, when it
    /// is time to.
    pub(crate) fn grow(&mut self, file: &dyn File, end: u64, group: usize) -> io::Result<()> {
        if end <= self.allocated {
            return Ok(());
        }
        self.allocated = end;
        if group as u64 > self.step_max / GROUP_PART || end < self.pause_until {
            return Ok(());
        }
        let target = end + self.step;
        match write_zeros(file, end, target) {
            Ok(()) => {
                self.allocated = target;
                self.step = (self.step * 2).min(self.step_max);
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.pause_until = end + PAUSE;
                file.set_len(end)
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets the zeros behind `end` and says whether there are any: they must be cut off now.
    pub(crate) fn cut(&mut self, end: u64) -> bool {
        let any = self.allocated > end;
        self.allocated = end;
        any
    }
}

fn write_zeros(file: &dyn File, mut from: u64, to: u64) -> io::Result<()> {
    while from < to {
        let len = usize::try_from(to - from).map_or(ZEROS.len(), |it| it.min(ZEROS.len()));
        write_all_at(file, ZEROS.get(..len).unwrap_or_default(), from)?;
        from += len as u64;
    }
    Ok(())
}
