//! What is drawn and coloured for a person at a terminal, and never in a pipe.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{path::Path, process::Command};

use e2e::harness::{Bin, Finished, Ports, Process, Stack, program, run_to_end};
use jiff::Timestamp;
use vfs::OsVfs;
use wal_format::{Event, Kind};
use wal_recovery::{Durability, Opening, Overrides, Submission, recover};

/// What every colour, and every line that is drawn over, begins with.
const ESCAPE: char = '\u{1b}';
/// Entries from which a drain draws a bar, and a few more.
const MANY: usize = 10_050;
/// What only the bar says.
const BAR: &str = " left";

/// How a command is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Terminal,
    Pipe,
}

/// Runs a command of `autonomy` with an environment, at a terminal of `script` or with pipes.
fn run(seen: Seen, line: &str, more: &[(&str, &str)]) -> Finished {
    let program = program(Bin::Autonomy).unwrap();
    let path = Path::new(program.get_program()).to_str().unwrap().to_owned();
    let mut command = match seen {
        Seen::Terminal => {
            let mut command = Command::new("script");
            command.args(["-qec", &format!("exec {path} {line}"), "/dev/null"]);
            command
        }
        Seen::Pipe => {
            let mut command = Command::new(path);
            command.args(line.split(' '));
            command
        }
    };
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    command.env("SHELL", "/bin/sh").env("TERM", "xterm-256color").envs(more.iter().copied());
    run_to_end(&mut command).unwrap()
}

fn all_of(ended: &Finished) -> String {
    format!("{}{}", ended.stdout, ended.stderr)
}

/// Writes a log of many entries, in groups.
fn fill(dir: &Path) {
    let now = Timestamp::now();
    let opening = Opening {
        dir: dir.to_owned(),
        node: "n".to_owned(),
        random: [7; 16],
        now,
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: "a test".to_owned(),
    };
    let mut writer = recover(&OsVfs, &opening).unwrap().writer;
    let event = Event::new(Kind::Action).with("outcome", "ok");
    let group: Vec<Submission> =
        (0..MANY / 10).map(|_| Submission::new(&event, now).unwrap()).collect();
    for _ in 0..10 {
        writer.commit(&group).unwrap();
    }
    writer.close().unwrap();
}

/// A log that nobody has drained, and somebody to drain it to.
fn scene() -> (tempfile::TempDir, Stack, Process) {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    std::fs::create_dir(stack.wal_dir()).unwrap();
    fill(&stack.wal_dir());
    let mut command = program(Bin::Sink).unwrap();
    command.args(["--listen", &format!("127.0.0.1:{}", stack.ports.sink)]);
    command.arg("--out").arg(stack.dir.join("sink.jsonl"));
    let mut sink = Process::start("sink", &mut command).unwrap();
    sink.wait_for("otel-sink listening").unwrap();
    (dir, stack, sink)
}

/// Drains everything, from the beginning.
fn drained(stack: &Stack, seen: Seen, more: &[(&str, &str)]) -> String {
    // A copy that was never drained.
    let copy = tempfile::tempdir_in(&stack.dir).unwrap();
    for entry in std::fs::read_dir(stack.wal_dir()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let (dir, sink) = (copy.path(), stack.sink_url());
    let line = format!("telemetry drain --dir {} --endpoint {sink}", dir.display());
    let ended = run(seen, &line, more);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    all_of(&ended)
}

#[test]
fn a_long_drain_draws_a_bar_at_a_terminal_and_in_no_pipe() {
    let (_dir, stack, sink) = scene();
    let said = drained(&stack, Seen::Terminal, &[]);
    assert!(said.contains(BAR) && said.contains(ESCAPE), "{said:?}");
    for (seen, more) in [
        (Seen::Pipe, &[][..]),
        (Seen::Terminal, &[("TERM", "dumb")][..]),
        (Seen::Pipe, &[("TERM", "dumb"), ("NO_COLOR", "1")][..]),
    ] {
        let said = drained(&stack, seen, more);
        assert!(!said.contains(BAR) && !said.contains(ESCAPE), "{seen:?} {more:?}: {said:?}");
        let accepted = said.lines().filter(|it| it.contains("accepted")).count();
        assert!(accepted > 1, "every batch has its line: {said}");
    }
    // The bar has no colour that could be turned off, and stays.
    let said = drained(&stack, Seen::Terminal, &[("NO_COLOR", "1")]);
    assert!(said.contains(BAR) && !said.contains("\u{1b}[3"), "{said:?}");
    sink.stop().unwrap();
}

#[test]
fn help_and_mistakes_are_coloured_at_a_terminal_and_in_no_pipe() {
    for line in ["wal --help", "wal status --no-such-option"] {
        let said = all_of(&run(Seen::Terminal, line, &[]));
        assert!(said.contains(ESCAPE), "{line}: {said:?}");
        for (seen, more) in [
            (Seen::Pipe, &[][..]),
            (Seen::Terminal, &[("NO_COLOR", "1")][..]),
            (Seen::Terminal, &[("TERM", "dumb")][..]),
        ] {
            let said = all_of(&run(seen, line, more));
            assert!(!said.contains(ESCAPE), "{line} {seen:?} {more:?}: {said:?}");
            assert!(said.contains("Usage:"), "{said}");
        }
    }
}

#[test]
fn log_lines_are_coloured_text_at_a_terminal_and_json_in_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    // A log that is refused: the start says so in its log, and ends.
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    std::fs::write(dir.path().join("wal/telemetry.wal"), "no log").unwrap();
    let place = dir.path().display();
    let line = format!(
        "runtime start --listen 127.0.0.1:0 --node-id n --wal-dir {place}/wal --policy-dir {place}/p"
    );
    let coloured = |it: &str| it.contains("\u{1b}[3") || it.contains("\u{1b}[2");
    let said = all_of(&run(Seen::Terminal, &line, &[]));
    assert!(coloured(&said), "{said:?}");
    for more in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let said = all_of(&run(Seen::Terminal, &line, &[more]));
        assert!(
            !said.contains(ESCAPE) && said.contains("WAL_RECOVERY_FAIL_HARD"),
            "{more:?}: {said:?}"
        );
    }
    let said = run(Seen::Pipe, &line, &[]).stderr;
    assert!(!said.contains(ESCAPE) && said.contains("\"level\":\"ERROR\""), "{said:?}");
}
