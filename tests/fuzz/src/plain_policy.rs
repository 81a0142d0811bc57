//! What the engine itself says about a policy, and the documented table: the oracle of everything that
//! is about decisions. It uses nothing of the crate `policy`.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use regorus::{Engine, Value, utils::limits::ExecutionTimerConfig};

/// The engine with these modules and data, strict about errors; `None` when it refuses them.
pub fn engine(modules: &[(&str, &str)], data: &serde_json::Value) -> Option<Engine> {
    let mut engine = Engine::new();
    engine.set_gather_prints(true);
    engine.set_strict_builtin_errors(true);
    for (name, text) in modules {
        engine.add_policy((*name).to_owned(), (*text).to_owned()).ok()?;
    }
    engine.add_data(Value::from_json_str(&data.to_string()).ok()?).ok()?;
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: Duration::from_secs(2),
        check_interval: NonZeroU32::new(32)?,
    });
    Some(engine)
}

/// Whether it is a yes: each of `decision` and `allow` that is declared says yes, at least one of them
/// is, and `deny` has nothing to say. An error of any of them is none.
pub fn allows(engine: &mut Engine, input: &serde_json::Value) -> bool {
    let Ok(input) = Value::from_json_str(&input.to_string()) else { return false };
    engine.set_input(input);
    let mut ask = |rule: &str| match engine.eval_rule(format!("data.autonomy.{rule}")) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.to_string() == "not a valid rule path" => Ok(None),
        Err(error) => Err(error),
    };
    let (Ok(decision), Ok(allow), Ok(deny)) = (ask("decision"), ask("allow"), ask("deny")) else {
        return false;
    };
    let whole = decision.map(|it| it.as_object().is_ok() && it["allow"] == Value::from(true));
    let flag = allow.map(|it| it == Value::from(true));
    let veto = deny.is_some_and(|it| it != Value::Undefined && it != Value::from(BTreeSet::new()));
    let declared: Vec<_> = whole.into_iter().chain(flag).collect();
    !veto && !declared.is_empty() && declared.iter().all(|it| *it)
}
