//! Bundles: a policy as one file.
//!
//! | module     | what it holds                                            |
//! |------------|----------------------------------------------------------|
//! | `manifest` | what a bundle says about itself                          |
//! | `name`     | names of entries that are safe and unambiguous           |
//! | `archive`  | gzip and tar, bounded in reading, fixed in writing       |
//! | `content`  | which entry is what, in both kinds of bundle; the hash   |
//! | `open`     | [`Bundle`]: a bundle whose bytes were checked            |
//! | `sources`  | [`Sources`]: modules and data without a bundle           |
//! | `build`    | from files to the bytes of a bundle                      |
//! | `error`    | why a bundle is refused                                  |

mod archive;
mod build;
mod content;
mod error;
mod manifest;
mod name;
mod open;
mod sources;

pub use archive::{BUNDLE_LEN_MAX, ENTRIES_MAX, ENTRY_LEN_MAX, UNPACKED_LEN_MAX};
pub use build::{Built, Recipe, build};
pub use error::BundleError;
pub use manifest::NAME_LEN_MAX;
pub use name::{PATH_LEN_MAX, PathFault};
pub use open::Bundle;
pub(crate) use open::digest_of;
pub use sources::{Sources, from_modules};
pub(crate) use sources::{read_each, refused_alone};
