//! Values of the engine and JSON, in both directions.
//!
//! # Invariants
//!
//! * **V1** A value keeps its meaning: equal JSON gives equal values. No key of an object has a
//!   meaning of its own, whatever the engine's own reader thinks of it.
//! * **V2** Neither direction goes beyond its [`Budget`]: not in depth, so that no stack runs out,
//!   and not in size. Shared parts of a value count every time they occur.

use std::collections::BTreeMap;

use regorus::Value;
use serde_json::{Map, Value as Json};

use super::{REQUEST_DEPTH_MAX, REQUEST_LEN_MAX};

/// What a single value costs, beside its text.
const VALUE_COST: usize = 8;

/// How much may still be converted (V2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    bytes: usize,
    depth: usize,
}

impl Budget {
    pub(super) const fn new(bytes: usize, depth: usize) -> Self {
        Self { bytes, depth }
    }

    fn spend(&mut self, text: usize) -> Result<(), NotConverted> {
        let cost = text.saturating_add(VALUE_COST);
        self.bytes = self.bytes.checked_sub(cost).ok_or(NotConverted::TooLarge)?;
        Ok(())
    }

    /// Goes one level down; [`Self::leave`] comes back.
    fn enter(&mut self) -> Result<(), NotConverted> {
        self.depth = self.depth.checked_sub(1).ok_or(NotConverted::TooLarge)?;
        Ok(())
    }

    const fn leave(&mut self) {
        self.depth += 1;
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(REQUEST_LEN_MAX, REQUEST_DEPTH_MAX)
    }
}

/// Why a value has no counterpart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotConverted {
    /// It is beyond the budget.
    TooLarge,
    /// JSON has nothing like it, or the engine has not.
    NoCounterpart,
}

/// Makes a value of the engine.
pub(super) fn from_json(json: &Json, budget: &mut Budget) -> Result<Value, NotConverted> {
    match json {
        Json::Null => budget.spend(0).map(|()| Value::Null),
        Json::Bool(it) => budget.spend(0).map(|()| Value::Bool(*it)),
        Json::Number(it) => {
            budget.spend(0)?;
            number(it).ok_or(NotConverted::NoCounterpart)
        }
        Json::String(it) => text(it, budget),
        Json::Array(items) => {
            budget.spend(0)?;
            budget.enter()?;
            let mut res = Vec::with_capacity(items.len());
            for item in items {
                res.push(from_json(item, budget)?);
            }
            budget.leave();
            Ok(Value::from(res))
        }
        Json::Object(fields) => from_map(fields, budget),
    }
}

/// Makes an object of the engine.
pub(super) fn from_map(
    fields: &Map<String, Json>,
    budget: &mut Budget,
) -> Result<Value, NotConverted> {
    budget.spend(0)?;
    budget.enter()?;
    let mut res = BTreeMap::new();
    for (key, value) in fields {
        res.insert(text(key, budget)?, from_json(value, budget)?);
    }
    budget.leave();
    Ok(Value::from(res))
}

/// Makes a text of the engine.
pub(super) fn text(text: &str, budget: &mut Budget) -> Result<Value, NotConverted> {
    budget.spend(text.len())?;
    Ok(Value::from(text))
}

/// Makes a number of the engine; `None` when it is not finite.
pub(super) fn number(number: &serde_json::Number) -> Option<Value> {
    if let Some(number) = number.as_u64() {
        return Some(Value::from(number));
    }
    if let Some(number) = number.as_i64() {
        return Some(Value::from(number));
    }
    number.as_f64().filter(|it| it.is_finite()).map(Value::from)
}

/// Makes JSON of a value; sets become arrays, as `opa eval` prints them.
pub(super) fn to_json(value: &Value, budget: &mut Budget) -> Result<Json, NotConverted> {
    match value {
        Value::Null => budget.spend(0).map(|()| Json::Null),
        Value::Bool(it) => budget.spend(0).map(|()| Json::Bool(*it)),
        Value::Number(_) => {
            budget.spend(0)?;
            number_to_json(value).ok_or(NotConverted::NoCounterpart)
        }
        Value::String(it) => {
            budget.spend(it.len())?;
            Ok(Json::String(it.to_string()))
        }
        Value::Array(items) => to_array(items.iter(), budget),
        Value::Set(items) => to_array(items.iter(), budget),
        Value::Object(fields) => {
            budget.spend(0)?;
            budget.enter()?;
            let mut res = Map::new();
            for (key, value) in fields.iter_sorted() {
                let Value::String(key) = key else {
                    return Err(NotConverted::NoCounterpart);
                };
                budget.spend(key.len())?;
                res.insert(key.to_string(), to_json(value, budget)?);
            }
            budget.leave();
            Ok(Json::Object(res))
        }
        Value::Undefined => Err(NotConverted::NoCounterpart),
    }
}

/// Makes the same number of a number; `None` when JSON numbers as others read them cannot hold it.
fn number_to_json(value: &Value) -> Option<Json> {
    if let Ok(number) = value.as_u64() {
        return Some(Json::from(number));
    }
    if let Ok(number) = value.as_i64() {
        return Some(Json::from(number));
    }
    let number = value.as_f64().ok()?;
    (Value::from(number) == *value).then(|| Json::from(number))
}

fn to_array<'a>(
    items: impl Iterator<Item = &'a Value>,
    budget: &mut Budget,
) -> Result<Json, NotConverted> {
    budget.spend(0)?;
    budget.enter()?;
    let mut res = Vec::new();
    for item in items {
        res.push(to_json(item, budget)?);
    }
    budget.leave();
    Ok(Json::Array(res))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            prop::num::f64::NORMAL.prop_map(Json::from),
            ".{0,8}".prop_map(Json::String),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
                prop::collection::btree_map(
                    prop_oneof![".{0,6}", Just("$serde_json::private::Number".to_owned())],
                    inner,
                    0..5
                )
                .prop_map(|it| Json::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_back_as_it_was(json in any_json()) {
            let value = from_json(&json, &mut Budget::default()).unwrap();
            let back = to_json(&value, &mut Budget::default()).unwrap();
            // A float without a fraction may come back as an integer: the same number.
            prop_assert_eq!(from_json(&back, &mut Budget::default()).unwrap(), value);
        }
    }

    #[test]
    fn numbers_stay_exactly_what_they_are_or_have_no_counterpart() {
        for number in [4.860_767_899_164_439e18, 1e300, 0.1, -0.0, f64::MIN_POSITIVE, 2e19] {
            let value = Value::from(number);
            let json = to_json(&value, &mut Budget::default()).unwrap();
            assert_eq!(from_json(&json, &mut Budget::default()).unwrap(), value, "{number}");
        }
        let huge = Value::from_numeric_string("36893488147419103233").unwrap();
        assert_eq!(to_json(&huge, &mut Budget::default()), Err(NotConverted::NoCounterpart));
    }

    #[test]
    fn an_object_that_pretends_to_be_a_number_stays_an_object() {
        let json = json!({"$serde_json::private::Number": "1e2000000000"});
        let value = from_json(&json, &mut Budget::default()).unwrap();
        assert!(value.as_object().is_ok());
    }

    #[test]
    fn size_and_depth_are_bounded_in_both_directions() {
        let mut deep = json!(1);
        for _ in 0..REQUEST_DEPTH_MAX {
            deep = json!([deep]);
        }
        let value = from_json(&deep, &mut Budget::default()).unwrap();
        assert!(to_json(&value, &mut Budget::default()).is_ok());
        let deeper = json!([deep]);
        assert_eq!(from_json(&deeper, &mut Budget::default()), Err(NotConverted::TooLarge));
        let value = Value::from(vec![value]);
        assert_eq!(to_json(&value, &mut Budget::default()), Err(NotConverted::TooLarge));

        let long = json!("x".repeat(100));
        assert!(from_json(&long, &mut Budget::new(108, 1)).is_ok());
        assert_eq!(from_json(&long, &mut Budget::new(107, 1)), Err(NotConverted::TooLarge));
    }

    #[test]
    fn a_value_that_shares_its_parts_is_counted_in_full() {
        let mut shared = Value::from("x");
        for _ in 0..60 {
            shared = Value::from(vec![shared.clone(), shared]);
        }
        assert_eq!(to_json(&shared, &mut Budget::default()), Err(NotConverted::TooLarge));
    }
}
