//! Why a bundle is refused, by whoever makes or opens it.

use thiserror::Error;

use super::{
    archive::{BUNDLE_LEN_MAX, ENTRIES_MAX, UNPACKED_LEN_MAX},
    manifest::NAME_LEN_MAX,
    name::PathFault,
};
use crate::{ModuleError, RequirementError};

/// A bundle that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file is too long.
    #[error("bundle has {len} bytes, the limit is {BUNDLE_LEN_MAX}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The file is not gzip, or was cut off or altered.
    #[error("not a gzip file: {message}")]
    NotGzip {
        /// What is wrong.
        message: String,
    },
    /// The archive is too long when unpacked.
    #[error("bundle unpacks to more than {UNPACKED_LEN_MAX} bytes")]
    UnpackedTooLong,
    /// What is in the gzip file is not tar, or was cut off or altered.
    #[error("not a tar archive: {message}")]
    NotTar {
        /// What is wrong.
        message: String,
    },
    /// Something follows the end of the archive.
    #[error("{len} bytes follow the end of the {layer}")]
    Trailing {
        /// The layer that has ended: `tar archive` or `gzip file`.
        layer: &'static str,
        /// How many bytes follow.
        len: usize,
    },
    /// There are too many entries.
    #[error("bundle has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// An entry is too long.
    #[error("`{name}` has {len} bytes, the limit is {limit}")]
    EntryTooLong {
        /// Its name.
        name: String,
        /// Its length.
        len: u64,
        /// The limit for entries of its kind.
        limit: u64,
    },
    /// An entry is neither a file nor a directory.
    #[error("`{name}` is a {kind}, not a file")]
    SpecialEntry {
        /// Its name.
        name: String,
        /// What it is.
        kind: String,
    },
    /// The name of an entry is not safe or not unambiguous.
    #[error("`{name}` {fault}")]
    BadPath {
        /// The name as it can be shown.
        name: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// Two entries have the same name, or names that differ in case only.
    #[error("`{second}` and `{first}` are the same name")]
    Duplicate {
        /// The earlier one.
        first: String,
        /// The later one.
        second: String,
    },
    /// An entry does not belong in a bundle.
    #[error("`{name}` does not belong in a bundle")]
    Unexpected {
        /// Its name.
        name: String,
    },
    /// There is neither `manifest.json` nor `.manifest`.
    #[error("bundle has no manifest")]
    NoManifest,
    /// There are both `manifest.json` and `.manifest`.
    #[error("bundle has both manifest.json and .manifest")]
    TwoManifests,
    /// The manifest cannot be read.
    #[error("`{name}`: {message}")]
    BadManifest {
        /// Which one.
        name: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The version is not one.
    #[error("`{version}` is not a semantic version: {message}")]
    BadVersion {
        /// The version.
        version: String,
        /// What is wrong with it.
        message: String,
    },
    /// The name is not one.
    #[error("the name of a bundle has 1 to {NAME_LEN_MAX} printable characters")]
    BadName,
    /// The required runtime version is not a list of constraints.
    #[error("required runtime version: {0}")]
    BadRequirement(#[from] RequirementError),
    /// The content is not what the manifest says.
    #[error("bundle hash is {found}, the manifest says {expected}")]
    HashMismatch {
        /// What the manifest says.
        expected: String,
        /// What the content hashes to.
        found: String,
    },
    /// There is no module.
    #[error("bundle has no rego module")]
    NoModules,
    /// A module is not text.
    #[error("`{name}` is not UTF-8 from byte {offset}")]
    NotText {
        /// Name of the file.
        name: String,
        /// First byte that is none.
        offset: usize,
    },
    /// A data file cannot be read.
    #[error("`{name}`: {message}")]
    BadData {
        /// Name of the file.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// Two data files define the same value.
    #[error("`{name}` defines `data.{path}`, which another file also defines")]
    DataOverlap {
        /// The later file.
        name: String,
        /// Path below `data`.
        path: String,
    },
    /// The modules make no policy.
    #[error(transparent)]
    Module(#[from] ModuleError),
}

impl BundleError {
    /// Returns the stable text of the kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "bundle_too_long",
            Self::NotGzip { .. } => "bundle_not_gzip",
            Self::UnpackedTooLong => "bundle_unpacked_too_long",
            Self::NotTar { .. } => "bundle_not_tar",
            Self::Trailing { .. } => "bundle_trailing_bytes",
            Self::TooManyEntries => "bundle_too_many_entries",
            Self::EntryTooLong { .. } => "bundle_entry_too_long",
            Self::SpecialEntry { .. } => "bundle_special_entry",
            Self::BadPath { .. } => "bundle_bad_path",
            Self::Duplicate { .. } => "bundle_duplicate_entry",
            Self::Unexpected { .. } => "bundle_unexpected_entry",
            Self::NoManifest => "bundle_no_manifest",
            Self::TwoManifests => "bundle_two_manifests",
            Self::BadManifest { .. } => "bundle_bad_manifest",
            Self::BadVersion { .. } => "bundle_bad_version",
            Self::BadName => "bundle_bad_name",
            Self::BadRequirement(_) => "bundle_bad_requirement",
            Self::HashMismatch { .. } => "bundle_hash_mismatch",
            Self::NoModules => "bundle_no_modules",
            Self::NotText { .. } => "bundle_module_not_text",
            Self::BadData { .. } => "bundle_bad_data",
            Self::DataOverlap { .. } => "bundle_data_overlap",
            Self::Module(error) => error.code(),
        }
    }
}
