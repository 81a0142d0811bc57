//! The input document of a policy; its fields are listed in [`request`](crate::request).

use std::collections::BTreeMap;

use regorus::Value;

use super::value::{Budget, NotConverted, from_map, text};
use crate::Request;

/// Largest request: the bytes of its texts and keys plus eight for every value.
pub const REQUEST_LEN_MAX: usize = 1 << 20;

/// Deepest nesting of a request, and of the data of a bundle.
pub const REQUEST_DEPTH_MAX: usize = 128;

/// Makes the input document.
pub(super) fn document(request: &Request) -> Result<Value, NotConverted> {
    let mut budget = Budget::default();
    let mut context = BTreeMap::new();
    for (key, value) in [
        ("node", request.context.node.as_str()),
        ("operator", request.context.operator.as_str()),
        ("time", &format!("{:.3}", request.context.time)),
        ("mode", request.context.mode.as_str()),
    ] {
        context.insert(Value::from(key), text(value, &mut budget)?);
    }
    if let Some(agent) = &request.agent_context {
        context.insert(Value::from("agent"), from_map(agent, &mut budget)?);
    }
    let mut res = BTreeMap::new();
    res.insert(Value::from("kind"), text(&request.kind, &mut budget)?);
    res.insert(Value::from("params"), from_map(&request.params, &mut budget)?);
    res.insert(Value::from("context"), Value::from(context));
    Ok(Value::from(res))
}
