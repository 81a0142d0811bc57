//! The failure modes of the step log, with a real daemon, a real runtime and real kills.
//!
//! | module   | drills                                                                        |
//! |----------|-------------------------------------------------------------------------------|
//! | `killed` | a daemon that is killed at a moment that was waited for                         |
//! | `torn`   | a log that was cut off                                                         |
//! | `bytes`  | a log with other records than a daemon left                                     |
//! | `disk`   | a disk that takes no record                                                    |
//! | `second` | two daemons, and one that is asked to end                                       |
//! | `archived` | an archive that is killed half way                                            |
//! | `people` | steps that wait for a human                                                    |
//! | `many`   | many logs, and a recovery that is killed                                        |
//! | `site`   | the node they are told on: tools that stop where they are told                  |
//! | `gate`   | a door in front of a runtime, at which a daemon can be held                     |
//!
//! What all of them hold: each effect at most once, none silently dropped, and what is not known is said.

mod archived;
mod bytes;
mod disk;
mod gate;
mod killed;
mod many;
mod people;
mod second;
mod site;
mod torn;

use crate::stories::drill::Drill;

/// Every one of them.
pub(super) const ALL: &[Drill] = &[
    killed::BEFORE_IT_BEGINS,
    killed::BEFORE_ITS_EFFECT,
    killed::UNSEEN,
    killed::AFTER_ITS_EFFECT,
    killed::ANSWER_LOST,
    torn::TORN_TAIL,
    torn::EVERY_PREFIX,
    bytes::TORN_COMMIT,
    bytes::STRAYS,
    many::ONE_OF_THREE,
    bytes::ENDED,
    many::KILLED_RECOVERY,
    disk::READ_ONLY,
    disk::FULL,
    second::TWO_DAEMONS,
    second::ASKED_TO_END,
    archived::KILLED,
    people::REVIEWED,
    many::NOTHING_THERE,
];
