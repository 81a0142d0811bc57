//! `autonomy demo gazebo`: a robot that asks before every move.

use std::{
    io::{self, Write as _},
    path::Path,
    process::Command,
    time::Duration,
};

use api::{env, exit::Exit, tool::Verdict};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    evidence::Record,
    robot::{Dice, World},
    start,
};
use crate::{
    args::DemoGazebo,
    commands::own_runtime::{Asked, BuiltIn, OwnRuntime},
    context::Context,
    failure::Failure,
};

/// Milliseconds between two steps, unless the operator says otherwise.
const TICK_MS: u64 = 500;
/// Steps of a demo, unless the operator says otherwise.
const TICKS: u64 = 20;
/// Battery below which the agent charges, in percent.
const LOW: u64 = 20;
/// Every so many steps the agent tries what it may not do.
const RECKLESS_EVERY: u64 = 5;
/// The directions of a step.
const STEPS: [(i64, i64); 4] = [(1, 0), (0, 1), (-1, 0), (0, -1)];

/// What a robot may do.
const POLICY: BuiltIn = BuiltIn {
    name: "gazebo",
    version: "1.0.0",
    sources: &[("robot.rego", include_str!("../../../policies/gazebo/robot.rego"))],
};

/// What the agent counted, to be compared with the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    calls: u64,
    denied: u64,
    steps: u64,
}

pub(super) async fn tell(args: &DemoGazebo, context: Context<'_>) -> Result<Exit, Failure> {
    let tick = Duration::from_millis(number(context, env::SIM_TICK_MS, TICK_MS)?);
    let ticks = number(context, env::SIM_MAX_TICKS, TICKS)?;
    let mut dice = Dice::new(args.seed);
    let world = World::new(&mut dice);
    let asked = Asked { dir: args.dir.as_deref(), keep: false };
    let (runtime, place, policy) = start(asked, &POLICY, world.tools(), context).await?;
    let before = Record::of(place.dir())?;
    say(&format!("autonomy demo gazebo: policy {policy}, seed {}, {ticks} ticks", args.seed))?;
    let mut agent =
        Agent { runtime: &runtime, world: &world, dice, heading: 0, counted: Counted::default() };
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(|error| Failure::process(&error))?;
    for number in 1..=ticks {
        agent.tick(number).await?;
        let pause = if number < ticks { tick } else { Duration::ZERO };
        // Whoever has seen enough gets the verdict about what he has seen, and nothing is left behind.
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    let counted = agent.counted;
    let checks = verdicts(counted, world.now().steps, &on_record(place.dir(), &before)?);
    let mut passed = true;
    for (label, holds) in checks {
        let verdict = if holds { "PASS" } else { "FAIL" };
        let line = format!("{verdict} {label} context=sim");
        // On record before it is said.
        let attrs = [("verdict", verdict), ("label", label), ("context", "sim")];
        runtime
            .recorder()
            .happened("demo.gazebo", &attrs)
            .await
            .map_err(|error| Failure::of(Exit::Failed, "RUNTIME_LOST", &error))?;
        say(&line)?;
        passed &= holds;
    }
    runtime.stop().await?;
    place.clear()?;
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

/// What the log says about the calls of this demo.
fn on_record(dir: &Path, before: &Record) -> Result<Counted, Failure> {
    let record = Record::of(dir)?;
    let mut counted = Counted::default();
    for (_, call) in record.calls.iter().filter(|it| !before.calls.contains_key(it.0)) {
        for decision in &call.decisions {
            counted.calls += 1;
            counted.denied += u64::from(decision.says == "deny");
        }
        let moved =
            call.outcomes.iter().filter(|it| it.kind == "tool.gazebo.move" && it.says == "ok");
        counted.steps += moved.count() as u64;
    }
    Ok(counted)
}

/// Each claim, and whether the log bears it out. A demo in which nothing was tried has shown nothing.
fn verdicts(counted: Counted, steps: u64, recorded: &Counted) -> [(&'static str, bool); 3] {
    [
        ("gazebo-telemetry-active", recorded.calls > 0),
        ("gazebo-policy-enforced", recorded.denied > 0 && recorded.denied == counted.denied),
        ("gazebo-wal-recording", recorded.calls == counted.calls && recorded.steps == steps),
    ]
}

/// The program that drives the robot: it knows only what it is answered.
struct Agent<'a> {
    runtime: &'a OwnRuntime,
    world: &'a World,
    dice: Dice,
    heading: usize,
    counted: Counted,
}

impl Agent<'_> {
    async fn tick(&mut self, number: u64) -> Result<(), Failure> {
        let state = self.call(number, "tool.gazebo.state", &json!({})).await?;
        let battery = state.get("battery").and_then(Value::as_u64).unwrap_or_default();
        if number.is_multiple_of(RECKLESS_EVERY) {
            let place = self.world.now();
            self.call(number, "tool.gazebo.move", &json!({ "dx": 3, "dy": 0 })).await?;
            self.call(number, "tool.gazebo.lidar_off", &json!({})).await?;
            if self.world.now() != place {
                let message = "the robot did what was denied";
                return Err(Failure::new(Exit::Failed, "DEMO_FAILED", message));
            }
        } else if battery < LOW {
            self.call(number, "tool.gazebo.charge", &json!({})).await?;
        } else {
            let (dx, dy) = STEPS.get(self.heading).copied().unwrap_or_default();
            let step = json!({ "dx": dx, "dy": dy });
            if self.call(number, "tool.gazebo.move", &step).await?.is_null() {
                // Something is in the way.
                let turn = self.dice.below(STEPS.len() as u64);
                self.heading = usize::try_from(turn).unwrap_or_default();
            }
        }
        Ok(())
    }

    async fn call(&mut self, number: u64, kind: &str, params: &Value) -> Result<Value, Failure> {
        let body = json!({ "kind": kind, "params": params }).to_string();
        let (_, answer) = self.runtime.call(body).await?;
        self.counted.calls += 1;
        let came = match answer.decision {
            Verdict::Deny => {
                self.counted.denied += 1;
                answer.reason.unwrap_or_default()
            }
            Verdict::Allow => answer
                .error
                .or_else(|| answer.output.as_ref().map(Value::to_string))
                .unwrap_or_default(),
        };
        let decision = answer.decision.as_str();
        say(&format!(
            "tick {number:3}  {kind:22} {params:16}  {decision:5}  {came}",
            params = params.to_string()
        ))?;
        Ok(answer.output.unwrap_or_default())
    }
}

/// Starts the demo in containers and stays with it to its end.
pub(super) fn in_containers(file: &Path) -> Result<Exit, Failure> {
    let mut compose = Command::new("docker");
    compose.args(["compose", "--file"]).arg(file);
    compose.args(["up", "--build", "--abort-on-container-exit", "--exit-code-from", "robot"]);
    let why = match compose.status() {
        Ok(status) if status.success() => return Ok(Exit::Done),
        Ok(status) => match status.code() {
            Some(code) => format!("exit status {code}"),
            None => status.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let message = format!("demo gazebo: docker compose up: {why}");
    Err(Failure::new(Exit::Failed, "COMPOSE_FAILED", message).hint(
        "if Docker Compose fails to start the orchestrator service, re-run with --local for an in-process demo",
    ))
}

fn number(context: Context<'_>, name: &str, otherwise: u64) -> Result<u64, Failure> {
    let Some(text) = context.var(name) else { return Ok(otherwise) };
    text.parse().map_err(|_| {
        let message = format!("{name} is `{text}` (a whole number)");
        Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message)
    })
}

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_says_something_else_than_the_agent_counted_fails() {
        let counted = Counted { calls: 9, denied: 2, steps: 4 };
        let failed =
            |recorded: Counted| verdicts(counted, 4, &recorded).iter().filter(|it| !it.1).count();
        assert_eq!(failed(counted), 0);
        assert_eq!(failed(Counted { calls: 8, ..counted }), 1);
        assert_eq!(failed(Counted { denied: 1, ..counted }), 1);
        assert_eq!(failed(Counted { steps: 5, ..counted }), 1);
        assert_eq!(failed(Counted::default()), 3);
        let idle = verdicts(Counted::default(), 0, &Counted::default());
        assert!(!idle[0].1 && !idle[1].1, "nothing was tried, so nothing was shown");
    }
}
