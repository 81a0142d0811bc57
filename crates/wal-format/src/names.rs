//! Names of the files in a log directory.

/// Frames, append-only.
pub const WAL: &str = "telemetry.wal";
/// The last committed sequence number: eight bytes, little-endian.
pub const SAFE_SEQ: &str = "telemetry.safe_seq";
/// The consumer's position: eight bytes, little-endian.
pub const POS: &str = "telemetry.pos";
/// Delivery progress of each priority class: JSON.
pub const CURSORS: &str = "telemetry.cursors";
/// Entries that the collector refused for good: one JSON object a line.
pub const DEADLETTER: &str = "telemetry.deadletter.jsonl";
/// The last signed statement about the log.
pub const SEAL: &str = "telemetry.seal";
/// Advisory lock of the one writer.
pub const LOCK: &str = "telemetry.lock";
/// Advisory lock of the one consumer.
pub const DRAIN_LOCK: &str = "telemetry.drain.lock";
/// Drained logs.
pub const ARCHIVE_DIR: &str = "archive";
/// Logs that were taken out of use because they were damaged.
pub const DAMAGED_DIR: &str = "damaged";
/// The next log, until it takes the name of the live one.
pub const NEXT: &str = "telemetry.wal.next";
/// What replaces the live log by the next one: JSON, see [`Switch`](crate::Switch).
pub const SWITCH: &str = "telemetry.switch";
/// Advisory lock of whoever packs or deletes archived logs.
pub const ARCHIVE_LOCK: &str = "telemetry.archive.lock";
/// Fingerprint of the active supply-chain lock; evidence that the directory was used before.
pub const ACTIVE_LOCK: &str = "active-lock.json";
