//! A runtime beside the real control plane: it asks, is told that there are no releases, and decides as before.

use e2e::harness::{Client, Ports, RuntimeOptions, Stack};
use serde_json::{Value, json};

#[test]
fn a_runtime_asks_the_control_plane_and_says_that_it_offers_no_releases() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let client = Client::new().unwrap();
    let orchestrator = stack.orchestrator().unwrap();
    let url = stack.orchestrator_url();
    let args = ["--poll-interval", "10ms"];
    let env = [("AUTONOMY_ORCHESTRATOR_URL", url.as_str())];
    let options = RuntimeOptions { args: &args, env: &env };
    let mut runtime = stack.runtime(&options).unwrap();
    let warning = runtime.wait_for("no release from the control plane").unwrap();
    assert!(warning.contains("RELEASES_NOT_OFFERED"), "{warning}");
    let status = client.get_json(&format!("{}/v1/status", stack.runtime_url())).unwrap();
    assert_eq!(status["releases"]["problem"]["code"], "RELEASES_NOT_OFFERED", "{status}");
    let (code, answer) =
        client.tool(&stack.runtime_url(), "tool.echo", &json!({ "message": "hi" })).unwrap();
    assert_eq!((code, answer.code.as_deref()), (403, Some("no_policy")));

    orchestrator.stop().unwrap();
    let line = runtime.wait_for("CONTROL_PLANE_UNREACHABLE").unwrap();
    assert!(line.contains("no release from the control plane"), "{line}");
    runtime.stop().unwrap();
    let entries = stack.export().unwrap();
    let attrs = entries.iter().map(|it| serde_json::from_str::<Value>(it).unwrap());
    let attrs = attrs.map(|it| it["event"]["attrs"].clone());
    let polls: Vec<_> = attrs
        .filter(|it| it["event"] == "ai.deployment.lifecycle")
        .map(|it| (it["step"].clone(), it["code"].clone()))
        .collect();
    let failed = |code: &str| (json!("poll_failed"), json!(code));
    assert_eq!(polls, [failed("RELEASES_NOT_OFFERED"), failed("CONTROL_PLANE_UNREACHABLE")]);
}
