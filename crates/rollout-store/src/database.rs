//! Database files: whose they are, and how they are migrated, copied, restored and kept small.

mod layout;
mod migrate;

pub use layout::{EVENTS, EVENTS_PER_BLOCK, LOCK, Layout, OURS, ROLLOUTS};
pub use migrate::{Identity, MigrationError, identity, migrate};
