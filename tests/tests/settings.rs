//! Settings in a file, beside the environment.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{fs, path::Path};

use e2e::harness::{Bin, Finished, program, run_to_end};
use serde_json::Value;

fn run(home: &Path, words: &[&str], vars: &[(&str, &str)]) -> Finished {
    let mut command = program(Bin::Autonomy).unwrap();
    command.args(words).env("HOME", home).current_dir(home);
    for name in ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "AUTONOMY_CONFIG", "AUTONOMY_OPERATOR"] {
        command.env_remove(name);
    }
    run_to_end(command.envs(vars.iter().copied())).unwrap()
}

#[test]
fn a_setting_counts_where_no_variable_is_set_and_commands_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    assert_eq!(run(home, &["config", "get", "operator"], &[]).code(), Some(5));
    assert_eq!(run(home, &["config", "set", "operator", "ada"], &[]).code(), Some(0));
    let file = home.join(".config/autonomyops/config.toml");
    assert_eq!(fs::read_to_string(&file).unwrap(), "operator = \"ada\"\n");
    assert_eq!(run(home, &["config", "get", "operator"], &[]).stdout, "ada\n");
    let vars = [("AUTONOMY_OPERATOR", "bob")];
    let said = run(home, &["config", "get", "operator", "--output", "json"], &vars);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&said["value"], &said["source"]), (&"bob".into(), &"environment".into()));
    // A command that puts its caller on record takes the name from there.
    fs::create_dir(home.join(".git")).unwrap();
    assert_eq!(run(home, &["goal", "init"], &[]).code(), Some(0));
    let trail = run(home, &["audit", "query", "--output", "json"], &[]);
    assert!(trail.stdout.contains("\"ada\""), "{trail:?}");
    let work = run(home, &["config", "set", "dispatch_cmd", "touch $AUTONOMY_TENTACLE"], &[]);
    assert_eq!(work.code(), Some(0));
    run(home, &["tentacle", "create", "t"], &[]);
    run(home, &["goal", "link", "t"], &[]);
    assert_eq!(run(home, &["goal", "dispatch"], &[]).code(), Some(0));
    assert!(home.join("t").exists(), "the command of the file was run");
}

#[test]
fn a_file_that_cannot_be_read_stops_commands_and_no_session() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    let file = home.join("settings.toml");
    let vars = [("AUTONOMY_CONFIG", file.to_str().unwrap())];
    fs::create_dir(home.join(".git")).unwrap();
    fs::write(&file, "strict_mode = \"1\"\noperator = 3\n").unwrap();
    let said = run(home, &["goal", "status", "--format", "json"], &vars);
    assert_eq!(said.code(), Some(2), "{said:?}");
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(said["error"]["code"], "CONFIG_BAD");
    let session = run(home, &["session", "start"], &vars);
    assert_eq!(session.code(), Some(0));
    assert!(session.stderr.contains("CONFIG_BAD"), "{session:?}");
    let page = run(home, &["explain", "CONFIG_BAD"], &vars);
    assert_eq!(page.code(), Some(0), "the way out is open: {page:?}");
    let doctor = run(home, &["doctor"], &vars);
    assert!(doctor.stdout.contains("CONFIG_BAD"), "{doctor:?}");
    let set = run(home, &["config", "set", "operator", "ada"], &vars);
    assert_eq!(set.code(), Some(2), "it is not written over: {set:?}");
    for key in ["token", "rbac_break_glass", "no_such_key"] {
        fs::write(&file, "").unwrap();
        let set = run(home, &["config", "set", key, "x"], &vars);
        assert_eq!(set.code(), Some(2), "{set:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
    }
}
