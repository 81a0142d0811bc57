//! Step 4: the tool runs, within its bounds.
//!
//! | the tool                                    | outcome                                                |
//! |---------------------------------------------|--------------------------------------------------------|
//! | returns a value                             | `ok`                                                   |
//! | returns more than [`Limits::output_bytes`]  | `failed`, `output_too_large`: it ran, the value is gone |
//! | returns an error                            | `failed` or `refused`, with its code                   |
//! | panics                                      | `failed`, `tool_failed`                                |
//! | is dropped at the deadline                  | `failed`, `tool_timeout`                               |
//! | ends after the deadline, before it is dropped | what it returned                                       |
//! | cannot be dropped                           | `failed`, `tool_timeout`, `still_running`              |
//!
//! * **X1** An outcome is recorded after the tool has ended, or says that it has not.

use std::{io, time::Duration};

use serde_json::Value;
use tokio::{
    task::{JoinError, JoinHandle},
    time::{Instant, timeout},
};

use super::Interceptor;
#[cfg(doc)]
use crate::Limits;
use crate::{
    records::{Call, Outcome},
    tools::{ToolCall, ToolError, ToolErrorCode},
};

/// Longest wait for the end of a tool that was told to end. A future that is at an `await` ends at once.
const END_WAIT: Duration = Duration::from_secs(1);

type Ended = Result<Result<Value, ToolError>, JoinError>;

impl Interceptor {
    /// Runs the tool. It has a task of its own, so that a panic in it is an outcome like any other, and
    /// the deadline drops it.
    pub(super) async fn execute(&self, call: &Call, obligations: &[Value]) -> Outcome {
        let Some(tool) = self.tools.get(&call.kind).cloned() else { return Outcome::NoExecutor };
        let asked = ToolCall {
            audit_id: call.audit_id.clone(),
            params: call.params.clone(),
            obligations: obligations.to_vec(),
            time_limit: Some(self.tool_timeout),
        };
        let started = Instant::now();
        let task = AbortOnDrop(tokio::spawn(async move { tool.run(&asked).await }));
        let outcome = self.within_deadline(call, task).await;
        self.measures.tool_ran(started.elapsed());
        bounded(outcome, &call.kind, self.limits.output_bytes)
    }

    async fn within_deadline(
        &self,
        call: &Call,
        mut task: AbortOnDrop<Result<Value, ToolError>>,
    ) -> Outcome {
        if let Ok(ended) = timeout(self.tool_timeout, &mut task.0).await {
            return self.ended(call, ended);
        }
        task.0.abort();
        if let Ok(ended) = timeout(END_WAIT, &mut task.0).await {
            return self.ended(call, ended);
        }
        tracing::error!(audit_id = call.audit_id, kind = call.kind, "a tool does not end");
        let running = self.measures.still_running();
        tokio::spawn(async move {
            // However it ends.
            (&mut task.0).await.ok();
            drop(running);
        });
        let error = self.over_time(call, " and has not ended");
        Outcome::StillRunning(error)
    }

    fn ended(&self, call: &Call, ended: Ended) -> Outcome {
        match ended {
            Ok(Ok(output)) => Outcome::Done(output),
            Ok(Err(error)) => Outcome::Failed(error),
            Err(error) if error.is_cancelled() => Outcome::Failed(self.over_time(call, "")),
            Err(error) => {
                let message = format!("`{}`: {error}", call.kind);
                Outcome::Failed(ToolError::new(ToolErrorCode::Failed, message))
            }
        }
    }

    fn over_time(&self, call: &Call, more: &str) -> ToolError {
        let seconds = self.tool_timeout.as_secs_f64();
        let message = format!("`{}` ran over {seconds} s{more}", call.kind);
        ToolError::new(ToolErrorCode::Timeout, message)
    }
}

/// Leaves out an output that is longer than the limit.
fn bounded(outcome: Outcome, kind: &str, limit: usize) -> Outcome {
    match outcome {
        Outcome::Done(output) if is_over(&output, limit) => {
            let message = format!("`{kind}` returned more than {limit} bytes of JSON");
            Outcome::Failed(ToolError::new(ToolErrorCode::OutputTooLarge, message))
        }
        Outcome::Failed(mut error) => {
            error.output = error.output.filter(|it| !is_over(it, limit));
            if error.message.len() > limit {
                error.message.truncate(error.message.floor_char_boundary(limit));
            }
            Outcome::Failed(error)
        }
        other => other,
    }
}

fn is_over(value: &Value, limit: usize) -> bool {
    // Nothing else can fail.
    serde_json::to_writer(Room(limit), value).is_err()
}

/// Takes so many bytes, keeps none.
struct Room(usize);

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A task that ends with its owner.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
