use std::{io::Read as _, time::Instant};

use super::*;

/// Longest wait for anything that should happen soon.
const SOON: Duration = Duration::from_mins(1);

fn params(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

fn call(value: Value) -> ToolCall {
    ToolCall { params: params(value), ..ToolCall::default() }
}

fn sh(script: &str) -> ToolCall {
    call(json!({ "argv": ["sh", "-c", script] }))
}

async fn stdout(shell: &Shell, call: &ToolCall) -> String {
    shell.run(call).await.unwrap()["stdout"].as_str().unwrap().to_owned()
}

/// Whether a process exists and is not only waiting to be reaped.
fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !look() {
        assert!(Instant::now() < deadline, "waited {SOON:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn nothing_is_expanded_and_both_forms_agree() {
    let shell = Shell::default();
    for given in [
        json!({ "command": "echo '$HOME' * `id` ; x \"$@\" $(id) && ~ {a,b}" }),
        json!({ "argv": ["echo", "$HOME", "*", "`id`", ";", "x", "$@", "$(id)", "&&", "~", "{a,b}"] }),
    ] {
        let said = stdout(&shell, &call(given)).await;
        assert_eq!(said, "$HOME * `id` ; x $@ $(id) && ~ {a,b}\n");
    }
}

#[tokio::test]
async fn words_arrive_as_they_are() {
    let words = ["", "-n", "a b", "a\nb", "\\", "'", "\"", "é", "$0", "--"];
    let mut argv = vec!["printf", "[%s]"];
    argv.extend(words);
    let said = stdout(&Shell::default(), &call(json!({ "argv": argv }))).await;
    assert_eq!(said, words.map(|it| format!("[{it}]")).concat());
}

#[tokio::test]
async fn the_environment_is_empty_but_for_what_the_embedder_says() {
    let env = call(json!({ "command": "env" }));
    assert_eq!(stdout(&Shell::default(), &env).await, format!("PATH={}\n", Shell::PATH));
    let shell = Shell::default().with_path("/usr/bin:/bin").with_env("LANG", "C");
    let mut lines: Vec<_> = stdout(&shell, &env).await.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["LANG=C", "PATH=/usr/bin:/bin"]);
}

#[tokio::test]
async fn a_program_reads_nothing_and_holds_nothing_of_the_runtime() {
    let shell = Shell::default();
    assert_eq!(stdout(&shell, &call(json!({ "command": "cat" }))).await, "");
    let fds = stdout(&shell, &sh("for fd in /proc/$$/fd/*; do readlink $fd; done | sort -u")).await;
    let pipes = fds.lines().filter(|it| it.starts_with("pipe:")).count();
    // Its stdout and stderr, and the pipe into `sort`, which the shell may hold at that moment.
    assert!(fds.contains("/dev/null") && pipes <= 3, "{fds}");
    assert!(!fds.contains("socket:"), "{fds}");
}

#[tokio::test]
async fn a_program_runs_where_the_embedder_says_and_is_found_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let program = dir.join("-own=x");
    fs::write(&program, "#!/bin/sh\npwd; echo \"$1\"\n").unwrap();
    let shell = Shell::default().with_dir(&dir);
    let own = call(json!({ "argv": ["./-own=x", "a"] }));
    assert_eq!(shell.run(&own).await.unwrap_err().code, ToolErrorCode::Failed, "not executable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(stdout(&shell, &own).await, format!("{}\na\n", dir.display()));
    let by_name = shell.with_path(format!("{}:/bin:/usr/bin", dir.display()));
    let own = call(json!({ "argv": ["-own=x", "b"] }));
    assert_eq!(stdout(&by_name, &own).await, format!("{}\nb\n", dir.display()));
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_failure_and_no_program_runs() {
    for argv in [json!(["no-such-program"]), json!(["/"]), json!(["/etc/passwd"]), json!(["."])] {
        let error = Shell::default().run(&call(json!({ "argv": argv }))).await.unwrap_err();
        assert_eq!((error.code, error.output), (ToolErrorCode::Failed, None), "{}", error.message);
    }
}

#[tokio::test]
async fn limits_hold_and_one_that_cannot_be_set_starts_nothing() {
    let limits = ShellLimits {
        cpu_seconds: Some(7),
        file_kib: Some(4),
        memory_kib: Some(1 << 20),
        open_files: Some(19),
    };
    let shell = Shell::default().with_limits(limits);
    let said = stdout(&shell, &sh("ulimit -t; ulimit -f; ulimit -v; ulimit -n; ulimit -c")).await;
    assert_eq!(said, "7\n8\n1048576\n19\n0\n");
    // More open files than the kernel grants anybody.
    let limits = ShellLimits { open_files: Some(u32::MAX), ..ShellLimits::default() };
    let error = Shell::default().with_limits(limits).run(&sh("echo ran")).await.unwrap_err();
    let output = error.output.unwrap();
    assert_eq!((&output["exit_code"], &output["stdout"]), (&json!(125), &json!("")), "{output}");
}

#[tokio::test]
async fn at_the_time_limit_the_program_and_its_children_are_dead_and_what_it_said_is_kept() {
    let shell = Shell::default().with_timeout(Duration::from_millis(500));
    let error = shell.run(&sh("sleep 1000 & echo $! $$; wait")).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Timeout);
    let output = error.output.unwrap();
    assert_eq!(output["exit_code"], Value::Null);
    let ids: Vec<_> = output["stdout"].as_str().unwrap().split_whitespace().collect();
    assert_eq!(ids.len(), 2, "{output}");
    for id in ids {
        eventually("it is dead", || !runs(id));
    }
}

#[tokio::test]
async fn the_time_that_the_runtime_grants_counts_when_it_is_the_smaller_one() {
    let granted =
        ToolCall { time_limit: Some(Duration::from_millis(300)), ..sh("exec sleep 1000") };
    let error = Shell::default().run(&granted).await.unwrap_err();
    assert_eq!(error.code, ToolErrorCode::Timeout);
}

#[tokio::test]
async fn the_end_of_the_program_is_the_end_of_its_children_and_no_timeout() {
    let shell = Shell::default().with_timeout(Duration::from_mins(1));
    let output = shell.run(&sh("sleep 1000 & echo $!; echo bye >&2")).await.unwrap();
    assert_eq!((&output["exit_code"], &output["stderr"]), (&json!(0), &json!("bye\n")));
    let id = output["stdout"].as_str().unwrap().trim().to_owned();
    eventually("the child is dead", || !runs(&id));
}

#[tokio::test]
async fn a_process_that_left_the_group_and_holds_the_pipe_keeps_nobody_waiting() {
    let shell = Shell::default().with_timeout(Duration::from_mins(1));
    let left = "until kill -0 -$! 2>/dev/null; do :; done";
    let script = format!("setsid sleep 1000 & {left}; echo $!");
    let said = stdout(&shell, &sh(&script)).await;
    assert!(runs(said.trim()), "it has left the group");
    let id = rustix::process::Pid::from_raw(said.trim().parse().unwrap()).unwrap();
    // It is the documented way out; the test does not leave it behind.
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_program_that_waits_for_all_of_its_children_does_not_wait_for_the_guard() {
    let shell = Shell::default().with_timeout(Duration::from_mins(1));
    let said = stdout(&shell, &sh("cat /proc/$$/task/$$/children; wait; echo done")).await;
    // The one child is the `cat` that looks.
    assert_eq!(said.split_whitespace().count(), 2, "{said}");
}

#[tokio::test]
async fn nothing_of_the_group_is_left_when_a_call_has_ended_or_was_abandoned() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let script = format!("echo $$ > {}; sleep 1000", fifo.display());
    let task = tokio::spawn(async move { Shell::default().run(&sh(&script)).await });
    let group = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        fs::File::open(fifo).unwrap().read_to_string(&mut text).unwrap();
        text.trim().to_owned()
    });
    let group = group.await.unwrap();
    assert!(!members(&group).is_empty(), "the program says its id while it runs");
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    eventually("the group is empty", || members(&group).is_empty());
}

/// Processes of a group that run.
fn members(group: &str) -> Vec<String> {
    let ids =
        fs::read_dir("/proc").unwrap().filter_map(|it| it.ok()?.file_name().into_string().ok());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // State, parent, group.
        let of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2));
        of == Some(group) && runs(id)
    })
    .collect()
}

#[tokio::test]
async fn a_failure_keeps_its_output_and_a_flood_is_cut() {
    let shell = Shell::default();
    let error = shell.run(&sh("echo out; exit 3")).await.unwrap_err();
    assert_eq!(error.output.unwrap()["stdout"], "out\n");
    let flood = sh("head -c 1000000 /dev/zero | tr '\\0' x");
    let output = shell.run(&flood).await.unwrap();
    assert_eq!(output["truncated"], true);
    assert_eq!(output["stdout"].as_str().unwrap().len(), Shell::OUTPUT_LEN_MAX);
    let output =
        shell.with_output_len_max(3).run(&sh("printf abc; printf abcd >&2")).await.unwrap();
    assert_eq!((&output["stdout"], &output["stderr"]), (&json!("abc"), &json!("abc")));
    assert_eq!(output["truncated"], true);
}

#[tokio::test]
async fn what_a_program_writes_last_is_read_however_fast_it_ends() {
    let shell = Shell::default();
    for round in 0..50 {
        let said = stdout(&shell, &call(json!({ "argv": ["echo", round.to_string()] }))).await;
        assert_eq!(said, format!("{round}\n"));
    }
}

#[test]
fn parameters_that_name_no_program_are_refused() {
    for bad in [
        json!({}),
        json!({ "command": 1 }),
        json!({ "command": "a 'b" }),
        json!({ "command": "" }),
        json!({ "command": "'' a" }),
        json!({ "argv": "id" }),
        json!({ "argv": [] }),
        json!({ "argv": [""] }),
        json!({ "argv": ["id", 1] }),
        json!({ "argv": ["id", "a\0b"] }),
        json!({ "argv": ["id"], "command": "id" }),
        json!({ "command": "id", "cwd": "/" }),
    ] {
        assert_eq!(words(&params(bad)).unwrap_err().code, ToolErrorCode::BadParams);
    }
}
