//! The lines of `/bin/sh` that come before the program.
//!
//! | step | what                                             | why                                            |
//! |-----:|--------------------------------------------------|------------------------------------------------|
//! |    1 | the pipe from the runtime moves from fd 0 to fd 3 | the program reads from `/dev/null`             |
//! |    2 | a guard waits for the end of the pipe             | the runtime is gone then, however it went      |
//! |    3 | fd 3 is closed                                    | the program holds nothing of the runtime       |
//! |    4 | the limits                                        | one that cannot be set ends here, with code 125 |
//! |    5 | `exec` of the program                             | it is the leader of the group, under its own id |
//!
//! * **G1** The guard is a member of the group and kills all of it, itself included. It is no child of
//!   the program: a program that waits for all of its children does not wait for the guard.
//! * **G2** Nothing of a call is part of the script. Words are its positional parameters, limits are
//!   numbers.

use std::fmt::Write as _;

/// The shell that runs the script.
pub(super) const SH: &str = "/bin/sh";

const GUARD: &str = "exec 3<&0 </dev/null
( ( read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 & ) || exit 125
exec 3<&-
unset PWD OLDPWD SHLVL
";

/// What a program of `tool.shell` may use up. Each limit holds for each process of the program;
/// nothing is bounded that is not stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShellLimits {
    /// Seconds of processor time.
    pub cpu_seconds: Option<u32>,
    /// Longest file that it may write, in KiB.
    pub file_kib: Option<u32>,
    /// Address space, in KiB.
    pub memory_kib: Option<u32>,
    /// Open files.
    pub open_files: Option<u32>,
}

/// The script for these limits.
pub(super) fn script(limits: &ShellLimits) -> String {
    let mut script = GUARD.to_owned();
    let limits = [
        // No core file: it would hold what the program knew, and nobody asked for it.
        ("c", Some(0)),
        ("t", limits.cpu_seconds.map(u64::from)),
        // The unit of POSIX: 512 bytes.
        ("f", limits.file_kib.map(|it| u64::from(it) * 2)),
        ("v", limits.memory_kib.map(u64::from)),
        ("n", limits.open_files.map(u64::from)),
    ];
    for (flag, limit) in limits {
        if let Some(limit) = limit {
            // Writing to a string does not fail.
            writeln!(script, "ulimit -{flag} {limit} || exit 125").ok();
        }
    }
    script.push_str("exec \"$@\"\n");
    script
}
