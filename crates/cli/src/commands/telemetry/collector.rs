//! The collector that a command sends to, and what its failures mean for an operator.

use std::{io::ErrorKind, num::NonZeroUsize};

use api::{env, exit::Exit};
use drain::Failure as Stop;
use jiff::Timestamp;
use runtime::{
    Asked, Collector, CollectorError, CollectorSettings, DrainError, DrainLockError,
    ProgressReadError, SettingsError,
};
use wal_recovery::codes;

use crate::{
    args::CollectorArgs, context::Context, counted::counted, failure::Failure, rights::FULL_DISK,
};

/// Finds out how the collector is reached; `None` when nobody says where it is.
pub(crate) fn settings(
    asked: &Asked,
    context: Context<'_>,
) -> Result<Option<CollectorSettings>, Failure> {
    CollectorSettings::resolve(asked, &|name| context.var(name)).map_err(|error| {
        let failure = Failure::of(Exit::Usage, error.code(), &error);
        match error {
            SettingsError::Variable { .. } => failure,
            SettingsError::HalfClient { .. } => failure.hint(format!(
                "pass --client-cert and --client-key, or set {} and {}",
                env::OTLP_CLIENT_CERTIFICATE.all,
                env::OTLP_CLIENT_KEY.all
            )),
            SettingsError::File { .. } => failure.hint(
                "check path, owner and mode; it is named by --ca-file, --client-cert, --client-key or \
                 an OTEL_EXPORTER_OTLP_* variable",
            ),
        }
    })
}

/// Most events in one request.
pub(super) fn batch(args: &CollectorArgs) -> NonZeroUsize {
    let batch = usize::try_from(args.batch).ok().and_then(NonZeroUsize::new);
    batch.unwrap_or(drain::BATCH_ENTRIES_DEFAULT)
}

/// Seed of the jitter: processes that fail together should not return together.
pub(super) fn seed(now: Timestamp) -> u64 {
    u64::from(std::process::id()) ^ u64::from(now.subsec_nanosecond().unsigned_abs())
}

/// Who we are, for whoever finds the lock taken.
pub(super) fn holder(now: Timestamp) -> String {
    format!("pid {} since {now:.0}", std::process::id())
}

/// Makes the collector of a command that cannot do without.
pub(super) fn connect(args: &CollectorArgs, context: Context<'_>) -> Result<Collector, Failure> {
    let settings = settings(&args.asked(), context)?.ok_or_else(|| {
        Failure::new(Exit::Usage, "NO_ENDPOINT", "there is no collector to send to")
            .hint(format!("pass --endpoint or set {}", env::OTLP_ENDPOINT.all))
    })?;
    Collector::new(&settings).map_err(|error| unusable(&error))
}

/// Explains a collector that cannot even be tried.
pub(crate) fn unusable(error: &CollectorError) -> Failure {
    let failure = Failure::of(Exit::Usage, error.code(), error);
    match error {
        CollectorError::Endpoint { .. } => {
            failure.hint("give the whole URL, for example http://127.0.0.1:4318")
        }
        CollectorError::Header { .. } => failure.hint(format!(
            "--header takes name=value; {} takes name=value,name=value with values percent-encoded",
            env::OTLP_HEADERS.all
        )),
        CollectorError::Tls(_) => failure.hint("certificates and keys are files in PEM"),
        CollectorError::Client(_) => failure,
    }
}

/// Explains a drain that did not deliver everything.
pub(super) fn failed(error: DrainError, url: &str) -> Failure {
    match error {
        DrainError::Lock(ref lock) => locked(&error, lock),
        DrainError::Index(_) => Failure::of(Exit::Failed, error.code(), &error),
        DrainError::Read(error) => error.into(),
        DrainError::Progress(error) => progress(&error),
        DrainError::Stopped { ref failure, ref report } => {
            let mut said = explained(&error, failure, url);
            // Before anything was queued there is nothing to count.
            if report.queued > 0 && !matches!(failure, Stop::Progress(_)) {
                let (sent, pending) = (report.accepted.total(), report.pending.total());
                let sent = counted(sent, "event");
                said.cause.push(format!("sent before: {sent}; still in the log: {pending}"));
            }
            said
        }
    }
}

/// Explains why the lock of the consumer was not taken.
pub(super) fn locked(error: &dyn std::error::Error, lock: &DrainLockError) -> Failure {
    match lock {
        DrainLockError::Held { .. } => Failure::of(Exit::Busy, codes::DRAIN_LOCKED, error)
            .hint("wait for the other drain to end, then try again"),
        DrainLockError::Io { source, .. } => {
            let mut failure = Failure::of(Exit::Failed, "DRAIN_LOCK", error);
            failure.cause = vec![source.to_string()];
            let full = matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            failure.hint(if full { FULL_DISK } else { "check owner and mode of the log directory" })
        }
    }
}

/// Explains a progress file that cannot be used.
pub(crate) fn progress(error: &ProgressReadError) -> Failure {
    match error {
        ProgressReadError::Progress(inner) => {
            Failure::of(Exit::Integrity, inner.code(), error).hint(inner.hint())
        }
        ProgressReadError::Io { .. } => Failure::of(Exit::Failed, "IO", error)
            .hint("check owner and mode of the log directory, and its disk"),
    }
}

/// Explains why a delivery stopped; `error` says it in the words of the command.
pub(super) fn explained(error: &dyn std::error::Error, failure: &Stop, url: &str) -> Failure {
    let exit = match failure {
        Stop::Unreachable { .. } | Stop::Busy { .. } | Stop::Unreadable { .. } => Exit::Unreachable,
        Stop::Progress(_) => Exit::Integrity,
        Stop::LogChanged { .. } | Stop::LettersChanged { .. } => Exit::Conflict,
        Stop::Refused { .. } | Stop::TooLarge { .. } | Stop::Local { .. } | Stop::Misuse { .. } => {
            Exit::Failed
        }
    };
    let mut said = Failure::of(exit, failure.code(), error);
    if let Stop::Unreachable { text, attempts } = failure {
        said.cause.push(format!("{text} ({url}, {})", counted(*attempts, "attempt")));
    }
    match failure {
        Stop::Progress(error) => said.hint(error.hint()),
        Stop::Unreachable { text, .. } if let Some(hint) = wrong_url(text, url) => said.hint(hint),
        Stop::Unreachable { .. } | Stop::Busy { .. } => {
            said.hint("nothing is lost: run the same command again when the collector is back")
        }
        Stop::Refused { .. } => said.hint(format!(
            "is it a collector that answers at {url}? check the endpoint and {}",
            env::OTLP_HEADERS.all
        )),
        Stop::Unreadable { .. } => said.hint(format!(
            "what answers at {url} is no collector: check the endpoint and proxies before it"
        )),
        Stop::TooLarge { .. } => {
            said.hint("raise the limit of the collector; what is behind that event is in the log")
        }
        Stop::LogChanged { .. } | Stop::LettersChanged { .. } => {
            said.hint("run the same command again")
        }
        Stop::Local { .. } => {
            said.hint(format!("check the disk of the log. If it is full: {FULL_DISK}"))
        }
        Stop::Misuse { .. } => said,
    }
}

/// What to do when not the collector is away but its URL is wrong; `None` when only time helps.
fn wrong_url(text: &str, url: &str) -> Option<String> {
    const NO_HOST: [&str; 2] = ["lookup address", "dns error"];
    const NO_TLS: [&str; 2] = ["corrupt message", "InvalidContentType"];
    let says = |any: &[&str]| any.iter().any(|it| text.contains(it));
    let kept = "nothing is lost; trying again does not help";
    if says(&NO_HOST) {
        return Some(format!(
            "{kept}: no host has the name in {url}: correct the endpoint, or mend the name resolution of this machine"
        ));
    }
    says(&NO_TLS).then(|| format!("{kept}: what answers at {url} speaks no TLS: the endpoint begins with http://, or has another port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_not_a_collector_that_is_away() {
        let at = "https://h:4318";
        let host = "failed to lookup address information: Name or service not known";
        assert!(wrong_url(host, at).unwrap().contains("no host has the name"));
        let plain = "received corrupt message of type InvalidContentType";
        assert!(wrong_url(plain, at).unwrap().contains("speaks no TLS"));
        assert_eq!(wrong_url("Connection refused (os error 111)", at), None);
    }
}
