//! Opening a bundle.
//!
//! # Invariants
//!
//! * **O1** A [`Bundle`] exists only for bytes that were unpacked within all limits, whose names are
//!   safe, and whose content has the hash its manifest says.
//! * **O2** The digest of a bundle is of all of its bytes, and is what a node pins.

use jiff::Timestamp;
use semver::Version;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::{
    BundleError, archive,
    content::{self, Content},
    manifest::Manifest,
};
use crate::{Incompatible, ModuleError, RegoEvaluator, RuntimeRequirement, rego::SourceModule};

/// What the version of an OPA bundle without a revision starts with, before the digest.
const OPA_VERSION_PREFIX: &str = "opa-";
/// How much of the digest such a version has.
const OPA_VERSION_DIGITS: usize = 12;

/// A bundle whose bytes were checked (O1).
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
///
/// use policy::{Bundle, Recipe, RuntimeRequirement, build, demo};
///
/// let files: BTreeMap<String, Vec<u8>> =
///     demo::SOURCES.map(|(name, text)| (name.to_owned(), text.into())).into();
/// let built = build(
///     &files,
///     &Recipe {
///         version: demo::VERSION,
///         name: Some(demo::NAME),
///         requirement: &RuntimeRequirement::default(),
///         created_at: jiff::Timestamp::UNIX_EPOCH,
///     },
/// )?;
/// let bundle = Bundle::open(&built.bytes)?;
/// assert_eq!(bundle.version(), "1.0.0");
/// assert_eq!(bundle.hash(), built.bundle.hash());
/// # Ok::<(), policy::BundleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bundle {
    manifest: Manifest,
    hash: String,
    digest: String,
    modules: Vec<SourceModule>,
    data: Json,
}

impl Bundle {
    /// Opens the bytes of a bundle, of ours or of OPA.
    ///
    /// # Errors
    ///
    /// [`BundleError`] with the first thing that is wrong. Whether the modules make a policy is not
    /// looked at; [`Self::evaluator`] does that.
    pub fn open(bytes: &[u8]) -> Result<Self, BundleError> {
        let Content { mut manifest, hash, modules, data } =
            content::sort_out(archive::unpack(bytes)?)?;
        let digest = digest_of(bytes);
        if manifest.version.is_empty() {
            let digits = digest.chars().skip_while(|it| *it != ':').skip(1);
            manifest.version.push_str(OPA_VERSION_PREFIX);
            manifest.version.extend(digits.take(OPA_VERSION_DIGITS));
        }
        Ok(Self { manifest, hash, digest, modules, data })
    }

    /// Compiles the policy.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] when the modules make no policy, or one that may not be evaluated.
    pub fn evaluator(&self) -> Result<RegoEvaluator, ModuleError> {
        let evaluator = RegoEvaluator::compile(&self.modules, &self.data)?;
        Ok(evaluator.named(self.version(), &self.digest))
    }

    /// Checks whether the bundle is made for a runtime of this version.
    ///
    /// # Errors
    ///
    /// [`Incompatible`] when it is not.
    pub fn check_runtime(&self, have: &Version) -> Result<(), Incompatible> {
        self.manifest.requirement.check(have)
    }

    /// Returns the version: semantic, or the revision of an OPA bundle, or `opa-` and the start of
    /// its digest.
    pub fn version(&self) -> &str {
        &self.manifest.version
    }

    /// Returns the name, when it has one.
    pub fn name(&self) -> Option<&str> {
        self.manifest.name.as_deref()
    }

    /// Returns when it was built, as far as it says.
    pub const fn created_at(&self) -> Option<Timestamp> {
        self.manifest.created_at
    }

    /// Returns which runtimes it is made for.
    pub const fn requirement(&self) -> &RuntimeRequirement {
        &self.manifest.requirement
    }

    /// Returns name and text of each module, in the order of the names.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().map(|it| (it.file.as_str(), it.text.as_str()))
    }

    /// Returns the data, an object.
    pub const fn data(&self) -> &Json {
        &self.data
    }

    pub(super) fn source_modules(&self) -> &[SourceModule] {
        &self.modules
    }

    /// Returns `sha256:…` of the names and contents of its files.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Returns `sha256:…` of its bytes (O2).
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Digest of the bytes of a bundle (O2).
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
