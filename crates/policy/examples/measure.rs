//! Measures what a decision costs beside the engine: `cargo run --release --example measure`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement, not a library"
)]

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Instant};

use policy::{Context, Evaluator, Recipe, Request, RuntimeRequirement, build, demo};
use serde_json::json;

const ROUNDS: u32 = 50_000;

fn request() -> Request {
    Request {
        kind: "tool.echo".to_owned(),
        params: json!({"message": "hi"}).as_object().unwrap().clone(),
        context: Context {
            node: "n1".to_owned(),
            operator: "op".to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            mode: "normal".to_owned(),
        },
        agent_context: None,
    }
}

/// The demo policy and rules that look at the request and do not match.
fn sources(rules: usize) -> BTreeMap<String, Vec<u8>> {
    let mut res: BTreeMap<_, Vec<u8>> =
        demo::SOURCES.map(|(name, text)| (name.to_owned(), text.into())).into();
    let mut more = "package autonomy\n\n".to_owned();
    for n in 0..rules {
        let rule = "decision := {\"allow\": false} if input.params.zone ==";
        writeln!(more, "{rule} \"z{n}\"").unwrap();
    }
    res.insert("more.rego".to_owned(), more.into());
    res
}

fn evaluator(rules: usize) -> Arc<dyn Evaluator> {
    let requirement = RuntimeRequirement::default();
    let created_at = jiff::Timestamp::UNIX_EPOCH;
    let recipe = Recipe { version: "1.0.0", name: None, requirement: &requirement, created_at };
    let built = build(&sources(rules), &recipe).unwrap();
    Arc::new(built.bundle.evaluator().unwrap())
}

/// The engine with the same modules and one instance for all requests, as its manual shows it.
fn engine(rules: usize) -> regorus::Engine {
    let mut engine = regorus::Engine::new();
    for (name, text) in sources(rules) {
        engine.add_policy(name, String::from_utf8(text).unwrap()).unwrap();
    }
    engine
}

fn measure(name: &str, mut round: impl FnMut()) {
    (0..ROUNDS / 10).for_each(|_| round());
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    let at = |percent| *times.get(times.len() * percent / 100).unwrap() as f64 / 1000.0;
    println!("{name:<44} p50 {:>7.2} us   p99 {:>7.2} us", at(50), at(99));
}

fn main() {
    let asked = request();
    let input = json!({"kind": asked.kind, "params": asked.params, "context": {
        "node": "n1", "operator": "op", "time": "1970-01-01T00:00:00.000Z", "mode": "normal",
    }})
    .to_string();
    for rules in [0, 100, 1000] {
        let (ours, mut plain) = (evaluator(rules), engine(rules));
        let rule = "data.autonomy.decision";
        measure(&format!("{rules} more rules, plain engine, input as JSON"), || {
            plain.set_input(regorus::Value::from_json_str(&input).unwrap());
            std::hint::black_box(plain.eval_rule(rule.to_owned()).unwrap());
        });
        let ready = regorus::Value::from_json_str(&input).unwrap();
        measure(&format!("{rules} more rules, plain engine, input ready"), || {
            plain.set_input(ready.clone());
            std::hint::black_box(plain.eval_rule(rule.to_owned()).unwrap());
        });
        measure(&format!("{rules} more rules, evaluator"), || {
            assert!(std::hint::black_box(ours.evaluate(&asked)).is_allow());
        });
    }
    let ours = evaluator(0);
    for threads in [1, 2, 4, 8] {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..ROUNDS).for_each(|_| assert!(ours.evaluate(&asked).is_allow())));
            }
        });
        let each = start.elapsed().as_secs_f64() / f64::from(ROUNDS * threads);
        println!("{threads} threads, one evaluator: {:.0} decisions a second", 1.0 / each);
    }
}
