//! The demo is a test: the same functions, on free ports.

use e2e::{
    harness::{Ports, Stack},
    stories::{Narrator, tutorial},
};

#[test]
fn tutorial_03_is_true_from_beginning_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let mut narrator = Narrator::quiet();
    tutorial::tell(&stack, &mut narrator).unwrap();
    let verdicts = narrator.finish();
    assert!(verdicts.passed() >= 20 || verdicts.failed(), "{}", verdicts.table());
    verdicts.into_result().unwrap();
}
