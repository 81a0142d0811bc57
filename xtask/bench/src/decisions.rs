//! The cases of the policy: one decision, JSON text in, beside the engine without anything around it.

use std::{collections::BTreeMap, io::Write as _, path::Path, sync::Arc};

use anyhow::{Context as _, Result, anyhow, ensure};
use policy::{Context, Evaluator as _, Recipe, RegoEvaluator, Request, RuntimeRequirement, demo};
use regorus::{Engine, Value};
use serde::Deserialize;

use crate::{
    callers,
    rounds::{Case, Contestant, Role, interleaved},
    sample::{Sample, Window},
    targets::name,
};

/// The name of this benchmark.
pub(crate) const BENCH: &str = "policy";
/// What the names of its cases start with.
pub(crate) const CASES: &str = "decision";

/// A file has a limit.
const RULES_PER_FILE: usize = 2000;
const RULE: &str = "data.autonomy.decision";
const INPUT: &str = r#"{"kind":"tool.echo","params":{"message":"hi","zone":"dock","load":12.5,
"path":["a","b","c"]},"context":{"node":"n1","operator":"op","time":"1970-01-01T00:00:00.000Z","mode":"normal"}}"#;

/// What the rules that come on top of the demo policy are about.
#[derive(Clone, Copy, Debug)]
enum About {
    /// The tool that is asked for, with other parameters.
    SameTool,
    /// A tool each, none of them the one that is asked for.
    OtherTools,
    /// The tool that is asked for, by patterns.
    Patterns,
}

#[derive(Deserialize)]
struct Body {
    kind: String,
    params: serde_json::Map<String, serde_json::Value>,
    context: Around,
}

#[derive(Deserialize)]
struct Around {
    node: String,
    operator: String,
    mode: String,
}

/// One case for each policy, and one that compares policies with each other.
pub(crate) fn cases() -> Result<Vec<Case>> {
    use About::{OtherTools, Patterns, SameTool};
    let mut cases = Vec::new();
    for (case, rules, about) in [
        (name::DECISION_DEMO, 0, SameTool),
        (name::DECISION_100, 100, SameTool),
        ("decision, 1 000 rules about the same tool", 1000, SameTool),
        ("decision, 100 rules about other tools", 100, OtherTools),
        ("decision, 1 000 rules about other tools", 1000, OtherTools),
        ("decision, 10 patterns about the same tool", 10, Patterns),
    ] {
        let policy = sources(rules, about)?;
        let mut contestants = vec![
            ours(name::DECISION, evaluator(&policy)?),
            ours(name::DECISION_WHOLE, evaluator(&policy)?.without_index()),
            plain(name::REGORUS, engine(&policy)?, false),
            plain(name::REGORUS_CLONE, engine(&policy)?, true),
        ];
        if case == name::DECISION_100 {
            contestants.push(millisecond());
        }
        cases.push(case_of(case, contestants));
    }
    let growing = [
        (name::RULES_1, 1),
        (name::RULES_100, 100),
        (name::RULES_1000, 1000),
        (name::RULES_10000, 10_000),
    ];
    let grown = growing
        .into_iter()
        .map(|(name, rules)| Ok(ours(name, evaluator(&sources(rules, OtherTools)?)?)));
    cases.push(case_of(name::DECISION_OTHERS, grown.collect::<Result<_>>()?));
    Ok(cases)
}

fn case_of(name: &str, contestants: Vec<Contestant>) -> Case {
    Case { name: name.to_owned(), unit: "per s", contestants: interleaved(contestants) }
}

/// The demo policy and so many rules that do not match.
fn sources(rules: usize, about: About) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut res: BTreeMap<_, Vec<u8>> =
        demo::SOURCES.map(|(name, text)| (name.to_owned(), text.into())).into();
    for n in 0..rules {
        let test = match about {
            About::SameTool => {
                format!("input.kind == \"tool.echo\"; input.params.zone == \"z{n}\"")
            }
            About::OtherTools => format!("input.kind == \"tool.t{n}\"; input.params.zone == \"z\""),
            About::Patterns => {
                format!(
                    "input.kind == \"tool.echo\"; regex.match(`^[a-z]+{n}$`, input.params.zone)"
                )
            }
        };
        let file = res.entry(format!("more{}.rego", n / RULES_PER_FILE));
        let file = file.or_insert_with(|| "package autonomy\n\n".into());
        writeln!(file, "decision := {{\"allow\": false, \"rule\": \"r{n}\"}} if {{ {test} }}")?;
    }
    Ok(res)
}

fn evaluator(sources: &BTreeMap<String, Vec<u8>>) -> Result<RegoEvaluator> {
    let requirement = RuntimeRequirement::default();
    let created_at = jiff::Timestamp::UNIX_EPOCH;
    let recipe = Recipe { version: "1.0.0", name: None, requirement: &requirement, created_at };
    Ok(policy::build(sources, &recipe)?.bundle.evaluator()?)
}

fn engine(sources: &BTreeMap<String, Vec<u8>>) -> Result<Engine> {
    let mut engine = Engine::new();
    for (name, text) in sources {
        let text = String::from_utf8(text.clone())?;
        engine.add_policy(name.clone(), text).map_err(|error| anyhow!("{error}"))?;
    }
    // The first answer prepares it.
    ask(&mut engine)?;
    Ok(engine)
}

fn ours(name: &'static str, evaluator: RegoEvaluator) -> Contestant {
    let evaluator = Arc::new(evaluator);
    Contestant::new(name, Role::Ours, move |_: &Path, window: Window| {
        callers::one(window, || {
            let Body { kind, params, context } = serde_json::from_str(INPUT)?;
            let Around { node, operator, mode } = context;
            let time = jiff::Timestamp::UNIX_EPOCH;
            let context = Context { node, operator, time, mode };
            let request = Request { kind, params, context, agent_context: None };
            ensure!(evaluator.evaluate(&request).is_allow(), "not allowed");
            Ok(())
        })
    })
}

fn plain(name: &'static str, mut engine: Engine, clone: bool) -> Contestant {
    Contestant::new(name, Role::Peer, move |_: &Path, window: Window| {
        callers::one(window, || if clone { ask(&mut engine.clone()) } else { ask(&mut engine) })
    })
}

fn ask(engine: &mut Engine) -> Result<()> {
    let input = Value::from_json_str(INPUT).map_err(|error| anyhow!("{error}"))?;
    engine.set_input(input);
    let answer = engine.eval_rule(RULE.to_owned()).map_err(|error| anyhow!("{error}"))?;
    let answer = answer.as_object().map_err(|error| anyhow!("{error}"))?;
    let allow = answer.get(&Value::from("allow")).context("no answer")?;
    ensure!(*allow == Value::from(true), "not allowed");
    Ok(())
}

/// What a decision may take at most, as a contestant.
fn millisecond() -> Contestant {
    Contestant::new(name::MILLISECOND, Role::Floor, |_: &Path, _: Window| {
        Ok(Sample { p50_us: 1000.0, p99_us: 1000.0, rate: 1000.0, calls: 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, targets};

    #[test]
    fn every_target_of_the_policy_names_contestants_that_run() {
        let cases = cases().unwrap();
        for target in targets(BENCH) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
        assert_eq!(targets(BENCH).count(), 4);
    }
}
