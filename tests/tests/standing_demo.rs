//! The standing demo: up, policy, offline drain, status, down.

use e2e::stories::demo;

#[test]
fn a_standing_demo_comes_up_works_and_goes_down_without_a_trace() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    assert!(!demo::status(dir).unwrap(), "it is not up yet");
    assert!(demo::run_unsigned(dir).unwrap_err().to_string().contains("cargo xtask demo up"));
    assert!(demo::up(dir).unwrap());
    assert!(demo::up(dir).unwrap(), "a second up changes nothing");
    assert!(demo::status(dir).unwrap());
    assert!(demo::run_unsigned(dir).unwrap());
    assert!(demo::run_signed(dir).unwrap());
    assert!(demo::offline_drain(dir).unwrap());
    assert!(demo::offline_drain(dir).unwrap(), "it can be told again");
    assert!(demo::status(dir).unwrap());
    assert!(demo::down(dir).unwrap());
    assert!(!demo::status(dir).unwrap());
    assert!(demo::down(dir).unwrap(), "a second down changes nothing");
}
