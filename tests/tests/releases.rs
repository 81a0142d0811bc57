//! A runtime beside the real control plane: it asks, is told that nothing is desired, and decides as before.

use e2e::harness::{Client, Ports, RuntimeOptions, Stack, eventually};
use serde_json::{Value, json};

#[test]
fn a_runtime_asks_the_control_plane_and_carries_on_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let client = Client::new().unwrap();
    let orchestrator = stack.orchestrator().unwrap();
    let url = stack.orchestrator_url();
    let args = ["--poll-interval", "10ms"];
    let env = [("AUTONOMY_ORCHESTRATOR_URL", url.as_str())];
    let options = RuntimeOptions { args: &args, env: &env };
    let mut runtime = stack.runtime(&options).unwrap();
    let url = format!("{}/v1/status", stack.runtime_url());
    let status = eventually("the control plane has answered", || {
        let status = client.get_json(&url).ok()?;
        status["releases"]["last_answer"].is_string().then_some(status)
    })
    .unwrap();
    let releases = &status["releases"];
    assert_eq!((&releases["desired"], &releases["problem"]), (&Value::Null, &Value::Null));
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
    let gone = (json!("poll_failed"), json!("CONTROL_PLANE_UNREACHABLE"));
    assert_eq!(polls, [(json!("polled"), Value::Null), gone]);
}
