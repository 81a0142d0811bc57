//! Every command that `rollout explain` and `rollout stuck` print can be run as it is printed, with a reason in the
//! place of `<why>`, and moves the plan.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::process::Command;

use e2e::harness::{Bin, Client, Finished, Ports, Process, Stack, eventually, program, run_to_end};
use serde_json::{Value, json};

/// How a plan gets where it is: its stages, and what was asked for after it was created.
struct State {
    name: &'static str,
    phase: &'static str,
    draft: bool,
    stage: Value,
    turns: &'static [(&'static str, &'static str)],
    /// What is printed, without plan and options.
    commands: &'static [&'static str],
}

const RETRY: (&str, &str) = ("recover", r#"{"strategy":"retry","reason":"begin"}"#);

/// What moves a plan that waits for nodes, or has failed.
const LIVE: &[&str] = &["retry", "skip_failed", "rollback"];

/// Every row of the table in `rollout_store::explain`.
fn states() -> Vec<State> {
    let plain = json!({ "id": "all", "percent": 100 });
    let gate = |gate: Value| json!({ "id": "all", "percent": 100, "gates": [gate] });
    let with_deadline = json!({ "id": "all", "percent": 100, "deadline_seconds": 1 });
    let state = |name, phase, stage: &Value, turns, commands| State {
        name,
        phase,
        draft: phase == "draft",
        stage: stage.clone(),
        turns,
        commands,
    };
    let manual = gate(json!({ "kind": "manual" }));
    let soak = gate(json!({ "kind": "time_soak", "soak_seconds": 3600 }));
    vec![
        state("draft", "draft", &plain, &[], &["plan publish", "plan cancel"]),
        state("published", "published", &plain, &[], &["retry", "rollback"]),
        state("nodes", "active", &plain, &[RETRY], LIVE),
        state("manual", "active", &manual, &[RETRY], &["gate approve", "plan describe"]),
        state("soak", "active", &soak, &[RETRY], &["plan describe"]),
        state("paused", "paused", &plain, &[("pause", "{}")], &["plan resume", "plan cancel"]),
        state(
            "paused-active",
            "paused",
            &plain,
            &[RETRY, ("pause", "{}")],
            &["plan resume", "plan cancel"],
        ),
        state("failed", "failed", &with_deadline, &[RETRY], LIVE),
        state(
            "halted",
            "failed",
            &plain,
            &[RETRY, ("stages/all/halt", r#"{"reason":"x"}"#)],
            &["rollback"],
        ),
        state("cancelled", "cancelled", &plain, &[("cancel", "{}")], &[]),
    ]
}

struct Setting {
    stack: Stack,
    client: Client,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = Stack::new(dir.path(), Ports::free().unwrap());
        let process = stack.orchestrator().unwrap();
        Self { stack, client: Client::new().unwrap(), _process: process, _dir: dir }
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/rollouts{path}", self.stack.orchestrator_url())
    }

    /// Brings a new plan into a state.
    fn plan(&self, state: &State, id: &str) {
        let body = json!({
            "id": id, "artifact_ref": "registry.example/agents/arm:1.2.0",
            "target_lock_fingerprint": format!("blake3:{}", "5e".repeat(32)),
            "stages": [state.stage], "initial_phase": if state.draft { "draft" } else { "published" },
        });
        let (status, text) = self.client.post(&self.url(""), body.to_string()).unwrap();
        assert_eq!(status, 201, "{text}");
        for (path, body) in state.turns {
            let (status, text) =
                self.client.post(&self.url(&format!("/{id}/{path}")), *body).unwrap();
            assert_eq!(status, 200, "{path} of {id}: {text}");
        }
        let reached = || (self.show(id)["phase"] == state.phase).then_some(());
        eventually(&format!("{id} is {}", state.phase), reached).unwrap();
    }

    fn show(&self, id: &str) -> Value {
        self.client.get_json(&self.url(&format!("/{id}"))).unwrap()
    }

    fn with_environment<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let bin = Bin::Autonomy.path().unwrap();
        let path = format!("{}:/usr/bin:/bin", bin.parent().unwrap().display());
        command.env("PATH", path).env("AUTONOMY_OPERATOR", "ann");
        command.env("AUTONOMY_AUDIT_DIR", self.stack.audit_dir());
        command.env("AUTONOMY_ORCHESTRATOR_URL", self.stack.orchestrator_url())
    }

    fn autonomy(&self, args: &[&str]) -> Finished {
        let mut command = program(Bin::Autonomy).unwrap();
        let done = run_to_end(self.with_environment(command.args(args))).unwrap();
        assert_eq!(done.code(), Some(0), "{done:?}");
        done
    }

    /// What `rollout explain` prints.
    fn explained(&self, id: &str) -> Vec<String> {
        let text = self.autonomy(&["rollout", "explain", id]).stdout;
        let printed = printed(&text);
        let json = self.autonomy(&["rollout", "explain", id, "--output", "json"]).stdout;
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["commands"], json!(printed), "{text}");
        assert!(!json["fact"].as_str().unwrap().is_empty(), "{text}");
        printed
    }

    /// What `rollout stuck` prints about a plan.
    fn stuck(&self, id: &str) -> Vec<String> {
        let begins = format!("{id}: ");
        let text = eventually(&format!("{id} is stuck"), || {
            let text = self.autonomy(&["rollout", "stuck", "--threshold", "1"]).stdout;
            text.contains(&format!("\n{begins}")).then_some(text)
        })
        .unwrap();
        let about = text.split("\n\n").find(|it| it.starts_with(&begins)).unwrap();
        printed(about)
    }

    /// Plays a command as a shell does.
    fn play(&self, id: &str, command: &str) {
        let before = self.show(id)["generation"].as_u64();
        let line = command.replace("<why>", "ticket 4711");
        let mut shell = Command::new("sh");
        shell.env_clear().args(["-c", &line]);
        let done = run_to_end(self.with_environment(&mut shell)).unwrap();
        assert_eq!(done.code(), Some(0), "{line}: {done:?}");
        let after = self.show(id);
        let moved = after["generation"].as_u64() > before;
        // To look at a plan is no move.
        assert_eq!(moved, !line.contains(" describe "), "{line}: {after}");
    }
}

/// The commands in a text.
fn printed(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|it| it.strip_prefix("  "));
    lines.filter(|it| it.starts_with("autonomy ")).map(str::to_owned).collect()
}

/// Plays every command about plans in a state, each on a plan of its own.
fn play_all(setting: &Setting, state: &State, how: &str, commands: &dyn Fn(&str) -> Vec<String>) {
    for (at, wanted) in state.commands.iter().enumerate() {
        let id = format!("{how}-{}-{at}", state.name);
        setting.plan(state, &id);
        let found = commands(&id);
        assert_eq!(found.len(), state.commands.len(), "{found:?}");
        let command = &found[at];
        assert!(command.contains(wanted), "`{command}` where `{wanted}` should be");
        setting.play(&id, command);
    }
}

#[test]
fn every_command_of_explain_can_be_played() {
    let setting = Setting::new();
    for state in states() {
        play_all(&setting, &state, "explained", &|id| setting.explained(id));
        if state.commands.is_empty() {
            setting.plan(&state, "ended");
            assert_eq!(setting.explained("ended"), Vec::<String>::new());
        }
    }
}

#[test]
fn every_command_of_stuck_can_be_played() {
    let setting = Setting::new();
    for state in states().iter().filter(|it| ["published", "active"].contains(&it.phase)) {
        play_all(&setting, state, "stuck", &|id| setting.stuck(id));
    }
}
