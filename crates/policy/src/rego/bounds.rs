//! Functions whose result can be far larger than their arguments, and how far they may go.
//!
//! The time limit of an evaluation is looked at between expressions. Inside one call nobody looks,
//! and an allocation that fails ends the process. An agent that chooses an argument must not be
//! able to get there, so these functions check what they are asked for first (A1).
//!
//! | function                           | refused beyond                                           |
//! |------------------------------------|----------------------------------------------------------|
//! | `numbers.range`, `…range_step`     | [`RANGE_LEN_MAX`] numbers                                |
//! | `net.cidr_expand`                  | [`HOST_BITS_MAX`] bits of host                           |
//! | `bits.lsh`                         | [`SHIFT_MAX`] bits                                       |
//! | `units.parse`, `…parse_bytes`      | [`EXPONENT_MAX`], [`NUMBER_LEN_MAX`] bytes               |
//! | `trim`, `trim_left`, `trim_right`, `strings.count`, `object.subset` of lists | [`PAIRS_MAX`] pairs to compare |
//! | `sprintf`                          | a width or precision of [`WIDTH_MAX`]                    |
//! | `concat`, `replace`, `regex.replace`, `strings.replace_n` | [`RESULT_LEN_MAX`] bytes          |
//! | `to_number`                        | a text that is no plain JSON number                      |
//! | `json.unmarshal`, `json.is_valid`  | nothing: they read JSON without the engine's big numbers |
//!
//! The last three matter since the engine takes the object `{"$serde_json::private::Number": "…"}`
//! for a number of any size.
//!
//! # Invariants
//!
//! * **A1** A call that is refused is an error of the evaluation, hence a deny.
//! * **A2** A call that is not refused gives what the engine gives.

use regorus::{
    Engine, Source, Value,
    unstable::{Expr, Ref, Span},
};
use thiserror::Error;

use super::value;

/// Most numbers in a range.
pub const RANGE_LEN_MAX: u64 = 100_000;
/// Most bits of host in a network that is expanded: 65 536 addresses.
pub const HOST_BITS_MAX: u8 = 16;
/// Most bits a number is shifted to the left.
pub const SHIFT_MAX: u64 = 4096;
/// Largest decimal exponent in a text that becomes a number.
pub const EXPONENT_MAX: u64 = 308;
/// Largest width or precision of a `sprintf` verb.
pub const WIDTH_MAX: u64 = 1000;
/// Longest text that joining or replacing may make, in bytes.
pub const RESULT_LEN_MAX: usize = 8 << 20;

/// Longest text that becomes a number, in bytes.
pub const NUMBER_LEN_MAX: usize = 1024;
/// Most pairs, one of each argument, that may have to be compared.
pub const PAIRS_MAX: usize = 10_000_000;

/// A call that would go too far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Excess {
    #[error("a range of more than {RANGE_LEN_MAX} numbers")]
    Range,
    #[error("a network with more than {HOST_BITS_MAX} bits of host")]
    Network,
    #[error("a shift by more than {SHIFT_MAX} bits")]
    Shift,
    #[error("an exponent beyond {EXPONENT_MAX}")]
    Exponent,
    #[error("a width or precision beyond {WIDTH_MAX}")]
    Width,
    #[error("a result of more than {RESULT_LEN_MAX} bytes")]
    Length,
    #[error("a number of more than {NUMBER_LEN_MAX} bytes")]
    Number,
    #[error("more than {PAIRS_MAX} pairs to compare")]
    Pairs,
    #[error("not a JSON number")]
    NoNumber,
    #[error("not JSON, or JSON that nests too deep")]
    NoJson,
}

/// What is done with the arguments of a call.
type Rule = fn(&[Value]) -> Result<Step, Excess>;

/// How a call goes on.
enum Step {
    /// The engine computes the result.
    Engine,
    /// This is the result.
    Done(Value),
}

const RULES: [(&str, Rule); 19] = [
    ("bits.lsh", shift),
    ("concat", concat),
    ("json.is_valid", json_is_valid),
    ("json.unmarshal", json_unmarshal),
    ("net.cidr_expand", network),
    ("numbers.range", range),
    ("numbers.range_step", range_step),
    ("object.subset", subset),
    ("regex.replace", regex_replace),
    ("replace", replace),
    ("sprintf", width),
    ("strings.count", text_pairs),
    ("strings.replace_n", replace_n),
    ("to_number", number),
    ("trim", text_pairs),
    ("trim_left", text_pairs),
    ("trim_right", text_pairs),
    ("units.parse", exponent),
    ("units.parse_bytes", exponent),
];

/// Puts the rules for the functions that a policy mentions into its engine.
///
/// Fails only when the engine already has an extension of that name, or no function of that name.
pub(super) fn install(engine: &mut Engine, mentioned: &dyn Fn(&str) -> bool) -> Result<(), String> {
    let nowhere = Source::from_contents(String::new(), String::new());
    let nowhere = nowhere.map_err(|error| error.to_string())?;
    for (name, rule) in RULES.into_iter().filter(|(name, _)| mentioned(name)) {
        let Some(&(function, arity)) = regorus::unstable::BUILTINS.get(name) else {
            return Err(format!("the engine has no function `{name}`"));
        };
        // The engine wants to know where a call stands, for its error texts, and puts the real
        // place around them afterwards.
        let span = Span { source: nowhere.clone(), line: 1, col: 1, start: 0, end: 0 };
        let bounded = move |args: Vec<Value>| match rule(&args) {
            Ok(Step::Engine) => {
                let param = || Expr::Null { span: span.clone(), value: Value::Null, eidx: 0 };
                let params: Vec<_> = args.iter().map(|_| Ref::new(param())).collect();
                function(&span, &params, &args, true)
            }
            Ok(Step::Done(value)) => Ok(value),
            Err(excess) => Err(excess.into()),
        };
        engine
            .add_extension(name.to_owned(), arity, Box::new(bounded))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn shift(args: &[Value]) -> Result<Step, Excess> {
    match args {
        [_, Value::Number(by)] if by.as_u64().is_none_or(|it| it > SHIFT_MAX) => Err(Excess::Shift),
        _ => Ok(Step::Engine),
    }
}

fn range(args: &[Value]) -> Result<Step, Excess> {
    match args {
        [Value::Number(from), Value::Number(to)] => {
            let distance = distance(from.as_i64(), to.as_i64()).ok_or(Excess::Range)?;
            (distance < RANGE_LEN_MAX).then_some(Step::Engine).ok_or(Excess::Range)
        }
        _ => Ok(Step::Engine),
    }
}

fn range_step(args: &[Value]) -> Result<Step, Excess> {
    match args {
        [Value::Number(from), Value::Number(to), Value::Number(step)] => {
            let distance = distance(from.as_i64(), to.as_i64()).ok_or(Excess::Range)?;
            let step = step.as_u64().filter(|it| *it > 0).ok_or(Excess::Range)?;
            (distance / step < RANGE_LEN_MAX).then_some(Step::Engine).ok_or(Excess::Range)
        }
        _ => Ok(Step::Engine),
    }
}

fn distance(from: Option<i64>, to: Option<i64>) -> Option<u64> {
    Some(from?.abs_diff(to?))
}

fn network(args: &[Value]) -> Result<Step, Excess> {
    let [Value::String(text)] = args else {
        return Ok(Step::Engine);
    };
    let bits = if text.contains(':') { 128_u8 } else { 32 };
    let prefix = text.rsplit_once('/').and_then(|(_, prefix)| prefix.parse::<u8>().ok());
    match prefix.and_then(|it| bits.checked_sub(it)) {
        Some(host_bits) if host_bits <= HOST_BITS_MAX => Ok(Step::Engine),
        _ => Err(Excess::Network),
    }
}

fn exponent(args: &[Value]) -> Result<Step, Excess> {
    let [Value::String(text)] = args else {
        return Ok(Step::Engine);
    };
    if text.len() > NUMBER_LEN_MAX {
        return Err(Excess::Number);
    }
    // `1E` is an exa, `1e9` has an exponent: only digits after the letter make one.
    for (_, after) in text.match_indices(['e', 'E']).map(|(at, it)| text.split_at(at + it.len())) {
        let digits = after.trim_start_matches(['+', '-']);
        let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
        let digits = digits.get(..end).unwrap_or_default();
        if !digits.is_empty() && digits.parse::<u64>().is_ok_and(|it| it <= EXPONENT_MAX) {
            continue;
        }
        if !digits.is_empty() {
            return Err(Excess::Exponent);
        }
    }
    Ok(Step::Engine)
}

/// Each character of the one text may be compared with each of the other.
fn text_pairs(args: &[Value]) -> Result<Step, Excess> {
    match args {
        [Value::String(one), Value::String(other)] => pairs(one.len(), other.len()),
        _ => Ok(Step::Engine),
    }
}

/// A list is looked for in another one at every place of it.
fn subset(args: &[Value]) -> Result<Step, Excess> {
    match args {
        [Value::Array(one), Value::Array(other)] => pairs(one.len(), other.len()),
        _ => Ok(Step::Engine),
    }
}

fn pairs(one: usize, other: usize) -> Result<Step, Excess> {
    let all = one.saturating_mul(other);
    if all > PAIRS_MAX { Err(Excess::Pairs) } else { Ok(Step::Engine) }
}

fn width(args: &[Value]) -> Result<Step, Excess> {
    let [Value::String(format), _] = args else {
        return Ok(Step::Engine);
    };
    for after in format.split('%').skip(1) {
        let digits = after.trim_start_matches('.');
        let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
        let digits = digits.get(..end).unwrap_or_default();
        if !digits.is_empty() && digits.parse::<u64>().is_ok_and(|it| it > WIDTH_MAX) {
            return Err(Excess::Width);
        }
        if digits.len() > WIDTH_MAX.ilog10() as usize + 1 {
            return Err(Excess::Width);
        }
    }
    Ok(Step::Engine)
}

fn concat(args: &[Value]) -> Result<Step, Excess> {
    let [Value::String(delimiter), parts] = args else {
        return Ok(Step::Engine);
    };
    let (count, len) = match parts {
        Value::Array(parts) => (parts.len(), parts.iter().map(text_len).sum::<usize>()),
        Value::Set(parts) => (parts.len(), parts.iter().map(text_len).sum::<usize>()),
        _ => return Ok(Step::Engine),
    };
    fits(count.saturating_mul(delimiter.len()).saturating_add(len))
}

fn text_len(value: &Value) -> usize {
    if let Value::String(text) = value { text.len() } else { 0 }
}

fn replace(args: &[Value]) -> Result<Step, Excess> {
    match args {
        [Value::String(text), Value::String(old), Value::String(new)] => {
            fits(replaced_len(text, old, new))
        }
        _ => Ok(Step::Engine),
    }
}

/// The engine replaces one pattern after the other, in order, each in the result of the last.
fn replace_n(args: &[Value]) -> Result<Step, Excess> {
    let [Value::Object(patterns), Value::String(text)] = args else {
        return Ok(Step::Engine);
    };
    let mut text = text.to_string();
    for (old, new) in patterns.iter_sorted() {
        let (Value::String(old), Value::String(new)) = (old, new) else {
            return Ok(Step::Engine);
        };
        fits(replaced_len(&text, old, new))?;
        text = text.replace(old.as_ref(), new.as_ref());
    }
    Ok(Step::Done(Value::from(text)))
}

/// Upper bound of the length after a replacement.
fn replaced_len(text: &str, old: &str, new: &str) -> usize {
    let times = if old.is_empty() { text.len() + 1 } else { text.len() / old.len() };
    times.saturating_mul(new.len()).saturating_add(text.len())
}

fn regex_replace(args: &[Value]) -> Result<Step, Excess> {
    match args {
        // A match may be empty, and `$0` stands for all of it.
        [Value::String(text), _, Value::String(new)] => {
            let once = new.len().saturating_mul(text.len() + 1);
            fits(once.saturating_mul(2).saturating_add(text.len()))
        }
        _ => Ok(Step::Engine),
    }
}

fn fits(len: usize) -> Result<Step, Excess> {
    if len > RESULT_LEN_MAX { Err(Excess::Length) } else { Ok(Step::Engine) }
}

fn number(args: &[Value]) -> Result<Step, Excess> {
    match args {
        [Value::String(text)] => {
            let number: serde_json::Number =
                serde_json::from_str(text).map_err(|_| Excess::NoNumber)?;
            value::number(&number).map(Step::Done).ok_or(Excess::NoNumber)
        }
        _ => Ok(Step::Engine),
    }
}

fn json_unmarshal(args: &[Value]) -> Result<Step, Excess> {
    let [Value::String(text)] = args else {
        return Ok(Step::Engine);
    };
    let json: serde_json::Value = serde_json::from_str(text).map_err(|_| Excess::NoJson)?;
    let value = value::from_json(&json, &mut value::Budget::default());
    value.map(Step::Done).map_err(|_| Excess::NoJson)
}

#[expect(clippy::unnecessary_wraps, reason = "all rules have one form")]
fn json_is_valid(args: &[Value]) -> Result<Step, Excess> {
    let [Value::String(text)] = args else {
        return Ok(Step::Engine);
    };
    let valid = serde_json::from_str::<serde_json::Value>(text).is_ok();
    Ok(Step::Done(Value::Bool(valid)))
}
