//! Decides one call by Rego files: `cargo run -p policy --example decide -- KIND FILE.rego…`.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::{env, error::Error, fs};

use policy::{Context, Decision, Evaluator, Request, demo, from_modules};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let kind = args.next().unwrap_or_else(|| "tool.echo".to_owned());
    let mut files = Vec::new();
    for (number, path) in args.enumerate() {
        files.push((format!("{number}.rego"), fs::read_to_string(path)?));
    }
    let mut modules: Vec<_> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    if modules.is_empty() {
        modules.extend(demo::SOURCES);
    }
    let evaluator = from_modules(&modules, None, "example")?;
    let request = Request {
        kind,
        params: serde_json::Map::new(),
        context: Context {
            node: "here".to_owned(),
            operator: "me".to_owned(),
            time: jiff::Timestamp::now(),
            mode: "normal".to_owned(),
        },
        agent_context: None,
    };
    let answer = match evaluator.evaluate(&request) {
        Decision::Allow(allow) => format!("allow {:?}", allow.obligations()),
        Decision::Deny(deny) => format!("deny: {} ({})", deny.reason(), deny.code()),
    };
    println!("{} {answer}", request.kind);
    Ok(())
}
