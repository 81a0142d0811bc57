//! Where the figures were made. Names no path and no host.

use std::{fs, path::Path, process::Command};

use serde::Serialize;

use crate::callers::cores;

/// What a reader must know to compare.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) filesystem: String,
    pub(crate) commit: String,
}

impl Machine {
    /// Looks around; `data` is where the data goes. What cannot be found out is `unknown`.
    pub(crate) fn here(data: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, key: &str| {
            let line = text.lines().find(|it| it.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|it| it.strip_suffix(" kB")?.parse::<f64>().ok());
        Self {
            cores: cores(),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            memory_gib: kib.map_or(f64::NAN, |it| (it / f64::from(1 << 20) * 10.0).round() / 10.0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem(&read("/proc/self/mountinfo"), data).unwrap_or_else(unknown),
            commit: commit().unwrap_or_else(unknown),
        }
    }
}

/// Processor time of the machine and of this process up to now, in clock ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    all: u64,
    idle: u64,
    own: u64,
}

impl Ticks {
    /// `None` where the kernel does not say.
    pub(crate) fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        Self::read(&stat, &fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// user, nice, system, idle, iowait, irq, softirq, steal; and utime, stime, cutime, cstime.
    fn read(machine: &str, process: &str) -> Option<Self> {
        let numbers =
            |text: &str| text.split_whitespace().map_while(|it| it.parse().ok()).collect();
        let cpu: Vec<u64> = numbers(machine.lines().next()?.strip_prefix("cpu ")?);
        // The name of the process, in brackets, may hold anything; a letter follows it.
        let behind = process.rsplit_once(')')?.1.trim_start();
        let own: Vec<u64> = numbers(behind.split_once(' ')?.1);
        Some(Self {
            all: cpu.iter().take(8).sum(),
            idle: cpu.iter().skip(3).take(2).sum(),
            own: own.iter().skip(10).take(4).sum(),
        })
    }

    /// Which part of the processors others used since `before`: other processes, and the kernel.
    pub(crate) fn used_by_others_since(self, before: Self) -> f64 {
        let passed = self.all.saturating_sub(before.all);
        let ours = self.idle.saturating_sub(before.idle) + self.own.saturating_sub(before.own);
        passed.saturating_sub(ours) as f64 / passed.max(1) as f64
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The type of the file system under `path`: the last mount whose place is above it.
fn filesystem(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (before, behind) = line.split_once(" - ")?;
        let place = before.split(' ').nth(4)?.to_owned();
        Some((place, behind.split(' ').next()?.to_owned()))
    };
    let above = mounts.lines().filter_map(mount).filter(|(place, _)| path.starts_with(place));
    above.max_by_key(|(place, _)| place.len()).map(|(_, kind)| kind)
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = !git(&["status", "--porcelain"])?.is_empty();
    Some(if changed { format!("{commit} with changes") } else { commit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_used_is_what_neither_idles_nor_is_ours() {
        let process = |own: u64| format!("7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 {own} 0 0 0 99 99");
        let before = Ticks::read("cpu  10 0 10 100 0 0 0 0 7 7\n", &process(5)).unwrap();
        let after = Ticks::read("cpu  50 0 20 140 5 0 5 0 7 7\n", &process(35)).unwrap();
        assert_eq!((before.all, before.idle, before.own), (120, 100, 5));
        // A hundred ticks: 45 idle, 30 ours, 25 of others.
        assert!((after.used_by_others_since(before) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mounts =
            "22 1 254:0 / / rw - ext4 /dev/vda rw\n30 22 0:5 / /data rw shared:1 - xfs x rw\n";
        let of = |path: &str| filesystem(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/data/x"), "xfs");
        assert_eq!(of("/database"), "ext4");
    }
}
