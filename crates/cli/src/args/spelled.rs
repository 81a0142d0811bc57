//! The commands that the control plane spells for operators to copy, against the command line.

use std::collections::BTreeSet;

use clap::Parser as _;
use proptest::prelude::*;
use rollout_store::{
    Act, Actor, Evidence, Moment, NodeId, PlanId, PlanRequest, Rollout, Strictness,
    explain::explain,
    rollout::Stamp,
    stuck::{diagnose, diagnose_unreadable},
};

use super::Cli;

const NOW: Moment = Moment::from_unix_ms(1_767_323_045_000);

/// Every plan that acts lead to from this one.
fn reachable(begun: Rollout) -> Vec<Rollout> {
    let stamp = Stamp::new(NOW, Actor::new("ann").unwrap());
    let life = |it: &Rollout| format!("{:?}", it.life());
    let (mut seen, mut found) = (BTreeSet::from([life(&begun)]), vec![begun]);
    let mut next = 0;
    while let Some(rollout) = found.get(next).cloned() {
        next += 1;
        let acted = Act::ALL.iter().filter_map(|act| rollout.act(*act, &stamp).ok());
        let new: Vec<_> = acted.filter(|it| seen.insert(life(it))).collect();
        found.extend(new);
    }
    found
}

/// Every command that is spelled about a plan with these names.
fn spelled(plan: &str, stage: &str, gate: &str, phase: &str) -> BTreeSet<String> {
    let mut commands = BTreeSet::new();
    let gates = [
        format!(r#"{{"id":"{gate}","kind":"manual"}}"#),
        r#"{"kind":"health"}"#.to_owned(),
        r#"{"kind":"time_soak","soak_seconds":60}"#.to_owned(),
    ];
    let node = NodeId::new("n").unwrap();
    let evidence = [None, Some(Evidence::new([(node, None)].into()))];
    for gate in gates {
        let body = format!(
            r#"{{"metadata":{{"id":"{plan}"}},"artifact_ref":"r:1","target_lock_fingerprint":"b",
            "initial_phase":"{phase}","stages":[{{"id":"{stage}","percent":5,"gates":[{gate}]}},
            {{"id":"{stage}.","percent":100}}]}}"#
        );
        let request = PlanRequest::parse(body.as_bytes(), Strictness::Warn).unwrap();
        let rollouts = reachable(Rollout::begin(request, NOW, Actor::new("ann").unwrap()));
        assert!(rollouts.len() > 9, "{}", rollouts.len());
        for rollout in &rollouts {
            for evidence in &evidence {
                commands.extend(explain(rollout, evidence.as_ref(), NOW).commands);
                commands.extend(diagnose(rollout, evidence.as_ref(), NOW).next_actions);
            }
        }
    }
    let id = PlanId::new(plan).unwrap();
    commands.extend(diagnose_unreadable(id, NOW, "damaged").next_actions);
    commands
}

fn parses(command: &str) -> Result<(), clap::Error> {
    // A person writes why in place of the mark.
    let words = command.replace("\"<why>\"", "because");
    Cli::try_parse_from(words.split_whitespace()).map(|_| ())
}

#[test]
fn every_kind_of_command_is_spelled_and_parses() {
    let all: BTreeSet<_> = ["draft", "published"]
        .iter()
        .flat_map(|phase| spelled("arm-1.2.0", "canary", "manual", phase))
        .collect();
    for begin in [
        "autonomy rollout plan publish ",
        "autonomy rollout plan cancel ",
        "autonomy rollout plan resume ",
        "autonomy rollout plan describe ",
        "autonomy rollout gate approve arm-1.2.0 canary manual --reason ",
        "autonomy rollback execute --target rollout_plan --resource arm-1.2.0 --strategy retry ",
        "autonomy rollback execute --target rollout_plan --resource arm-1.2.0 --strategy rollback ",
        "autonomy rollback execute --target rollout_stage --resource arm-1.2.0 --strategy skip_failed ",
    ] {
        assert!(all.iter().any(|it| it.starts_with(begin)), "{begin} in {all:?}");
    }
    for command in all {
        parses(&command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

/// Names that begin with a hyphen need `--plan-id=NAME`: on a command line they are options.
const NAME: &str = "[A-Za-z0-9._][A-Za-z0-9._-]{0,30}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn every_command_parses_whatever_things_are_called(
        plan in NAME, stage in NAME, gate in NAME, draft in any::<bool>(),
    ) {
        prop_assume!(plan.len() < 128);
        let phase = if draft { "draft" } else { "published" };
        for command in spelled(&plan, &stage, &gate, phase) {
            prop_assert!(parses(&command).is_ok(), "{}", command);
        }
    }
}

#[test]
fn a_thing_is_named_by_place_or_by_option_and_not_by_both() {
    for good in [
        "rollout gate approve p s g --reason r",
        "rollout gate approve p s --reason r",
        "rollout gate approve --plan-id p --stage-id s --gate g --reason r",
        "rollout gate approve --plan-id p --stage-id s --reason r --plan-digest blake3:0 --expires-after 24h",
        "rollout gate list --plan-id p --stage-id s",
        "rollout plan describe --plan-id=-p",
        "rollout plan describe -- -p",
        "rollout halt p s --reason r",
        "rollback preview --target relay_deadletter --output json",
        "audit query --event-type rollback.executed --actor a --start-time 2026-01-02T03:04:05Z --output json",
        "rbac role create --name r --permissions fleet:read,rollout:write",
        "logs --follow",
    ] {
        assert!(parses(&format!("autonomy {good}")).is_ok(), "{good}");
    }
    for bad in [
        "rollout gate approve p s g",
        "rollout gate approve p --reason r",
        "rollout plan describe",
        "rollout plan describe p --plan-id q",
        "rollout plan list --all --limit 3",
        "rollout recover p --strategy undo --reason r",
        "rollback execute --target rollout_plan --resource p --strategy retry",
        "audit query --category rollouts",
        "logs --follow --since 1h",
    ] {
        assert!(parses(&format!("autonomy {bad}")).is_err(), "{bad}");
    }
}
