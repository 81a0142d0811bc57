//! Real processes, real sockets, conditions with deadlines.

mod bins;
mod calls;
mod client;
mod mount;
mod pages;
mod process;
mod snapshot;
mod stack;
mod workspace;

pub use bins::{Bin, build};
pub use calls::{Answers, audit, call_until_refused};
pub use client::Client;
pub use mount::{Disk, Mount, mounts_below};
pub use pages::{Block, Printed, Walk, alike, blocks, elsewhere, page, shows};
pub use process::{Finished, Process, run_to_end};
pub use snapshot::{BLESS, same_as_files};
pub use stack::{Ports, RuntimeOptions, Stack, autonomy, program};
pub use workspace::{demo_dir, demo_policies, drill_report, evidence_dir};

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Set where nothing may be skipped.
pub const NO_SKIP: &str = "AUTONOMY_NO_SKIP";
/// Longest wait for anything that should happen soon. Generous: a loaded machine is no failure.
pub const SOON: Duration = Duration::from_mins(1);
/// Pause between two looks at a condition that cannot be waited for otherwise.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits until `look` returns a value.
///
/// # Errors
///
/// When it has not within [`SOON`].
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {SOON:?} in vain until {what}");
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
}
