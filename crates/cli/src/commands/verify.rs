//! `autonomy verify`, and verifying as `bundle verify` and `bundle stage` use it.
//!
//! | module      | what it does                                        |
//! |-------------|-----------------------------------------------------|
//! | `tell`      | the report as text                                  |
//! | `statement` | the report as a signed statement                    |
//!
//! # Invariants
//!
//! * **V1** With `--offline` no registry is opened, looked up or asked: it is refused by name.
//! * **V2** Exactly one document goes to stdout in JSON mode: the report, or the error with the report beside it.
//! * **V3** A statement says what came out, good or bad. Where none can be made, that is said, too.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use api::{env, exit::Exit};
use jiff::Timestamp;
use supply_chain::{
    MAX_AGE, Place, PublicKey, Reference, Registry, Report, Trust, Verification, VerifyError,
    Wanted, gather, verify,
};

use crate::{
    args::{LookArgs, Output, RegistryArgs, StatementArgs, TrustArgs, Verify},
    commands::{
        keys::public_key,
        print_json,
        registry::{Purpose, open, refused},
    },
    context::Context,
    failure::Failure,
};

mod statement;
mod tell;

use statement::Statement;
pub(super) use tell::tell;

/// Most public keys of one verification.
const PUBLIC_KEYS_MAX: usize = 16;

/// What to verify.
pub(super) struct Asked<'a> {
    pub(super) image: &'a Reference,
    pub(super) trust: &'a TrustArgs,
    pub(super) lock: bool,
    pub(super) policy: bool,
    pub(super) look: &'a LookArgs,
    pub(super) statement: &'a StatementArgs,
    pub(super) registry: &'a RegistryArgs,
    pub(super) output: Output,
}

pub(crate) fn run(args: &Verify, context: Context<'_>) -> Result<Exit, Failure> {
    let asked = Asked {
        image: &args.image,
        trust: &args.trust,
        lock: args.require_lock,
        policy: args.require_policy,
        look: &args.look,
        statement: &args.statement,
        registry: &args.registry,
        output: args.output.output,
    };
    verify_and_tell(&asked, context)
}

/// Verifies and says what came out.
pub(super) fn verify_and_tell(asked: &Asked<'_>, context: Context<'_>) -> Result<Exit, Failure> {
    let trust = trust(asked.trust, context)?;
    let statement = Statement::prepare(asked.statement, context)?;
    let wanted =
        Wanted { lock: asked.lock, policy: asked.policy, contents: !asked.look.skip_layers };
    let found = reach(asked, context)
        .and_then(|registry| check(&*registry, asked.image, wanted, &trust))
        .map_err(|failure| statement::none_made(failure, statement.as_ref()))?;
    let written = statement.map(|it| it.write(&found.report)).transpose();
    if asked.output == Output::Text {
        tell(&found.report)?;
    }
    if let Err(error) = found.result {
        let mut failure = refused(&error, &asked.image.to_string());
        if let Some(hint) = changed(&error, &found.report) {
            failure = failure.hint(hint);
        }
        failure.report = Some(Box::new(json(&found.report)?));
        // What is wrong with the image comes first; the statement is named beside it.
        if let Err(other) = written {
            failure.cause.push(format!("the statement was not written: {}", other.message));
        }
        return Err(failure);
    }
    written.map_err(|mut failure| {
        failure.report = json(&found.report).ok().map(Box::new);
        failure
    })?;
    if asked.output == Output::Json {
        print_json(&found.report)?;
    }
    Ok(Exit::Done)
}

/// What to do about something without a signature that is not what it should be: to sign it would be wrong.
fn changed(error: &VerifyError, report: &Report) -> Option<String> {
    let VerifyError::Unsigned { role, .. } = error else { return None };
    let failed = |number, code| {
        let mut steps = report.steps.iter().filter(|it| it.number == number);
        steps.any(|it| it.code.as_deref() == Some(code))
    };
    if failed(3, "ErrFingerprintMismatch") {
        return Some(
            "the lock was changed: do not sign it; attach the published one again".to_owned(),
        );
    }
    let name = role.name();
    failed(2, "ErrDigestMismatch").then(|| match name {
        "image" => {
            "what is there was changed: do not sign it; push the published one again".to_owned()
        }
        _ => format!("the {name} was changed: do not sign it; attach the published one again"),
    })
}

/// Opens the place of the image, unless that needs a socket and none may be opened (V1).
fn reach(asked: &Asked<'_>, context: Context<'_>) -> Result<Box<dyn Registry>, Failure> {
    if asked.look.offline && !matches!(asked.image.place, Place::Layout(_)) {
        let text = format!("{} is at a registry, and --offline opens no socket", asked.image);
        return Err(refused(&VerifyError::Unreachable { text }, "").hint(
            "where there is a network: autonomy oci pull --image REFERENCE --to oci:DIR:TAG; then verify the copy",
        ));
    }
    open(asked.image, Purpose::Read, asked.registry, context)
}

/// Gathers and verifies.
pub(super) fn check(
    registry: &dyn Registry,
    image: &Reference,
    wanted: Wanted,
    trust: &Trust,
) -> Result<Verification, Failure> {
    let material = gather(registry, image, wanted)
        .map_err(|error| refused(&VerifyError::from(&error), &image.to_string()))?;
    Ok(verify(material, trust, &|bytes| {
        let bundle = policy::Bundle::open(bytes).map_err(|it| it.to_string())?;
        Ok(bundle.version().to_owned())
    }))
}

/// The report as a value.
pub(super) fn json(report: &Report) -> Result<serde_json::Value, Failure> {
    Ok(serde_json::to_value(report).map_err(std::io::Error::other)?)
}

/// Whom and what to trust.
pub(super) fn trust(args: &TrustArgs, context: Context<'_>) -> Result<Trust, Failure> {
    let max_age = max_age(args.max_age, context)?;
    let keys = keys(&args.r#pub, "--pub", context)?;
    enough(args.threshold, keys.len())?;
    Ok(Trust { keys, threshold: args.threshold, max_age, now: Timestamp::now() })
}

/// The longest age of a signature, if times are looked at.
pub(super) fn max_age(
    asked: Option<Duration>,
    context: Context<'_>,
) -> Result<Option<Duration>, Failure> {
    Ok(match (asked, context.trusts_time()?) {
        (Some(asked), _) => Some(asked),
        (None, true) => Some(MAX_AGE),
        (None, false) => None,
    })
}

/// Refuses a threshold that no signature could reach.
pub(super) fn enough(threshold: NonZeroUsize, found: usize) -> Result<(), Failure> {
    if threshold.get() > found {
        let message =
            format!("a threshold of {threshold} needs that many keys, and {found} were given");
        return Err(
            Failure::new(Exit::Usage, "BAD_THRESHOLD", message).hint("name each of the keys")
        );
    }
    Ok(())
}

/// The public keys that an option or the environment names.
pub(super) fn keys(
    named: &[PathBuf],
    option: &str,
    context: Context<'_>,
) -> Result<Vec<PublicKey>, Failure> {
    let from_environment = || context.var(env::COSIGN_PUBKEY).map(|it| vec![it.into()]);
    let files = match named {
        [] => from_environment().unwrap_or_default(),
        files => files.to_vec(),
    };
    if files.is_empty() {
        let message = "nobody says whose signatures count";
        return Err(Failure::new(Exit::Usage, "NO_PUBLIC_KEY", message)
            .hint(format!("pass {option} FILE or set {}", env::COSIGN_PUBKEY)));
    }
    if files.len() > PUBLIC_KEYS_MAX {
        let message = format!("{} public keys are more than {PUBLIC_KEYS_MAX}", files.len());
        return Err(Failure::new(Exit::Usage, "TOO_MANY_KEYS", message)
            .hint("trust fewer keys; each one more is one more that can be stolen"));
    }
    files.iter().map(|it| public_key(it)).collect()
}
