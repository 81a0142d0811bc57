//! The help of every command, as it is committed in `tests/snapshots/help`.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use e2e::harness::{Bin, autonomy, program, run_to_end, same_as_files};
use serde_json::Value;

/// Columns of the help. Another width breaks lines elsewhere.
const COLUMNS: &str = "100";

fn help(words: &[&str]) -> String {
    let mut command = program(Bin::Autonomy).unwrap();
    let ended = run_to_end(command.env("COLUMNS", COLUMNS).args(words).arg("--help")).unwrap();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""), "{words:?}");
    ended.stdout
}

#[test]
fn the_help_of_every_command_is_the_one_that_was_committed() {
    let ended = autonomy(&["capabilities", "--output", "json"]).unwrap();
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let mut texts = BTreeMap::from([("autonomy".to_owned(), help(&[]))]);
    for leaf in told["commands"].as_array().unwrap() {
        let words: Vec<&str> = leaf["command"].as_str().unwrap().split(' ').collect();
        // The nouns on the way have help of their own.
        for len in 1..=words.len() {
            let words = &words[..len];
            texts.entry(words.join("-")).or_insert_with(|| help(words));
        }
    }
    assert!(texts.len() > 150, "{} commands and nouns", texts.len());
    same_as_files("help", &texts).unwrap();
}
