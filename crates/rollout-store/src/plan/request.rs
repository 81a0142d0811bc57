//! From bytes to a plan: strict about form, bounded in every dimension, generous about artifacts.
//!
//! # Invariants
//!
//! * **R1** A key that is not known is refused: a misspelled `stages` would mean all nodes at once.
//! * **R2** No request costs more than its bounds, whatever is in it.
//! * **R3** Oddities of the artifact are warnings, or with [`Strictness::Artifacts`] one error.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Gate, GateRule, Metadata, Plan, PlanError, Stage, Target, WINDOW_SECONDS_DEFAULT, Warning,
    warning,
    wire::{Object, Wire, WireGate, WireGateKind, WireMetadata, WirePhase, WireStage},
};
use crate::{
    deadline::{DEADLINE_SECONDS_DEFAULT, DEADLINE_SECONDS_MAX},
    name::{Channel, GateId, NameError, NodeId, PlanId, StageId},
    phase::Phase,
};

/// Largest request.
pub const PLAN_LEN_MAX: usize = 1 << 20;
/// Most stages of a plan.
pub const STAGES_MAX: usize = 64;
/// Most gates of a stage.
pub const GATES_MAX: usize = 16;
/// Most nodes that a plan names one by one, over all stages.
pub const NODES_MAX: usize = 4096;
/// Most labels.
pub const LABELS_MAX: usize = 64;
/// Longest key or value of a label.
pub const LABEL_LEN_MAX: usize = 256;
/// Longest artifact reference or fingerprint.
pub const TEXT_LEN_MAX: usize = 1024;
/// How much of a parser's complaint is passed on: it quotes the request.
const DETAIL_CHARS_MAX: usize = 200;
/// Ids that are valid names and would be another route, or none, in a URL.
const RESERVED: [&str; 3] = [".", "..", "stuck"];

/// What is done about an artifact that looks wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Accept with warnings.
    Warn,
    /// Refuse.
    Artifacts,
}

/// A plan that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRequest {
    /// What is to be done.
    pub plan: Plan,
    /// Whether it begins as [`Phase::Published`] or [`Phase::Draft`].
    pub initial_phase: Phase,
    /// What looks wrong.
    pub warnings: Vec<Warning>,
}

impl PlanRequest {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`PlanError`] when it is no plan; the text names the field.
    ///
    /// # Examples
    ///
    /// ```
    /// use rollout_store::{PlanRequest, Strictness};
    ///
    /// let body = br#"{"id":"r-1","artifact_ref":"corrupt://x@sha256:dead","target_lock_fingerprint":"?"}"#;
    /// let request = PlanRequest::parse(body, Strictness::Warn)?;
    /// assert_eq!(request.plan.id().as_str(), "r-1");
    /// assert_eq!(request.plan.stages.len(), 1, "no stages: one of 100 %");
    /// assert_eq!(request.warnings.len(), 3);
    /// assert!(PlanRequest::parse(body, Strictness::Artifacts).is_err());
    /// # Ok::<(), rollout_store::PlanError>(())
    /// ```
    pub fn parse(body: &[u8], strictness: Strictness) -> Result<Self, PlanError> {
        if body.len() > PLAN_LEN_MAX {
            return Err(PlanError::TooLarge { len: body.len() });
        }
        let Object(wire): Object<Wire> = serde_json::from_slice(body).map_err(|error| {
            let detail = error.to_string().chars().take(DETAIL_CHARS_MAX).collect();
            PlanError::Shape { detail }
        })?;
        let initial_phase = match wire.initial_phase {
            Some(WirePhase::Draft) => Phase::Draft,
            Some(WirePhase::Published) | None => Phase::Published,
        };
        let plan = Plan {
            metadata: metadata(wire.id, wire.metadata)?,
            artifact_ref: text("artifact_ref", wire.artifact_ref, TEXT_LEN_MAX)?,
            target_lock_fingerprint: text(
                "target_lock_fingerprint",
                wire.target_lock_fingerprint,
                TEXT_LEN_MAX,
            )?,
            rollout_kind: wire.rollout_kind.unwrap_or_default(),
            channel: match wire.channel {
                Some(it) => name("channel", Channel::new(&it))?,
                None => Channel::standard(),
            },
            stages: stages(wire.stages)?,
        };
        let warnings = warning::warnings(&plan);
        let of_artifact = |it: &&Warning| it.field != "stages";
        match warnings.iter().find(of_artifact) {
            Some(first) if strictness == Strictness::Artifacts => {
                Err(PlanError::Artifact { first: first.clone() })
            }
            _ => Ok(Self { plan, initial_phase, warnings }),
        }
    }
}

fn name<T>(field: &str, checked: Result<T, NameError>) -> Result<T, PlanError> {
    checked.map_err(|source| PlanError::Name { field: field.to_owned(), source })
}

fn text(field: &str, text: String, max: usize) -> Result<String, PlanError> {
    if text.is_empty() || text.len() > max || text.chars().any(char::is_control) {
        return Err(PlanError::Text { field: field.to_owned(), max });
    }
    Ok(text)
}

fn metadata(
    id: Option<String>,
    metadata: Option<Object<WireMetadata>>,
) -> Result<Metadata, PlanError> {
    let (inner, labels) = metadata.map_or((None, None), |it| (it.0.id, it.0.labels));
    let ids: BTreeSet<String> = id.into_iter().chain(inner).collect();
    let found = ids.len();
    let mut ids = ids.into_iter();
    let (Some(id), None) = (ids.next(), ids.next()) else {
        return Err(PlanError::Id { found });
    };
    if RESERVED.contains(&id.as_str()) {
        return Err(PlanError::IdReserved { id });
    }
    let id = name("metadata.id", PlanId::new(&id))?;
    let labels = labels.map_or_else(BTreeMap::new, |it| it.0);
    if labels.len() > LABELS_MAX {
        let field = "metadata.labels".to_owned();
        return Err(PlanError::Count { field, len: labels.len(), max: LABELS_MAX });
    }
    let fits = |it: &String| it.len() <= LABEL_LEN_MAX && !it.chars().any(char::is_control);
    if !labels.iter().all(|(key, value)| !key.is_empty() && fits(key) && fits(value)) {
        return Err(PlanError::Text { field: "metadata.labels".to_owned(), max: LABEL_LEN_MAX });
    }
    Ok(Metadata { id, labels })
}

fn stages(wire: Option<Vec<Object<WireStage>>>) -> Result<Vec<Stage>, PlanError> {
    let all = || WireStage {
        id: "all".to_owned(),
        percent: Some(100),
        nodes: None,
        gates: None,
        deadline_seconds: None,
    };
    let wire = wire.unwrap_or_else(|| vec![Object(all())]);
    count("stages", wire.len(), STAGES_MAX)?;
    let mut stages = Vec::with_capacity(wire.len());
    let (mut ids, mut named, mut before) = (BTreeSet::new(), 0, 0);
    for (index, Object(it)) in wire.into_iter().enumerate() {
        let field = format!("stages[{index}]");
        let stage = stage(&field, it)?;
        if !ids.insert(stage.id.clone()) {
            let id = stage.id.to_string();
            return Err(PlanError::Twice { field: format!("{field}.id"), id });
        }
        match &stage.target {
            Target::Percent(percent) if *percent < before => {
                let field = format!("{field}.percent");
                return Err(PlanError::PercentFalls { field, percent: *percent, before });
            }
            Target::Percent(percent) => before = *percent,
            Target::Nodes(nodes) => named += nodes.len(),
        }
        count(&format!("{field}.nodes"), named.max(1), NODES_MAX)?;
        stages.push(stage);
    }
    Ok(stages)
}

fn count(field: &str, len: usize, max: usize) -> Result<(), PlanError> {
    if len == 0 || len > max {
        return Err(PlanError::Count { field: field.to_owned(), len, max });
    }
    Ok(())
}

fn range<T: TryFrom<u64>>(
    field: &str,
    key: &str,
    found: u64,
    (min, max): (u64, u64),
) -> Result<T, PlanError> {
    let error = PlanError::Range { field: format!("{field}.{key}"), found, min, max };
    if found < min || found > max {
        return Err(error);
    }
    T::try_from(found).map_err(|_| error)
}

fn stage(field: &str, wire: WireStage) -> Result<Stage, PlanError> {
    let id = name(&format!("{field}.id"), StageId::new(&wire.id))?;
    let target = match (wire.percent, wire.nodes) {
        (Some(percent), None) => Target::Percent(range(field, "percent", percent, (1, 100))?),
        (None, Some(nodes)) => Target::Nodes(nodes_of(&format!("{field}.nodes"), &nodes)?),
        _ => {
            let rule = "needs either `percent` or `nodes`";
            return Err(PlanError::Fields { field: field.to_owned(), rule });
        }
    };
    let gates = gates(field, wire.gates.unwrap_or_default())?;
    let waits = gates.iter().map(|it| match it.rule {
        GateRule::TimeSoak { soak_seconds } => soak_seconds,
        GateRule::Manual | GateRule::Health { .. } => 0,
    });
    let wait_seconds = waits.max().unwrap_or(0);
    let deadline_seconds = match wire.deadline_seconds {
        Some(it) => range(field, "deadline_seconds", it, (1, DEADLINE_SECONDS_MAX.into()))?,
        None => DEADLINE_SECONDS_DEFAULT.saturating_add(wait_seconds).min(DEADLINE_SECONDS_MAX),
    };
    if wait_seconds >= deadline_seconds {
        let field = format!("{field}.gates");
        return Err(PlanError::NeverPasses { field, wait_seconds, deadline_seconds });
    }
    Ok(Stage { id, target, gates, deadline_seconds })
}

fn nodes_of(field: &str, nodes: &[String]) -> Result<BTreeSet<NodeId>, PlanError> {
    count(field, nodes.len(), NODES_MAX)?;
    let mut found = BTreeSet::new();
    for it in nodes {
        let node = name(field, NodeId::new(it))?;
        if !found.insert(node) {
            return Err(PlanError::Twice { field: field.to_owned(), id: it.clone() });
        }
    }
    Ok(found)
}

fn gates(field: &str, wire: Vec<Object<WireGate>>) -> Result<Vec<Gate>, PlanError> {
    let field = format!("{field}.gates");
    if wire.len() > GATES_MAX {
        return Err(PlanError::Count { field, len: wire.len(), max: GATES_MAX });
    }
    let mut gates: Vec<Gate> = Vec::with_capacity(wire.len().max(1));
    for (index, Object(it)) in wire.into_iter().enumerate() {
        let gate = gate(&format!("{field}[{index}]"), it)?;
        if gates.iter().any(|it| it.id == gate.id) {
            return Err(PlanError::Twice { field, id: gate.id.to_string() });
        }
        gates.push(gate);
    }
    if gates.is_empty() {
        let id = name(&field, GateId::new(GateRule::STANDARD.kind()))?;
        gates.push(Gate { id, rule: GateRule::STANDARD });
    }
    Ok(gates)
}

fn gate(field: &str, wire: WireGate) -> Result<Gate, PlanError> {
    let seconds = (1, u64::from(DEADLINE_SECONDS_MAX));
    let misfit = |rule| PlanError::Fields { field: field.to_owned(), rule };
    let no_health = wire.min_verified_percent.is_none()
        && wire.max_failures.is_none()
        && wire.window_seconds.is_none();
    let rule = match (wire.kind, wire.soak_seconds) {
        (WireGateKind::Manual, None) if no_health => GateRule::Manual,
        (WireGateKind::Manual, _) => return Err(misfit("takes nothing but `kind` and `id`")),
        (WireGateKind::TimeSoak, Some(it)) if no_health => {
            GateRule::TimeSoak { soak_seconds: range(field, "soak_seconds", it, seconds)? }
        }
        (WireGateKind::TimeSoak, _) => return Err(misfit("takes `soak_seconds` and no health")),
        (WireGateKind::Health, None) => GateRule::Health {
            min_verified_percent: range(
                field,
                "min_verified_percent",
                wire.min_verified_percent.unwrap_or(100),
                (1, 100),
            )?,
            max_failures: range(
                field,
                "max_failures",
                wire.max_failures.unwrap_or(0),
                (0, u32::MAX.into()),
            )?,
            window_seconds: range(
                field,
                "window_seconds",
                wire.window_seconds.unwrap_or(WINDOW_SECONDS_DEFAULT.into()),
                seconds,
            )?,
        },
        (WireGateKind::Health, Some(_)) => return Err(misfit("takes no `soak_seconds`")),
    };
    let id = wire.id.unwrap_or_else(|| rule.kind().to_owned());
    Ok(Gate { id: name(&format!("{field}.id"), GateId::new(&id))?, rule })
}
