//! The failure modes of the step log, with a real daemon, a real runtime and real kills.
//!
//! | module   | drills                                                                        |
//! |----------|-------------------------------------------------------------------------------|
//! | `killed` | a daemon that is killed at a moment that was waited for                         |
//! | `bytes`  | a log whose bytes are not what a daemon left                                    |
//! | `many`   | many logs, and a recovery that is killed                                        |
//! | `site`   | the node they are told on: tools that stop where they are told                  |
//! | `gate`   | a door in front of a runtime, at which a daemon can be held                     |
//!
//! What all of them hold: each effect at most once, none silently dropped, and what is not known is said.

mod bytes;
mod gate;
mod killed;
mod many;
mod site;

use crate::stories::drill::Drill;

/// Every one of them.
pub(super) const ALL: &[Drill] = &[
    killed::BEFORE_IT_BEGINS,
    killed::BEFORE_ITS_EFFECT,
    killed::UNSEEN,
    killed::AFTER_ITS_EFFECT,
    bytes::TORN_TAIL,
    bytes::EVERY_PREFIX,
    bytes::TORN_COMMIT,
    bytes::STRAYS,
    many::ONE_OF_THREE,
    bytes::ENDED,
    many::KILLED_RECOVERY,
    many::NOTHING_THERE,
];
