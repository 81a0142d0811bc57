//! What a bundle says about itself.
//!
//! # `manifest.json`
//!
//! | field                      | type                            | rule                          |
//! |----------------------------|---------------------------------|-------------------------------|
//! | `policy_bundle_version`    | semantic version                | required                      |
//! | `required_runtime_version` | constraints separated by spaces | absent or empty: any runtime  |
//! | `bundle_hash`              | `sha256:` and 64 hex digits     | required                      |
//! | `name`                     | text                            | optional                      |
//! | `created_at`               | RFC 3339                        | required                      |
//!
//! Any other field is refused: it could be a misspelt one, or a demand of a later version that this
//! one would not meet. So is a list in place of the object, and a field that stands twice.
//!
//! # `.manifest`
//!
//! The manifest of an OPA bundle. Of it `revision` is the version, and `rego_version` must be 1 when
//! it is there; other fields tell OPA where the bundle may write and are of no concern here.

use jiff::Timestamp;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::BundleError;
use crate::{RuntimeRequirement, json::read_object};

/// Longest name of a bundle, and longest revision of an OPA bundle, in characters.
pub const NAME_LEN_MAX: usize = 128;

/// File of the manifest.
pub(super) const MANIFEST: &str = "manifest.json";
/// File of the manifest of an OPA bundle.
pub(super) const OPA_MANIFEST: &str = ".manifest";

/// How `manifest.json` is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestFile {
    pub(super) policy_bundle_version: String,
    #[serde(default)]
    pub(super) required_runtime_version: String,
    pub(super) bundle_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) created_at: Timestamp,
}

/// What both kinds of manifest come down to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Empty when an OPA bundle has no revision.
    pub(super) version: String,
    pub(super) requirement: RuntimeRequirement,
    /// Absent in OPA bundles.
    pub(super) hash: Option<String>,
    pub(super) name: Option<String>,
    pub(super) created_at: Option<Timestamp>,
}

impl Manifest {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        let file: ManifestFile = read_object(bytes).map_err(|error| bad(MANIFEST, &error))?;
        check_version(&file.policy_bundle_version)?;
        file.name.as_deref().map_or(Ok(()), check_name)?;
        Ok(Self {
            version: file.policy_bundle_version,
            requirement: RuntimeRequirement::parse(&file.required_runtime_version)?,
            hash: Some(file.bundle_hash),
            name: file.name,
            created_at: Some(file.created_at),
        })
    }

    pub(super) fn read_opa(bytes: &[u8]) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct OpaManifest {
            #[serde(default)]
            revision: String,
            rego_version: Option<u32>,
        }
        let file: OpaManifest = read_object(bytes).map_err(|error| bad(OPA_MANIFEST, &error))?;
        if let Some(version) = file.rego_version.filter(|it| *it != 1) {
            return Err(bad(OPA_MANIFEST, &format!("rego_version is {version}, not 1")));
        }
        if !file.revision.is_empty() {
            check_name(&file.revision)?;
        }
        Ok(Self {
            version: file.revision,
            requirement: RuntimeRequirement::default(),
            hash: None,
            name: None,
            created_at: None,
        })
    }
}

pub(super) fn check_version(version: &str) -> Result<(), BundleError> {
    match Version::parse(version) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(BundleError::BadVersion { version: version.to_owned(), message: error.to_string() })
        }
    }
}

pub(super) fn check_name(name: &str) -> Result<(), BundleError> {
    let len = name.chars().count();
    let printable = !name.chars().any(char::is_control);
    if (1..=NAME_LEN_MAX).contains(&len) && printable { Ok(()) } else { Err(BundleError::BadName) }
}

fn bad(name: &'static str, error: &impl ToString) -> BundleError {
    BundleError::BadManifest { name, message: error.to_string() }
}
