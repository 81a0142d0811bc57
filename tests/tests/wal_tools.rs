//! What an operator does with a log, with the real program: verify, follow, status of a refused one.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use e2e::harness::{Bin, Finished, Process, autonomy, eventually, program};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A log directory and the runtime over it.
struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A node whose log has the entries of a few starts.
    fn used() -> Self {
        let node = Self::new();
        for _ in 0..3 {
            node.start().stop().unwrap();
        }
        node
    }

    fn wal(&self) -> PathBuf {
        self.dir.path().join("wal")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.wal().join(name)
    }

    fn start(&self) -> Process {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(["runtime", "start", "--listen", "127.0.0.1:0", "--node-id", "n1"]);
        command.arg("--wal-dir").arg(self.wal());
        command.arg("--policy-dir").arg(self.dir.path().join("policy"));
        let mut process = Process::start("runtime", &mut command).unwrap();
        process.wait_for("runtime listening").unwrap();
        process
    }

    /// Frames of the log, headers included.
    fn frames(&self) -> Vec<Vec<u8>> {
        let log = fs::read(self.path("telemetry.wal")).unwrap();
        let mut rest = &log[..];
        let mut frames = Vec::new();
        while let Some(header) = rest.first_chunk::<4>() {
            let (frame, behind) = rest.split_at(u32::from_be_bytes(*header) as usize + 4);
            frames.push(frame.to_vec());
            rest = behind;
        }
        frames
    }

    fn write(&self, frames: &[Vec<u8>]) {
        fs::write(self.path("telemetry.wal"), frames.concat()).unwrap();
    }

    fn wal_command(&self, verb: &str, more: &[&str]) -> Finished {
        let dir = self.wal();
        let args = [&["wal", verb, "--dir", dir.to_str().unwrap()], more].concat();
        autonomy(&args).unwrap()
    }

    fn json(&self, verb: &str, code: i32) -> Value {
        let before = files(&self.wal());
        let done = self.wal_command(verb, &["--output", "json"]);
        assert_eq!(done.code(), Some(code), "{done:?}");
        assert_eq!(files(&self.wal()), before, "a reader changes nothing");
        serde_json::from_str(&done.stdout).unwrap()
    }

    fn follow(&self) -> Command {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(["wal", "inspect", "--follow", "--output", "json", "--dir"]).arg(self.wal());
        command
    }

    /// The payloads in the log, one a line, as `inspect` and `export` print them.
    fn payloads(&self) -> Vec<String> {
        let done = self.wal_command("inspect", &["--output", "json"]);
        assert_eq!(done.code(), Some(0), "{done:?}");
        done.stdout.lines().map(str::to_owned).collect()
    }
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let named = entries.map(|it| (it.file_name().into_string().unwrap(), it.path()));
    named.filter(|it| it.1.is_file()).map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

#[test]
fn a_whole_log_is_verified_also_while_it_is_written() {
    let node = Node::used();
    let entries = node.frames().len();
    let found = node.json("verify", 0);
    assert_eq!(found["result"], "ok", "{found}");
    assert_eq!(found["node"], "n1");
    assert_eq!(found["entries"], entries);
    assert_eq!(found["bytes"], node.frames().concat().len());
    assert_eq!((&found["chained_from"], &found["tail"]), (&1.into(), &"clean".into()));
    assert_eq!(found["last_chain"].as_str().unwrap().len(), 64);
    assert!(found["seal"].as_str().unwrap().starts_with("none"), "{found}");

    let runtime = node.start();
    let done = node.wal_command("verify", &[]);
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert!(done.stdout.contains("result        ok"), "{}", done.stdout);
    runtime.stop().unwrap();
}

#[test]
fn every_kind_of_damage_is_named_with_its_place() {
    let node = Node::used();
    let good = node.frames();
    let third: usize = good[..2].iter().map(Vec::len).sum();
    let check = |kind: &str, code: &str, frames: Vec<Vec<u8>>| {
        node.write(&frames);
        let found = node.json("verify", 8);
        assert_eq!(found["result"], "damaged");
        assert_eq!((&found["kind"], &found["code"]), (&kind.into(), &code.into()), "{found}");
        assert_eq!((&found["seq"], &found["offset"]), (&3.into(), &third.into()), "{found}");
        assert!(!found["hint"].as_str().unwrap().is_empty());
    };
    let mut frames = good.clone();
    frames[2][60] ^= 1;
    check("edit", "WAL_CORRUPT_CHAIN", frames);
    let mut frames = good.clone();
    frames.remove(2);
    check("delete", "SEQ_GAP", frames);
    let mut frames = good.clone();
    frames.insert(2, good[0].clone());
    check("insert", "SEQ_GAP", frames);
    let mut frames = good.clone();
    frames.swap(2, 3);
    check("reorder", "SEQ_GAP", frames);
    check("truncate", "SAFESEQ_GT_MAXSEQ", good[..2].to_vec());

    let done = node.wal_command("verify", &[]);
    assert_eq!(done.code(), Some(8), "{done:?}");
    let want = ["kind     truncate", "seq      3", "code     SAFESEQ_GT_MAXSEQ", "hint "];
    for want in want {
        assert!(done.stdout.contains(want), "{want}\n{}", done.stdout);
    }
    fs::remove_file(node.path("telemetry.safe_seq")).unwrap();
    let done = node.wal_command("verify", &[]);
    assert_eq!(done.code(), Some(8), "{done:?}");
    assert!(done.stderr.contains("safe_seq missing"), "{done:?}");
    let empty = tempfile::tempdir().unwrap();
    let done = autonomy(&["wal", "verify", "--dir", empty.path().to_str().unwrap()]).unwrap();
    assert_eq!(done.code(), Some(5), "{done:?}");
}

#[test]
fn status_of_a_refused_log_shows_what_could_be_read() {
    let node = Node::used();
    let mut frames = node.frames();
    let (entries, safe) = (frames.len(), fs::read(node.path("telemetry.safe_seq")).unwrap());
    let good: usize = frames[..2].iter().map(Vec::len).sum();
    frames[2][60] ^= 1;
    node.write(&frames);
    fs::write(node.path("telemetry.pos"), 1_u64.to_le_bytes()).unwrap();
    let found = node.json("status", 8);
    assert_eq!(found["health"], "WAL_CORRUPT_CHAIN");
    let log = &found["log"];
    assert_eq!((&log["entries"], &log["bytes_good"]), (&2.into(), &good.into()), "{found}");
    assert_eq!(log["bytes"], frames.concat().len());
    assert_eq!(log["safe_seq"], u64::from_le_bytes(safe.try_into().unwrap()));
    assert_eq!(log["node"], "n1");
    assert_eq!((&found["position"], &found["lag"]), (&1.into(), &1.into()), "{found}");

    // Without a safe point everything that holds is counted, and no safe point is claimed.
    frames[2][60] ^= 1;
    node.write(&frames);
    fs::remove_file(node.path("telemetry.safe_seq")).unwrap();
    let found = node.json("status", 8);
    assert_eq!(found["log"]["entries"], entries, "{found}");
    assert_eq!(found["log"]["safe_seq"], Value::Null);
    let text = node.wal_command("status", &[]).stdout;
    assert!(text.contains("bytes good"), "{text}");
}

/// Waits until a follower has printed exactly these lines, and no others.
fn has_printed(follower: &Process, want: &[String]) {
    eventually("the follower has printed every entry", || {
        let printed = follower.output();
        (printed.lines().count() >= want.len()).then_some(())
    })
    .unwrap();
    assert_eq!(follower.output().lines().collect::<Vec<_>>(), want);
}

#[test]
fn a_follower_prints_every_entry_once_across_kills_and_a_new_log() {
    let node = Node::new();
    node.start().stop().unwrap();
    let follower = Process::start("follower", &mut node.follow()).unwrap();
    has_printed(&follower, &node.payloads());

    let runtime = node.start();
    has_printed(&follower, &node.payloads());
    runtime.kill().unwrap();
    let runtime = node.start();
    has_printed(&follower, &node.payloads());
    runtime.stop().unwrap();

    // Another log takes its place, as an archive does it.
    let old = node.payloads();
    has_printed(&follower, &old);
    fs::create_dir_all(node.path("archive")).unwrap();
    fs::rename(node.path("telemetry.wal"), node.path("archive/old.wal")).unwrap();
    fs::write(node.path("telemetry.safe_seq"), 0_u64.to_le_bytes()).unwrap();
    let runtime = node.start();
    assert_ne!(node.payloads().first(), old.first());
    has_printed(&follower, &[old.clone(), node.payloads()].concat());
    runtime.stop().unwrap();
    has_printed(&follower, &[old, node.payloads()].concat());
    follower.stop().unwrap();
}

#[test]
fn a_follower_ends_on_both_signals_and_when_nobody_reads() {
    let node = Node::used();
    for signal in [Signal::TERM, Signal::INT] {
        let mut follower = Process::start("follower", &mut node.follow()).unwrap();
        follower.wait_for("wal.created").unwrap();
        follower.signal(signal).unwrap();
        assert_eq!(follower.wait().unwrap().code(), Some(0), "{signal:?}");
    }
    let mut child = node.follow().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).unwrap();
    assert!(first.contains("wal.created"), "{first}");
    // Nothing is written any more; the follower notices all the same.
    drop(stdout);
    let status = eventually("the follower ends", || child.try_wait().unwrap()).unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_follower_reports_damage_and_a_log_that_is_gone_for_good() {
    let node = Node::used();
    let mut follower = Process::start("follower", &mut node.follow()).unwrap();
    follower.wait_for("wal.created").unwrap();
    fs::remove_file(node.path("telemetry.wal")).unwrap();
    assert_eq!(follower.wait().unwrap().code(), Some(8), "{}", follower.output());
    assert!(follower.output().contains("SAFESEQ_GT_MAXSEQ"), "{}", follower.output());
}

/// A log that others wrote: JSON objects with numbers, and no chain.
fn foreign(node: &Node, payloads: &[&str]) {
    let frame =
        |it: &&str| [&u32::try_from(it.len()).unwrap().to_be_bytes(), it.as_bytes()].concat();
    fs::create_dir_all(node.wal()).unwrap();
    node.write(&payloads.iter().map(frame).collect::<Vec<_>>());
    fs::write(node.path("telemetry.safe_seq"), (payloads.len() as u64).to_le_bytes()).unwrap();
}

#[test]
fn what_recovery_takes_for_an_entry_is_listed_whatever_it_says() {
    let node = Node::new();
    let deep = format!(r#"{{"seq":4,"event":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    foreign(
        &node,
        &[
            r#"{"seq":1}"#,
            r#"{"event":["autonomy.error"],"seq":2}"#,
            "\r\n {\t\"seq\" : 3, \"event\":{\"kind\":7}}\n",
            &deep,
            r#"{"seq":5,"event":{"kind":"\u001b[2Jx","attrs":{"reason":"a\nb\u009b1m"}},"big":1e999999}"#,
            r#"{"seq":6,"event":{"kind":"y","attrs":{"$serde_json::private::RawValue":"}{"}}}"#,
        ],
    );
    let listed = node.wal_command("inspect", &[]);
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    let lines: Vec<_> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), 6, "{listed:?}");
    assert!(lines[0].ends_with("(no event) 9 bytes of JSON"), "{listed:?}");
    assert!(
        lines[4].contains(r"\u{1b}[2Jx") && lines[4].ends_with(r"reason=a\nb\u{9b}1m"),
        "{listed:?}"
    );
    assert!(!listed.stdout.contains(|it: char| it.is_control() && it != '\n'), "{listed:?}");
    let some = node.wal_command("inspect", &["--kind", "y"]);
    assert_eq!((some.code(), some.stdout.lines().count()), (Some(0), 1), "{some:?}");
    // Whoever starts takes them, too, and nobody disagrees afterwards.
    for verb in ["status", "verify"] {
        assert_eq!(node.wal_command(verb, &[]).code(), Some(0));
    }
    node.start().stop().unwrap();
    let after = node.wal_command("inspect", &[]);
    assert_eq!(after.code(), Some(0), "{after:?}");
    assert!(after.stdout.starts_with(&listed.stdout), "{after:?}");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    for name in ["telemetry.wal", "telemetry.safe_seq", "telemetry.switch", "telemetry.lock"] {
        let node = Node::used();
        fs::remove_file(node.path(name)).ok();
        mknodat(CWD, node.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let dir = node.wal();
        let start = ["runtime", "start", "--listen", "127.0.0.1:0", "--wal-dir"];
        let refused = autonomy(&[&start[..], &[dir.to_str().unwrap()]].concat()).unwrap();
        assert_eq!(refused.code(), Some(1), "{name}: {refused:?}");
        assert!(refused.stderr.contains("not a regular file"), "{name}: {refused:?}");
        if name != "telemetry.lock" {
            let status = node.wal_command("status", &[]);
            assert_eq!(status.code(), Some(1), "{name}: {status:?}");
        }
    }
}

#[test]
fn a_log_behind_a_symbolic_link_goes_to_the_archive_itself() {
    let node = Node::used();
    fs::create_dir(node.dir.path().join("elsewhere")).unwrap();
    fs::rename(node.path("telemetry.wal"), node.dir.path().join("elsewhere/log")).unwrap();
    std::os::unix::fs::symlink("../elsewhere/log", node.path("telemetry.wal")).unwrap();
    let entries = node.payloads().len() as u64;
    fs::write(node.path("telemetry.pos"), entries.to_le_bytes()).unwrap();
    let archived = node.wal_command("archive", &["--output", "json"]);
    assert_eq!(archived.code(), Some(0), "{archived:?}");
    let archived: Value = serde_json::from_str(&archived.stdout).unwrap();
    assert_eq!(archived["packed"][0]["entries"], entries);
}
