//! What can be rolled back.
//!
//! # Table
//!
//! | target             | orchestrated | strategies          | safety class       | resource   |
//! |--------------------|--------------|---------------------|--------------------|------------|
//! | `rollout_plan`     | yes          | `retry`, `rollback` | `terminal`         | plan id    |
//! | `rollout_stage`    | yes          | `skip_failed`       | `terminal (stage)` | plan id    |
//! | `ha_leader_resign` | yes          | none                | `reversible`       | `current`  |
//! | `relay_deadletter` | no           | none                | `idempotent`       | –          |
//!
//! `relay_deadletter` keeps its name for scripts: this version has no relay.

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    RolloutPlan,
    RolloutStage,
    HaLeaderResign,
    RelayDeadletter,
}

/// A row of the table, with what a person should know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) name: &'static str,
    pub(super) safety_class: &'static str,
    /// Whether `rollback execute` can do it.
    pub(super) orchestrated: bool,
    pub(super) strategies: &'static [&'static str],
    pub(super) resource: &'static str,
    /// How it is done without this command.
    pub(super) manual_path: &'static str,
    pub(super) triggers: &'static [&'static str],
    pub(super) limitations: &'static [&'static str],
}

/// The only leader that can be told to resign.
pub(super) const CURRENT: &str = "current";

impl Target {
    #[cfg(test)]
    pub(super) const ALL: [Self; 4] =
        [Self::RolloutPlan, Self::RolloutStage, Self::HaLeaderResign, Self::RelayDeadletter];

    pub(super) const fn facts(self) -> &'static Facts {
        match self {
            Self::RolloutPlan => &ROLLOUT_PLAN,
            Self::RolloutStage => &ROLLOUT_STAGE,
            Self::HaLeaderResign => &HA_LEADER_RESIGN,
            Self::RelayDeadletter => &RELAY_DEADLETTER,
        }
    }
}

const ROLLOUT_PLAN: Facts = Facts {
    name: "rollout_plan",
    safety_class: "terminal",
    orchestrated: true,
    strategies: &["retry", "rollback"],
    resource: "the id of the plan",
    manual_path: "autonomy rollout recover PLAN --strategy retry|rollback --reason TEXT",
    triggers: &[
        "the plan is listed by: autonomy rollout stuck",
        "its artifact or fingerprint is not what was meant",
        "nodes fail after they took it",
    ],
    limitations: &[
        "rollback ends the plan for good: no further node activates, and nodes that did keep running what they have",
        "retry begins the current stage again, and undoes nothing",
        "a plan that has ended is not begun again",
    ],
};

const ROLLOUT_STAGE: Facts = Facts {
    name: "rollout_stage",
    safety_class: "terminal (stage)",
    orchestrated: true,
    strategies: &["skip_failed"],
    resource: "the id of the plan; its current stage is meant",
    manual_path: "autonomy rollout recover PLAN --strategy skip_failed --reason TEXT",
    triggers: &[
        "a stage waits for nodes that will not come back",
        "a stage failed and the rest of the fleet should go on",
    ],
    limitations: &[
        "no gate of the stage is asked: the plan goes on as if it had passed",
        "nodes of the stage that failed stay as they are",
        "a stage that was halted cannot be skipped",
    ],
};

const HA_LEADER_RESIGN: Facts = Facts {
    name: "ha_leader_resign",
    safety_class: "reversible",
    orchestrated: true,
    strategies: &[],
    resource: "current",
    manual_path: "stop the leading autonomy-orchestrator; another one takes over",
    triggers: &["the leader cannot write", "the machine of the leader needs maintenance"],
    limitations: &[
        "nobody takes over from a control plane that runs alone: it refuses",
        "requests in work at the old leader may have to be sent again",
    ],
};

const RELAY_DEADLETTER: Facts = Facts {
    name: "relay_deadletter",
    safety_class: "idempotent",
    orchestrated: false,
    strategies: &[],
    resource: "none: this version has no relay",
    // Scripts look for the name of the original's tool.
    manual_path: "none in this version (the original's tool is edgectl)",
    triggers: &["none in this version: there is no relay that could give messages up"],
    limitations: &[
        "this version has no relay, so there are no dead letters of one",
        "dead letters of a collector are another thing: autonomy telemetry deadletter",
    ],
};
