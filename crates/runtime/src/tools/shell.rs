//! `tool.shell` runs a program. It exists only when the operator enables it.
//!
//! No shell reads what the agent sent: a `command` is split into words by the quoting rules of POSIX,
//! nothing is expanded, and the first word is the program. The `argv` form takes the words as they are.
//!
//! | module   | what it does                                                        |
//! |----------|---------------------------------------------------------------------|
//! | `script` | the fixed lines of `/bin/sh` before the program: guard, limits, exec |
//! | `group`  | the process group: started, watched, killed, read                    |
//!
//! The program gets an environment of `PATH` and what the embedder adds, no input, and its own process
//! group. The whole group is killed when the program ends, at the time limit, when the call is abandoned,
//! and when the runtime is gone, even by SIGKILL. A process that leaves the group (`setsid`) or kills the
//! guard escapes: this bounds programs, it is no sandbox against them.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::process::Command;

use self::group::{Ran, run};
use super::{Tool, ToolCall, ToolError, ToolErrorCode, ToolFuture, bad, only_keys};

mod group;
mod script;

pub use script::ShellLimits;

/// Runs programs.
#[derive(Clone, Debug)]
pub struct Shell {
    timeout: Duration,
    output_len_max: usize,
    path: String,
    env: BTreeMap<String, String>,
    dir: Option<PathBuf>,
    limits: ShellLimits,
}

impl Default for Shell {
    fn default() -> Self {
        Self {
            timeout: Self::TIMEOUT,
            output_len_max: Self::OUTPUT_LEN_MAX,
            path: Self::PATH.to_owned(),
            env: BTreeMap::new(),
            dir: None,
            limits: ShellLimits::default(),
        }
    }
}

impl Shell {
    /// Longest run of a program unless the embedder says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(20);
    /// Most bytes kept of each of its outputs unless the embedder says otherwise.
    pub const OUTPUT_LEN_MAX: usize = 64 << 10;
    /// Where programs are looked for unless the embedder says otherwise.
    pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    /// Bounds a run. The limit of the runtime counts too, if it is the smaller one.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Bounds what is kept of each output.
    #[must_use]
    pub fn with_output_len_max(self, output_len_max: usize) -> Self {
        Self { output_len_max, ..self }
    }

    /// Replaces the directories in which programs are looked for, separated by colons. It is the `PATH`
    /// of the program too.
    #[must_use]
    pub fn with_path(self, path: impl Into<String>) -> Self {
        Self { path: path.into(), ..self }
    }

    /// Adds a variable to the environment of every program. `PATH` is not set this way.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets the directory in which programs run; without it, that of the runtime.
    #[must_use]
    pub fn with_dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { dir: Some(dir.into()), ..self }
    }

    /// Bounds what each process of a program may use up.
    #[must_use]
    pub fn with_limits(self, limits: ShellLimits) -> Self {
        Self { limits, ..self }
    }

    async fn execute(&self, words: &[String], limit: Duration) -> Result<Value, ToolError> {
        let (program, arguments) = words.split_first().ok_or_else(|| bad("no program".into()))?;
        let found = self.find(program).ok_or_else(|| {
            failed(format!("cannot start `{program}`: no executable file of that name"))
        })?;
        let mut command = Command::new(script::SH);
        command.args(["-c", &script::script(&self.limits), "sh"]).arg(found).args(arguments);
        command.env_clear().envs(&self.env).env("PATH", &self.path);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let ran = run(&mut command, limit, self.output_len_max).await;
        let ran = ran.map_err(|error| failed(format!("cannot run `{program}`: {error}")))?;
        answer(program, limit, &ran)
    }

    /// The executable file that a word names, as a path that nothing takes for an option.
    fn find(&self, program: &str) -> Option<PathBuf> {
        let here = self.dir.as_deref().unwrap_or(Path::new("."));
        let candidates: Vec<_> = if program.contains('/') {
            vec![here.join(program)]
        } else {
            self.path.split(':').map(|dir| here.join(dir).join(program)).collect()
        };
        candidates.into_iter().find(|it| is_executable(it))
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
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
        Box::pin(
            async move { self.execute(&words(&call.params)?, call.time_for(self.timeout)).await },
        )
    }
}

fn words(params: &Map<String, Value>) -> Result<Vec<String>, ToolError> {
    only_keys(params, &["command", "argv"])?;
    let words: Vec<String> = match (params.get("command"), params.get("argv")) {
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
    }?;
    match words.first() {
        None => Err(bad("no program is given".to_owned())),
        Some(program) if program.is_empty() => Err(bad("the program is an empty word".to_owned())),
        Some(_) if words.iter().any(|it| it.contains('\0')) => {
            Err(bad("no word may contain a NUL".to_owned()))
        }
        Some(_) => Ok(words),
    }
}

fn answer(program: &str, limit: Duration, ran: &Ran) -> Result<Value, ToolError> {
    let output = json!({
        "exit_code": ran.status.and_then(|it| it.code()),
        "stdout": ran.stdout.text,
        "stderr": ran.stderr.text,
        "truncated": ran.stdout.cut || ran.stderr.cut,
    });
    let mut error = match ran.status {
        Some(status) if status.success() => return Ok(output),
        Some(status) => failed(format!("`{program}` ended with {status}")),
        None => {
            let seconds = limit.as_secs_f64();
            let message = format!("`{program}` ran over {seconds} s and was killed");
            ToolError::new(ToolErrorCode::Timeout, message)
        }
    };
    error.output = Some(output);
    Err(error)
}

fn failed(message: String) -> ToolError {
    ToolError::new(ToolErrorCode::Failed, message)
}

#[cfg(test)]
mod tests;
