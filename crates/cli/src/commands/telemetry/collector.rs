//! The collector that a command sends to, and what its failures mean for an operator.

use api::{env, exit::Exit};
use drain::{Failure as Stop, Report};
use runtime::{
    Asked, Collector, CollectorError, CollectorSettings, DrainError, ProgressReadError,
    SettingsError,
};
use wal_recovery::codes;

use crate::{context::Context, failure::Failure};

/// Finds out how the collector is reached; `None` when nobody says where it is.
pub(crate) fn settings(
    asked: &Asked,
    context: Context<'_>,
) -> Result<Option<CollectorSettings>, Failure> {
    CollectorSettings::resolve(asked, &|name| context.var(name)).map_err(|error| {
        let failure = Failure::of(Exit::Usage, error.code(), &error);
        match error {
            SettingsError::Variable { .. } => failure,
            SettingsError::HalfClient { .. } | SettingsError::File { .. } => failure.hint(format!(
                "pass --client-cert and --client-key, or set {} and {}",
                env::OTLP_CLIENT_CERTIFICATE.all,
                env::OTLP_CLIENT_KEY.all
            )),
        }
    })
}

/// Makes the collector of a command that cannot do without.
pub(super) fn collector(asked: &Asked, context: Context<'_>) -> Result<Collector, Failure> {
    let settings = settings(asked, context)?.ok_or_else(|| {
        Failure::new(Exit::Usage, "NO_ENDPOINT", "there is no collector to send to")
            .hint(format!("pass --endpoint or set {}", env::OTLP_ENDPOINT.all))
    })?;
    Collector::new(&settings).map_err(|error| unusable(&error))
}

/// Explains a collector that cannot even be tried.
pub(crate) fn unusable(error: &CollectorError) -> Failure {
    Failure::of(Exit::Usage, error.code(), error)
}

/// Explains a drain that did not deliver everything.
pub(super) fn failed(error: DrainError, url: &str) -> Failure {
    let code = error.code();
    match error {
        DrainError::Locked { .. } => Failure::of(Exit::Busy, codes::DRAIN_LOCKED, &error)
            .hint("wait for the other drain to end, then try again"),
        DrainError::Lock { .. } | DrainError::Index(_) => Failure::of(Exit::Failed, code, &error),
        DrainError::Read(error) => error.into(),
        DrainError::Progress(error) => progress(&error),
        DrainError::Stopped { failure, report } => stopped(&failure, code, &report, url),
    }
}

/// Explains a progress file that cannot be used.
pub(crate) fn progress(error: &ProgressReadError) -> Failure {
    match error {
        ProgressReadError::Progress(inner) => {
            Failure::of(Exit::Integrity, inner.code(), error).hint(inner.hint())
        }
        ProgressReadError::Io { .. } => Failure::of(Exit::Failed, "IO", error),
    }
}

fn stopped(failure: &Stop, code: &'static str, report: &Report, url: &str) -> Failure {
    let exit = match failure {
        Stop::Unreachable { .. } | Stop::Busy { .. } | Stop::Unreadable { .. } => Exit::Unreachable,
        Stop::Progress(_) => Exit::Integrity,
        Stop::LogChanged { .. } => Exit::Conflict,
        Stop::Refused { .. } | Stop::TooLarge { .. } | Stop::Local { .. } | Stop::Misuse { .. } => {
            Exit::Failed
        }
    };
    let mut said = Failure::of(exit, code, failure);
    if let Stop::Unreachable { text, attempts } = failure {
        said.cause.push(format!("{text} ({url}, {attempts} attempts)"));
    }
    // Before anything was queued there is nothing to count.
    if report.queued > 0 && !matches!(failure, Stop::Progress(_)) {
        let (sent, pending) = (report.accepted.total(), report.pending.total());
        said.cause.push(format!("{sent} events were sent before, {pending} are still in the log"));
    }
    match failure {
        Stop::Progress(error) => said.hint(error.hint()),
        Stop::Unreachable { .. } | Stop::Busy { .. } => {
            said.hint("nothing is lost: run the same command again when the collector is back")
        }
        Stop::Refused { .. } => said.hint(format!(
            "check the endpoint and {}: see the runbook \"The collector is down\"",
            env::OTLP_HEADERS.all
        )),
        _ => said,
    }
}
