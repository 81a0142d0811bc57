//! What a command does to the world, by its name.
//!
//! * **E1** What is in neither list writes: a command that nobody thought of counts as one that changes something.

use serde::Serialize;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effect {
    /// Looks, and changes nothing that anybody would miss.
    Reads,
    /// Changes files, a database or a service.
    Writes,
    /// Runs other programs, or serves them.
    Runs,
}

const READS: &[&str] = &[
    "audit export",
    "audit query",
    "audit verify",
    "bundle inspect",
    "bundle verify",
    "capabilities",
    "completions",
    "config get",
    "config list",
    "config path",
    "daemon status",
    "db status",
    "doctor",
    "explain",
    "fleet release latest",
    "fleet status",
    "goal coverage",
    "goal criteria list",
    "goal gate list",
    "goal next-iter",
    "goal resilience-status",
    "goal status",
    "goal validate",
    "ha status",
    "keys show",
    "lock show",
    "lock verify",
    "logs",
    "oci inspect",
    "policy check",
    "policy diff",
    "policy eval",
    "policy replay",
    "policy status",
    "policy test",
    "rbac role assignments",
    "rbac role list",
    "rbac token list",
    "rbac whoami",
    "rollback preview",
    "rollout explain",
    "rollout gate list",
    "rollout plan describe",
    "rollout plan list",
    "rollout stuck",
    "session start",
    "status",
    "telemetry deadletter list",
    "tentacle status",
    "tool open-intents",
    "verify",
    "wal inspect",
    "wal status",
    "wal steps inspect",
    "wal steps status",
    "wal steps verify",
    "wal verify",
];

const RUNS: &[&str] = &[
    "daemon run",
    "demo gazebo",
    "demo policy",
    "goal criteria check",
    "goal dispatch",
    "goal loop",
    "goal reverify",
    "goal verify",
    "goal verify-loop",
    "ros2 run",
    "run",
    "runtime start",
    "telemetry bridge",
];

/// What the command of this name does (E1).
pub(super) fn effect_of(command: &str) -> Effect {
    if READS.contains(&command) {
        return Effect::Reads;
    }
    if RUNS.contains(&command) { Effect::Runs } else { Effect::Writes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::capabilities::leaves;

    #[test]
    fn every_listed_name_is_a_command_and_stands_in_one_list() {
        let known: Vec<String> = leaves().into_iter().map(|it| it.0).collect();
        for name in READS.iter().chain(RUNS) {
            assert!(known.iter().any(|it| it == name), "{name}");
        }
        assert!(READS.iter().all(|it| !RUNS.contains(it)));
        assert!(READS.is_sorted() && RUNS.is_sorted());
        assert_eq!(effect_of("goal eval"), Effect::Writes);
        assert_eq!(effect_of("no such command"), Effect::Writes);
    }
}
