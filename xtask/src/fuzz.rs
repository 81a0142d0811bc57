//! Runs the fuzz targets of `tests/fuzz`.
//!
//! They need a nightly compiler and `cargo-fuzz`; what is missing is named, with the command that
//! installs it. New inputs go into `tests/fuzz/grown`, which is no part of the repository; the seeds
//! in `tests/fuzz/corpus` are only read.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{root, run};

/// How long each target runs when nothing else is asked for.
const MINUTES_DEFAULT: u64 = 10;
/// Most memory of a target, in MiB. Beyond it the input is reported.
const MEMORY_MIB_MAX: u32 = 2048;
/// Longest input, in bytes: room for a log of some twenty entries.
const INPUT_LEN_MAX: u32 = 8192;
/// Longest time for one input, in seconds. Beyond it the input is reported.
const INPUT_SECONDS_MAX: u32 = 20;

/// Runs one target, or all of them one after the other. Says what is wrong and returns `false` when
/// one finds something, or cannot be run.
pub(crate) fn fuzz(words: &[&str]) -> bool {
    let (asked, minutes) = match words {
        [] => (None, Some(MINUTES_DEFAULT)),
        ["--minutes", minutes] => (None, minutes.parse().ok()),
        [target] => (Some(*target), Some(MINUTES_DEFAULT)),
        [target, "--minutes", minutes] => (Some(*target), minutes.parse().ok()),
        _ => (None, None),
    };
    let Some(minutes) = minutes.filter(|it| (1..=1_000_000).contains(it)) else {
        eprintln!("usage: cargo xtask fuzz [TARGET] [--minutes N]");
        return false;
    };
    let known = targets();
    let chosen: Vec<&String> =
        known.iter().filter(|it| asked.is_none_or(|asked| asked == it.as_str())).collect();
    if chosen.is_empty() {
        eprintln!("no such target; there are: {}", known.join(", "));
        return false;
    }
    if let Some(missing) = missing() {
        eprintln!("{missing}");
        return false;
    }
    chosen.into_iter().all(|target| fuzz_one(target, minutes))
}

/// The names of the targets, sorted.
fn targets() -> Vec<String> {
    let entries = fs::read_dir(home().join("fuzz_targets")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|it| Some(it.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// What has to be installed first.
fn missing() -> Option<&'static str> {
    let answers = |args: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(["run", "nightly"]).args(args).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|it| it.success())
    };
    if !answers(&["rustc", "--version"]) {
        return Some("a nightly compiler is missing: rustup toolchain install nightly");
    }
    if !answers(&["cargo", "fuzz", "--version"]) {
        return Some("cargo-fuzz is missing: cargo install cargo-fuzz");
    }
    None
}

fn fuzz_one(target: &str, minutes: u64) -> bool {
    let grown = home().join("grown").join(target);
    if let Err(error) = fs::create_dir_all(&grown) {
        eprintln!("{}: {error}", grown.display());
        return false;
    }
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz", "run", "--fuzz-dir"])
        .arg(home())
        .arg(target)
        .arg(grown)
        .arg(home().join("corpus").join(target))
        .arg("--")
        .arg(format!("-max_total_time={}", minutes * 60))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-max_len={INPUT_LEN_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg("-print_final_stats=1")
        .current_dir(root());
    run(&mut command)
}

fn home() -> std::path::PathBuf {
    root().join(Path::new("tests/fuzz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_binary_a_check_and_seeds() {
        let manifest = fs::read_to_string(home().join("Cargo.toml")).unwrap();
        let checks = fs::read_to_string(home().join("src/lib.rs")).unwrap();
        let targets = targets();
        assert!(targets.len() >= 9);
        for target in &targets {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
            let file =
                fs::read_to_string(home().join(format!("fuzz_targets/{target}.rs"))).unwrap();
            let check = file.split("checks::").nth(1).and_then(|it| it.split('`').next()).unwrap();
            assert!(checks.contains(&format!("pub mod {check};")), "{target}");
            assert!(home().join("corpus").join(target).is_dir(), "{target}");
        }
    }

    #[test]
    fn a_wrong_target_or_time_runs_nothing() {
        for words in [&["nonsense"][..], &["--minutes", "0"], &["frame", "--minutes", "x"]] {
            assert!(!fuzz(words), "{words:?}");
        }
    }
}
