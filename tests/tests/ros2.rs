//! `autonomy ros2 run` with programs in the place of docker and ros2: what is started, and when not.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::harness::{Bin, Finished, Process, autonomy, program, run_to_end};
use rustix::process::Signal;
use tempfile::TempDir;

/// A machine with these two programs, which leave a mark of how they were started.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        let ros2 = "echo \"ros2 $*\" >> \"$MARKS\"; echo \"url $AUTONOMY_RUNTIME_URL\" >> \"$MARKS\"\n\
                    [ -n \"$STAY\" ] && { echo staying; exec sleep 1000; }\n\
                    exit \"${CODE:-0}\"";
        // An engine that runs the command behind the image on this machine.
        let docker = "[ \"$1\" = version ] && exit \"${ENGINE:-0}\"\n\
                      echo \"docker $*\" >> \"$MARKS\"\n\
                      shift 7; exec \"$@\"";
        for (name, script) in [("ros2", ros2), ("docker", docker)] {
            let path = this.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        this
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn wal(&self) -> PathBuf {
        self.path().join("wal")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program(Bin::Autonomy).unwrap();
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path().display()));
        command.env("MARKS", self.path().join("marks")).args(["ros2", "run", "--dir"]);
        command.arg(self.wal()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        run_to_end(&mut self.command(args)).unwrap()
    }

    /// How programs were started, a line each.
    fn marks(&self) -> Vec<String> {
        let marks = fs::read_to_string(self.path().join("marks")).unwrap_or_default();
        marks.lines().map(str::to_owned).collect()
    }

    fn exported(&self) -> String {
        let dir = self.wal();
        let dir = dir.to_str().unwrap();
        assert_eq!(autonomy(&["wal", "verify", "--dir", dir]).unwrap().code(), Some(0));
        autonomy(&["telemetry", "export", "--dir", dir, "--out", "-"]).unwrap().stdout
    }

    fn policy(&self, rego: &str) -> String {
        let dir = self.path().join("policy");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("p.rego"), rego).unwrap();
        dir.to_str().unwrap().to_owned()
    }
}

/// The lines that say what was seen, in their order.
fn passes(ended: &Finished) -> Vec<&str> {
    ended.stdout.lines().filter(|it| it.starts_with("PASS ")).collect()
}

#[test]
fn in_a_container_every_step_is_said_and_on_record() {
    let machine = Machine::new();
    let ended = machine.run(&["--image", "ros:jazzy", "--", "launch", "demo", "x.launch.py"]);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let labels = [
        "ros2-telemetry-active",
        "ros2-runtime-container-ready",
        "ros2-launch-allowed",
        "ros2-stack-start",
        "ros2-policy-enforced",
        "ros2-wal-recording",
    ];
    assert_eq!(passes(&ended), labels.map(|it| format!("PASS {it} context=container")));
    let marks = machine.marks();
    let docker = "docker run --rm --network host --env AUTONOMY_RUNTIME_URL ros:jazzy";
    assert_eq!(marks[0], format!("{docker} ros2 launch demo x.launch.py"));
    assert_eq!(marks[1], "ros2 launch demo x.launch.py");
    assert!(marks[2].starts_with("url http://127.0.0.1:"), "{marks:?}");
    let exported = machine.exported();
    assert!(exported.contains(r#""kind":"tool.ros2.launch""#), "{exported}");
    for label in labels {
        assert_eq!(exported.matches(label).count(), 1, "{label}");
    }
}

#[test]
fn on_the_machine_itself_it_is_refused_until_somebody_takes_less_governance() {
    let machine = Machine::new();
    let refused = machine.run(&["--", "launch", "demo", "x.launch.py"]);
    assert_eq!(refused.code(), Some(3), "{refused:?}");
    assert!(refused.stderr.contains("NATIVE_REFUSED"), "{refused:?}");
    assert_eq!((machine.marks().len(), machine.wal().exists()), (0, false));
    let mut command =
        machine.command(&["--allow-reduced-governance", "--", "run", "demo", "talker"]);
    let ended = run_to_end(command.env("CODE", "77")).unwrap();
    assert_eq!(ended.code(), Some(77), "the code of ros2 is kept: {ended:?}");
    assert_eq!(passes(&ended).len(), 5, "{ended:?}");
    assert!(passes(&ended).iter().all(|it| it.ends_with(" context=native")), "{ended:?}");
    assert_eq!(machine.marks()[0], "ros2 run demo talker");
    assert!(machine.exported().contains(r#""kind":"tool.ros2.run""#));
}

#[test]
fn nothing_is_started_that_the_policy_does_not_clearly_allow() {
    let denying = "package autonomy\ndefault decision := {\"allow\": false, \"reason\": \"not today\", \"rule\": \"r\"}\n";
    let demanding = "package autonomy\ndecision := {\"allow\": true, \"rule\": \"r\", \"obligations\": [{\"do\": \"slowly\"}]}\n";
    for (rego, why) in [(denying, "not today"), (demanding, "slowly")] {
        let machine = Machine::new();
        let policy = machine.policy(rego);
        let args = ["--image", "i", "--policy", &policy, "--", "launch", "demo", "x.launch.py"];
        let ended = machine.run(&args);
        assert_eq!(ended.code(), Some(3), "{ended:?}");
        assert!(ended.stderr.contains("LAUNCH_DENIED") && ended.stderr.contains(why), "{ended:?}");
        assert_eq!(passes(&ended).len(), 2, "{ended:?}");
        assert_eq!(machine.marks(), Vec::<String>::new(), "nothing was started");
        let exported = machine.exported();
        assert!(exported.contains("tool.ros2.launch") && exported.contains("runtime.stopped"));
    }
    let machine = Machine::new();
    let mut strict = machine.command(&["--image", "i", "--", "launch", "demo", "x.launch.py"]);
    let ended = run_to_end(strict.env("AUTONOMY_STRICT_MODE", "1")).unwrap();
    assert_eq!((ended.code(), machine.marks().len()), (Some(3), 0), "{ended:?}");
}

#[test]
fn an_engine_that_does_not_answer_and_words_that_are_no_command_start_nothing() {
    let machine = Machine::new();
    let mut command = machine.command(&["--image", "i", "--", "launch", "demo", "x.launch.py"]);
    let ended = run_to_end(command.env("ENGINE", "1")).unwrap();
    assert_eq!(ended.code(), Some(7), "{ended:?}");
    assert_eq!(passes(&ended), ["PASS ros2-telemetry-active context=container"]);
    for args in [["--image", "i", "--", "--help"], ["--image", "-v", "--", "launch"]] {
        assert_eq!(machine.run(&args).code(), Some(2), "{args:?}");
    }
    assert_eq!(machine.marks(), Vec::<String>::new());
}

#[test]
fn a_signal_reaches_the_stack_and_its_end_is_recorded() {
    let machine = Machine::new();
    let mut command = machine.command(&["--image", "i", "--", "launch", "demo", "x.launch.py"]);
    let mut process = Process::start("ros2", command.env("STAY", "1")).unwrap();
    process.wait_for("staying").unwrap();
    process.signal(Signal::INT).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(130), "{}", process.output());
    assert!(machine.exported().contains("ros2-wal-recording"));
}
