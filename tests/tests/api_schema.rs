//! The API of the control plane, driven from its own `OpenAPI` document by a program that is not ours (schemathesis):
//! whatever is sent, no answer is a 5xx, and none is another one than the document says.
//!
//! Permissions have a truth table of their own in the crate `orchestrator`; here everybody may do everything, so that
//! what is sent gets past the gate.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::{fs, io::Write as _, process::Command};

use e2e::harness::{Client, NO_SKIP, Ports, Stack, run_to_end};
use serde_json::{Value, json};

/// Requests that are made up for each operation.
const EXAMPLES: &str = "40";
/// What is checked of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method";
/// A stream has no end that could be waited for.
const STREAM: &str = "/v1/events/stream";

fn possible() -> bool {
    let tried = Command::new("schemathesis").arg("--version").output();
    if tried.is_ok_and(|it| it.status.success()) {
        return true;
    }
    let test = "no_request_breaks_the_api_or_its_document";
    assert!(std::env::var_os(NO_SKIP).is_none(), "{test} may not be skipped here: schemathesis");
    let line = format!("skipped {test}: schemathesis is not installed\n");
    // Not `eprintln`: that is captured, and a skip must be seen.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    false
}

/// The document without credentials: those that would be made up are refused before anything is looked at.
fn without_credentials(mut document: Value) -> Value {
    document["components"].as_object_mut().unwrap().remove("securitySchemes");
    for item in document["paths"].as_object_mut().unwrap().values_mut() {
        for operation in item.as_object_mut().unwrap().values_mut() {
            operation.as_object_mut().unwrap().remove("security");
        }
    }
    document
}

#[test]
fn no_request_breaks_the_api_or_its_document() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let control_plane = stack.orchestrator().unwrap();
    let (client, url) = (Client::new().unwrap(), stack.orchestrator_url());
    // The plan and the node that the examples of the document name.
    let gates = json!([{ "kind": "manual" }, { "kind": "health" }]);
    let plan = json!({
        "id": "p1", "artifact_ref": "oci:x", "target_lock_fingerprint": "blake3:x",
        "stages": [{ "id": "all", "percent": 100, "gates": gates }],
    });
    assert_eq!(client.post(&format!("{url}/v1/rollouts"), plan.to_string()).unwrap().0, 201);
    let report = json!({
        "release_id": "p1", "plan_id": "p1", "lock_fingerprint": "blake3:x", "state": "activated",
    });
    assert_eq!(client.post(&format!("{url}/v1/nodes/n1/ack"), report.to_string()).unwrap().0, 200);
    let document = client.get_json(&format!("{url}/openapi.json")).unwrap();
    let file = dir.path().join("openapi.json");
    fs::write(&file, without_credentials(document).to_string()).unwrap();

    let mut drive = Command::new("schemathesis");
    drive.arg("run").arg(&file).args(["--url", &url, "--exclude-path", STREAM]);
    drive.args(["--max-examples", EXAMPLES, "--checks", CHECKS]);
    drive.args(["--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color"]);
    drive.args(["--seed", "11", "--generation-database", "none"]).current_dir(dir.path());
    let driven = run_to_end(&mut drive).unwrap();
    assert_eq!(driven.code(), Some(0), "{}\n{}", driven.stdout, driven.stderr);
    // It drove what there is, and the service is as well as before.
    assert!(driven.stdout.contains(" passed"), "{}", driven.stdout);
    let ready = client.get_json(&format!("{url}/v1/health/write-ready")).unwrap();
    assert_eq!(ready["ready"], true);
    control_plane.stop().unwrap();
}
