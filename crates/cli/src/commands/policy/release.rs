//! `autonomy policy load --lock`: the policy of a verified release takes the slot.
//!
//! * **R1** It is what a runtime does with a release that a control plane wants: the same checks, the same floor, the
//!   same order, the same files.

use std::{
    io::{self, Write as _},
    path::Path,
};

use api::exit::Exit;
use jiff::Timestamp;
use policy::Slot;
use runtime::{
    ActivationError, Candidate, Recorded, ReleaseTrust, StartError, check_release, load,
    record_by_hand, release_turn, remembered,
};
use serde::Serialize;
use supply_chain::{Reference, VerifyError};
use uuid::Uuid;
use vfs::OsVfs;
use wal_recovery::{Durability, Opening, Overrides};

use super::slots;
use crate::{
    args::{Output, PolicyLoad},
    commands::{
        print_json,
        registry::{options, read},
        runtime::{checked_node, host_node},
        verify::trust,
    },
    context::Context,
    failure::Failure,
};

#[derive(Serialize)]
struct Loaded {
    version: String,
    digest: String,
    lock_fingerprint: String,
    release_counter: u64,
    artifact_ref: String,
    image_digest: String,
    /// Whether the log has it already; else a runtime writes it when it reloads.
    recorded: bool,
}

/// Verifies what an image says about a release, and loads its policy (R1).
pub(super) fn load_release(
    image: &Reference,
    args: &PolicyLoad,
    context: Context<'_>,
) -> Result<Exit, Failure> {
    if let Some(permit) = &args.permit {
        read(permit, supply_chain::PERMIT_LEN_MAX as u64)?;
    }
    let asked = trust(&args.trust, context)?;
    let trust = ReleaseTrust {
        keys: asked.keys,
        threshold: asked.threshold,
        max_age: asked.max_age,
        registries: options(&args.registry, context)?,
        permit: args.permit.clone(),
    };
    let node = args.node_id.as_deref().map_or_else(|| Ok(host_node()), checked_node)?;
    let wal_dir = args.wal_dir.clone().map_or_else(|| context.wal_dir(), Ok)?;
    let slots = slots(args.policy_dir.as_deref(), context)?;
    let holder = format!("autonomy policy load, pid {}", std::process::id());
    // Held to the end: whoever else activates a release decides by a floor that this one has raised.
    let _turn =
        release_turn(&OsVfs, &wal_dir, &holder).map_err(|error| refused(&error, image, &node))?;
    let known = remembered(&OsVfs, &wal_dir).map_err(|error| {
        Failure::of(Exit::Integrity, error.code(), &error).hint(
            "nothing was loaded: without that memory an old release could come back unnoticed",
        )
    })?;
    let now = Timestamp::now();
    let candidate = check_release(&trust, &node, image, None, (&known, &slots, now))
        .map_err(|error| refused(&error, image, &node))?;
    let opening = Opening {
        dir: wal_dir.clone(),
        node: node.clone(),
        random: *Uuid::new_v4().as_bytes(),
        now,
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder,
    };
    // A release is rarely the first thing that is loaded, so this may be the wrong directory.
    if known.floor.is_none() && slots.inspect(Slot::Current).is_ok() {
        let dir = wal_dir.display();
        writeln!(
            io::stderr().lock(),
            "note: no release was ever active in {dir}; is it the --wal-dir of the runtime?"
        )?;
    }
    let recorded = record_by_hand(&opening, &candidate, image).map_err(not_recorded)?;
    load(&candidate, &slots, &wal_dir, &image.to_string())
        .map_err(|error| refused(&error, image, &node))?;
    tell((&candidate, recorded), image, &wal_dir, args.output.output)?;
    Ok(Exit::Done)
}

/// No record, no effect.
fn not_recorded(error: StartError) -> Failure {
    match error {
        StartError::Recover(error) => error.into(),
        StartError::Read(error) => error.into(),
        other => Failure::of(Exit::Failed, "NOT_RECORDED", &other)
            .hint("nothing was loaded: make room for the log, or look at autonomy wal status"),
    }
}

fn refused(error: &ActivationError, image: &Reference, node: &str) -> Failure {
    let exit = match error.code {
        "ErrUnreachable" => Exit::Unreachable,
        code if VerifyError::CODES.contains(&code) => Exit::Integrity,
        "bundle_incompatible" => Exit::Denied,
        "slots_busy" | "RELEASE_BUSY" => Exit::Busy,
        _ => Exit::Failed,
    };
    let hint = match error.code {
        // Nothing is wrong with the image: `autonomy verify` would say VERIFIED.
        "ErrRollback" => format!(
            "nothing was loaded; it is well signed but older than what was active here; to go back on purpose the publisher makes a permit: autonomy oci pull-lock --image {image} --out LOCK; autonomy lock permit --lock LOCK --node {node} --key KEY --reason … --out permit.json; then --permit permit.json"
        ),
        "slots_busy" | "RELEASE_BUSY" => "nothing was loaded: try again".to_owned(),
        "ACTIVE_LOCK_NOT_WRITTEN" => {
            "the policy is in the slot, and decisions will name no lock: make room, and run this again"
                .to_owned()
        }
        _ => format!(
            "nothing was loaded; see every step: autonomy verify --image {image} --require-lock --require-policy --pub FILE"
        ),
    };
    Failure::of(exit, error.code, error).hint(hint)
}

fn tell(
    (candidate, recorded): (&Candidate, Recorded),
    image: &Reference,
    wal_dir: &Path,
    output: Output,
) -> Result<(), Failure> {
    let active = candidate.active_lock(&image.to_string(), Timestamp::now());
    let version = candidate.policy_version();
    match output {
        Output::Json => print_json(&Loaded {
            version,
            digest: active.policy_digest.to_string(),
            lock_fingerprint: active.lock_fingerprint.to_string(),
            release_counter: active.release_counter,
            artifact_ref: active.artifact_ref,
            image_digest: active.image_digest.to_string(),
            recorded: recorded == Recorded::InLog,
        })?,
        Output::Text => {
            let mut stdout = io::stdout().lock();
            let (digest, lock) = (active.policy_digest, active.lock_fingerprint);
            writeln!(stdout, "policy load: OK — version={version} digest={digest}")?;
            writeln!(stdout, "lock: {lock} (release {})", active.release_counter)?;
            match recorded {
                Recorded::InLog => writeln!(stdout, "recorded in: {}", wal_dir.display())?,
                Recorded::LeftToRuntime => writeln!(
                    stdout,
                    "a runtime is at work: it takes and records this at SIGHUP or POST /v1/policy/reload"
                )?,
            }
        }
    }
    Ok(())
}
