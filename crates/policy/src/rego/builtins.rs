//! Which functions a policy may call.
//!
//! A decision depends on the request and the bundle and on nothing else (B1). So this is a list of
//! what is allowed, not of what is forbidden: a function that a later engine brings along is not
//! available before somebody put it here.
//!
//! # Invariants
//!
//! * **B1** No function on the list reads a clock, a random source, the environment, the network
//!   or the process, and none writes anything.

/// Functions of the engine that a policy may call, in byte order (B1).
pub const BUILTINS: [&str; 93] = [
    "abs",
    "array.concat",
    "array.reverse",
    "array.slice",
    "base64.decode",
    "base64.encode",
    "base64.is_valid",
    "base64url.decode",
    "base64url.encode",
    "base64url.encode_no_pad",
    "bits.and",
    "bits.lsh",
    "bits.negate",
    "bits.or",
    "bits.rsh",
    "bits.xor",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "format_int",
    "glob.match",
    "glob.quote_meta",
    "hex.decode",
    "hex.encode",
    "indexof",
    "indexof_n",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "json.filter",
    "json.is_valid",
    "json.marshal",
    "json.marshal_with_options",
    "json.remove",
    "json.unmarshal",
    "lower",
    "max",
    "min",
    "net.cidr_contains",
    "net.cidr_expand",
    "net.cidr_is_valid",
    "numbers.range",
    "numbers.range_step",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "object.union_n",
    "product",
    "regex.find_all_string_submatch_n",
    "regex.find_n",
    "regex.is_valid",
    "regex.match",
    "regex.replace",
    "regex.split",
    "regex.template_match",
    "replace",
    "round",
    "semver.compare",
    "semver.is_valid",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "strings.replace_n",
    "strings.reverse",
    "substring",
    "sum",
    "to_number",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "union",
    "units.parse",
    "units.parse_bytes",
    "upper",
];

/// Functions of Rego that break B1, and what to do instead.
const REFUSED: [(&str, &str); 9] = [
    ("http.send", "a policy has no network"),
    ("net.lookup_ip_addr", "a policy has no network"),
    ("opa.runtime", "a policy does not see the process"),
    ("print", "a policy writes nothing; give a reason instead"),
    ("rand.intn", "a decision is not left to chance"),
    ("rego.metadata.rule", "a policy does not see its own annotations"),
    ("time.now_ns", "the time of the request is `input.context.time`"),
    ("trace", "a policy writes nothing; give a reason instead"),
    ("uuid.rfc4122", "a decision is not left to chance"),
];

/// Whether a policy may call the function.
pub(super) fn is_allowed(name: &str) -> bool {
    BUILTINS.binary_search(&name).is_ok()
}

/// Whether the name is that of a function outside of the policy, here or elsewhere.
pub(super) fn is_known(name: &str) -> bool {
    let refused = REFUSED.iter().any(|(refused, _)| *refused == name);
    refused || regorus::unstable::BUILTINS.contains_key(name)
}

/// Why a function is not available.
pub(super) fn why_not(name: &str) -> &'static str {
    let known = REFUSED.iter().find(|(refused, _)| *refused == name);
    known.map_or("there is no such function", |(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_the_engine_has_all_of_it() {
        assert!(BUILTINS.is_sorted());
        for name in BUILTINS {
            assert!(regorus::unstable::BUILTINS.contains_key(name), "{name}");
        }
    }

    #[test]
    fn what_breaks_the_rule_is_not_on_the_list() {
        for (name, _) in REFUSED {
            assert!(!is_allowed(name), "{name}");
        }
        for name in regorus::unstable::BUILTINS.keys().filter(|it| !is_allowed(it)) {
            // What the engine of this build has beyond the list: side effects, and two internals.
            let expected = ["rand.intn", "trace", "__builtin_sets.union"];
            assert!(
                expected.contains(name) || *name == "__builtin_sets.intersection",
                "decide whether a policy may call `{name}`"
            );
        }
    }
}
