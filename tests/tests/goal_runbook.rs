//! The runbook of goals, run command by command in its order.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, path::Path, process::Command};

use e2e::{
    harness::{Bin, run_to_end},
    stories::goals::Lab,
};

/// What a line says about its exit code.
const EXIT: &str = " # exit ";

/// Commands of a page, in order, with the exit codes that it promises.
fn commands(page: &str) -> Vec<(String, i32)> {
    let blocks = page.split("\n```sh\n").skip(1).map(|it| it.split("\n```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter(|it| !it.starts_with('#'));
    lines
        .map(|line| match line.split_once(EXIT) {
            Some((command, code)) => (command.to_owned(), code.parse().unwrap()),
            None => (line.to_owned(), 0),
        })
        .collect()
}

#[test]
fn every_command_of_the_page_works_in_its_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/src/runbooks/goals.md")).unwrap();
    let commands = commands(&page);
    assert!(commands.len() > 40, "these are not all commands: {}", commands.len());
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::new(dir.path()).unwrap();
    let programs = Bin::Autonomy.path().unwrap();
    let path = format!("{}:/usr/bin:/bin", programs.parent().unwrap().display());
    for (command, code) in &commands {
        // Nobody waits for a provider here.
        let words = command.replace("--retry-delay 60", "--retry-delay 0");
        let words = words.replace("--retry-delay 120", "--retry-delay 0");
        let words = if words.ends_with("verify-loop --escalate") {
            format!("{words} --retry-delay 0")
        } else {
            words
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", &words]).current_dir(lab.root()).env_clear();
        let done = run_to_end(shell.env("PATH", &path).env("HOME", lab.root())).unwrap();
        assert_eq!(done.code(), Some(*code), "{command}\n{}{}", done.stdout, done.stderr);
    }
    assert_eq!(lab.text("status").unwrap(), "abandoned");
}
