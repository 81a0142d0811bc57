//! The files of a policy, without a bundle around them.
//!
//! # Invariants
//!
//! * **Q1** What a bundle with these files would be refused for, these are refused for: names, lengths, and
//!   counts have the same limits.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use super::{
    BundleError,
    archive::{ENTRIES_MAX, UNPACKED_LEN_MAX},
    build::check_source,
    content,
    open::Bundle,
};
use crate::{ModuleError, RegoEvaluator, rego::SourceModule};

/// Modules and data of a policy (Q1).
#[derive(Clone, Debug)]
pub struct Sources {
    modules: Vec<SourceModule>,
    data: Json,
    hash: String,
}

impl Sources {
    /// Takes `*.rego` files and an optional `data.json`, by name.
    ///
    /// # Errors
    ///
    /// [`BundleError`] with the first thing that is wrong. Whether the modules make a policy is not
    /// looked at; [`Self::evaluator`] does that.
    pub fn new(files: BTreeMap<String, Vec<u8>>) -> Result<Self, BundleError> {
        check_limits(&files)?;
        let hash = content::hash_of(&files);
        let (modules, data) = content::read(files)?;
        Ok(Self { modules, data, hash })
    }

    /// Takes the modules and the data out of a bundle.
    pub fn of(bundle: &Bundle) -> Self {
        let modules = bundle.source_modules().to_vec();
        Self { modules, data: bundle.data().clone(), hash: bundle.hash().to_owned() }
    }

    /// Compiles the policy. `label` stands in for the version of a bundle, [`Self::hash`] for its digest.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] when the modules make no policy, or one that may not be evaluated.
    pub fn evaluator(&self, label: &str) -> Result<RegoEvaluator, ModuleError> {
        Ok(RegoEvaluator::compile(&self.modules, &self.data)?.named(label, &self.hash))
    }

    /// Returns name and text of each module, in the order of the names.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.iter().map(|it| (it.file.as_str(), it.text.as_str()))
    }

    /// Returns the data, an object.
    pub const fn data(&self) -> &Json {
        &self.data
    }

    /// Returns `sha256:…` of the names and contents of the files, as a bundle with them would say.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub(crate) fn source_modules(&self) -> &[SourceModule] {
        &self.modules
    }
}

fn check_limits(files: &BTreeMap<String, Vec<u8>>) -> Result<(), BundleError> {
    if files.len() > ENTRIES_MAX {
        return Err(BundleError::TooManyEntries);
    }
    let (mut total, mut names) = (0_usize, BTreeSet::new());
    for (name, content) in files {
        refused_alone(name, content).map_or(Ok(()), Err)?;
        if !names.insert(name.to_lowercase()) {
            let folded = |it: &&String| it.to_lowercase() == name.to_lowercase();
            let first = files.keys().find(folded).unwrap_or(name).clone();
            return Err(BundleError::Duplicate { first, second: name.clone() });
        }
        total = total.saturating_add(content.len());
    }
    if total > UNPACKED_LEN_MAX { Err(BundleError::UnpackedTooLong) } else { Ok(()) }
}

/// Why a file cannot be part of a policy, whatever stands beside it.
pub(crate) fn refused_alone(name: &str, content: &[u8]) -> Option<BundleError> {
    if let Err(error) = check_source(name) {
        return Some(error);
    }
    let (len, limit) = (content.len() as u64, content::limit_of(name));
    (len > limit).then(|| BundleError::EntryTooLong { name: name.to_owned(), len, limit })
}

/// What could not be read, by file.
type Unread = Vec<(String, BundleError)>;

/// Reads each file that [`refused_alone`] does not refuse, and says which cannot be read.
pub(crate) fn read_each(files: &BTreeMap<String, Vec<u8>>) -> (Vec<SourceModule>, Json, Unread) {
    let (mut modules, mut data, mut faults) = (Vec::new(), Json::Object(Map::new()), Vec::new());
    for (name, content) in files {
        if refused_alone(name, content).is_some() {
            continue;
        }
        match content::read(BTreeMap::from([(name.clone(), content.clone())])) {
            Ok((read, _)) => modules.extend(read),
            // A data file alone makes no policy.
            Err(BundleError::NoModules) => {
                data = serde_json::from_slice(content).unwrap_or(data);
            }
            Err(error) => faults.push((name.clone(), error)),
        }
    }
    (modules, data, faults)
}

/// Makes an evaluator of modules (file name and text) and data, without a bundle.
///
/// The same is refused as in a bundle. `label` is what decisions name as their policy; the digest is that of
/// the names and contents.
///
/// # Errors
///
/// [`BundleError`]; for a module that does not compile it is [`BundleError::Module`] with file, line
/// and column.
///
/// # Examples
///
/// ```
/// use policy::{Evaluator, from_modules};
///
/// let rego = r#"package autonomy
/// allow if input.kind == "tool.echo""#;
/// let evaluator = from_modules(&[("echo.rego", rego)], None, "echo-only")?;
/// assert_eq!(evaluator.policy_ref(), "echo-only");
/// # Ok::<(), policy::BundleError>(())
/// ```
pub fn from_modules(
    modules: &[(&str, &str)],
    data: Option<&Json>,
    label: &str,
) -> Result<RegoEvaluator, BundleError> {
    let mut files = BTreeMap::new();
    for (name, text) in modules {
        if files.insert((*name).to_owned(), text.as_bytes().to_vec()).is_some() {
            let (first, second) = ((*name).to_owned(), (*name).to_owned());
            return Err(BundleError::Duplicate { first, second });
        }
    }
    if let Some(data) = data {
        files.insert(content::DATA.to_owned(), data.to_string().into_bytes());
    }
    Ok(Sources::new(files)?.evaluator(label)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Evaluator as _, PathFault, Recipe, RuntimeRequirement, build};

    const ALLOW: &str = "package autonomy\nallow if data.kinds[_] == input.kind\n";

    #[test]
    fn loose_files_and_a_bundle_of_them_are_the_same_policy() {
        let files = BTreeMap::from([
            ("a/allow.rego".to_owned(), ALLOW.as_bytes().to_vec()),
            ("data.json".to_owned(), br#"{"kinds":["tool.echo"]}"#.to_vec()),
        ]);
        let recipe = Recipe {
            version: "1.0.0",
            name: None,
            requirement: &RuntimeRequirement::default(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let bundle = build(&files, &recipe).unwrap().bundle;
        let (loose, packed) = (Sources::new(files).unwrap(), Sources::of(&bundle));
        assert_eq!((loose.hash(), loose.data()), (packed.hash(), packed.data()));
        assert_eq!(loose.modules().collect::<Vec<_>>(), packed.modules().collect::<Vec<_>>());
        assert_eq!(loose.modules().next(), Some(("a/allow.rego", ALLOW)));
        assert_eq!(loose.evaluator("x").unwrap().policy_digest(), bundle.hash());
    }

    #[test]
    fn what_a_bundle_may_not_have_is_refused_without_one() {
        let data = json!({ "kinds": [] });
        let refused =
            |modules: &[(&str, &str)]| from_modules(modules, Some(&data), "x").unwrap_err();
        let code = |modules: &[(&str, &str)]| refused(modules).code();
        assert_eq!(code(&[]), "bundle_no_modules");
        assert_eq!(code(&[("a.txt", ALLOW)]), "bundle_unexpected_entry");
        assert_eq!(code(&[("sub/data.json", "{}")]), "bundle_unexpected_entry");
        assert_eq!(code(&[("a.rego", ALLOW), ("A.rego", ALLOW)]), "bundle_duplicate_entry");
        assert_eq!(code(&[("a.rego", ALLOW), ("a.rego", ALLOW)]), "bundle_duplicate_entry");
        assert_eq!(code(&[("a.rego", &" ".repeat((1 << 20) + 1))]), "bundle_entry_too_long");
        assert_eq!(code(&[("a.rego", "package")]), "rego_syntax");
        assert_eq!(
            refused(&[("../a.rego", ALLOW)]),
            BundleError::BadPath { name: "../a.rego".to_owned(), fault: PathFault::Parent }
        );
        let many: Vec<_> = (0..=ENTRIES_MAX).map(|it| format!("{it}.rego")).collect();
        let many: Vec<_> = many.iter().map(|it| (it.as_str(), "package x")).collect();
        assert_eq!(code(&many), "bundle_too_many_entries");
        let long = " ".repeat(1 << 20);
        let long: Vec<_> = many.iter().take(17).map(|it| (it.0, long.as_str())).collect();
        assert_eq!(code(&long), "bundle_unpacked_too_long");
    }
}
