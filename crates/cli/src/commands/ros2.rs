//! `autonomy ros2 run`: a ROS 2 stack, started after the policy has allowed it.
//!
//! | step | what                                                    | `PASS` line on stdout and in the log      |
//! |-----:|---------------------------------------------------------|-------------------------------------------|
//! |    1 | the runtime answers and records                         | `ros2-telemetry-active`                   |
//! |    2 | in a container: the engine answers                      | `ros2-runtime-container-ready`            |
//! |    3 | the policy allows `tool.ros2.<command>`, on record      | `ros2-launch-allowed`; else exit code 3   |
//! |    4 | the process is started                                  | `ros2-stack-start`                        |
//! |    5 | it has ended; its allow is in the log, once             | `ros2-policy-enforced`                    |
//! |    6 | every byte of the log was verified                      | `ros2-wal-recording`                      |
//!
//! Nothing is started before step 4. A line that is not true is not printed.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
};

use api::{env, exit::Exit, tool::Verdict};
use serde_json::json;
use tokio::process::Command;
use vfs::OsVfs;
use wal_recovery::verify;

use super::{
    own_runtime::{Asked, BuiltIn, Choice, OwnRuntime, Place, config, quiet_log, read},
    run::{Panel, Signals, finish, start, tools},
};
use crate::{
    args::{Ros2, Ros2Run},
    context::Context,
    failure::Failure,
};

/// What decides unless the operator says otherwise.
const POLICY: BuiltIn = BuiltIn {
    name: "ros2",
    version: "1.0.0",
    sources: &[("ros2.rego", include_str!("../../policies/ros2/ros2.rego"))],
};

pub(crate) fn run(command: &Ros2, context: Context<'_>) -> Result<u8, Failure> {
    let Ros2::Run(args) = command;
    quiet_log(context)?;
    let stack = Stack::of(args)?;
    let choice = Choice::of(args.governing.policy.as_deref(), &POLICY)?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|it| Failure::process(&it))?;
    executor.block_on(launch(args, &stack, choice, context))
}

/// What is to be started, and around what.
#[derive(Debug, PartialEq, Eq)]
struct Stack {
    /// `container` or `native`, as the lines say it.
    context: &'static str,
    /// Kind of the call that the policy decides.
    kind: String,
    command: Vec<OsString>,
}

impl Stack {
    fn of(args: &Ros2Run) -> Result<Self, Failure> {
        let word = args.args.first().map_or("", String::as_str);
        let plain = |it: u8| it.is_ascii_lowercase() || it == b'_';
        if word.is_empty() || !word.bytes().all(plain) {
            let message = format!("`{word}` is no command of ros2");
            return Err(Failure::new(Exit::Usage, "BAD_LAUNCH", message)
                .hint("the command comes first: -- launch PACKAGE FILE"));
        }
        let (context, before) = match (&args.image, args.allow_reduced_governance) {
            (Some(image), _) if image.starts_with('-') || image.is_empty() => {
                let message = format!("--image is `{image}`");
                return Err(Failure::new(Exit::Usage, "BAD_LAUNCH", message));
            }
            (Some(image), _) => {
                // The runtime is on the loopback of this machine.
                let docker = ["docker", "run", "--rm", "--network", "host", "--env"];
                let docker = docker.into_iter().chain([env::RUNTIME_URL, image.as_str(), "ros2"]);
                ("container", docker.map(OsString::from).collect::<Vec<_>>())
            }
            (None, true) => ("native", vec![OsString::from("ros2")]),
            (None, false) => {
                let message = "ros2 on this machine has nothing around it that enforces decisions";
                return Err(Failure::new(Exit::Denied, "NATIVE_REFUSED", message)
                    .hint("pass --image, or --allow-reduced-governance to do it all the same"));
            }
        };
        let command = before.into_iter().chain(args.args.iter().map(OsString::from)).collect();
        Ok(Self { context, kind: format!("tool.ros2.{word}"), command })
    }
}

async fn launch(
    args: &Ros2Run,
    stack: &Stack,
    choice: Choice,
    context: Context<'_>,
) -> Result<u8, Failure> {
    let governing = &args.governing;
    let mut signals = Signals::catch().map_err(|it| Failure::process(&it))?;
    let place =
        Place::choose(Asked { dir: governing.dir.as_deref(), keep: governing.keep }, context)?;
    let config = config(governing, &place, choice.evaluator, context)?;
    let strict = config.strict;
    let mut runtime = OwnRuntime::start(config, tools(governing)).await?;
    let (url, command) = (runtime.url(), stack.command.as_slice());
    Panel { url, policy: &choice.shown, strict, place: &place, governing, command }.show();
    let ended = governed(args, stack, &mut runtime, &mut signals, place.dir()).await;
    finish(runtime, place, ended).await
}

async fn governed(
    args: &Ros2Run,
    stack: &Stack,
    runtime: &mut OwnRuntime,
    signals: &mut Signals,
    dir: &Path,
) -> Result<u8, Failure> {
    pass(runtime, "ros2-telemetry-active", stack).await?;
    if stack.context == "container" {
        engine_answers().await?;
        pass(runtime, "ros2-runtime-container-ready", stack).await?;
    }
    let audit_id = allowed(args, stack, runtime).await?;
    pass(runtime, "ros2-launch-allowed", stack).await?;
    let child = match start(&stack.command, runtime, signals) {
        Ok(child) => child,
        Err(code) => return Ok(code),
    };
    pass(runtime, "ros2-stack-start", stack).await?;
    let code = child.accompany(signals, runtime.lost()).await?;
    let mut allows = 0_u32;
    read(dir, |entry| {
        let ours = entry.text("audit_id") == Some(&audit_id);
        allows += u32::from(ours && entry.text("decision") == Some("allow"));
    })?;
    if allows != 1 {
        let message = format!("the log has {allows} allows of this start instead of 1");
        return Err(Failure::new(Exit::Integrity, "LAUNCH_NOT_RECORDED", message));
    }
    pass(runtime, "ros2-policy-enforced", stack).await?;
    verify(&OsVfs, dir, None)
        .map_err(|error| Failure::of(Exit::Integrity, error.code(), &error).hint(error.hint()))?;
    pass(runtime, "ros2-wal-recording", stack).await?;
    Ok(code)
}

/// Asks the policy, through the front door like everybody; the audit id of the allow.
async fn allowed(args: &Ros2Run, stack: &Stack, runtime: &OwnRuntime) -> Result<String, Failure> {
    let params = json!({ "args": args.args, "context": stack.context, "image": args.image });
    let body = json!({ "kind": stack.kind, "params": params }).to_string();
    let (status, answer) = runtime.call(body).await?;
    let why = match answer.decision {
        Verdict::Allow if status != 200 => answer.error.unwrap_or_default(),
        // Whoever starts a process cannot meet a demand about what it does.
        Verdict::Allow if !answer.obligations.is_empty() => {
            format!("the policy demands {}", json!(answer.obligations))
        }
        Verdict::Allow => return Ok(answer.audit_id),
        Verdict::Deny => answer.reason.unwrap_or_default(),
    };
    let message = format!("`{}` is denied: {why}", stack.kind);
    let mut failure = Failure::new(Exit::Denied, "LAUNCH_DENIED", message);
    failure.cause = answer.code.into_iter().collect();
    Err(failure.hint(format!("nothing was started; recorded : {}", answer.audit_id)))
}

/// Sees whether containers can be started.
async fn engine_answers() -> Result<(), Failure> {
    let failed = |why: String| {
        let mut failure =
            Failure::new(Exit::Unreachable, "CONTAINER_ENGINE", "docker does not answer");
        failure.cause = vec![why];
        failure.hint("nothing was started; start the engine, or see `docker version`")
    };
    let asked = Command::new("docker").arg("version").kill_on_drop(true).output().await;
    let asked = asked.map_err(|error| failed(error.to_string()))?;
    if asked.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&asked.stderr).trim().to_owned()))
}

/// Records a line, then prints it.
async fn pass(runtime: &OwnRuntime, label: &str, stack: &Stack) -> Result<(), Failure> {
    let attrs = [("verdict", "PASS"), ("label", label), ("context", stack.context)];
    let recorded = runtime.recorder().happened("ros2.marker", &attrs).await;
    recorded.map_err(|error| Failure::of(Exit::Failed, "RUNTIME_LOST", &error))?;
    let mut stdout = io::stdout().lock();
    // Who closed stdout does not want to know; the stack goes on.
    writeln!(stdout, "PASS {label} context={}", stack.context).ok();
    Ok(())
}
