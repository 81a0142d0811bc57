//! What a careless parent has left to this process, and must not reach the programs that it starts.
//!
//! * **I1** A descriptor above stderr that was open at the start does not reach a program: it is closed when
//!   one is executed. This process opens its own that way.
//! * **I2** A runtime has no signal blocked: with SIGCHLD among them it would not see its programs end.
//!
//! Where there is no `/proc` (I1) holds for nothing.

use std::{fs, os::fd::RawFd};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::SigSet,
};

/// The last descriptor that every program is meant to have.
const STDERR: RawFd = 2;

/// Keeps what is open now from the programs that are started from now on (I1).
pub(crate) fn keep_descriptors() {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    // All of them first: the listing has a descriptor of its own.
    let open: Vec<RawFd> =
        open.filter_map(|it| it.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|it| *it > STDERR) {
        // One that is closed by now reaches nobody.
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok();
    }
}

/// Lets every signal through (I2). Threads that are started later have the mask of this one.
pub(crate) fn unblock_signals() {
    // It fails for a wrong argument only.
    SigSet::empty().thread_set_mask().ok();
}
