//! What commands say when something is wrong, in text and in JSON, as it is committed in `tests/snapshots/errors`.
//!
//! Read a file of these as the person who meets it at night: it names the place, the code and the next step.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use e2e::harness::{
    Bin, Finished, Ports, RuntimeOptions, Stack, program, run_to_end, same_as_files,
};
use serde_json::Value;

/// A user of no account, for commands that may not read what is there.
const NOBODY: u32 = 65_534;
/// A place where nobody listens.
const DEAD: &str = "http://127.0.0.1:1";

/// A directory that commands run in, and what they said.
struct World {
    dir: tempfile::TempDir,
    /// What varies between two runs, with the word that stands for it.
    names: Vec<(String, &'static str)>,
    texts: BTreeMap<String, String>,
    unprivileged: bool,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap().to_owned();
        let names = vec![(place, "DIR")];
        Self { dir, names, texts: BTreeMap::new(), unprivileged: false }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program as a user that may not do everything, also where the tests run as root.
    fn command(&self) -> Command {
        let plain = program(Bin::Autonomy).unwrap();
        let root = rustix::process::geteuid().is_root();
        let mut command = if self.unprivileged && root {
            let mut command = Command::new("setpriv");
            let id = NOBODY.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
            command.arg(self.program_for_all());
            command
        } else {
            Command::new(plain.get_program())
        };
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.dir.path());
        command.env("HOME", self.path("home")).env("COLUMNS", "100");
        command
    }

    /// The program where everybody may run it: the directory of the workspace may be closed.
    fn program_for_all(&self) -> PathBuf {
        let path = self.path("autonomy");
        if !path.exists() {
            let built = Bin::Autonomy.path().unwrap();
            if fs::hard_link(&built, &path).is_err() {
                fs::copy(&built, &path).unwrap();
            }
        }
        path
    }

    /// Runs a command line in text and in JSON, and keeps what it says under a name. `json` asks for JSON; empty where there is none.
    fn say(&mut self, name: &str, line: &str, json: &str) {
        let mut text = String::new();
        let lines = [line.to_owned(), format!("{line} {json}")];
        let lines = if json.is_empty() { &lines[..1] } else { &lines[..] };
        for line in lines {
            let words = line.split_whitespace().map(|it| it.replace('~', " "));
            let ended = run_to_end(self.command().args(words)).unwrap();
            assert_ne!(ended.code(), Some(0), "{line}: {ended:?}");
            text = text + "$ autonomy " + line + "\n" + &shown(&ended);
        }
        let text = self.without_what_varies(&text);
        assert!(self.texts.insert(name.to_owned(), text).is_none(), "{name}");
    }

    fn without_what_varies(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (found, name) in &self.names {
            text = text.replace(found.as_str(), name);
        }
        let words = text.split_inclusive(|it: char| !(it.is_alphanumeric() || "-:.".contains(it)));
        let mut out = String::new();
        for word in words {
            let end =
                word.trim_end_matches(|it: char| !(it.is_alphanumeric() || "-:.".contains(it)));
            let rest = word.strip_prefix(end).unwrap();
            let bare = end.trim_end_matches([':', '.']);
            let tail = end.strip_prefix(bare).unwrap();
            let after_pid = out.ends_with("pid ") || out.ends_with("process ");
            let name = match bare {
                _ if after_pid && bare.parse::<u32>().is_ok() => "PID",
                _ if is_time(bare) => "TIME",
                _ if is_uuid(bare) => "UUID",
                other => other,
            };
            out.push_str(name);
            out.push_str(tail);
            out.push_str(rest);
        }
        out
    }

    fn compare(self) {
        same_as_files_of(&self.texts);
    }
}

/// One set of files, filled by several tests: each looks at those that begin with its class.
fn same_as_files_of(texts: &BTreeMap<String, String>) {
    let class = texts.keys().next().unwrap().split('-').next().unwrap().to_owned();
    let own: BTreeMap<String, String> = texts
        .iter()
        .map(|(name, text)| {
            let rest = name.strip_prefix(&format!("{class}-"));
            (rest.unwrap_or_else(|| unreachable!("{name}")).to_owned(), text.clone())
        })
        .collect();
    same_as_files(&format!("errors/{class}"), &own).unwrap();
}

fn is_time(word: &str) -> bool {
    let shape = |it: char| if it.is_ascii_digit() { '0' } else { it };
    let form: String = word.chars().map(shape).collect();
    form.starts_with("0000-00-00T00:00:00") && form.ends_with('Z')
}

fn is_uuid(word: &str) -> bool {
    let lens: Vec<usize> = word.split('-').map(str::len).collect();
    lens == [8, 4, 4, 4, 12] && word.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-')
}

fn shown(ended: &Finished) -> String {
    let mut text =
        format!("exit {}\n", ended.code().map_or("by a signal".to_owned(), |it| it.to_string()));
    for (name, stream) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        if !stream.is_empty() {
            let newline = if stream.ends_with('\n') { "" } else { "\n" };
            text = text + "--- " + name + "\n" + stream + newline;
        }
    }
    text + "\n"
}

/// A web server that knows nothing of us: a page that is not found, whatever is asked.
fn stranger() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            stream.read(&mut request).unwrap_or_default();
            let page = "<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n";
            let head = format!(
                "HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                page.len()
            );
            // Whoever asked may be gone.
            stream.write_all(format!("{head}{page}").as_bytes()).ok();
        }
    });
    at
}

/// A log with the entries of a start and a stop.
fn log(at: &Path) {
    let stack = Stack::new(at, Ports::free().unwrap());
    stack.runtime(&RuntimeOptions::default()).unwrap().stop().unwrap();
}

#[test]
fn nobody_listens() {
    let mut world = World::new();
    log(&world.path("s"));
    let plane = format!("--orchestrator-url {DEAD}");
    world.say("dead-plan-list", &format!("rollout plan list {plane}"), "--output json");
    world.say(
        "dead-plan-recover",
        &format!("rollout recover p --strategy retry --reason because {plane}"),
        "--output json",
    );
    world.say(
        "dead-drain",
        &format!("telemetry drain --dir s/wal --endpoint {DEAD} --retries 0"),
        "--output json",
    );
    world.say("dead-status", &format!("status --runtime-url {DEAD} {plane}"), "--output json");
    world.compare();
}

#[test]
fn somebody_else_answers() {
    let mut world = World::new();
    let at = stranger();
    world.names.push((at.to_string(), "HOST:PORT"));
    world.names.push((format!(":{}", at.port()), ":PORT"));
    log(&world.path("s"));
    world.say(
        "stranger-plan-list",
        &format!("rollout plan list --orchestrator-url http://{at}"),
        "--output json",
    );
    world.say(
        "stranger-path",
        &format!("ha status --orchestrator-url http://{at}/some/path"),
        "--output json",
    );
    world.say(
        "stranger-version-in-url",
        &format!("ha status --orchestrator-url http://{at}/v1"),
        "--output json",
    );
    world.say(
        "stranger-recover",
        &format!(
            "rollout recover p --strategy retry --reason because --orchestrator-url http://{at}"
        ),
        "--output json",
    );
    world.say("stranger-status", &format!("status --runtime-url http://{at}"), "--output json");
    world.say(
        "stranger-drain",
        &format!("telemetry drain --dir s/wal --endpoint http://{at} --retries 0"),
        "--output json",
    );
    world.compare();
}

#[test]
fn a_file_is_not_there() {
    let mut world = World::new();
    world.say("missing-wal-status", "wal status --dir none", "--output json");
    world.say("missing-policy-load", "policy load --bundle none.tar.gz", "--output json");
    world.say("missing-lock-show", "lock show none.json", "--output json");
    world.say("missing-verify", "verify --image oci:./none:1.0.0 --pub none.pub", "--output json");
    world.say("missing-goal", "goal budget --state-dir none --max-iterations 5", "--format json");
    world.compare();
}

#[test]
fn a_file_is_of_another_kind() {
    let mut world = World::new();
    fs::create_dir(world.path("a-dir")).unwrap();
    fs::write(world.path("list.json"), "[1, 2]\n").unwrap();
    fs::write(world.path("text.tar.gz"), "no gzip\n").unwrap();
    fs::create_dir(world.path("rego")).unwrap();
    fs::write(world.path("rego/a.rego"), "package a\n\nallow if {\n").unwrap();
    world.say("kind-bundle-is-directory", "policy load --bundle a-dir", "--output json");
    world.say("kind-bundle-is-text", "policy load --bundle text.tar.gz", "--output json");
    world.say("kind-lock-is-directory", "lock show a-dir", "--output json");
    world.say("kind-lock-is-list", "lock show list.json", "--output json");
    world.say("kind-call-is-list", "policy eval --input list.json", "--output json");
    world.say(
        "kind-plan-is-list",
        &format!("rollout plan create list.json --orchestrator-url {DEAD}"),
        "--output json",
    );
    world.say("kind-log-is-file", "wal status --dir list.json", "--output json");
    world.say(
        "kind-rego",
        "policy build --in rego --out x.tar.gz --version 1.0.0",
        "--output json",
    );
    world.compare();
}

/// As a user that owns the closed directory: also where the tests run as root.
#[test]
fn nobody_gave_rights() {
    let mut world = World::new();
    world.unprivileged = true;
    let closed = world.path("closed");
    log(&world.path("s"));
    fs::create_dir(&closed).unwrap();
    fs::rename(world.path("s/wal"), closed.join("wal")).unwrap();
    fs::write(world.path("secret.json"), "{}").unwrap();
    for path in [&closed, &world.path("secret.json")] {
        if rustix::process::geteuid().is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    world.say("rights-wal-status", "wal status --dir closed/wal", "--output json");
    world.say("rights-export", "telemetry export --dir closed/wal --out -", "");
    world.say(
        "rights-runtime-start",
        "runtime start --listen 127.0.0.1:0 --node-id n --wal-dir closed/wal --log-format text",
        "",
    );
    world.say("rights-lock-show", "lock show secret.json", "--output json");
    // The doctor measures, so that only its advice can be compared.
    let mut doctor = world.command();
    doctor.args(["doctor", "--wal-dir", "closed/wal", "--output", "json"]);
    let ended = run_to_end(doctor.env("XDG_CACHE_HOME", &closed)).unwrap();
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    for check in ["log", "directory", "sync", "policy"] {
        let all = told["findings"].as_array().unwrap();
        let finding = all.iter().find(|it| it["check"] == check).unwrap();
        let fix = finding["fix"].as_str().unwrap();
        assert!(fix.contains("closed is yours and has mode 000: chmod"), "{check}: {finding}");
    }
    // What belongs to somebody else is for somebody else to give.
    let of_root = if rustix::process::geteuid().is_root() {
        let path = world.path("of-root");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    } else {
        PathBuf::from("/root")
    };
    let mut status = world.command();
    let ended = run_to_end(status.args(["wal", "status", "--dir"]).arg(of_root.join("x"))).unwrap();
    let hint = format!("permission denied: {} belongs to root (mode", of_root.display());
    assert!(ended.stderr.contains(&hint), "{ended:?}");
    assert!(ended.stderr.contains("sudo -u root autonomy"), "{ended:?}");
    assert!(!ended.stderr.contains("chown"), "who reads takes nothing away: {ended:?}");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    world.compare();
}

#[test]
fn somebody_holds_the_lock() {
    let mut world = World::new();
    let stack = Stack::new(&world.path("s"), Ports::free().unwrap());
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    world.say("locked-archive", "wal archive --dir s/wal", "--output json");
    world.say("locked-repair", "wal repair --dir s/wal --reason because", "--output json");
    world.say(
        "locked-runtime",
        "runtime start --listen 127.0.0.1:0 --node-id n --wal-dir s/wal --log-format text",
        "",
    );
    runtime.stop().unwrap();
    // A goal: somebody who lives has written its id into the file of the lock.
    let begun =
        run_to_end(world.command().args(["goal", "init", "--title", "x", "--state-dir", "goal"]))
            .unwrap();
    assert_eq!(begun.code(), Some(0), "{begun:?}");
    fs::write(world.path("goal/goal.json.lock"), std::process::id().to_string()).unwrap();
    world.say(
        "locked-goal",
        "goal budget --state-dir goal --max-iterations 5 --lock-timeout 1",
        "--format json",
    );
    world.say(
        "locked-goal-strict",
        "goal budget --state-dir goal --max-iterations 5 --lock-timeout 1 --strict-exit",
        "",
    );
    world.compare();
}

#[test]
fn the_log_is_damaged() {
    let mut world = World::new();
    log(&world.path("s"));
    let wal = world.path("s/wal/telemetry.wal");
    let mut bytes = fs::read(&wal).unwrap();
    let middle = 60;
    bytes[middle] ^= 0xff;
    fs::write(&wal, &bytes).unwrap();
    world.say("damaged-wal-status", "wal status --dir s/wal", "--output json");
    world.say("damaged-export", "telemetry export --dir s/wal --out -", "");
    world.say("damaged-open-intents", "tool open-intents --wal-dir s/wal", "--output json");
    world.say("damaged-archive", "wal archive --dir s/wal", "--output json");
    world.compare();
}

#[test]
fn a_command_line_is_none() {
    let mut world = World::new();
    world.say("usage-unknown-command", "walk status", "--output json");
    world.say("usage-unknown-option", "wal status --drr x", "--output json");
    world.say("usage-bad-value", "telemetry drain --timeout soon", "--output json");
    world.say("usage-missing", "rollout plan describe", "--output json");
    world.say("usage-no-control-plane", "rollout plan list", "--output json");
    world.say("usage-unknown-code", "explain SEQ_GPA", "--output json");
    world.say("usage-unknown-setting", "config get orchestrator", "--output json");
    world.compare();
}
