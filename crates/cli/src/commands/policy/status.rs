//! `autonomy policy status`: which bundle decides, and what is in both slots.

use std::io::{self, Write as _};

use api::exit::Exit;
use policy::{Slot, SlotBundle, SlotMeta, Source};
use serde::Serialize;

use super::slots;
use crate::{
    args::{Output, PolicyStatus},
    commands::{print_json, print_pairs},
    context::Context,
    failure::Failure,
};

#[derive(Serialize)]
struct Status {
    dir: String,
    /// `current`, `lkg`, or `none`.
    source: &'static str,
    /// Why that decides.
    why: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<SlotMeta>,
    slots: Vec<SlotStatus>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct SlotStatus {
    slot: &'static str,
    /// `good`, or the code of what is wrong.
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Which runtimes may load it; empty when every one may.
    #[serde(skip_serializing_if = "Option::is_none")]
    requirement: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    meta: Option<SlotMeta>,
}

pub(super) fn status(args: &PolicyStatus, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = args.policy_dir.clone().map_or_else(|| context.policy_dir(), Ok)?;
    let slots = slots(Some(&dir), context)?;
    let loaded = slots.load();
    let (source, why) = match (loaded.source, loaded.warnings.is_empty()) {
        (Source::Current, _) => ("current", "the current slot is good"),
        (Source::LastKnownGood, _) => ("lkg", "the current slot is not good, the one before it is"),
        (Source::None, true) => ("none", "nothing was ever loaded: every call is denied"),
        (Source::None, false) => ("none", "no slot is good: every call is denied"),
    };
    let status = Status {
        dir: dir.display().to_string(),
        source,
        why,
        loaded: loaded.meta,
        slots: [Slot::Current, Slot::LastKnownGood].map(|it| of(it, slots.inspect(it))).into(),
        warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
    };
    match args.output.output {
        Output::Json => print_json(&status)?,
        Output::Text => print(&status)?,
    }
    // A slot that should decide and does not is an integrity failure, even while another serves.
    Ok(if status.warnings.is_empty() { Exit::Done } else { Exit::Integrity })
}

fn of(slot: Slot, found: Result<SlotBundle, policy::SlotFault>) -> SlotStatus {
    let slot = slot.as_str();
    match found {
        Ok(SlotBundle { bundle, meta }) => SlotStatus {
            slot,
            health: "good",
            fault: None,
            name: bundle.name().map(str::to_owned),
            requirement: Some(bundle.requirement().to_string()),
            meta: Some(meta),
        },
        Err(fault) => SlotStatus {
            slot,
            health: fault.code(),
            fault: Some(fault.to_string()),
            name: None,
            requirement: None,
            meta: None,
        },
    }
}

fn print(status: &Status) -> io::Result<()> {
    let mut pairs = vec![
        ("dir", status.dir.clone()),
        ("decides", status.source.to_owned()),
        ("why", status.why.to_owned()),
    ];
    pairs.extend(status.warnings.iter().map(|it| ("warning", it.clone())));
    print_pairs(&pairs)?;
    for slot in &status.slots {
        writeln!(io::stdout().lock(), "\nslot {}", slot.slot)?;
        let mut pairs = vec![("health", slot.health.to_owned())];
        pairs.extend(slot.fault.clone().map(|it| ("fault", it)));
        pairs.extend(slot.name.clone().map(|it| ("name", it)));
        if let Some(meta) = &slot.meta {
            pairs.push(("version", meta.version.clone()));
            pairs.push(("hash", format!("{} (of its files)", meta.bundle_hash)));
            pairs.push(("digest", format!("{} (of the bundle)", meta.digest)));
            pairs.push(("loaded at", meta.loaded_at.to_string()));
        }
        let any = |it: String| if it.is_empty() { "any".to_owned() } else { it };
        pairs.extend(slot.requirement.clone().map(|it| ("runtime", any(it))));
        print_pairs(&pairs)?;
    }
    Ok(())
}
