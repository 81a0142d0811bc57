//! Which entry is what.
//!
//! | name                                    | bundle | OPA bundle                             |
//! |-----------------------------------------|--------|----------------------------------------|
//! | `manifest.json`                         | the manifest | refused                          |
//! | `.manifest`                             | refused | the manifest                          |
//! | `**/*.rego`                             | module | module                                 |
//! | `data.json`                             | data   | data                                   |
//! | `**/data.json`                          | refused | data, below the path of its directory |
//! | `.signatures.json`, `plan.json`, `*.wasm` | refused | overlooked: no part of the policy   |
//! | anything else                           | refused | refused                               |
//!
//! A name with a leading `/` or a component `.` is refused in a bundle. OPA bundles may have either,
//! but all of their names must start with `/` or none.
//!
//! # Invariants
//!
//! * **C1** What is hashed is what is used: all modules and data, each under its name.
//! * **C3** Each manifest and data file is an object in which no key stands twice, however deep: readers differ
//!   about which of the two counts.
//! * **C2** The hash has one preimage: names and contents are preceded by their lengths.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::{
    BundleError, PathFault,
    archive::{ENTRY_LEN_MAX, Entry},
    manifest::{MANIFEST, Manifest, OPA_MANIFEST},
};
use crate::{json::read_object, rego::SourceModule};

/// Longest manifest in bytes.
const MANIFEST_LEN_MAX: u64 = 64 << 10;
/// Longest module in bytes: what the engine takes.
const MODULE_LEN_MAX: u64 = 1 << 20;
/// Name of data files.
pub(super) const DATA: &str = "data.json";

/// The content of a bundle, sorted out.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) manifest: Manifest,
    pub(super) hash: String,
    pub(super) modules: Vec<SourceModule>,
    pub(super) data: Json,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Manifest,
    OpaManifest,
    Module,
    Data,
    Overlooked,
    Other,
}

fn kind_of(path: &str) -> Kind {
    let file = path.rsplit('/').next().unwrap_or(path);
    match (path, file) {
        (MANIFEST, _) => Kind::Manifest,
        (OPA_MANIFEST, _) => Kind::OpaManifest,
        (_, DATA) => Kind::Data,
        (".signatures.json" | "plan.json", _) => Kind::Overlooked,
        // Case matters, as it does to OPA: `x.Rego` is refused rather than overlooked.
        _ if ends_with(file, ".rego") => Kind::Module,
        _ if ends_with(file, ".wasm") => Kind::Overlooked,
        _ => Kind::Other,
    }
}

fn ends_with(file: &str, suffix: &str) -> bool {
    file.len() > suffix.len() && file.ends_with(suffix)
}

/// Returns the longest content an entry of this name may have, in bytes.
pub(super) fn limit_of(path: &str) -> u64 {
    match kind_of(path) {
        Kind::Manifest | Kind::OpaManifest => MANIFEST_LEN_MAX,
        Kind::Module => MODULE_LEN_MAX,
        Kind::Data | Kind::Overlooked | Kind::Other => ENTRY_LEN_MAX,
    }
}

/// Sorts out the entries of a bundle, and checks its hash when it has one.
pub(super) fn sort_out(entries: Vec<Entry>) -> Result<Content, BundleError> {
    check_duplicates(&entries)?;
    let find = |kind| entries.iter().find(|entry| kind_of(&entry.name.path) == kind);
    let (entry, is_opa) = match (find(Kind::Manifest), find(Kind::OpaManifest)) {
        (Some(entry), None) => (entry, false),
        (None, Some(entry)) => (entry, true),
        (None, None) => return Err(BundleError::NoManifest),
        (Some(_), Some(_)) => return Err(BundleError::TwoManifests),
    };
    check_names(&entries, is_opa)?;
    let manifest =
        if is_opa { Manifest::read_opa(&entry.content)? } else { Manifest::read(&entry.content)? };
    let mut files = BTreeMap::new();
    for entry in entries {
        let nested = entry.name.path.contains('/');
        match kind_of(&entry.name.path) {
            Kind::Manifest | Kind::OpaManifest => {}
            Kind::Overlooked if is_opa => {}
            Kind::Module => _ = files.insert(entry.name.path, entry.content),
            Kind::Data if is_opa || !nested => _ = files.insert(entry.name.path, entry.content),
            Kind::Data | Kind::Overlooked | Kind::Other => {
                return Err(BundleError::Unexpected { name: entry.name.path });
            }
        }
    }
    let hash = hash_of(&files);
    if let Some(expected) = manifest.hash.clone().filter(|expected| *expected != hash) {
        return Err(BundleError::HashMismatch { expected, found: hash });
    }
    let (modules, data) = read(files)?;
    Ok(Content { manifest, hash, modules, data })
}

fn check_duplicates(entries: &[Entry]) -> Result<(), BundleError> {
    let mut seen = BTreeMap::new();
    for entry in entries {
        if let Some(first) = seen.insert(entry.name.folded(), &entry.name.path) {
            let (first, second) = (first.clone(), entry.name.path.clone());
            return Err(BundleError::Duplicate { first, second });
        }
    }
    Ok(())
}

fn check_names(entries: &[Entry], is_opa: bool) -> Result<(), BundleError> {
    let all_absolute = entries.iter().all(|entry| entry.name.absolute);
    for Entry { name, .. } in entries {
        match is_opa {
            true if name.absolute && !all_absolute => return Err(name.fault(PathFault::Absolute)),
            true => {}
            false => name.check_plain()?,
        }
    }
    Ok(())
}

/// Hashes names and contents in the order of the names (C1, C2).
///
/// For each file: length of the name (`u64`, big-endian), name, length of the content (`u64`,
/// big-endian), content.
pub(super) fn hash_of(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hash = Sha256::new();
    for (name, content) in files {
        hash.update((name.len() as u64).to_be_bytes());
        hash.update(name);
        hash.update((content.len() as u64).to_be_bytes());
        hash.update(content);
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// Reads modules and data.
pub(super) fn read(
    files: BTreeMap<String, Vec<u8>>,
) -> Result<(Vec<SourceModule>, Json), BundleError> {
    let mut modules = Vec::new();
    let mut data = Map::new();
    for (name, content) in files {
        if kind_of(&name) == Kind::Data {
            merge_data(&name, &content, &mut data)?;
            continue;
        }
        match String::from_utf8(content) {
            Ok(text) => modules.push(SourceModule { file: name, text }),
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                return Err(BundleError::NotText { name, offset });
            }
        }
    }
    if modules.is_empty() {
        return Err(BundleError::NoModules);
    }
    Ok((modules, Json::Object(data)))
}

/// Whether a file of this name may be given to build a bundle.
pub(super) fn may_be_built(path: &str) -> bool {
    kind_of(path) == Kind::Module || path == DATA
}

/// Puts the content of a data file below the path of its directory.
fn merge_data(name: &str, content: &[u8], data: &mut Map<String, Json>) -> Result<(), BundleError> {
    let bad = |message: String| BundleError::BadData { name: name.to_owned(), message };
    let mut read: Map<String, Json> =
        read_object(content).map_err(|error| bad(error.to_string()))?;
    let dirs = name.rsplit_once('/').map(|(dirs, _)| dirs.split('/')).into_iter().flatten();
    for dir in dirs.rev() {
        read = Map::from_iter([(dir.to_owned(), Json::Object(read))]);
    }
    merge(data, read).map_err(|path| BundleError::DataOverlap { name: name.to_owned(), path })
}

/// Merges objects; the error is the path of a value that both have.
fn merge(into: &mut Map<String, Json>, from: Map<String, Json>) -> Result<(), String> {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (None, value) => _ = into.insert(key, value),
            (Some(Json::Object(into)), Json::Object(value)) => {
                merge(into, value).map_err(|path| format!("{key}.{path}"))?;
            }
            (Some(_), _) => return Err(key),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_documented_one() {
        let files = BTreeMap::from([
            ("b.rego".to_owned(), b"two".to_vec()),
            ("a.rego".to_owned(), b"".to_vec()),
        ]);
        let mut bytes = Vec::new();
        bytes.extend(6_u64.to_be_bytes());
        bytes.extend(b"a.rego");
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend(6_u64.to_be_bytes());
        bytes.extend(b"b.rego");
        bytes.extend(3_u64.to_be_bytes());
        bytes.extend(b"two");
        let want = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        assert_eq!(hash_of(&files), want);
    }

    #[test]
    fn moving_bytes_between_names_and_contents_changes_the_hash() {
        let hash = |name: &str, content: &str| {
            hash_of(&BTreeMap::from([(name.to_owned(), content.as_bytes().to_vec())]))
        };
        assert_ne!(hash("a", "bc"), hash("ab", "c"));
        assert_ne!(hash("a", ""), hash("", "a"));
    }

    #[test]
    fn data_of_a_directory_is_below_its_path_and_overlaps_are_named() {
        let mut data = Map::new();
        merge_data("data.json", br#"{"a":{"x":1}}"#, &mut data).unwrap();
        merge_data("a/b/data.json", br#"{"y":2}"#, &mut data).unwrap();
        assert_eq!(Json::Object(data.clone()), serde_json::json!({"a": {"x": 1, "b": {"y": 2}}}));
        let got = merge_data("a/data.json", br#"{"b":{"y":2}}"#, &mut data);
        let want = BundleError::DataOverlap { name: "a/data.json".into(), path: "a.b.y".into() };
        assert_eq!(got, Err(want));
        let got = merge_data("data.json", br#"{"c":{"x":1,"x":1}}"#, &mut data).unwrap_err();
        assert!(got.to_string().starts_with("`data.json`: key `x` stands twice"), "{got}");
        let got = merge_data("data.json", b"[1]", &mut data).unwrap_err();
        assert_eq!(got.to_string(), "`data.json`: the top level is not an object");
    }
}
