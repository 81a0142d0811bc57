//! `tool.shell` runs a program. It exists only when the operator enables it.
//!
//! There is no shell in it: a `command` is split into words by the quoting rules of POSIX, nothing
//! is expanded, and the first word is the program. The `argv` form takes the words as they are.
//!
//! The program gets an empty environment but for a fixed `PATH`, no input, and its own process
//! group; the whole group is killed at the time limit or when the call is abandoned.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    time::timeout,
};

use super::{Tool, ToolCall, ToolError, ToolErrorCode, ToolFuture, bad, only_keys};

/// Longest run of a program.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes kept of each of its outputs.
const OUTPUT_LEN_MAX: u64 = 64 << 10;
/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs programs.
#[derive(Clone, Copy, Debug)]
pub struct Shell {
    timeout: Duration,
}

impl Default for Shell {
    fn default() -> Self {
        Self { timeout: TIMEOUT }
    }
}

impl Shell {
    async fn execute(&self, words: &[String]) -> Result<Value, ToolError> {
        let (program, arguments) = words.split_first().ok_or_else(|| bad("no program".into()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("cannot start `{program}`: {error}")))?;
        // Kills what the program started too, also when this future is dropped.
        let group = Group(child.id().and_then(|it| Pid::from_raw(it.cast_signed())));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let run = async { tokio::join!(read(stdout), read(stderr), child.wait()) };
        let outcome = timeout(self.timeout, run).await;
        drop(group);
        let (stdout, stderr, status) = outcome.map_err(|_| {
            let seconds = self.timeout.as_secs();
            ToolError::new(ToolErrorCode::Timeout, format!("`{program}` ran over {seconds} s"))
        })?;
        let status = status.map_err(|error| failed(format!("cannot wait: {error}")))?;
        answer(program, status, stdout?, stderr?)
    }
}

/// The process group of a program, killed when this value goes.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An empty group is what we want; there is nobody to tell about any other error.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

impl Tool for Shell {
    fn kind(&self) -> &'static str {
        "tool.shell"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "command": { "type": "string" },
                "argv": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
            },
            "oneOf": [{ "required": ["command"] }, { "required": ["argv"] }],
            "additionalProperties": false,
        })
    }

    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a> {
        Box::pin(async move { self.execute(&words(&call.params)?).await })
    }
}

fn words(params: &Map<String, Value>) -> Result<Vec<String>, ToolError> {
    only_keys(params, &["command", "argv"])?;
    match (params.get("command"), params.get("argv")) {
        (Some(Value::String(command)), None) => shlex::split(command)
            .ok_or_else(|| bad("parameter `command` has an open quote".to_owned())),
        (None, Some(Value::Array(words))) => words
            .iter()
            .map(|it| it.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| bad("parameter `argv` must hold strings only".to_owned())),
        (None, None) | (Some(_), Some(_)) => {
            Err(bad("exactly one of `command` and `argv` must be given".to_owned()))
        }
        (Some(_), None) => Err(bad("parameter `command` must be a string".to_owned())),
        (None, Some(_)) => Err(bad("parameter `argv` must be an array".to_owned())),
    }
}

/// Reads to the end and keeps the beginning, so that a chatty program is not blocked by a full
/// pipe.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Result<(String, bool), ToolError> {
    let Some(mut stream) = stream else { return Ok((String::new(), false)) };
    let at = |error| failed(format!("cannot read the output: {error}"));
    let mut kept = Vec::new();
    (&mut stream).take(OUTPUT_LEN_MAX).read_to_end(&mut kept).await.map_err(at)?;
    let dropped = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map_err(at)?;
    Ok((String::from_utf8_lossy(&kept).into_owned(), dropped > 0))
}

fn answer(
    program: &str,
    status: ExitStatus,
    (stdout, stdout_cut): (String, bool),
    (stderr, stderr_cut): (String, bool),
) -> Result<Value, ToolError> {
    let output = json!({
        "exit_code": status.code(),
        "stdout": stdout,
        "stderr": stderr,
        "truncated": stdout_cut || stderr_cut,
    });
    if status.success() {
        return Ok(output);
    }
    let mut error = failed(format!("`{program}` ended with {status}"));
    error.output = Some(output);
    Err(error)
}

fn failed(message: String) -> ToolError {
    ToolError::new(ToolErrorCode::Failed, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    fn call(value: Value) -> ToolCall {
        ToolCall { params: params(value), ..ToolCall::default() }
    }

    #[tokio::test]
    async fn nothing_is_expanded_and_both_forms_agree() {
        let shell = Shell::default();
        for given in [
            json!({ "command": "echo '$HOME' * `id` ; x" }),
            json!({ "argv": ["echo", "$HOME", "*", "`id`", ";", "x"] }),
        ] {
            let output = shell.run(&call(given)).await.unwrap();
            assert_eq!(output["stdout"], "$HOME * `id` ; x\n");
        }
        let output = shell.run(&call(json!({ "command": "env" }))).await.unwrap();
        assert_eq!(output["stdout"], format!("PATH={PATH}\n"));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_its_children() {
        let shell = Shell { timeout: Duration::from_millis(300) };
        let argv = json!({ "argv": ["sh", "-c", "sleep 1000 & echo $! ; wait"] });
        let started = std::time::Instant::now();
        let error = shell.run(&call(argv)).await.unwrap_err();
        assert_eq!(error.code, ToolErrorCode::Timeout);
        assert!(started.elapsed() < Duration::from_secs(100), "the child held the pipe open");
    }

    #[tokio::test]
    async fn a_failure_keeps_its_output_and_a_flood_is_cut() {
        let shell = Shell::default();
        let argv = json!({ "argv": ["sh", "-c", "echo out; exit 3"] });
        let error = shell.run(&call(argv)).await.unwrap_err();
        assert_eq!(error.output.unwrap()["stdout"], "out\n");
        let argv = json!({ "argv": ["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x"] });
        let output = shell.run(&call(argv)).await.unwrap();
        assert_eq!(output["truncated"], true);
        assert_eq!(output["stdout"].as_str().unwrap().len(), 64 << 10);
    }

    #[test]
    fn parameters_that_name_no_program_are_refused() {
        for bad in [
            json!({}),
            json!({ "command": 1 }),
            json!({ "command": "a 'b" }),
            json!({ "argv": "id" }),
            json!({ "argv": ["id", 1] }),
            json!({ "argv": ["id"], "command": "id" }),
            json!({ "command": "id", "cwd": "/" }),
        ] {
            assert_eq!(words(&params(bad)).unwrap_err().code, ToolErrorCode::BadParams);
        }
    }
}
