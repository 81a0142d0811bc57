//! The collector that the options and the environment name.

use std::{num::NonZeroUsize, time::Duration};

use api::{env, exit::Exit};
use jiff::Timestamp;
use runtime::{Collector, CollectorError, Compression};

use crate::{
    args::{self, CollectorArgs},
    context::Context,
    failure::Failure,
};

/// Time limit of one request when nobody asks for another.
const TIMEOUT: Duration = Duration::from_secs(10);

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

/// Prepares requests to the collector.
pub(super) fn connect(args: &CollectorArgs, context: Context<'_>) -> Result<Collector, Failure> {
    let endpoint = args.endpoint.clone().or_else(|| context.var(env::OTLP_ENDPOINT));
    let endpoint = endpoint.ok_or_else(|| {
        Failure::new(Exit::Usage, "NO_ENDPOINT", "there is no collector to send to")
            .hint(format!("pass --endpoint or set {}", env::OTLP_ENDPOINT))
    })?;
    let compression = match (args.compression, context.var(env::OTLP_COMPRESSION).as_deref()) {
        (Some(args::Compression::Gzip), _) | (None, Some("gzip")) => Compression::Gzip,
        (Some(args::Compression::None), _) | (None, None | Some("none")) => Compression::None,
        (None, Some(other)) => {
            let message = format!("{} is `{other}` (gzip or none)", env::OTLP_COMPRESSION);
            return Err(Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message));
        }
    };
    let headers = context.var(env::OTLP_HEADERS).unwrap_or_default();
    Collector::new(&endpoint, &headers, compression, timeout(args, context)?).map_err(|error| {
        let code = match &error {
            CollectorError::Endpoint { .. } => "BAD_ENDPOINT",
            CollectorError::Header { .. } => "BAD_HEADER",
            CollectorError::Client(_) => "HTTP_CLIENT",
        };
        Failure::of(Exit::Usage, code, &error)
    })
}

fn timeout(args: &CollectorArgs, context: Context<'_>) -> Result<Duration, Failure> {
    if let Some(timeout) = args.timeout {
        return Ok(timeout);
    }
    match context.var(env::OTLP_TIMEOUT) {
        None => Ok(TIMEOUT),
        Some(text) => match text.parse::<u64>() {
            Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
            _ => {
                let message = format!("{} is `{text}` (milliseconds)", env::OTLP_TIMEOUT);
                Err(Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message))
            }
        },
    }
}
