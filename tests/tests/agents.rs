//! `autonomy run` with real commands, and the clients of the book as they are printed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test, and its text is the complaint"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use e2e::harness::{
    Bin, Finished, Ports, Process, RuntimeOptions, Stack, autonomy, eventually, program, run_to_end,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// `autonomy run` with these options and this command line of a shell.
fn run_command(tmp: &Path, options: &[&str], script: &str) -> Command {
    let mut command = program(Bin::Autonomy).unwrap();
    command.env("TMPDIR", tmp).arg("run").args(options).args(["--", "sh", "-c", script]);
    command
}

fn run(tmp: &Path, options: &[&str], script: &str) -> Finished {
    run_to_end(&mut run_command(tmp, options, script)).unwrap()
}

/// A tool call by curl, as a line of a shell.
fn call(kind: &str, params: &str) -> String {
    let url = "$AUTONOMY_RUNTIME_URL/v1/tool";
    format!(r#"curl -s --noproxy '*' {url} -d '{{"kind":"{kind}","params":{params}}}'"#)
}

/// Directories of temporary logs.
fn left(tmp: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(tmp).unwrap().map(|it| it.unwrap().path());
    entries.filter(|it| it.to_string_lossy().contains("autonomy-run-")).collect()
}

fn entries(dir: &Path) -> Vec<Value> {
    let dir = dir.to_str().unwrap();
    let exported = autonomy(&["telemetry", "export", "--dir", dir, "--out", "-"]).unwrap();
    assert_eq!(exported.code(), Some(0), "{exported:?}");
    exported.stdout.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

fn verifies(dir: &Path) {
    let verified = autonomy(&["wal", "verify", "--dir", dir.to_str().unwrap()]).unwrap();
    assert_eq!(verified.code(), Some(0), "{verified:?}");
}

#[test]
fn the_exit_code_of_the_command_is_kept_and_a_signal_becomes_128_and_its_number() {
    let tmp = tempfile::tempdir().unwrap();
    for (script, want) in [
        ("exit 0", 0),
        ("exit 1", 1),
        ("exit 77", 77),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
    ] {
        assert_eq!(run(tmp.path(), &[], script).code(), Some(want), "{script}");
    }
    let code = |word: &str| {
        let mut command = program(Bin::Autonomy).unwrap();
        run_to_end(command.env("TMPDIR", tmp.path()).args(["run", "--", word])).unwrap()
    };
    let missing = code("no-such-command");
    assert_eq!(missing.code(), Some(127));
    assert!(missing.stderr.contains("COMMAND_NOT_FOUND"), "{missing:?}");
    assert_eq!(code("/etc/hostname").code(), Some(126));
    assert_eq!(left(tmp.path()), Vec::<PathBuf>::new(), "temporary logs are deleted");
}

#[test]
fn a_call_of_the_command_is_on_record_in_the_log_that_stays() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("wal");
    let script = format!(
        "{}; {}; {}",
        call("tool.echo", r#"{"message":"governed"}"#),
        call("tool.shell", r#"{"command":"id"}"#),
        call("tool.http_get", r#"{"endpoint":"http://127.0.0.1:9"}"#),
    );
    let ended = run(tmp.path(), &["--dir", dir.to_str().unwrap(), "--node-id", "n7"], &script);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.contains(r#""output":{"message":"governed"}"#), "{ended:?}");
    assert!(ended.stdout.contains(r#""code":"policy_denied""#), "{ended:?}");
    assert!(ended.stdout.contains(r#""code":"endpoint_not_allowed""#), "{ended:?}");
    let entries = entries(&dir);
    // The first entry is that of the log itself.
    let line = format!("2 allowed, 1 denied; {} entries", entries.len() - 1);
    assert!(ended.stderr.contains(&line), "{line}: {}", ended.stderr);
    let decisions: Vec<_> = entries
        .iter()
        .filter(|it| it["event"]["kind"] == "autonomy.decision")
        .map(|it| (it["event"]["attrs"]["kind"].clone(), it["event"]["attrs"]["decision"].clone()))
        .collect();
    let want = [("tool.echo", "allow"), ("tool.shell", "deny"), ("tool.http_get", "allow")];
    assert_eq!(decisions, want.map(|it| (json!(it.0), json!(it.1))));
    let context = &entries[2]["event"]["attrs"]["context"];
    assert_eq!(context["node"], "n7");
    verifies(&dir);
    // A second run counts its own calls.
    let again = run(tmp.path(), &["--dir", dir.to_str().unwrap()], "exit 5");
    assert_eq!(again.code(), Some(5));
    assert!(again.stderr.contains("0 allowed, 0 denied; 2 entries"), "{again:?}");
    verifies(&dir);
}

#[test]
fn a_log_is_kept_where_flag_variable_or_keep_say_and_the_flag_wins() {
    let tmp = tempfile::tempdir().unwrap();
    let (flag, var) = (tmp.path().join("flag"), tmp.path().join("var"));
    let mut command = run_command(tmp.path(), &["--dir", flag.to_str().unwrap()], "true");
    let ended = run_to_end(command.env("AUTONOMY_RUN_WAL_DIR", &var)).unwrap();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(flag.exists() && !var.exists());
    let mut command = run_command(tmp.path(), &[], "true");
    run_to_end(command.env("AUTONOMY_RUN_WAL_DIR", &var)).unwrap();
    verifies(&var);
    assert_eq!(left(tmp.path()).len(), 0);
    let kept = run(tmp.path(), &["--keep"], "true");
    let [dir] = &left(tmp.path())[..] else { panic!("{kept:?}") };
    assert!(kept.stderr.contains(dir.to_str().unwrap()), "the panel names it: {kept:?}");
    verifies(dir);
}

#[test]
fn the_panel_names_url_policy_and_log_and_notices_options_behind_the_command() {
    let tmp = tempfile::tempdir().unwrap();
    let mut command = run_command(tmp.path(), &[], "echo $AUTONOMY_RUNTIME_URL");
    let ended = run_to_end(command.args(["x", "--keep"])).unwrap();
    let url = ended.stdout.trim();
    assert!(url.starts_with("http://127.0.0.1:"), "{ended:?}");
    for text in
        ["System footprint", url, "demo 1.0.0", "deleted at the end", "--keep went to the command"]
    {
        assert!(ended.stderr.contains(text), "{text}: {}", ended.stderr);
    }
    assert!(left(tmp.path()).is_empty(), "behind the command --keep keeps nothing");
    let none = run(tmp.path(), &[], "true");
    assert!(!none.stderr.contains("went to the command"), "{none:?}");
}

#[test]
fn nobody_but_this_machine_reaches_the_runtime() {
    let tmp = tempfile::tempdir().unwrap();
    let ended =
        run(tmp.path(), &[], "echo ${AUTONOMY_RUNTIME_URL##*:}; cat /proc/net/tcp /proc/net/tcp6");
    let (port, table) = ended.stdout.split_once('\n').unwrap();
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    let listening: Vec<_> = table
        .lines()
        .map(|it| it.split_whitespace().collect::<Vec<_>>())
        .filter(|it| it.get(3) == Some(&"0A") && it[1].ends_with(&port))
        .map(|it| it[1].to_owned())
        .collect();
    assert_eq!(listening, [format!("0100007F{port}")], "127.0.0.1 and nothing else");
}

#[test]
fn a_runtime_that_cannot_start_means_a_command_that_never_starts() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("wal");
    let options = ["--dir", dir.to_str().unwrap()];
    assert_eq!(run(tmp.path(), &options, "true").code(), Some(0));
    let mark = tmp.path().join("mark");
    let script = format!("touch {}", mark.display());
    // A log that is refused.
    let wal = dir.join("telemetry.wal");
    let mut bytes = fs::read(&wal).unwrap();
    bytes[20] ^= 1;
    fs::write(&wal, bytes).unwrap();
    assert_eq!(run(tmp.path(), &options, &script).code(), Some(8));
    // A policy that is none.
    let text = tmp.path().join("text");
    fs::write(&text, "no bundle").unwrap();
    assert_eq!(run(tmp.path(), &["--policy", text.to_str().unwrap()], &script).code(), Some(8));
    let empty = tmp.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let refused = run(tmp.path(), &["--policy", empty.to_str().unwrap()], &script);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    // A name that cannot be one.
    assert_eq!(run(tmp.path(), &["--node-id", "a:b"], &script).code(), Some(2));
    assert!(!mark.exists(), "the command was started");
    assert_eq!(left(tmp.path()), Vec::<PathBuf>::new());
}

#[test]
fn strict_mode_denies_the_command_everything() {
    let tmp = tempfile::tempdir().unwrap();
    let mut command = run_command(tmp.path(), &[], &call("tool.echo", r#"{"message":"x"}"#));
    let ended = run_to_end(command.env("AUTONOMY_STRICT_MODE", "1")).unwrap();
    assert!(ended.stdout.contains(r#""code":"strict_mode""#), "{ended:?}");
    assert!(ended.stderr.contains("0 allowed, 1 denied"), "{ended:?}");
}

#[test]
fn signals_are_passed_on_once_and_the_command_decides_what_they_mean() {
    let tmp = tempfile::tempdir().unwrap();
    for (signal, name) in [(Signal::INT, "INT"), (Signal::TERM, "TERM"), (Signal::HUP, "HUP")] {
        // It ends one good second after the first, so that a second one would be counted.
        let script = format!(
            "n=0; trap 'n=$((n+1)); echo g\"\"ot' {name}; echo rea''dy; i=0; \
             while [ $i -lt 10 ]; do sleep 0.1 & wait; [ $n -gt 0 ] && i=$((i+1)); done; exit $((40 + n))"
        );
        let mut command = run_command(tmp.path(), &[], &script);
        let mut process = Process::start("run", &mut command).unwrap();
        process.wait_for("ready").unwrap();
        process.signal(signal).unwrap();
        process.wait_for("got").unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(41), "{name}: {}", process.output());
    }
    let mut process =
        Process::start("run", &mut run_command(tmp.path(), &[], "echo rea''dy; exec sleep 1000"))
            .unwrap();
    process.wait_for("ready").unwrap();
    process.signal(Signal::TERM).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(143));
    assert_eq!(left(tmp.path()), Vec::<PathBuf>::new(), "it clears up after a signal, too");
}

/// A shell that counts a signal and stays for one good second after the first.
const COUNTING: &str = "n=0; trap 'n=$((n+1)); echo g\"\"ot' INT; echo rea''dy; i=0; \
    while [ $i -lt 10 ]; do sleep 0.1 & wait; [ $n -gt 0 ] && i=$((i+1)); done; exit $((40 + n))";

#[test]
fn ctrl_c_at_a_terminal_reaches_the_command_once() {
    let tmp = tempfile::tempdir().unwrap();
    let counting = tmp.path().join("counting.sh");
    fs::write(&counting, COUNTING).unwrap();
    let autonomy = Bin::Autonomy.path().unwrap();
    // `script` hands the line to `$SHELL`. One that waited for the command would be hit by the Ctrl-C too
    // and end with its own 130, so it makes way.
    let line = format!("exec {} run -- sh {}", autonomy.display(), counting.display());
    let mut terminal = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("TMPDIR", tmp.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut said = String::new();
    for line in BufReader::new(terminal.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("ready") {
            keys.write_all(b"\x03").unwrap();
        }
        said.push_str(&line);
    }
    assert_eq!(said.matches("got").count(), 1, "{said}");
    assert_eq!(terminal.wait().unwrap().code(), Some(41), "{said}");
}

#[test]
fn a_command_whose_governor_was_killed_runs_on_and_is_denied_by_its_client() {
    let tmp = tempfile::tempdir().unwrap();
    let clients = Clients::of_the_book();
    let file = tmp.path().join("said");
    let script = format!(
        "echo rea''dy; while curl -s --noproxy '*' $AUTONOMY_RUNTIME_URL/health >/dev/null; do sleep 0.1; done; \
         sh {} tool.echo '{{}}' > {said}.part; mv {said}.part {said}",
        clients.shell().display(),
        said = file.display()
    );
    let mut process = Process::start("run", &mut run_command(tmp.path(), &[], &script)).unwrap();
    process.wait_for("ready").unwrap();
    process.kill().unwrap();
    let said = eventually("the orphan is denied", || fs::read_to_string(&file).ok()).unwrap();
    assert_eq!(said, "deny: the runtime does not answer\n");
    assert_eq!(left(tmp.path()).len(), 1, "nobody was there to delete the log");
    verifies(&left(tmp.path())[0]);
}

/// The clients of the book, in files, exactly as printed.
struct Clients(TempDir);

impl Clients {
    fn of_the_book() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let page =
            fs::read_to_string(root.join("docs/src/tutorials/connect-your-agent.md")).unwrap();
        let block = |start: &str| {
            let (_, text) = page.split_once(start).unwrap_or_else(|| panic!("no block {start}"));
            text.split_once("\n```").unwrap().0.to_owned() + "\n"
        };
        let this = Self(tempfile::tempdir().unwrap());
        fs::write(this.python(), block("```python\n")).unwrap();
        fs::write(this.shell(), format!("#!/bin/sh{}", block("```sh\n#!/bin/sh"))).unwrap();
        this
    }

    fn python(&self) -> PathBuf {
        self.0.path().join("agent.py")
    }

    fn shell(&self) -> PathBuf {
        self.0.path().join("agent.sh")
    }

    fn commands(&self) -> [String; 2] {
        [format!("python3 {}", self.python().display()), format!("sh {}", self.shell().display())]
    }
}

/// A policy with every answer that a client must tell apart.
const POLICY: &str = r#"package autonomy

default decision := {"allow": false, "reason": "not here", "rule": "rest"}
decision := {"allow": true, "rule": "echo"} if input.kind == "tool.echo"
decision := {"allow": true, "rule": "fly"} if input.kind == "tool.fly"
decision := {"allow": true, "rule": "dive", "obligations": [{"do": "slowly"}]} if input.kind == "tool.dive"
"#;

#[test]
fn the_clients_of_the_book_tell_allow_deny_failure_and_obligations_apart() {
    let tmp = tempfile::tempdir().unwrap();
    let clients = Clients::of_the_book();
    let policy = tmp.path().join("policy");
    fs::create_dir(&policy).unwrap();
    fs::write(policy.join("all.rego"), POLICY).unwrap();
    let options = ["--policy", policy.to_str().unwrap()];
    let cases = [
        ("tool.echo", r#"{"message":"hi"}"#, 0, "allow", r#""message":"#),
        ("tool.echo", r#"{"massage":"hi"}"#, 1, "failed", "bad_params"),
        ("tool.fly", "{}", 0, "allow", "null"),
        ("tool.dive", "{}", 3, "deny", ""),
        ("tool.walk", "{}", 3, "deny", "not here"),
    ];
    for client in clients.commands() {
        for (kind, params, code, verdict, text) in cases {
            // A proxy that is not there must not be asked for the way to the loopback.
            let script = format!("http_proxy=http://127.0.0.1:9 {client} {kind} '{params}'");
            let ended = run(tmp.path(), &options, &script);
            assert_eq!(ended.code(), Some(code), "{client} {kind}: {ended:?}");
            assert!(ended.stdout.starts_with(verdict), "{client} {kind}: {ended:?}");
            assert!(ended.stdout.contains(text), "{client} {kind}: {ended:?}");
        }
        // An answer of something that is no runtime is no allow.
        let away = format!("AUTONOMY_RUNTIME_URL=http://127.0.0.1:9 {client} tool.echo '{{}}'");
        let ended = run(tmp.path(), &[], &away);
        assert_eq!(ended.code(), Some(3), "{client}: {ended:?}");
        assert!(ended.stdout.starts_with("deny"), "{client}: {ended:?}");
        let page =
            format!("AUTONOMY_RUNTIME_URL=$AUTONOMY_RUNTIME_URL/metrics {client} tool.echo '{{}}'");
        let ended = run(tmp.path(), &[], &page);
        assert_eq!(ended.code(), Some(3), "{client}: {ended:?}");
        assert!(ended.stdout.starts_with("deny"), "{client}: {ended:?}");
    }
}

#[test]
fn the_clients_of_the_book_work_with_a_runtime_that_is_a_service() {
    let dir = tempfile::tempdir().unwrap();
    let clients = Clients::of_the_book();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    stack.load_demo_policy().unwrap();
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    for client in clients.commands() {
        let ask = |kind: &str, params: &str| {
            let mut command = Command::new("sh");
            command.env("AUTONOMY_RUNTIME_URL", stack.runtime_url());
            run_to_end(command.args(["-c", &format!("{client} {kind} '{params}'")])).unwrap()
        };
        assert_eq!(ask("tool.echo", r#"{"message":"hi"}"#).code(), Some(0), "{client}");
        let denied = ask("tool.shell", r#"{"command":"id"}"#);
        assert_eq!(denied.code(), Some(3), "{client}: {denied:?}");
        assert!(denied.stdout.contains("shell is never allowed"), "{denied:?}");
    }
    runtime.stop().unwrap();
    let entries = entries(&stack.wal_dir());
    let decisions = entries.iter().filter(|it| it["event"]["kind"] == "autonomy.decision").count();
    assert_eq!(decisions, 4);
}
