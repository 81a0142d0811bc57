//! Pure codec for the telemetry write-ahead log: bytes in, values out, no I/O and no clock.
//!
//! | module      | what it defines                                              |
//! |-------------|--------------------------------------------------------------|
//! | `seq`       | sequence numbers, from 1 without gaps                        |
//! | `frame`     | the length prefix and its limits                             |
//! | `entry`     | the JSON payload of a frame                                  |
//! | `skim`      | entries without a chain, checked in one pass                 |
//! | `event`     | what an entry says happened                                  |
//! | `chain`     | the hash that ties an entry to every byte before it          |
//! | `lanes`     | the chain values of several entries at once                  |
//! | `birth`     | the first entry of a log: its identity and its predecessor   |
//! | `safe_point`| how much was acknowledged to callers                         |
//! | `position`  | how much was accepted by a consumer                          |
//! | `canonical` | one byte form for equal JSON values, for hashing             |
//! | `plain`     | JSON to values, without the exceptions of the library        |
//! | `switch`    | what replaces a log by the next one                          |
//! | `manifest`  | what is known about an archived log                          |
//! | `seal`      | a signed statement about how far a log goes                  |
//! | `names`     | the files of a log directory                                 |
//! | `step`      | the step log: plans, steps and how far they came             |

mod birth;
mod canonical;
mod chain;
mod entry;
mod event;
mod frame;
mod glance;
mod lanes;
mod manifest;
pub mod names;
mod plain;
mod position;
mod safe_point;
mod seal;
mod seq;
mod skim;
pub mod step;
mod switch;

pub use birth::{Birth, Origin, WalId};
pub use canonical::{canonical_json, canonical_object};
pub use chain::{Chain, ChainParseError};
pub use entry::{
    CHAIN_SUFFIX_LEN, Entry, EntryError, encode_entry, leading_entry, leading_seq, linked,
    read_seq, split_chain,
};
pub use event::{Event, EventRef, Kind};
pub use frame::{Decoded, Frame, FrameError, HEADER_LEN, Header, MAX_PAYLOAD_LEN};
pub use glance::Glance;
pub use lanes::{LANES, link_each};
pub use manifest::{Content, Manifest, ManifestError};
pub use plain::Plain;
pub use position::{Position, PositionError};
pub use safe_point::{SafePoint, SafePointError};
pub use seal::{SealFile, SealParseError, SealStatement};
pub use seq::{Seq, event_id};
pub use skim::skim;
pub use switch::{Aside, Switch, SwitchError};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
