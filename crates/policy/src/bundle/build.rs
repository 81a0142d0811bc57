//! Building a bundle.
//!
//! # Invariants
//!
//! * **K1** The same files and recipe give the same bytes.
//! * **K2** What is built can be opened and evaluated: it was.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    Bundle, BundleError, archive, content,
    manifest::{MANIFEST, ManifestFile, check_name, check_version},
    name::EntryName,
};
use crate::RuntimeRequirement;

/// What a bundle says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// Its semantic version.
    pub version: &'a str,
    /// Its name.
    pub name: Option<&'a str>,
    /// Which runtimes it is made for.
    pub requirement: &'a RuntimeRequirement,
    /// When it is built.
    pub created_at: Timestamp,
}

/// A bundle that was just built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// What they are when they are opened.
    pub bundle: Bundle,
}

/// Builds a bundle from `*.rego` files and an optional `data.json`, by name (K1, K2).
///
/// # Errors
///
/// [`BundleError`]; for a module that does not compile it is [`BundleError::Module`] with file, line
/// and column.
pub fn build(files: &BTreeMap<String, Vec<u8>>, recipe: &Recipe) -> Result<Built, BundleError> {
    check_version(recipe.version)?;
    recipe.name.map_or(Ok(()), check_name)?;
    files.keys().try_for_each(|name| check_source(name))?;
    let manifest = ManifestFile {
        policy_bundle_version: recipe.version.to_owned(),
        required_runtime_version: recipe.requirement.to_string(),
        bundle_hash: content::hash_of(files),
        name: recipe.name.map(str::to_owned),
        created_at: recipe.created_at,
    };
    let mut manifest = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| BundleError::BadManifest { name: MANIFEST, message: error.to_string() })?;
    manifest.push(b'\n');
    let entries = files.iter().map(|(name, content)| (name.as_str(), content.as_slice()));
    let entries = std::iter::once((MANIFEST, manifest.as_slice())).chain(entries);
    let bytes = archive::pack(entries)?;
    let bundle = Bundle::open(&bytes)?;
    bundle.evaluator()?;
    Ok(Built { bytes, bundle })
}

/// Checks whether a file of this name may be given to make a policy.
pub(super) fn check_source(name: &str) -> Result<(), BundleError> {
    EntryName::read(name.as_bytes(), false)?.map_or(Ok(()), |it| it.check_plain())?;
    if content::may_be_built(name) {
        return Ok(());
    }
    Err(BundleError::Unexpected { name: name.to_owned() })
}
