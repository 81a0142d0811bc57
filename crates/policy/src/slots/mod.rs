//! The two slots of a policy directory: what decides now, and what decided before.
//!
//! | module  | what it holds                                       |
//! |---------|-----------------------------------------------------|
//! | `slot`  | one slot: its files, reading, replacing             |
//! | `pair`  | [`Slots`]: loading and activating                   |
//!
//! # Layout
//!
//! | file                      | content                                                       |
//! |---------------------------|---------------------------------------------------------------|
//! | `current/bundle.tar.gz`   | the bundle that decides                                       |
//! | `current/meta.json`       | `version`, `digest` and `bundle_hash` of it, and `loaded_at`  |
//! | `lkg/bundle.tar.gz`       | the bundle that decided before: last known good               |
//! | `lkg/meta.json`           | the same of that one                                          |
//! | `slots.lock`              | held while the slots change                                   |
//!
//! A slot is *whole* when both files are there, the digest in `meta.json` is that of the bundle, and
//! the bundle opens with the version and hash that `meta.json` says. It is *good* when it is whole,
//! made for this runtime, and compiles.
//!
//! # Loading
//!
//! | `current`   | `lkg`       | decides          | warnings               |
//! |-------------|-------------|------------------|------------------------|
//! | good        | any         | `current`        | none                   |
//! | absent      | good        | `lkg`            | `current` is absent    |
//! | not good    | good        | `lkg`            | `current`              |
//! | absent      | absent      | deny `no_policy` | none: nothing was ever loaded |
//! | otherwise   |             | deny `no_policy` | every slot that is there and not good |
//!
//! # Activating
//!
//! Let C be the good bundle in `current` and N the new one; everything about N is checked before
//! anything is touched. Within a slot both new files are written and synced beside the old ones
//! before the first takes its name. A crash after a step leaves:
//!
//! | step                                   | `current`      | `lkg`          | then decides |
//! |----------------------------------------|----------------|----------------|--------------|
//! | 1 write C beside the files of `lkg`    | C              | as before      | C            |
//! | 2 its bundle takes the name            | C              | torn           | C            |
//! | 3 its meta takes the name              | C              | C              | C            |
//! | 4 write N beside the files of `current`| C              | C              | C            |
//! | 5 its bundle takes the name            | torn           | C              | C, warned    |
//! | 6 its meta takes the name              | N              | C              | N            |
//!
//! Steps 1–3 are left out when `current` is not good: what is in `lkg` is better than that.
//!
//! # Invariants
//!
//! * **S1** A refused bundle changes nothing: not a byte of either slot.
//! * **S2** When a slot was good before, one is good at every moment, and it is C or N when `current`
//!   was good, else N or what was in `lkg`.
//! * **S3** A slot with files of two bundles is never taken for whole: the digest tells.
//! * **S4** Activating what is current changes nothing, so `lkg` stays the bundle before it.
//! * **S5** One process at a time changes the slots.

mod pair;
mod slot;

pub use pair::{ActivateError, Activated, Loaded, SlotBundle, Slots, Source};
pub use slot::{Slot, SlotFault, SlotMeta, SlotWarning};
