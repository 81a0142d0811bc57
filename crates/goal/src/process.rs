//! Processes: whether the one that wrote something is still there.
//!
//! | the kernel says about the number            | alive                            |
//! |---------------------------------------------|----------------------------------|
//! | nothing                                     | no                               |
//! | a zombie, or a dead process                 | no                               |
//! | a process that began at the noted time      | yes                              |
//! | a process that began at another time        | no: the number was used again    |
//! | a process, and no time was noted            | yes                              |
//! | that this user may not look                 | yes: nothing is taken from it    |

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where the kernel of Linux shows its processes.
const PROC: &str = "/proc";
/// Fields of `stat` between the state (the 3rd) and the start time (the 22nd).
const STATE_TO_START: usize = 18;

/// What is known about the processes of this host.
pub trait Liveness: Send + Sync {
    /// Returns the name of this host.
    fn host(&self) -> &str;

    /// Returns the id of this boot; start times of another one mean nothing.
    fn boot_id(&self) -> &str;

    /// Returns when a process began, in clock ticks since the boot; none when it does not run.
    fn start_time(&self, pid: u32) -> Option<u64>;

    /// Returns whether the process that began at `proc_start` runs; without a time, whether any
    /// process of this number does.
    fn is_alive(&self, pid: u32, proc_start: Option<u64>) -> bool {
        self.start_time(pid).is_some_and(|it| proc_start.is_none_or(|noted| noted == it))
    }

    /// Returns whether a process of the group that had this leader runs, when the leader itself may be gone.
    fn group_lives(&self, _leader: u32) -> bool {
        false
    }
}

/// The processes of a Linux kernel.
#[derive(Clone, Debug)]
pub struct LinuxLiveness {
    proc: PathBuf,
    host: String,
    boot_id: String,
}

/// What can be seen of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// No process, or one that is over.
    Gone,
    /// A process that began at this tick.
    Since(u64),
    /// There may be one, and it cannot be looked at.
    Hidden,
}

impl LinuxLiveness {
    /// Reads the names of this host and this boot.
    ///
    /// # Errors
    ///
    /// The I/O error when the kernel does not tell them.
    pub fn new() -> io::Result<Self> {
        Self::at(Path::new(PROC))
    }

    /// Reads a directory that looks like `/proc`.
    fn at(proc: &Path) -> io::Result<Self> {
        let line = |name: &str| fs::read_to_string(proc.join("sys/kernel").join(name));
        let host = line("hostname")?.trim().to_owned();
        let boot_id = line("random/boot_id")?.trim().to_owned();
        Ok(Self { proc: proc.to_owned(), host, boot_id })
    }

    /// Looks at one number.
    fn look(&self, pid: u32) -> Seen {
        // A process name may hold any bytes.
        match fs::read(self.proc.join(pid.to_string()).join("stat")) {
            Ok(bytes) => seen(&String::from_utf8_lossy(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.shows_all() => Seen::Gone,
            // A process that ends while it is read.
            Err(e) if e.raw_os_error() == Some(ESRCH) => Seen::Gone,
            Err(_) => Seen::Hidden,
        }
    }

    /// Returns whether processes of others are shown: process 1 always runs, and is left out where
    /// `/proc` is mounted to hide them.
    fn shows_all(&self) -> bool {
        self.proc.join("1").exists()
    }
}

/// "No such process", as Linux numbers it.
const ESRCH: i32 = 3;

/// Reads a `stat` line. The name in it is in brackets and may hold spaces and brackets itself.
fn seen(stat: &str) -> Seen {
    let Some((_, fields)) = stat.rsplit_once(')') else { return Seen::Hidden };
    let mut fields = fields.split_ascii_whitespace();
    match fields.next() {
        Some("Z" | "X" | "x") => Seen::Gone,
        Some(_) => {
            let ticks = fields.nth(STATE_TO_START).and_then(|it| it.parse().ok());
            ticks.map_or(Seen::Hidden, Seen::Since)
        }
        None => Seen::Hidden,
    }
}

impl Liveness for LinuxLiveness {
    fn host(&self) -> &str {
        &self.host
    }

    fn boot_id(&self) -> &str {
        &self.boot_id
    }

    fn start_time(&self, pid: u32) -> Option<u64> {
        match self.look(pid) {
            Seen::Since(start) => Some(start),
            Seen::Gone | Seen::Hidden => None,
        }
    }

    fn is_alive(&self, pid: u32, proc_start: Option<u64>) -> bool {
        match self.look(pid) {
            Seen::Gone => false,
            Seen::Since(start) => proc_start.is_none_or(|it| it == start),
            Seen::Hidden => true,
        }
    }

    fn group_lives(&self, leader: u32) -> bool {
        // As long as a group has a member, no other process gets the number of its leader.
        let Ok(entries) = fs::read_dir(&self.proc) else { return true };
        let numbers = entries.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
        numbers.into_iter().any(|pid: u32| {
            let stat = fs::read(self.proc.join(pid.to_string()).join("stat")).unwrap_or_default();
            group(&String::from_utf8_lossy(&stat)) == Some(leader)
        })
    }
}

/// The process group of a `stat` line; none of a process that is over.
fn group(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let over = matches!(fields.next()?, "Z" | "X" | "x");
    fields.nth(1).filter(|_| !over)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt as _,
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use super::*;

    /// A `stat` line of a process in this state that began at tick 4711.
    fn stat(name: &str, state: &str) -> String {
        format!(
            "7 ({name}) {state} 1 7 7 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 4711 1000 10 18\n"
        )
    }

    /// A directory that looks like `/proc`.
    fn proc(files: &[(&str, &str)]) -> (tempfile::TempDir, LinuxLiveness) {
        let dir = tempfile::tempdir().unwrap();
        let names = [("sys/kernel/hostname", "n1\n"), ("sys/kernel/random/boot_id", "b-1\n")];
        for (path, text) in names.iter().chain(files) {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let liveness = LinuxLiveness::at(dir.path()).unwrap();
        (dir, liveness)
    }

    #[test]
    fn the_table_is_what_the_code_says() {
        let running = stat("a b) Z (", "S");
        let (_dir, it) = proc(&[
            ("1/stat", &stat("init", "S")),
            ("7/stat", &running),
            ("8/stat", &stat("x", "Z")),
            ("9/stat", "what"),
            ("10/stat", "10 (x) S 1 2"),
        ]);
        assert_eq!((it.host(), it.boot_id()), ("n1", "b-1"));
        assert_eq!(it.start_time(7), Some(4711));
        assert!(it.is_alive(7, Some(4711)));
        assert!(it.is_alive(7, None));
        assert!(!it.is_alive(7, Some(4710)), "the number was used again");
        assert!(!it.is_alive(8, None), "a zombie");
        assert!(!it.is_alive(6, None), "nothing");
        assert!(it.is_alive(9, Some(1)) && it.is_alive(10, Some(1)), "nothing is known");
        assert_eq!(it.start_time(9), None);
    }

    #[test]
    fn where_processes_are_hidden_a_missing_one_may_run() {
        let (_dir, it) = proc(&[]);
        assert!(it.is_alive(7, Some(4711)));
    }

    #[test]
    fn a_host_without_a_name_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(LinuxLiveness::at(dir.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn this_process_is_alive_and_has_not_begun_at_another_time() {
        let it = LinuxLiveness::new().unwrap();
        let pid = std::process::id();
        let start = it.start_time(pid).unwrap();
        assert!(it.is_alive(pid, Some(start)));
        assert!(!it.is_alive(pid, Some(start + 1)));
        assert!(!it.host().is_empty() && !it.boot_id().is_empty());
    }

    #[test]
    fn a_child_is_dead_as_a_zombie_and_when_it_is_reaped() {
        let it = LinuxLiveness::new().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let start = it.start_time(pid);
        assert!(start.is_some() && it.is_alive(pid, start));
        child.kill().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while it.is_alive(pid, start) {
            assert!(Instant::now() < deadline, "the killed child still counts as alive");
            std::thread::yield_now();
        }
        let line = fs::read_to_string(format!("{PROC}/{pid}/stat")).unwrap();
        assert!(line.contains(") Z "), "nobody has waited for it: {line}");
        child.wait().unwrap();
        assert!(!it.is_alive(pid, start));
    }

    #[test]
    fn the_group_of_a_stat_line_is_that_of_a_process_that_is_not_over() {
        for name in ["sh", "a b", "x) Z 1 2"] {
            assert_eq!(group(&stat(name, "S")), Some(7), "{name}");
            assert_eq!(group(&stat(name, "Z")), None, "{name}");
        }
        assert_eq!((group(""), group("7 (sh) S 1")), (None, None));
        let own = LinuxLiveness::new().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "read x"]).stdin(Stdio::piped()).process_group(0);
        let mut child = shell.spawn().unwrap();
        assert!(own.group_lives(child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!own.group_lives(child.id()));
    }
}
