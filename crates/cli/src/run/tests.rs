//! Every command that asks the control plane, against one that is not there.

use std::{collections::BTreeSet, net::TcpListener};

use super::*;

/// One line for each command that asks the control plane.
const COMMANDS: [&str; 30] = [
    "rollout plan create --id p --artifact-ref r --lock-fingerprint b",
    "rollout plan list",
    "rollout plan describe p",
    "rollout plan publish p",
    "rollout plan pause p",
    "rollout plan resume p",
    "rollout plan cancel p",
    "rollout gate list p s",
    "rollout gate approve p s g --reason r",
    "rollout gate reject p s --reason r",
    "rollout recover p --strategy retry --reason r",
    "rollout halt p s --reason r",
    "rollout explain p",
    "rollout stuck",
    "rollback execute --target rollout_plan --resource p --strategy retry --reason r",
    "fleet status",
    "fleet release publish --id p --artifact-ref r --lock-fingerprint b",
    "fleet release latest",
    "ha status",
    "logs",
    "rbac role list",
    "rbac role create --name r --permissions p",
    "rbac role delete r",
    "rbac role assignments",
    "rbac role assign --role r --subject s",
    "rbac role unassign --role r --subject s",
    "rbac token create --subject s",
    "rbac token list",
    "rbac token revoke t",
    "rbac whoami",
];

/// Runs a line with an environment.
fn ran(line: &str, vars: &[(&str, &str)]) -> Result<u8, Failure> {
    let line = format!("autonomy {line}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    let lookup = |name: &str| vars.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    dispatch(cli.command, Context::new(&lookup, false))
}

/// The names of the commands that know `--orchestrator-url`.
fn asking(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    let name = format!("{path} {}", command.get_name()).trim().to_owned();
    if command.get_arguments().any(|it| it.get_long() == Some("orchestrator-url")) {
        found.insert(name.trim_start_matches("autonomy ").to_owned());
    }
    command.get_subcommands().for_each(|it| asking(it, &name, found));
}

#[test]
fn a_command_whose_control_plane_is_not_there_ends_with_7_and_says_that_it_could_not_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let dir = tempfile::tempdir().unwrap();
    let audit_dir = dir.path().to_str().unwrap();
    let vars = [("AUTONOMY_ORCHESTRATOR_URL", url.as_str()), ("AUTONOMY_AUDIT_DIR", audit_dir)];
    let mut found = BTreeSet::new();
    asking(&crate::command(), "", &mut found);
    for line in COMMANDS.iter().chain(&["logs --follow"]) {
        let failure = ran(line, &vars).unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable, "{line}");
        assert_eq!(failure.code, "CONTROL_PLANE_UNREACHABLE", "{line}");
        assert!(failure.message.contains("connect: connection refused"), "{}", failure.message);
        found.retain(|it| !format!("{line} ").starts_with(&format!("{it} ")));
    }
    // The first has one for its poller; the second has parts.
    assert_eq!(found, BTreeSet::from(["runtime start".to_owned(), "status".to_owned()]));
    assert_eq!(ran("status --output json", &vars).unwrap(), Exit::Partial.code());
}

#[test]
fn without_a_url_nothing_is_tried() {
    let dir = tempfile::tempdir().unwrap();
    let audit_dir = dir.path().join("audit");
    for line in COMMANDS {
        let failure = ran(line, &[("AUTONOMY_AUDIT_DIR", audit_dir.to_str().unwrap())]);
        let failure = failure.unwrap_err();
        assert_eq!(
            (failure.exit, failure.code.as_str()),
            (Exit::Usage, "NO_CONTROL_PLANE"),
            "{line}"
        );
    }
    assert!(!audit_dir.exists());
}

#[test]
fn a_preview_asks_nobody() {
    for target in ["rollout_plan", "rollout_stage", "ha_leader_resign", "relay_deadletter"] {
        for output in ["text", "json"] {
            let line = format!("rollback preview --target {target} --output {output}");
            assert_eq!(ran(&line, &[]).unwrap(), Exit::Done.code());
        }
    }
}

#[test]
fn a_variable_that_nobody_can_read_is_not_taken_for_unset() {
    let line = || ["autonomy", "policy", "status"].map(OsString::from);
    let strict = |name: &str| (name == env::STRICT_MODE).then(|| "1\u{fffd}".to_owned());
    assert_eq!(run(line(), strict), Exit::Usage.code());
    let named = |name: &str| (name == env::CONFIG).then(|| "/does/not/exist".to_owned());
    assert_eq!(run(line(), named), Exit::Failed.code());
}
