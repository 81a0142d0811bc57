//! `autonomy rollout gate`: what a stage waits for, and what a person says about it.

use api::{
    exit::Exit,
    rollout::{GateAnswer, RuleGate, StageGates},
};

use super::{known_plans, route, text};
use crate::{
    args::{Gate, GateApprove, GateList, GateWord},
    commands::tell,
    context::Context,
    control::{ControlPlane, Route},
    failure::Failure,
};

/// The kind of a gate that a person decides.
const MANUAL: &str = "manual";

pub(super) fn run(command: &Gate, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Gate::List(args) => list(args, context),
        Gate::Approve(GateApprove { word, expires_after }) => {
            say(word, "approve", *expires_after, context)
        }
        Gate::Reject(args) => say(&args.word, "reject", None, context),
    }
}

fn gates_of(plan: &str, stage: &str) -> Route {
    route(plan).at("stages").at(stage).at("gates")
}

fn list(args: &GateList, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let route = gates_of(args.plan.id(), args.stage.id());
    let gates: StageGates = plane.get(&route).map_err(known_plans)?;
    tell(&gates, args.control.format(), text::gates)?;
    Ok(Exit::Done)
}

fn say(
    word: &GateWord,
    verb: &str,
    expires_after_seconds: Option<u64>,
    context: Context<'_>,
) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&word.control, context)?;
    let route = gates_of(word.plan.id(), word.stage.id());
    let gate = match word.gate() {
        Some(gate) => gate.to_owned(),
        None => only_manual(&plane.get(&route).map_err(known_plans)?)?,
    };
    let body = RuleGate {
        reason: word.reason.clone(),
        plan_digest: word.plan_digest.clone(),
        expires_after_seconds,
    };
    let route = route.at(&gate).at(verb);
    let changed = plane.change::<GateAnswer>(&route, &body, word.if_match).map_err(known_plans)?;
    tell(&changed.value, word.control.format(), text::ruled)?;
    Ok(Exit::Done)
}

/// The one gate of the stage that a person decides.
fn only_manual(gates: &StageGates) -> Result<String, Failure> {
    let manual = gates.gates.iter().filter(|it| it.kind == MANUAL);
    let ids: Vec<_> = manual.map(|it| it.id.as_str()).collect();
    if let [id] = ids[..] {
        return Ok(id.to_owned());
    }
    let (stage, plan) = (&gates.stage_id, &gates.plan_id);
    let (message, hint) = if ids.is_empty() {
        (
            format!("stage {stage} of {plan} has no manual gate"),
            "see its gates: autonomy rollout gate list".to_owned(),
        )
    } else {
        let message = format!("stage {stage} of {plan} has {} manual gates", ids.len());
        (message, format!("name one of: {}", ids.join(", ")))
    };
    Err(Failure::new(Exit::Usage, "GATE_NOT_NAMED", message).hint(hint))
}

#[cfg(test)]
mod tests {
    use api::rollout::Gate as Wire;

    use super::*;

    fn stage(gates: &[(&str, &str)]) -> StageGates {
        let gate = |(id, kind): &(&str, &str)| Wire {
            id: (*id).to_owned(),
            kind: (*kind).to_owned(),
            outcome: "inconclusive".to_owned(),
            passed: false,
            detail: String::new(),
            ruling: None,
        };
        StageGates {
            plan_id: "p".to_owned(),
            plan_digest: "blake3:0".to_owned(),
            stage_id: "s".to_owned(),
            stage_phase: "open".to_owned(),
            gates: gates.iter().map(gate).collect(),
            manual_approved: false,
            all_passed: false,
        }
    }

    #[test]
    fn a_gate_may_be_left_out_when_there_is_exactly_one_manual_gate() {
        assert_eq!(only_manual(&stage(&[("t", "time_soak"), ("m", "manual")])).unwrap(), "m");
        let none = only_manual(&stage(&[("t", "time_soak")])).unwrap_err();
        assert_eq!((none.exit, none.code.as_str()), (Exit::Usage, "GATE_NOT_NAMED"));
        let two = only_manual(&stage(&[("m", "manual"), ("n", "manual")])).unwrap_err();
        assert_eq!(two.hint.as_deref(), Some("name one of: m, n"));
    }
}
