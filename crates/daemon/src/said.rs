//! What a recovery has to say, as lines of the log of the process.
//!
//! The message is the name of the event; `source` and `details` are as `wal_recovery::steps` has them,
//! the details as one JSON object in a text.

use wal_recovery::steps::{RecoveryEvent, SOURCE, Severity};

/// Says one event.
pub fn say(event: &RecoveryEvent) {
    let (name, details) = (event.name(), event.details().to_string());
    match event.severity() {
        Severity::Info => tracing::info!(source = SOURCE, details, "{name}"),
        Severity::Warn => tracing::warn!(source = SOURCE, details, "{name}"),
        Severity::Error => tracing::error!(source = SOURCE, details, "{name}"),
    }
}
