//! Everything that is wrong with the files of a policy, for whoever writes them.
//!
//! Building and loading stop at the first fault, since they only have to refuse. This goes on: see
//! `rego::survey` for how far.
//!
//! # Warnings
//!
//! | code               | what                                                                          |
//! |--------------------|-------------------------------------------------------------------------------|
//! | `no_decision_rule` | no module defines `data.autonomy.decision` or `data.autonomy.allow`: all is denied |
//! | `no_tests_in_file` | a file `*_test.rego` has no rule `test_…`                                       |
//!
//! * **V1** There is no error exactly when the files make a policy.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    BundleError, ModuleError, Place, Sources,
    bundle::{read_each, refused_alone},
    rego::{self, TEST_FILE},
};

/// Rules of which a policy has at least one.
const DECIDING: [[&str; 2]; 2] = [["autonomy", "decision"], ["autonomy", "allow"]];

/// Something that is wrong, or looks so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it can stay.
    pub severity: Severity,
    /// Its stable text.
    pub code: &'static str,
    /// The file, when it is in one.
    pub file: Option<String>,
    /// The place in the file, when there is one.
    pub place: Option<Place>,
    /// What is wrong, without the place.
    pub message: String,
}

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The files make no policy.
    Error,
    /// The files make a policy, perhaps not the one that is meant.
    Warning,
}

impl Severity {
    /// Returns the stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Finds what is wrong with `*.rego` files and an optional `data.json`, by name (V1).
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
///
/// let files = BTreeMap::from([
///     ("a.rego".to_owned(), b"package autonomy\nallow if http.send({})".to_vec()),
///     ("b.rego".to_owned(), b"package autonomy\nallow if {".to_vec()),
/// ]);
/// let found = policy::findings(&files);
/// let codes: Vec<_> = found.iter().map(|it| it.code).collect();
/// assert_eq!(codes, ["rego_function_not_available", "rego_syntax"]);
/// ```
pub fn findings(files: &BTreeMap<String, Vec<u8>>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, content) in files {
        found.extend(refused_alone(name, content).map(|it| of_bundle(&it, Some(name))));
    }
    let (modules, data, faults) = read_each(files);
    found.extend(faults.iter().map(|(name, fault)| of_bundle(fault, Some(name))));
    let surveyed = rego::survey(&modules, &data);
    found.extend(surveyed.faults.iter().map(of_module));
    if found.is_empty() {
        // What concerns no single file: counts, the sum of the lengths, equal names, no module at all.
        let whole = Sources::new(files.clone()).err();
        found.extend(whole.map(|it| of_bundle(&it, None)));
    }
    if found.is_empty() {
        found.extend(warnings(files, &surveyed.rules));
    }
    found.sort_by(|a, b| key(a).cmp(&key(b)));
    found.dedup();
    found
}

fn key(it: &Finding) -> (Option<&str>, u32, u32) {
    let (line, column) = it.place.as_ref().map_or((0, 0), |it| (it.line, it.column));
    (it.file.as_deref(), line, column)
}

fn of_bundle(error: &BundleError, file: Option<&String>) -> Finding {
    match error {
        BundleError::Module(error) => of_module(error),
        error => Finding {
            severity: Severity::Error,
            code: error.code(),
            file: file.cloned(),
            place: None,
            message: error.to_string(),
        },
    }
}

fn of_module(error: &ModuleError) -> Finding {
    let place = error.place().cloned();
    let text = error.to_string();
    let message = match &place {
        Some(place) => text.strip_prefix(&format!("{place}: ")).unwrap_or(&text),
        None => &text,
    };
    let file = match error {
        ModuleError::Nul { file, .. } => Some(file.clone()),
        _ => place.as_ref().map(|it| it.file.clone()),
    };
    Finding {
        severity: Severity::Error,
        code: error.code(),
        file,
        message: message.to_owned(),
        place,
    }
}

/// What looks wrong in files that make a policy.
#[derive(Clone, Copy, Debug)]
enum Doubt {
    NoDecisionRule,
    NoTestsInFile,
}

impl Doubt {
    /// Returns the stable text.
    const fn code(self) -> &'static str {
        match self {
            Self::NoDecisionRule => "no_decision_rule",
            Self::NoTestsInFile => "no_tests_in_file",
        }
    }

    fn finding(self, file: Option<&String>) -> Finding {
        let message = match self {
            Self::NoDecisionRule => {
                "no module defines `data.autonomy.decision` or `data.autonomy.allow`: every call is denied"
            }
            Self::NoTestsInFile => "the file has no rule `test_…`",
        };
        Finding {
            severity: Severity::Warning,
            code: self.code(),
            file: file.cloned(),
            place: None,
            message: message.to_owned(),
        }
    }
}

fn warnings(files: &BTreeMap<String, Vec<u8>>, rules: &[(Vec<String>, Place)]) -> Vec<Finding> {
    let mut found = Vec::new();
    let begins = |path: &[String], with: [&str; 2]| path.iter().zip(with).all(|(a, b)| a == b);
    let decides = |path: &[String]| path.len() > 1 && DECIDING.iter().any(|it| begins(path, *it));
    if !rules.iter().any(|(path, _)| decides(path)) {
        found.push(Doubt::NoDecisionRule.finding(None));
    }
    let is_test = |path: &[String]| path.last().is_some_and(|it| rego::is_test(it));
    let tested: BTreeSet<_> =
        rules.iter().filter(|(path, _)| is_test(path)).map(|(_, place)| &*place.file).collect();
    let untested = files.keys().filter(|it| it.ends_with(TEST_FILE) && !tested.contains(&***it));
    found.extend(untested.map(|it| Doubt::NoTestsInFile.finding(Some(it))));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<(String, &'static str)> {
        let files: BTreeMap<_, _> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
            .collect();
        let found = findings(&files);
        let errors = found.iter().any(|it| it.severity == Severity::Error);
        let refused = match Sources::new(files) {
            Ok(sources) => sources.evaluator("x").is_err(),
            Err(_) => true,
        };
        assert_eq!(errors, refused, "V1: {found:?}");
        let at = |it: &Finding| match &it.place {
            Some(place) => format!("{}:{}:{}", place.file, place.line, place.column),
            None => it.file.clone().unwrap_or_default(),
        };
        found.iter().map(|it| (at(it), it.code)).collect()
    }

    const GOOD: (&str, &str) = ("good.rego", "package autonomy\nallow if is_echo\n");

    #[test]
    fn a_policy_without_a_fault_has_none() {
        let echo = ("e.rego", "package autonomy\nis_echo if input.kind == \"tool.echo\"\n");
        assert_eq!(found(&[GOOD, echo]), []);
    }

    #[test]
    fn every_file_with_a_syntax_error_is_named_and_what_needs_it_is_not() {
        let got = found(&[
            GOOD,
            ("a.rego", "package autonomy\nis_echo if {\n"),
            ("b.rego", "package autonomy\nx if helper(1)\ny if http.send({})\n"),
            ("sub/c.rego", "package autonomy\nhelper(x) := 1 if x = \n"),
        ]);
        assert_eq!(
            got,
            [
                ("a.rego:3:1".to_owned(), "rego_syntax"),
                ("b.rego:3:6".to_owned(), "rego_function_not_available"),
                ("sub/c.rego:3:1".to_owned(), "rego_syntax"),
            ]
        );
    }

    #[test]
    fn every_faulty_statement_of_every_file_is_named() {
        let got = found(&[
            ("a.rego", "package autonomy\nallow if {\n  http.send({})\n  nope(1)\n}\n"),
            ("b.rego", "package autonomy\ndeny contains \"x\" if time.now_ns() > 1\n"),
        ]);
        let places: Vec<_> = got.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(places, ["a.rego:3:3", "a.rego:4:3", "b.rego:2:22"]);
        assert!(got.iter().all(|it| it.1 == "rego_function_not_available"));
    }

    #[test]
    fn the_engine_names_one_fault_in_every_faulty_file() {
        let got = found(&[
            ("a.rego", "package autonomy\nallow if unknown_a\n"),
            ("b.rego", "package autonomy\nother if { allow; x == unknown_b }\n"),
            ("c.rego", "package autonomy\nfine if other\n"),
        ]);
        let files: Vec<_> = got.iter().map(|it| it.0.split(':').next().unwrap()).collect();
        assert_eq!(files, ["a.rego", "b.rego"], "{got:?}");
        assert!(got.iter().all(|it| it.1 == "rego_compile"), "{got:?}");
    }

    #[test]
    fn files_that_are_no_modules_and_data_that_is_none_are_named_together() {
        let got = found(&[
            GOOD,
            ("data.json", "[1]"),
            ("notes.txt", "x"),
            ("z.rego", "package autonomy\nis_echo if {"),
        ]);
        let got: Vec<_> = got.iter().map(|it| (it.0.as_str(), it.1)).collect();
        assert_eq!(
            got,
            [
                ("data.json", "bundle_bad_data"),
                ("notes.txt", "bundle_unexpected_entry"),
                ("z.rego:2:13", "rego_syntax"),
            ]
        );
        assert_eq!(found(&[]), [(String::new(), "bundle_no_modules")]);
    }

    #[test]
    fn data_where_a_rule_is_defined_and_recursion_are_found() {
        let loops = ("a.rego", "package autonomy\nallow if b\nb if allow\n");
        let got = found(&[loops, ("data.json", r#"{"autonomy":{"allow":1,"b":2}}"#)]);
        let codes: Vec<_> = got.iter().map(|it| it.1).collect();
        assert_eq!(codes, ["data_conflict", "data_conflict", "rego_recursion"]);
    }

    #[test]
    fn a_policy_that_decides_nothing_and_a_test_file_without_tests_are_warned_about() {
        let got = found(&[
            ("a.rego", "package other\nallow := true\n"),
            ("a_test.rego", "package a_test\nnot_a_test := true\n"),
            ("b_test.rego", "package b_test\ntest_x := true\n"),
        ]);
        let want = [("", "no_decision_rule"), ("a_test.rego", "no_tests_in_file")];
        let got: Vec<_> = got.iter().map(|it| (it.0.as_str(), it.1)).collect();
        assert_eq!(got, want);
    }
}
