//! What must hold for any bytes. Each module is one fuzz target; the tests of the crates include the
//! same files and replay the seed corpora through them, so they speak of nothing but `crate::` and
//! the crates under test.
//!
//! | module         | bytes are                                        | replayed by                  |
//! |----------------|--------------------------------------------------|------------------------------|
//! | `frame`        | the rest of a log                                | `wal-format`                 |
//! | `entry`        | a payload                                        | `wal-format`                 |
//! | `encode`       | choices that make events                         | `wal-format`                 |
//! | `small_files`  | a safe point, a position, a text, attributes     | `wal-format`                 |
//! | `life_files`   | a seal, a switch, a manifest                     | `wal-format`                 |
//! | `recover`      | a log directory                                  | `wal-recovery`               |
//! | `tail`         | a log of ours, and one damage to it              | `wal-recovery`               |
//! | `steps`        | a step log                                       | `wal-recovery`               |
//! | `cursors`      | the progress files of a drain                    | `drain`                      |
//! | `dead_letters` | answers of a collector; a file of dead letters   | `drain`                      |
//! | `otlp_bodies`  | bodies of requests and answers (target `otlp`)   | `otlp`                       |
//! | `bundles`      | a policy bundle (target `bundle`)                | `policy`                     |
//! | `modules`      | rules of a policy (target `module`)              | `policy`                     |
//! | `requests`     | the body of a tool call (target `request`)       | `policy`                     |
//!
//! `json`, `disk` and `plain_policy` serve the others; `oracle` is that of the crash model.

pub mod bundles;
pub mod cursors;
pub mod dead_letters;
pub mod disk;
pub mod encode;
pub mod entry;
pub mod frame;
pub mod json;
pub mod life_files;
pub mod modules;
#[path = "../../../crates/wal-recovery/tests/harness/oracle.rs"]
pub mod oracle;
pub mod otlp_bodies;
pub mod plain_policy;
pub mod recover;
pub mod requests;
pub mod small_files;
pub mod steps;
pub mod tail;
