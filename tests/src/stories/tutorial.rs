//! Tutorial 03, crash and recovery: steps 0 to 6.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    harness::{Client, Process, RuntimeOptions, Stack},
    stories::{
        Narrator,
        drill::Fault,
        release::{Release, reject_tampered},
    },
};

/// The line that the tutorial promises for a missing safe point.
const FATAL: &str = "FATAL wal recovery failed: SAFESEQ_NOT_FOUND: telemetry.safe_seq missing and \
                     AUTONOMYOPS_WAL_LEGACY_UPGRADE not set";

/// The processes of the story; `None` while one is stopped.
struct Cast<'a> {
    stack: &'a Stack,
    client: Client,
    orchestrator: Option<Process>,
    sink: Option<Process>,
    runtime: Option<Process>,
}

/// Tells the whole tutorial on a fresh stack.
///
/// # Errors
///
/// When the machine has no resources for it; what the story found is in the narrator.
pub fn tell(stack: &Stack, narrator: &mut Narrator) -> Result<()> {
    let client = Client::new()?;
    let mut cast = Cast { stack, client, orchestrator: None, sink: None, runtime: None };
    cast.start_and_load(narrator);
    cast.accumulate(narrator);
    let before = cast.failed_drain(narrator);
    cast.drain_in_order(narrator, &before);
    cast.kill_and_recover(narrator);
    cast.refuse_without_safe_point(narrator);
    cast.strict_mode(narrator);
    cast.leave(narrator);
    Ok(())
}

impl Cast<'_> {
    fn start_and_load(&mut self, narrator: &mut Narrator) {
        narrator.part("Step 0: start the stack and load the policy");
        narrator.check("control plane, sink and runtime start", || {
            self.orchestrator = Some(self.stack.orchestrator()?);
            self.sink = Some(self.stack.sink()?);
            self.runtime = Some(self.stack.runtime(&RuntimeOptions::default())?);
            Ok(())
        });
        let url = self.stack.runtime_url();
        narrator.say(&format!("   runtime on {url}, sink on {}", self.stack.sink_url()));
        let loaded = narrator.check("the policy is built and loaded", || {
            let output = self.stack.load_demo_policy()?;
            ensure!(output.contains("policy build: OK"), "{output}");
            ensure!(output.contains("policy load: OK — version=1.0.0 hash=sha256:"), "{output}");
            Ok(output)
        });
        narrator.show(&loaded.unwrap_or_default());
        narrator.check("the runtime restarts with it and is healthy", || {
            self.stop_runtime()?;
            self.runtime = Some(self.stack.runtime(&RuntimeOptions::default())?);
            self.healthy()
        });
    }

    fn accumulate(&mut self, narrator: &mut Narrator) {
        narrator.part("Step 1: the collector goes away, the log fills");
        narrator.check("the sink stops", || self.sink.take().context("no sink")?.stop());
        narrator.check("3 × tool.echo is allowed, 2 × tool.shell is denied", || {
            for n in 1..=3 {
                let params = json!({ "message": format!("offline-call-{n}") });
                self.call("tool.echo", &params, (200, "allow"))?;
            }
            for _ in 1..=2 {
                self.call("tool.shell", &json!({ "command": "id" }), (403, "deny"))?;
            }
            Ok(())
        });
        let lines = narrator.check("the log holds the 5 decisions in their order", || {
            let lines = self.stack.export()?;
            let decisions = decisions(&lines)?;
            ensure!(decisions == ["allow", "allow", "allow", "deny", "deny"], "{decisions:?}");
            Ok(lines)
        });
        narrator.show(&first_two_decisions(&lines.unwrap_or_default()));
    }

    fn failed_drain(&mut self, narrator: &mut Narrator) -> Vec<String> {
        narrator.part("Step 2: a drain without a collector moves nothing");
        let before = self.stack.export().unwrap_or_default();
        let output = narrator.check("the drain fails with exit code 7 and says why", || {
            let drained = self.stack.drain()?;
            ensure!(drained.code() == Some(7), "{drained:?}");
            let output = format!("{}{}", drained.stdout, drained.stderr);
            ensure!(output.contains("[drain] OTLP error: connection refused"), "{output}");
            ensure!(output.contains("drain failed: could not reach endpoint"), "{output}");
            Ok(output)
        });
        narrator.show(&output.unwrap_or_default());
        narrator.check("every entry is still in the log, and the position has not moved", || {
            ensure!(self.stack.export()? == before, "the export changed");
            let pos = self.stack.wal_dir().join("telemetry.pos");
            ensure!(!pos.exists() || fs::read(&pos)? == [0; 8], "telemetry.pos moved");
            Ok(())
        });
        before
    }

    fn drain_in_order(&mut self, narrator: &mut Narrator, before: &[String]) {
        narrator.part("Step 3: the collector is back; drain in priority order");
        narrator.check("the sink starts", || {
            self.sink = Some(self.stack.sink()?);
            Ok(())
        });
        let output =
            narrator.check("the drain sends everything, decisions before the rest", || {
                let drained = self.stack.drain()?;
                ensure!(drained.code() == Some(0), "{drained:?}");
                let output = format!("{}{}", drained.stdout, drained.stderr);
                let total = before.len();
                let queue = format!(
                    "[drain] priority queue: {total} events (0 errors, 5 decisions, 3 actions, "
                );
                ensure!(output.contains(&queue), "{output}");
                ensure!(
                    output.contains(&format!("[drain] batch 1 accepted: {total} events")),
                    "{output}"
                );
                ensure!(
                    output.contains(&format!("drain complete: {total} events sent")),
                    "{output}"
                );
                self.sink_order()?;
                Ok(output)
            });
        narrator.show(&output.unwrap_or_default());
        let page = narrator.check("the control plane has the 5 decisions, once each", || {
            let url = self.stack.orchestrator_url();
            let query = format!("{url}/v1/events?event_type=ai.policy.decision&limit=10");
            let page = self.client.get_json(&query)?;
            ensure!(page["count"] == 5, "{page}");
            let all = self.client.get_json(&format!("{url}/v1/events?limit=1000"))?;
            same_ids(before, &all)?;
            Ok(json!({ "count": page["count"] }))
        });
        narrator.show(&page.map(|it| it.to_string()).unwrap_or_default());
        narrator.check("a second drain has nothing to send", || {
            let drained = self.stack.drain()?;
            ensure!(drained.code() == Some(0), "{drained:?}");
            ensure!(drained.stdout.contains("drain complete: 0 events sent"), "{drained:?}");
            Ok(())
        });
    }

    fn kill_and_recover(&mut self, narrator: &mut Narrator) {
        narrator.part("Step 4: the runtime is killed and recovers");
        let seq = narrator.check("a call is answered, then SIGKILL", || {
            let params = json!({ "message": "pre-crash" });
            let answer = self.call("tool.echo", &params, (200, "allow"))?;
            self.runtime.take().context("no runtime")?.kill()?;
            answer.seq.context("the answer names no entry")
        });
        narrator.check("it restarts and is healthy", || {
            self.runtime = Some(self.stack.runtime(&RuntimeOptions::default())?);
            self.healthy()
        });
        narrator.check("the call that was answered before the crash is in the log", || {
            let lines = self.stack.export()?;
            let seq = seq.context("there was no call")?;
            let found = lines.iter().find(|it| it.starts_with(&format!("{{\"seq\":{seq},")));
            let found = found.with_context(|| format!("entry {seq} is missing"))?;
            ensure!(found.contains("\"message\":\"pre-crash\""), "{found}");
            Ok(())
        });
    }

    fn refuse_without_safe_point(&mut self, narrator: &mut Narrator) {
        narrator.part("Step 5: without its safe point the log is refused");
        let safe = self.stack.wal_dir().join("telemetry.safe_seq");
        let away = self.stack.wal_dir().join("telemetry.safe_seq.BAK");
        narrator.check("the runtime stops and telemetry.safe_seq is renamed", || {
            self.stop_runtime()?;
            Ok(fs::rename(&safe, &away)?)
        });
        let output =
            narrator.check("the runtime refuses to start, with code and exit code 8", || {
                let mut command = self.stack.runtime_command(&RuntimeOptions::default())?;
                let ended = crate::harness::run_to_end(&mut command)?;
                ensure!(ended.code() == Some(8), "{ended:?}");
                ensure!(ended.stderr.lines().any(|it| it == FATAL), "{}", ended.stderr);
                let line = ended.stderr.lines().find(|it| it.contains("WAL_RECOVERY_FAIL_HARD"));
                let line: Value = serde_json::from_str(line.context("no ERROR line")?)?;
                ensure!(line["level"] == "ERROR", "{line}");
                ensure!(line["cause"] == "SAFESEQ_NOT_FOUND", "{line}");
                Ok(ended.stderr)
            });
        narrator.show(&output.unwrap_or_default());
        narrator.check("with the file restored it starts and is healthy", || {
            fs::rename(&away, &safe)?;
            self.runtime = Some(self.stack.runtime(&RuntimeOptions::default())?);
            self.healthy()
        });
    }

    fn strict_mode(&mut self, narrator: &mut Narrator) {
        narrator.part("Step 6: a tampered lock is rejected, and strict mode denies every call");
        let release = narrator.check("a release is published and signed", || {
            Release::publish(self.stack, "1.0.0", 1)
        });
        if let Some(release) = release {
            reject_tampered(&release, Fault::Injected, narrator);
        }
        narrator.check("the runtime restarts in strict mode and says so", || {
            self.stop_runtime()?;
            let env = [("AUTONOMY_STRICT_MODE", "1")];
            let options = RuntimeOptions { env: &env, args: &[] };
            self.runtime = Some(self.stack.runtime(&options)?);
            let (_, health) = self.client.get(&format!("{}/health", self.stack.runtime_url()))?;
            ensure!(health == r#"{"status":"ok","mode":"strict"}"#, "{health}");
            Ok(())
        });
        narrator.check("a call that the policy allows is denied and recorded", || {
            let params = json!({ "message": "strict" });
            let answer = self.call("tool.echo", &params, (403, "deny"))?;
            ensure!(answer.code.as_deref() == Some("strict_mode"), "{answer:?}");
            let lines = self.stack.export()?;
            ensure!(lines.iter().any(|it| it.contains(&answer.audit_id)), "not recorded");
            Ok(())
        });
    }

    fn leave(&mut self, narrator: &mut Narrator) {
        narrator.part("The end");
        narrator.check("every process ends by itself with exit code 0", || {
            self.stop_runtime()?;
            self.sink.take().context("no sink")?.stop()?;
            self.orchestrator.take().context("no control plane")?.stop()
        });
    }

    fn stop_runtime(&mut self) -> Result<()> {
        self.runtime.take().context("no runtime")?.stop()
    }

    fn healthy(&self) -> Result<()> {
        let (status, health) = self.client.get(&format!("{}/health", self.stack.runtime_url()))?;
        ensure!(status == 200, "{status}");
        ensure!(health == r#"{"status":"ok","mode":"normal"}"#, "{health}");
        Ok(())
    }

    fn call(
        &self,
        kind: &str,
        params: &Value,
        (status, decision): (u16, &str),
    ) -> Result<api::tool::ToolResponse> {
        let (found, answer) = self.client.tool(&self.stack.runtime_url(), kind, params)?;
        ensure!(found == status, "{found} {answer:?}");
        ensure!(answer.decision.as_str() == decision, "{answer:?}");
        Ok(answer)
    }

    /// Whatever the sink wrote, decisions stand before actions before lifecycle.
    fn sink_order(&self) -> Result<()> {
        let text = fs::read_to_string(self.stack.dir.join("sink.jsonl"))?;
        let rank = |line: &str| {
            ["ai.policy.decision", "ai.agent.action", "ai.agent.lifecycle", "decision", "action"]
                .iter()
                .position(|it| line.contains(&format!("\"{it}\"")))
                .map_or(2, |it| if it >= 3 { it - 3 } else { it })
        };
        let ranks: Vec<_> = text.lines().map(rank).collect();
        ensure!(!ranks.is_empty() && ranks.is_sorted(), "{ranks:?}\n{text}");
        Ok(())
    }
}

/// The decisions of exported entries, in order.
fn decisions(lines: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for line in lines {
        let entry: Value = serde_json::from_str(line)?;
        if entry["event"]["kind"] == "autonomy.decision" {
            let decision = entry["event"]["attrs"]["decision"].as_str();
            found.push(decision.context("a decision without a decision")?.to_owned());
        }
    }
    Ok(found)
}

fn first_two_decisions(lines: &[String]) -> String {
    let decisions = lines.iter().filter(|it| it.contains("autonomy.decision"));
    decisions.take(2).map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// The ids of the log and those of the control plane are the same, once each.
fn same_ids(lines: &[String], page: &Value) -> Result<()> {
    let birth: Value = serde_json::from_str(lines.first().context("the log is empty")?)?;
    let attrs = &birth["event"]["attrs"];
    let (node, wal) = (attrs["node"].as_str(), attrs["wal_id"].as_str());
    let (node, wal) = (node.context("no node")?, wal.context("no wal_id")?);
    let mut want: Vec<_> = (1..=lines.len()).map(|seq| format!("{node}:{wal}:{seq}")).collect();
    let events = page["events"].as_array().context("no events")?;
    let mut found: Vec<_> =
        events.iter().filter_map(|it| it["event_id"].as_str()).map(str::to_owned).collect();
    want.sort();
    found.sort();
    ensure!(found == want, "found {found:?}, want {want:?}");
    Ok(())
}
