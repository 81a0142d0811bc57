//! Commands through a runtime: decided by its policy and on record in its log, as every tool call is.
//!
//! | answer                         | exit code of the command                     |
//! |--------------------------------|----------------------------------------------|
//! | allow, and it ended with 0     | 0                                            |
//! | allow, and it ended otherwise  | its own; none when a signal or a limit ended it |
//! | deny                           | none: it did not run, and the text says why  |
//! | no answer                      | none: nobody knows whether it ran            |
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
use crate::{commands::daemon::tools::HttpTools, context::Context, failure::Failure};

/// The tool that runs programs.
const SHELL: &str = "tool.shell";
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
        Ok(match tools.call(&call) {
            Called::Done { output } => ended(&output, 0, String::new()),
            Called::Failed { code, message, output } => {
                let output = output.unwrap_or_default();
                let exit = output.get("exit_code").and_then(Value::as_i64);
                let exit = exit.and_then(|it| i32::try_from(it).ok());
                let note =
                    if exit.is_some() { String::new() } else { format!("{code}: {message}") };
                ended(&output, exit.unwrap_or(EXIT_NONE), note)
            }
            Called::Denied { code, reason } => none(format!("denied: {code}: {reason}")),
            Called::Lost { why } => none(format!("the answer was lost, it may have run: {why}")),
        })
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

fn none(note: String) -> Ended {
    Ended { code: EXIT_NONE, note, ..Ended::default() }
}

fn ended(output: &Value, code: i32, note: String) -> Ended {
    let bytes =
        |key: &str| output.get(key).and_then(Value::as_str).unwrap_or_default().as_bytes().to_vec();
    Ended { code, stdout: bytes("stdout"), stderr: bytes("stderr"), note }
}
