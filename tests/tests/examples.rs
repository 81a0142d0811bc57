//! Every example of every crate runs to its end, alone and without a network, and says something.
//!
//! | what                                        | where                                   |
//! |---------------------------------------------|-----------------------------------------|
//! | the programs                                 | `crates/*/examples/*.rs`                 |
//! | arguments of those that need some            | [`ARGUMENTS`]                            |
//! | how long one may take                        | [`LONGEST`]                              |
#![expect(
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test, and its text is the complaint"
)]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longest time that a program may take on a busy machine.
const LONGEST: Duration = Duration::from_mins(2);
/// How often a program is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Arguments of programs that need some, or that would measure for minutes without. Each runs in a directory of its own.
const ARGUMENTS: [(&str, &[&str]); 3] = [
    ("audit/append", &["trail", "writer-1", "3", "2", "1048576"]),
    ("audit/long_trail", &["100", "10"]),
    ("rollout-store/large_fleet", &["100"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Names in a directory; none when there is no such directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The examples of each crate, from the files.
fn examples() -> BTreeMap<String, Vec<String>> {
    let of = |name: &String| {
        let files = names(&root().join("crates").join(name).join("examples"));
        files.iter().filter_map(|it| it.strip_suffix(".rs").map(str::to_owned)).collect()
    };
    names(&root().join("crates")).into_iter().map(|it| (it.clone(), of(&it))).collect()
}

/// Builds them all and returns the directory they are in. The whole workspace is named, so that the features, and
/// with them what is built already, are those of the tests.
fn build() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["build", "--quiet", "--workspace", "--examples"]);
    let status = command.status().unwrap();
    assert!(status.success(), "the examples do not build: {status}");
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().nth(2).unwrap().join("examples")
}

/// Ends a program that takes too long; no program outlives its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Running {
    fn ends_within(&mut self, longest: Duration) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + longest;
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Ok(status);
            }
            thread::park_timeout(LOOK_AGAIN);
        }
        Err(format!("runs for longer than {longest:?}"))
    }
}

/// What is wrong with a program, when something is.
fn flaw(program: &Path, args: &[&str], longest: Duration) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let [stdout, stderr] = ["stdout", "stderr"].map(|it| dir.path().join(it));
    let mut command = Command::new(program);
    command.args(args).current_dir(dir.path()).stdin(Stdio::null());
    command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
    // Whatever a program reads of the environment, it is not that of whoever runs the tests.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("TMPDIR", dir.path());
    let mut running = match command.spawn() {
        Ok(child) => Running(child),
        Err(error) => return Some(format!("does not start: {error}")),
    };
    let status = running.ends_within(longest);
    let said = |it: &Path| String::from_utf8_lossy(&fs::read(it).unwrap()).into_owned();
    match status {
        Err(late) => Some(format!("{late}:\n{}{}", said(&stdout), said(&stderr))),
        Ok(status) if !status.success() => {
            Some(format!("{status}:\n{}{}", said(&stdout), said(&stderr)))
        }
        Ok(_) if said(&stdout).trim().is_empty() => Some("says nothing".to_owned()),
        Ok(_) => None,
    }
}

#[test]
fn every_crate_has_an_example_and_every_example_runs_to_its_end() {
    let examples = examples();
    assert!(examples.len() > 15, "only {} crates: where are they?", examples.len());
    let dir = build();
    let mut flaws = Vec::new();
    for (name, programs) in &examples {
        if programs.is_empty() {
            flaws.push(format!("{name} has no example"));
        }
        for program in programs {
            let place = format!("{name}/{program}");
            let given = ARGUMENTS.iter().find(|it| it.0 == place);
            let args = given.map_or(&[][..], |it| it.1);
            let found = flaw(&dir.join(program), args, LONGEST);
            flaws.extend(found.map(|it| format!("{place} {it}")));
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

#[test]
fn no_two_examples_share_a_name_and_no_arguments_are_left_over() {
    let examples = examples();
    let mut owners: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for (name, program) in
        examples.iter().flat_map(|(name, all)| all.iter().map(move |it| (name, it)))
    {
        owners.entry(program).or_default().push(name);
    }
    let shared: Vec<_> = owners.iter().filter(|it| it.1.len() > 1).collect();
    assert!(shared.is_empty(), "one overwrites the other in target: {shared:?}");
    for (place, _) in ARGUMENTS {
        let (name, program) = place.split_once('/').unwrap();
        assert!(examples[name].iter().any(|it| it == program), "there is no {place}");
    }
}

#[test]
fn a_program_that_fails_hangs_or_says_nothing_is_found() {
    let sh = Path::new("/bin/sh");
    let find = |script: &str, longest| flaw(sh, &["-c", script], longest).unwrap_or_default();
    assert_eq!(find("echo done", LONGEST), "");
    assert!(find("echo before; exit 3", LONGEST).contains("exit status: 3:\nbefore"));
    assert_eq!(find("exit 0", LONGEST), "says nothing");
    let late = find("echo begun; exec sleep 600", Duration::from_millis(200));
    assert!(late.starts_with("runs for longer than 200ms"), "{late}");
    assert!(flaw(Path::new("/nowhere"), &[], LONGEST).unwrap().starts_with("does not start"));
}
