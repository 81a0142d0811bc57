//! `autonomy rollback`: going back, on record.
//!
//! * **B1** What cannot be put on record is not begun: the trail is written to before anything is sent.
//! * **B2** Success is what the control plane said; an outcome that could not be put on record is a failure
//!   that says what it was.
//! * **B3** Failure is a refusal, or a request that was never sent. When nobody here knows what came of it, the
//!   record says `pending` and `result=unknown`, and never `failure`.

mod execute;
mod record;
mod target;

use api::exit::Exit;
use serde::Serialize;

use self::target::Target;
use crate::{
    args::{Rollback, RollbackPreview, TargetArg},
    commands::{tell, write_pairs},
    context::Context,
    failure::Failure,
};

pub(crate) fn run(command: Rollback, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Rollback::Preview(args) => preview(&args),
        Rollback::Execute(args) => execute::run(&args, context),
    }
}

/// What a preview says.
#[derive(Debug, Serialize)]
struct Preview {
    target: &'static str,
    safety_class: &'static str,
    orchestrated: bool,
    valid_strategies: &'static [&'static str],
    resource: &'static str,
    manual_path: &'static str,
    triggers: &'static [&'static str],
    limitations: &'static [&'static str],
}

impl From<TargetArg> for Target {
    fn from(target: TargetArg) -> Self {
        match target {
            TargetArg::RolloutPlan => Self::RolloutPlan,
            TargetArg::RolloutStage => Self::RolloutStage,
            TargetArg::HaLeaderResign => Self::HaLeaderResign,
            TargetArg::RelayDeadletter => Self::RelayDeadletter,
        }
    }
}

fn preview(args: &RollbackPreview) -> Result<Exit, Failure> {
    tell(&of(args.target.into()), args.output.output, |it, out| {
        let list = |items: &[&str], separator: &str| match items {
            [] => "none".to_owned(),
            items => items.join(separator),
        };
        let pairs = [
            ("target", it.target.to_owned()),
            ("safety class", it.safety_class.to_owned()),
            ("orchestrated", if it.orchestrated { "yes" } else { "no" }.to_owned()),
            ("strategies", list(it.valid_strategies, ", ")),
            ("resource", it.resource.to_owned()),
            ("by hand", it.manual_path.to_owned()),
            ("when", list(it.triggers, "; ")),
            ("limitations", list(it.limitations, "; ")),
        ];
        write_pairs(out, &pairs)
    })?;
    Ok(Exit::Done)
}

fn of(target: Target) -> Preview {
    let facts = target.facts();
    Preview {
        target: facts.name,
        safety_class: facts.safety_class,
        orchestrated: facts.orchestrated,
        valid_strategies: facts.strategies,
        resource: facts.resource,
        manual_path: facts.manual_path,
        triggers: facts.triggers,
        limitations: facts.limitations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_a_preview_with_all_of_its_fields() {
        for target in Target::ALL {
            let json = serde_json::to_value(of(target)).unwrap();
            for field in [
                "safety_class",
                "orchestrated",
                "valid_strategies",
                "manual_path",
                "triggers",
                "limitations",
            ] {
                assert!(!json[field].is_null(), "{target:?} {field}");
            }
            assert!(!json["triggers"].as_array().unwrap().is_empty());
            assert!(!json["limitations"].as_array().unwrap().is_empty());
        }
        let relay = of(Target::RelayDeadletter);
        assert!(!relay.orchestrated && relay.manual_path.contains("edgectl"));
        let classes = Target::ALL.map(|it| of(it).safety_class);
        assert_eq!(classes, ["terminal", "terminal (stage)", "reversible", "idempotent"]);
    }
}
