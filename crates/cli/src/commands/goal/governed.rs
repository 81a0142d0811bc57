//! Commands through a runtime: decided by its policy and on record in its log, as every tool call is.
//!
//! | answer                                        | exit code of the command                     |
//! |-----------------------------------------------|----------------------------------------------|
//! | done                                          | 0                                            |
//! | failed, and it ended by itself                | its own                                      |
//! | failed otherwise                              | none: a signal or a limit ended it, or nothing ran it |
//! | denied                                        | none: it did not run, and the text says why  |
//! | none, one that is not understood, or one that contradicts itself | none: nobody knows whether it ran |
//!
//! What an answer is, says `daemon::tools`: done is only what ended with 0.
//!
//! * **G1** Where a runtime is named nothing runs beside it: one that does not answer runs nothing.

use std::time::Duration;

use api::{env, exit::Exit};
use daemon::{Call, Called, Tools as _};
use goal::EXIT_NONE;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::process::{Ended, Order};
use crate::{
    commands::daemon::tools::{HttpTools, SHELL, ended_with},
    context::Context,
    failure::Failure,
};

/// Where programs are looked for.
const PATH: &str = "PATH";
/// Goes to the directory, then is the command.
const SCRIPT: &str = "cd \"$1\" && exec /bin/sh -c \"$2\"";

/// A runtime that governs commands.
pub(super) struct Governor {
    url: String,
    goal_id: String,
    /// What a command finds in its environment beside that of the tool: where programs are, whose it is, and whom to ask.
    vars: Vec<(&'static str, String)>,
}

impl Governor {
    /// Names it. Nothing is asked yet.
    pub(super) fn new(url: String, goal_id: String, context: Context<'_>) -> Self {
        let kept = [PATH, env::HOME].into_iter();
        let mut vars: Vec<_> = kept.filter_map(|it| Some((it, context.var(it)?))).collect();
        vars.push((env::RUNTIME_URL, url.clone()));
        Self { url, goal_id, vars }
    }

    /// Whether no call that was made before now can be running still; in doubt there is one.
    pub(super) fn is_at_rest(&self) -> Result<bool, Failure> {
        let tools = HttpTools::new(&self.url, Duration::from_secs(1))?;
        Ok(tools.at_rest(Timestamp::now()).unwrap_or(false))
    }

    /// Whether it answers.
    ///
    /// # Errors
    ///
    /// `GOAL_RUNTIME` when it does not.
    pub(super) fn ready(&self) -> Result<(), Failure> {
        let tools = HttpTools::new(&self.url, Duration::from_secs(1))?;
        tools.ready().map_err(|why| {
            let message = format!("nothing is sent out: {why}");
            Failure::new(Exit::Unreachable, "GOAL_RUNTIME", message)
                .hint("start the runtime, or name another: --runtime-url URL; nothing was begun")
        })
    }

    /// Runs a command through it, once.
    pub(super) fn run(&self, id: &str, order: &Order<'_>) -> Result<Ended, Failure> {
        let tools = HttpTools::new(&self.url, order.limit)?;
        if let Err(unreachable) = tools.ready() {
            return Ok(none(format!("not run: {unreachable}")));
        }
        let params = self.params(order);
        let key = Uuid::new_v4().to_string();
        let call = Call {
            tool: SHELL,
            params: &params,
            idem_key: &key,
            mandate_id: &self.goal_id,
            step_id: id,
        };
        Ok(came_of(tools.call(&call)))
    }

    fn params(&self, order: &Order<'_>) -> Map<String, Value> {
        let mut argv = vec!["/usr/bin/env".to_owned()];
        let vars = self.vars.iter().chain(order.vars);
        argv.extend(vars.map(|(name, value)| format!("{name}={value}")));
        let dir = order.dir.display().to_string();
        argv.extend(["/bin/sh", "-c", SCRIPT, "sh", &dir, order.command].map(str::to_owned));
        Map::from_iter([("argv".to_owned(), json!(argv))])
    }
}

/// What came of a command, by the table.
fn came_of(called: Called) -> Ended {
    match called {
        Called::Done { output } => match ended_with(&output) {
            Some(0) => ended(&output, 0, String::new()),
            _ => none(format!("the answer is not understood, it may have run: {output}")),
        },
        Called::Failed { code, message, output } => {
            let output = output.unwrap_or_default();
            match ended_with(&output).filter(|it| *it != 0) {
                Some(exit) => ended(&output, exit, String::new()),
                None => ended(&output, EXIT_NONE, format!("{code}: {message}")),
            }
        }
        Called::Denied { code, reason } => none(format!("denied: {code}: {reason}")),
        Called::Lost { why } => none(format!("the answer was lost, it may have run: {why}")),
    }
}

fn none(note: String) -> Ended {
    Ended { code: EXIT_NONE, note, ..Ended::default() }
}

fn ended(output: &Value, code: i32, note: String) -> Ended {
    let bytes =
        |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec();
    Ended { code, stdout: bytes("stdout"), stderr: bytes("stderr"), note }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_succeeded_only_when_it_is_done_and_ended_with_0() {
        let done = |output: Value| came_of(Called::Done { output });
        let failed = |output: Value| {
            let (code, message) = ("tool_failed".to_owned(), "no".to_owned());
            came_of(Called::Failed { code, message, output: Some(output) })
        };
        assert_eq!(done(json!({ "exit_code": 0 })).code, 0);
        assert_eq!(failed(json!({ "exit_code": 7, "stderr": "why" })).code, 7);
        for output in [json!({}), json!("done"), json!({ "exit_code": null, "timed_out": true })] {
            let ended = done(output.clone());
            assert_eq!(ended.code, EXIT_NONE, "{output}");
            assert!(ended.note.contains("not understood"), "{}", ended.note);
        }
        for output in [json!({ "exit_code": 0 }), json!({ "exit_code": null }), Value::Null] {
            let ended = failed(output.clone());
            assert_eq!((ended.code, &*ended.note), (EXIT_NONE, "tool_failed: no"), "{output}");
        }
    }
}
