//! A control plane that is killed while operators and a node use it.

use std::{fs, net::TcpStream, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    harness::{Client, Ports, Process, RuntimeOptions, Stack, eventually},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
        operators::{Memory, Operators, trail_is_exact, what_was_answered_is_there},
    },
};

const OPERATORS: usize = 16;
/// Answers before the kill, so that it comes under load.
const ANSWERS: usize = 200;
/// Calls of the node while the control plane is away.
const CALLS: usize = 20;

/// Drill 5: the control plane is killed and started again.
pub(super) const KILLED: Drill = Drill {
    name: "control-plane-killed",
    hypothesis: "a control plane that is killed under load loses nothing that it answered, and nodes keep working",
    fault: "SIGKILL of the control plane while 16 operators change plans and a node delivers events",
    expected: "clients fail with a connection error and may repeat; the next start serves at once, and `autonomy audit verify` ends with 0",
    needs: Needs::Nothing,
    lines: &[
        "control plane: killed under load, every answered change is there and on record once",
        "nodes: tool calls go on while the control plane is away, and their events arrive",
    ],
    play,
};

fn play(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let stack = Stack::new(dir, Ports::free()?);
    stack.load_demo_policy()?;
    let client = Client::new()?;
    let (mut control_plane, mut sink, mut runtime) = (None, None, None);
    narrator.check("control plane, collector and node serve", || {
        control_plane = Some(stack.orchestrator()?);
        sink = Some(stack.sink()?);
        let (url, args) = (stack.sink_url(), "--otlp-endpoint");
        runtime = Some(stack.runtime(&RuntimeOptions { args: &[args, &url], env: &[] })?);
        call(&stack, &client)
    });
    let operators = Operators::begin(&client, &stack.orchestrator_url(), OPERATORS, 0x5eed);
    narrator.check("operators change plans, and the control plane is killed meanwhile", || {
        eventually("enough is answered", || (operators.answered() >= ANSWERS).then_some(()))?;
        match fault {
            Fault::Injected => control_plane.take().context("no control plane")?.kill(),
            Fault::LeftOut => Ok(()),
        }
    });
    narrator.check("proof: nobody listens where the control plane was", || {
        let address = stack.orchestrator_url().replace("http://", "");
        ensure!(TcpStream::connect(&address).is_err(), "somebody listens at {address}");
        Ok(())
    });
    narrator.check("the node answers every call meanwhile", || call(&stack, &client));
    narrator.check("the next start serves", || {
        control_plane = Some(stack.orchestrator()?);
        Ok(())
    });
    let memories =
        narrator.check("operators who repeat get an answer, to each request one", || {
            // More than was answered before the kill: they go on.
            eventually("they go on", || (operators.answered() >= 2 * ANSWERS).then_some(()))?;
            operators.end(&client)
        });
    let known = memories.unwrap_or_default();
    narrator.check("every answered change is there, and nothing is half-done", || {
        what_was_answered_is_there(&stack, &client, &known)
    });
    narrator.check("every event of the node arrives, once", || {
        arrived(&stack, &client)?;
        stop(runtime.take())
    });
    narrator.check("the audit trail is whole, and has every change once", || {
        stop(sink.take())?;
        stop(control_plane.take())?;
        exact(&stack, &known)
    });
    Ok(())
}

fn exact(stack: &Stack, known: &[Memory]) -> Result<()> {
    let changes = trail_is_exact(stack, known)?;
    ensure!(changes >= ANSWERS / 2, "{changes} changes show nothing");
    Ok(())
}

fn call(stack: &Stack, client: &Client) -> Result<()> {
    for number in 0..CALLS {
        let params = json!({ "message": number.to_string() });
        let (status, answer) = client.tool(&stack.runtime_url(), "tool.echo", &params)?;
        ensure!(status == 200, "{answer:?}");
    }
    Ok(())
}

/// Waits until the control plane has what the node recorded.
fn arrived(stack: &Stack, client: &Client) -> Result<()> {
    let url = format!("{}/v1/status", stack.runtime_url());
    eventually("everything is delivered", || {
        (client.get_json(&url).ok()?["wal"]["lag"] == 0).then_some(())
    })?;
    let written = stack.export()?.len();
    let page = format!("{}/v1/events?node_id=demo-node&limit=1000", stack.orchestrator_url());
    let page = client.get_json(&page)?;
    ensure!(page["count"] == written, "{} of {written}", page["count"]);
    let collected = fs::read_to_string(stack.dir.join("sink.jsonl"))?;
    ensure!(collected.lines().count() >= written, "the collector has fewer");
    Ok(())
}

fn stop(process: Option<Process>) -> Result<()> {
    process.map_or(Ok(()), Process::stop)
}
