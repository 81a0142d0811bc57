//! `tool.shell` of the real program: who may, what runs, and what is left when the runtime is killed.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, path::Path, process::Command};

use e2e::harness::{Client, Ports, Process, RuntimeOptions, Stack, eventually};
use serde_json::{Value, json};

const ALLOW: &str = r#"package autonomy

decision := {"allow": true, "rule": "shell"} if input.kind == "tool.shell"
"#;

/// A stack whose policy allows `tool.shell`.
fn allowing(dir: &Path) -> Stack {
    let policies = dir.join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("shell.rego"), ALLOW).unwrap();
    let stack = Stack::new(dir, Ports::free().unwrap());
    stack.load_policy(&policies).unwrap();
    stack
}

fn start(stack: &Stack) -> Process {
    let env = &[("SECRET", "of the runtime"), ("HTTP_PROXY", "http://127.0.0.1:1")];
    stack.runtime(&RuntimeOptions { env, args: &["--enable-shell"] }).unwrap()
}

fn call(stack: &Stack, params: &Value) -> (u16, Value) {
    let client = Client::new().unwrap();
    let (status, answer) = client.tool(&stack.runtime_url(), "tool.shell", params).unwrap();
    (status, serde_json::to_value(answer).unwrap())
}

#[test]
fn enabled_and_denied_by_the_policy_it_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    stack.load_demo_policy().unwrap();
    let runtime = start(&stack);
    let mark = dir.path().join("mark");
    let (status, answer) = call(&stack, &json!({ "argv": ["touch", mark] }));
    assert_eq!((status, &answer["decision"]), (403, &json!("deny")));
    assert!(!mark.exists());
    runtime.stop().unwrap();
}

#[test]
fn allowed_and_not_enabled_there_is_nobody_to_run_it() {
    let dir = tempfile::tempdir().unwrap();
    let stack = allowing(dir.path());
    let runtime = stack.runtime(&RuntimeOptions::default()).unwrap();
    let mark = dir.path().join("mark");
    let (status, answer) = call(&stack, &json!({ "argv": ["touch", mark] }));
    assert_eq!((status, &answer["output"]), (200, &Value::Null));
    assert!(!mark.exists());
    runtime.stop().unwrap();
}

#[test]
fn allowed_and_enabled_it_runs_what_it_was_given_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let stack = allowing(dir.path());
    let runtime = start(&stack);
    for (params, stdout) in [
        (json!({ "command": "echo 'a  b' $HOME ; id" }), "a  b $HOME ; id\n"),
        (json!({ "argv": ["echo", "a  b", "$HOME", ";", "id"] }), "a  b $HOME ; id\n"),
        (json!({ "command": "cat" }), ""),
        (
            json!({ "command": "env" }),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        ),
    ] {
        let (status, answer) = call(&stack, &params);
        assert_eq!((status, &answer["output"]["stdout"]), (200, &json!(stdout)), "{answer}");
    }
    let (status, answer) = call(&stack, &json!({ "argv": ["sh", "-c", "echo out; exit 7"] }));
    assert_eq!((status, &answer["code"]), (400, &json!("tool_failed")));
    assert_eq!(
        (&answer["output"]["exit_code"], &answer["output"]["stdout"]),
        (&json!(7), &json!("out\n"))
    );
    let (status, answer) = call(&stack, &json!({ "command": "id", "cwd": "/" }));
    assert_eq!((status, &answer["code"]), (400, &json!("bad_params")));
    runtime.stop().unwrap();
}

#[test]
fn what_a_careless_parent_leaves_open_or_blocked_does_not_reach_a_program() {
    let dir = tempfile::tempdir().unwrap();
    let stack = allowing(dir.path());
    let secret = dir.path().join("secret");
    fs::write(&secret, "of the parent").unwrap();
    let options = RuntimeOptions { env: &[], args: &["--enable-shell"] };
    let careful = stack.runtime_command(&options).unwrap();
    let path = careful.get_program().to_owned();
    let mut command = Command::new("/usr/bin/env");
    command.args(["-i", "--block-signal=CHLD", "--block-signal=TERM", "/bin/sh", "-c"]);
    // dash knows descriptors of one digit only.
    command.arg(r#"exec 3<"$1" 9<"$1"; shift; exec "$@""#).arg("sh").arg(&secret).arg(path);
    command.args(careful.get_args());
    let mut runtime = Process::start("runtime", &mut command).unwrap();
    runtime.wait_for("runtime listening").unwrap();

    // The shell reads its own mask: beside a command that it has just begun it may have blocked everything for a moment.
    let mask =
        "while read -r it; do case $it in SigBlk*) echo \"$it\";; esac; done < /proc/$$/status";
    let open = json!({ "argv": ["sh", "-c", format!("ls -l /proc/$$/fd; {mask}")] });
    let (status, answer) = call(&stack, &open);
    let stdout = answer["output"]["stdout"].as_str().unwrap_or_default();
    assert_eq!(status, 200, "it ends at once, not at its time limit: {answer}");
    assert!(stdout.contains(" 2 -> ") && !stdout.contains("secret"), "{stdout}");
    assert!(stdout.contains("SigBlk:\t0000000000000000"), "{stdout}");
    // SIGTERM reaches it, too.
    runtime.stop().unwrap();
}

#[test]
fn the_limits_of_tools_are_those_of_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let stack = allowing(dir.path());
    let args = ["--enable-shell", "--tool-timeout", "500ms", "--shell-output", "16"];
    let runtime = stack.runtime(&RuntimeOptions { env: &[], args: &args }).unwrap();
    let (status, answer) = call(&stack, &json!({ "argv": ["sh", "-c", "echo begun; sleep 600"] }));
    assert_eq!((status, &answer["code"]), (400, &json!("tool_timeout")), "{answer}");
    assert_eq!(answer["output"]["stdout"], "begun\n", "the tool ends before the runtime drops it");
    assert!(answer["error"].as_str().unwrap().contains("ran over 0.45 s"), "{answer}");
    let (_, answer) = call(&stack, &json!({ "argv": ["echo", "0123456789abcdefghi"] }));
    let output = &answer["output"];
    assert_eq!(
        (&output["stdout"], &output["truncated"]),
        (&json!("0123456789abcdef"), &json!(true))
    );
    runtime.stop().unwrap();

    let args = ["--enable-shell", "--max-output", "100"];
    let runtime = stack.runtime(&RuntimeOptions { env: &[], args: &args }).unwrap();
    let (status, answer) = call(&stack, &json!({ "argv": ["echo", "x".repeat(100)] }));
    assert_eq!((status, &answer["code"]), (400, &json!("output_too_large")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("more than 100 bytes"), "{answer}");
    runtime.stop().unwrap();
}

#[test]
fn a_runtime_that_is_killed_takes_the_programs_of_its_calls_along() {
    let dir = tempfile::tempdir().unwrap();
    let stack = allowing(dir.path());
    let runtime = start(&stack);
    let client = Client::new().unwrap();
    let mark = dir.path().join("group");
    // A program with a child and a grandchild, all deaf to what can be ignored. It says its group.
    let script = r#"trap '' HUP TERM INT PIPE; (sleep 600 & sleep 600) & echo $$ > "$1.new"
        mv "$1.new" "$1"; wait"#;
    let params = json!({ "argv": ["sh", "-c", script, "sh", mark] });
    let body = json!({ "kind": "tool.shell", "params": params }).to_string();
    let request = client.http().post(format!("{}/v1/tool", stack.runtime_url())).body(body);
    let call = client.spawn(async move { request.send().await });
    let group = eventually("the program runs", || fs::read_to_string(&mark).ok()).unwrap();
    let group = group.trim();
    // The program, both children, and the guard.
    eventually("all of it runs", || (members(group).len() >= 4).then_some(())).unwrap();
    runtime.kill().unwrap();
    assert!(client.block_on(call).unwrap().is_err(), "nobody is there to answer");
    eventually("nothing of it runs", || members(group).is_empty().then_some(())).unwrap();
    // What it did nobody knows, and nothing is run again.
    fs::remove_file(&mark).unwrap();
    start(&stack).stop().unwrap();
    let unknown = |it: &&String| it.contains(r#""outcome":"unknown""#);
    assert_eq!(stack.export().unwrap().iter().filter(unknown).count(), 1);
    assert!(!mark.exists());
}

/// Processes of a group that are not only waiting to be reaped.
fn members(group: &str) -> Vec<String> {
    let ids = fs::read_dir("/proc").unwrap();
    let ids = ids.filter_map(|it| it.ok()?.file_name().into_string().ok());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(')') else { return false };
        // State, parent, group.
        let mut fields = rest.split_whitespace();
        !matches!(fields.next(), None | Some("Z" | "X")) && fields.nth(1) == Some(group)
    })
    .collect()
}
