//! What a client of the runtime and one of the control plane put on the wire, and how the answers are read: no
//! socket, so that each byte can be seen.
//!
//! `cargo run -p api --example both_sides`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::error::Error;

use api::{
    control::{ControlEvent, EventBatch},
    env,
    exit::Exit,
    problem::Problem,
    size::parse_size,
    token::Token,
    tool::{ToolRequest, ToolResponse, Verdict},
    url::without_secrets,
};
use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let params = Map::from_iter([("command".to_owned(), json!("id"))]);
    let request = ToolRequest { kind: "tool.shell".to_owned(), params, context: Map::new() };
    let body = serde_json::to_string(&request)?;
    println!("agent asks:    {body}");
    let answer = runtime(&body)?;
    println!("runtime says:  {answer}");
    println!("agent does:    {}", obey(&answer)?);
    let answer = runtime(r#"{"kind":"tool.echo","params":{"message":"hi"}}"#)?;
    println!("and when asked for less, it {}", obey(&answer)?);
    // A typing mistake is an error and no parameter that nobody looks at.
    let mistake = runtime(r#"{"kind":"tool.echo","parms":{"message":"hi"}}"#);
    println!("a wrong key:   {}", mistake.err().ok_or("it was taken")?);

    let event = ControlEvent {
        event_id: "robot-7:0a1b:5".to_owned(),
        event_type: "ai.policy.decision".to_owned(),
        node_id: "robot-7".to_owned(),
        timestamp: "2026-01-02T03:04:05Z".to_owned(),
        // Whatever else is known of it travels along.
        rest: Map::from_iter([("decision".to_owned(), json!("deny"))]),
    };
    println!("node reports:  {}", serde_json::to_string(&EventBatch { events: vec![event] })?);
    let refused = Problem::new(413, "BODY_TOO_LARGE", "Body too large", "at most 8 MiB");
    println!("it may hear:   {}", serde_json::to_string(&refused)?);

    // A secret goes in clear to this machine alone, and is shown nowhere.
    let token = Token::new("s3cret")?;
    let in_clear = token.bearer("http", "control.example").err().ok_or("it was sent in clear")?;
    println!("{token:?} over http: {}; {}", in_clear.code(), in_clear.hint());
    println!("in a log:      {}", without_secrets("https://me:s3cret@control.example/v1?key=1"));
    println!("64KiB = {}; 8MB = {}", parse_size("64KiB")?, parse_size("8MB").err().ok_or("taken")?);

    println!("{} variables, {} exit codes; for scripts:", env::ALL.len(), Exit::ALL.len());
    for exit in [Exit::Done, Exit::Integrity] {
        println!("  {} {}", exit.code(), exit.meaning());
    }
    Ok(())
}

/// Stands in for a runtime: it reads strictly, and every answer has a decision.
fn runtime(body: &str) -> Result<String> {
    let request: ToolRequest = serde_json::from_str(body)?;
    let allowed = request.kind == "tool.echo";
    let answer = ToolResponse {
        decision: if allowed { Verdict::Allow } else { Verdict::Deny },
        policy_ref: "1.0.0".to_owned(),
        audit_id: "7d0f".to_owned(),
        seq: Some(5),
        reason: (!allowed).then(|| format!("{} is never allowed", request.kind)),
        code: (!allowed).then(|| "policy_denied".to_owned()),
        output: allowed.then_some(Value::Object(request.params)),
        error: None,
        obligations: Vec::new(),
    };
    Ok(serde_json::to_string(&answer)?)
}

/// What an agent may do after an answer. No answer that it cannot read is a yes.
fn obey(answer: &str) -> Result<String> {
    let answer: ToolResponse = serde_json::from_str(answer)?;
    Ok(match (answer.decision, answer.output) {
        (Verdict::Deny, _) => format!("nothing: {}", answer.reason.unwrap_or_default()),
        (Verdict::Allow, None) => format!("nothing: {}", answer.error.unwrap_or_default()),
        // Null is not the same as no output: the runtime has no such tool, and the call is the agent's.
        (Verdict::Allow, Some(Value::Null)) => "runs the tool itself".to_owned(),
        (Verdict::Allow, Some(output)) => format!("goes on with {output}"),
    })
}
