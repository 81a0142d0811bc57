//! The input document of a policy; its fields are listed in [`request`](crate::request).

use std::{collections::BTreeMap, sync::LazyLock};

use regorus::Value;

use super::value::{Budget, NotConverted, from_map, text};
use crate::Request;

/// Largest request: the bytes of its texts and keys plus eight for every value.
pub const REQUEST_LEN_MAX: usize = 1 << 20;

/// Deepest nesting of a request, and of the data of a bundle.
pub const REQUEST_DEPTH_MAX: usize = 128;

/// The names of the fields, made once: nothing can change a text of the engine, and copies share it.
static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    kind: "kind".into(),
    params: "params".into(),
    context: "context".into(),
    node: "node".into(),
    operator: "operator".into(),
    time: "time".into(),
    mode: "mode".into(),
    agent: "agent".into(),
});

struct Names {
    kind: Value,
    params: Value,
    context: Value,
    node: Value,
    operator: Value,
    time: Value,
    mode: Value,
    agent: Value,
}

/// Makes the input document.
pub(super) fn document(request: &Request) -> Result<Value, NotConverted> {
    let (names, mut budget) = (&*NAMES, Budget::default());
    let mut context = BTreeMap::new();
    for (name, value) in [
        (&names.node, request.context.node.as_str()),
        (&names.operator, request.context.operator.as_str()),
        (&names.time, &format!("{:.3}", request.context.time)),
        (&names.mode, request.context.mode.as_str()),
    ] {
        context.insert(name.clone(), text(value, &mut budget)?);
    }
    if let Some(agent) = &request.agent_context {
        context.insert(names.agent.clone(), from_map(agent, &mut budget)?);
    }
    let mut res = BTreeMap::new();
    res.insert(names.kind.clone(), text(&request.kind, &mut budget)?);
    res.insert(names.params.clone(), from_map(&request.params, &mut budget)?);
    res.insert(names.context.clone(), Value::from(context));
    Ok(Value::from(res))
}
