//! What a runtime does when nobody takes its events for a while.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpStream,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Ports, Process, RuntimeOptions, Stack, eventually},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// Calls before, while and after the collector is away.
const CALLS: usize = 20;

/// The collector is killed and comes back.
pub(super) const OFFLINE: Drill = Drill {
    name: "collector-offline",
    hypothesis: "a collector that is away stops no call, and gets every event once it is back",
    fault: "SIGKILL of the collector while a runtime delivers to it",
    expected: "one WARN `events not delivered; the log keeps them` with UNREACHABLE, no failed call",
    needs: Needs::Nothing,
    lines: &[],
    play: offline,
};

fn offline(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let stack = Stack::new(dir, Ports::free()?);
    stack.load_demo_policy()?;
    let client = Client::new()?;
    let url = stack.sink_url();
    let (mut control_plane, mut sink, mut runtime) = (None, None, None);
    narrator.check("control plane, collector and runtime serve", || {
        control_plane = Some(stack.orchestrator()?);
        sink = Some(stack.sink()?);
        let args = ["--otlp-endpoint", &url];
        runtime = Some(stack.runtime(&RuntimeOptions { args: &args, env: &[] })?);
        call(&stack, &client)?;
        delivered(&stack, &client)
    });
    narrator.check("the collector is killed", || match fault {
        Fault::Injected => sink.take().context("no collector")?.kill(),
        Fault::LeftOut => Ok(()),
    });
    narrator.check("proof: nobody listens where the collector was", || {
        let address = url.replace("http://", "");
        ensure!(TcpStream::connect(&address).is_err(), "somebody listens at {address}");
        Ok(())
    });
    narrator.check("every call is answered as before", || call(&stack, &client));
    narrator.check("the runtime says who is away, and how much waits", || {
        eventually("the failure is seen", || {
            let status = status(&stack, &client).ok()?;
            let seen = status["exporter"]["last_error"]["code"] == "UNREACHABLE";
            (seen && status["wal"]["lag"].as_u64() >= Some(2 * CALLS as u64)).then_some(())
        })?;
        let runtime = runtime.as_mut().context("no runtime")?;
        runtime.wait_for("events not delivered; the log keeps them").map(drop)
    });
    narrator.check("back again, the collector gets what waited, by its urgency", || {
        let before = lines(&stack)?.len();
        if sink.is_none() {
            sink = Some(stack.sink()?);
        }
        delivered(&stack, &client)?;
        let kinds: Vec<_> = lines(&stack)?.into_iter().skip(before).map(|it| it.0).collect();
        // The batch that was in flight comes first, as it was; then everything else.
        let back = kinds.windows(2).filter(|it| *it == ["action", "decision"]).count();
        ensure!(kinds.len() == 2 * CALLS && back <= 1, "{kinds:?}");
        Ok(())
    });
    narrator.check("every event is at the collector and the control plane, once", || {
        stop(runtime.take())?;
        arrived_once(&stack, &client)
    });
    stop(sink.take())?;
    stop(control_plane.take())
}

/// Compares the log with what the collector kept and the control plane stored.
fn arrived_once(stack: &Stack, client: &Client) -> Result<()> {
    let written: BTreeSet<String> = stack.export()?.iter().map(|it| seq(it)).collect();
    let mut times = BTreeMap::new();
    for (_, event_id) in lines(stack)? {
        *times.entry(event_id).or_insert(0) += 1;
    }
    ensure!(times.values().all(|it| *it == 1), "{times:?}");
    let end = |id: &String| id.rsplit(':').next().unwrap_or_default().to_owned();
    ensure!(times.keys().map(end).collect::<BTreeSet<_>>() == written, "{times:?}");
    let page = client.get_json(&format!("{}/v1/events?limit=1000", stack.orchestrator_url()))?;
    ensure!(page["count"] == written.len(), "{} of {}", page["count"], written.len());
    Ok(())
}

fn stop(process: Option<Process>) -> Result<()> {
    process.map_or(Ok(()), Process::stop)
}

fn call(stack: &Stack, client: &Client) -> Result<()> {
    for number in 0..CALLS {
        let params = json!({ "message": number.to_string() });
        let (status, answer) = client.tool(&stack.runtime_url(), "tool.echo", &params)?;
        ensure!(status == 200, "{answer:?}");
    }
    Ok(())
}

fn status(stack: &Stack, client: &Client) -> Result<Value> {
    client.get_json(&format!("{}/v1/status", stack.runtime_url()))
}

fn delivered(stack: &Stack, client: &Client) -> Result<()> {
    eventually("everything is delivered", || {
        (status(stack, client).ok()?["wal"]["lag"] == 0).then_some(())
    })
}

/// Kind and id of each event that the collector kept.
fn lines(stack: &Stack) -> Result<Vec<(String, String)>> {
    let text = fs::read_to_string(stack.dir.join("sink.jsonl"))?;
    let line = |it| {
        let line: Value = serde_json::from_str(it)?;
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        Ok((text("event_kind"), text("event_id")))
    };
    text.lines().map(line).collect()
}

/// Number of an exported entry.
fn seq(line: &str) -> String {
    serde_json::from_str::<Value>(line).map(|it| it["seq"].to_string()).unwrap_or_default()
}
