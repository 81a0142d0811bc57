//! Building and opening bundles: what is reproducible, what is accepted, what is refused.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "tests"
)]

mod kit;

use std::{collections::BTreeMap, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use kit::{echo, files, recipe, word};
use policy::{
    BUNDLE_LEN_MAX, Bundle, BundleError, ENTRIES_MAX, ENTRY_LEN_MAX, Evaluator, ModuleError,
    PATH_LEN_MAX, PathFault, Recipe, RuntimeRequirement, UNPACKED_LEN_MAX, build, demo,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tar::{EntryType, Header};

const ALLOW: &str = "package autonomy\nallow := true\n";
const DENY: &str = "package autonomy\ndefault allow := false\n";

fn built(list: &[(&str, &str)]) -> Vec<u8> {
    build(&files(list), &recipe("1.0.0", &RuntimeRequirement::default())).unwrap().bytes
}

/// An entry of an archive that is made by hand.
struct Entry<'a> {
    name: &'a [u8],
    kind: EntryType,
    content: &'a [u8],
}

fn file<'a>(name: &'a str, content: &'a str) -> Entry<'a> {
    Entry { name: name.as_bytes(), kind: EntryType::Regular, content: content.as_bytes() }
}

fn tar_of(entries: &[Entry]) -> Vec<u8> {
    let mut res = Vec::new();
    for entry in entries {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..entry.name.len()].copy_from_slice(entry.name);
        header.set_entry_type(entry.kind);
        header.set_size(entry.content.len() as u64);
        header.set_mode(0o644);
        if entry.kind == EntryType::Symlink || entry.kind == EntryType::Link {
            header.set_link_name_literal("/etc/passwd").unwrap();
        }
        header.set_cksum();
        res.extend(header.as_bytes());
        res.extend(entry.content);
        res.resize(res.len().next_multiple_of(512), 0);
    }
    res.resize(res.len() + 1024, 0);
    res
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

fn packed(entries: &[Entry]) -> Vec<u8> {
    gzip(&tar_of(entries))
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut res = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut res).unwrap();
    res
}

/// The manifest that belongs to these files, with one field changed.
fn manifest(list: &[(&str, &str)], field: &str, value: &Value) -> String {
    let bundle = Bundle::open(&built(list)).unwrap();
    let mut manifest = json!({
        "policy_bundle_version": "1.0.0",
        "required_runtime_version": "",
        "bundle_hash": bundle.hash(),
        "created_at": "2026-03-01T00:00:00Z",
    });
    match value {
        Value::Null => _ = manifest.as_object_mut().unwrap().remove(field),
        value => manifest[field] = value.clone(),
    }
    manifest.to_string()
}

#[track_caller]
fn refused(bytes: &[u8]) -> BundleError {
    match Bundle::open(bytes) {
        Err(error) => error,
        Ok(bundle) => panic!("{bundle:?}"),
    }
}

#[track_caller]
fn fault(entries: &[Entry]) -> PathFault {
    match refused(&packed(entries)) {
        BundleError::BadPath { fault, .. } => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bundle_says_what_it_was_built_from() {
    let requirement = RuntimeRequirement::parse(">=0.1.0 <1.0.0").unwrap();
    let created_at: Timestamp = "2026-03-01T09:30:00Z".parse().unwrap();
    let recipe =
        Recipe { version: "2.1.0-rc.1", name: Some("dock"), requirement: &requirement, created_at };
    let made = build(&files(&[("a.rego", ALLOW), ("data.json", "{}")]), &recipe).unwrap();
    for bundle in [made.bundle, Bundle::open(&made.bytes).unwrap()] {
        assert_eq!(bundle.version(), "2.1.0-rc.1");
        assert_eq!(bundle.name(), Some("dock"));
        assert_eq!(bundle.created_at(), Some(created_at));
        assert_eq!(bundle.requirement(), &requirement);
        assert!(bundle.hash().starts_with("sha256:") && bundle.hash().len() == 71);
        assert!(bundle.digest().starts_with("sha256:") && bundle.digest() != bundle.hash());
        bundle.check_runtime(&"0.1.0".parse().unwrap()).unwrap();
        let error = bundle.check_runtime(&"1.0.0".parse().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "bundle requires runtime >=0.1.0 <1.0.0, have 1.0.0");
        assert_eq!(bundle.evaluator().unwrap().policy_ref(), "2.1.0-rc.1");
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes_and_others_do_not() {
    let list = [("b.rego", ALLOW), ("a/x.rego", DENY_HELPER), ("data.json", "{\"a\": 1}")];
    let first = built(&list);
    let reversed: Vec<_> = list.iter().rev().copied().collect();
    assert_eq!(first, built(&reversed));
    let requirement = RuntimeRequirement::default();
    let other = RuntimeRequirement::parse(">=0.1.0").unwrap();
    let base = recipe("1.0.0", &requirement);
    for changed in [
        Recipe { version: "1.0.1", ..base },
        Recipe { name: None, ..base },
        Recipe { requirement: &other, ..base },
        Recipe { created_at: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(1), ..base },
    ] {
        let bytes = build(&files(&list), &changed).unwrap().bytes;
        assert_ne!(bytes, first, "{changed:?}");
        assert_eq!(Bundle::open(&bytes).unwrap().hash(), Bundle::open(&first).unwrap().hash());
    }
    let renamed = built(&[("c.rego", ALLOW), list[1], list[2]]);
    assert_ne!(Bundle::open(&renamed).unwrap().hash(), Bundle::open(&first).unwrap().hash());
}

const DENY_HELPER: &str = "package helper\nx := 1\n";

/// The golden file was written once. It must never change: a bundle that is built again has to have
/// the digest that nodes have pinned.
#[test]
fn the_demo_bundle_has_the_golden_bytes() {
    let requirement = RuntimeRequirement::parse(">=0.1.0").unwrap();
    let created_at = "2026-01-01T00:00:00Z".parse().unwrap();
    let recipe = Recipe {
        version: demo::VERSION,
        name: Some(demo::NAME),
        requirement: &requirement,
        created_at,
    };
    let made = build(&files(&demo::SOURCES), &recipe).unwrap();
    let golden = include_bytes!("golden/demo-1.0.0.tar.gz");
    assert!(made.bytes == golden, "{} bytes, not {}", made.bytes.len(), golden.len());
    assert_eq!(
        made.bundle.hash(),
        "sha256:04d47bf366389aca2487b9f076d76c8eed161522247c569ead3d5d286fb92ab2"
    );
}

#[test]
fn building_refuses_what_opening_would_refuse() {
    let any = RuntimeRequirement::default();
    let try_build = |list: &[(&str, &str)], version| build(&files(list), &recipe(version, &any));
    let error = |list: &[(&str, &str)]| try_build(list, "1.0.0").unwrap_err();
    assert_eq!(error(&[]), BundleError::NoModules);
    assert_eq!(error(&[("data.json", "{}")]), BundleError::NoModules);
    for name in
        ["README.md", "a/data.json", "manifest.json", ".manifest", "x.rego.bak", "x.REGO", ".rego"]
    {
        let want = BundleError::Unexpected { name: name.to_owned() };
        assert_eq!(error(&[("a.rego", ALLOW), (name, "{}")]), want);
    }
    for (name, fault) in [
        ("/a.rego", PathFault::Absolute),
        ("../a.rego", PathFault::Parent),
        ("./a.rego", PathFault::Dotted),
        ("a//b.rego", PathFault::Empty),
    ] {
        match error(&[(name, ALLOW)]) {
            BundleError::BadPath { fault: found, .. } => assert_eq!(found, fault, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let twice = error(&[("a.rego", ALLOW), ("A.rego", ALLOW)]);
    assert!(matches!(twice, BundleError::Duplicate { .. }), "{twice:?}");
    for version in ["1", "1.0", "v1.0.0", "", "latest"] {
        let got = try_build(&[("a.rego", ALLOW)], version).unwrap_err();
        assert_eq!(got.code(), "bundle_bad_version", "{version}");
    }
    let named = Recipe { name: Some("a\nb"), ..recipe("1.0.0", &any) };
    assert_eq!(build(&files(&[("a.rego", ALLOW)]), &named).unwrap_err(), BundleError::BadName);
    let BundleError::Module(ModuleError::Syntax { place, .. }) =
        error(&[("a.rego", "package a\n\nx :=")])
    else {
        panic!("it is a syntax error");
    };
    assert_eq!(place.unwrap().to_string(), "a.rego:3:5");
    let text = BTreeMap::from([("a.rego".to_owned(), b"package a\n# \xff".to_vec())]);
    let got = build(&text, &recipe("1.0.0", &any)).unwrap_err();
    assert_eq!(got, BundleError::NotText { name: "a.rego".to_owned(), offset: 12 });
}

#[test]
fn a_manifest_with_any_other_content_is_refused() {
    let list = [("a.rego", ALLOW)];
    let open = |manifest: &str| {
        Bundle::open(&packed(&[file("manifest.json", manifest), file("a.rego", ALLOW)]))
    };
    open(&manifest(&list, "name", &json!("x"))).unwrap();
    open(&manifest(&list, "required_runtime_version", &Value::Null)).unwrap();
    for (field, value, code) in [
        ("policy_bundle_version", Value::Null, "bundle_bad_manifest"),
        ("policy_bundle_version", json!("1.0"), "bundle_bad_version"),
        ("policy_bundle_version", json!(1), "bundle_bad_manifest"),
        ("required_runtime_version", json!("^1.0.0"), "bundle_bad_requirement"),
        ("required_runtime_version", json!(">=1"), "bundle_bad_requirement"),
        ("requires_runtime_version", json!(">=99.0.0"), "bundle_bad_manifest"),
        ("bundle_hash", Value::Null, "bundle_bad_manifest"),
        ("bundle_hash", json!(""), "bundle_hash_mismatch"),
        ("bundle_hash", json!(format!("sha256:{}", "0".repeat(64))), "bundle_hash_mismatch"),
        ("created_at", Value::Null, "bundle_bad_manifest"),
        ("created_at", json!("yesterday"), "bundle_bad_manifest"),
        ("name", json!(""), "bundle_bad_name"),
        ("name", json!("x".repeat(200)), "bundle_bad_name"),
    ] {
        let got = open(&manifest(&list, field, &value)).unwrap_err();
        assert_eq!(got.code(), code, "{field} {value}: {got}");
    }
    assert_eq!(open("{").unwrap_err().code(), "bundle_bad_manifest");
    assert_eq!(open("").unwrap_err().code(), "bundle_bad_manifest");
    // The values alone, in the order of the fields; and a field twice.
    let whole: Value = serde_json::from_str(&manifest(&list, "name", &json!("x"))).unwrap();
    let field = |name: &str| whole[name].clone();
    let bare =
        json!(
            [field("policy_bundle_version"), "", field("bundle_hash"), "x", field("created_at"),]
        );
    let got = open(&bare.to_string()).unwrap_err();
    assert_eq!(got.code(), "bundle_bad_manifest");
    assert!(got.to_string().contains("the top level is not an object"), "{got}");
    let twice = whole.to_string().replacen('{', r#"{"name":"y","#, 1);
    assert_eq!(open(&twice).unwrap_err().code(), "bundle_bad_manifest");
}

#[test]
fn data_in_which_a_key_stands_twice_is_refused_in_both_kinds_of_bundle() {
    let twice = r#"{"allowed":{"tool.echo":false,"tool.echo":true}}"#;
    let list = [("a.rego", ALLOW), ("data.json", twice)];
    let any = RuntimeRequirement::default();
    let got = build(&files(&list), &recipe("1.0.0", &any)).unwrap_err();
    assert_eq!(got.code(), "bundle_bad_data");
    assert!(got.to_string().contains("key `tool.echo` stands twice in an object"), "{got}");
    let entries = [file(".manifest", "{}"), file("a.rego", ALLOW), file("data.json", twice)];
    assert_eq!(refused(&packed(&entries)).code(), "bundle_bad_data");
    let manifest = r#"{"revision":"1","revision":"2"}"#;
    let entries = [file(".manifest", manifest), file("a.rego", ALLOW)];
    assert_eq!(refused(&packed(&entries)).code(), "bundle_bad_manifest");
    let reserved = r#"{"x":{"$serde_json::private::RawValue":"[1]"}}"#;
    let entries = [file(".manifest", "{}"), file("a.rego", ALLOW), file("data.json", reserved)];
    assert_eq!(refused(&packed(&entries)).code(), "bundle_bad_data");
}

#[test]
fn content_that_the_manifest_does_not_know_is_refused() {
    let list = [("a.rego", ALLOW)];
    let good = manifest(&list, "name", &json!("x"));
    let changed = packed(&[file("manifest.json", &good), file("a.rego", DENY)]);
    assert_eq!(refused(&changed).code(), "bundle_hash_mismatch");
    let renamed = packed(&[file("manifest.json", &good), file("b.rego", ALLOW)]);
    assert_eq!(refused(&renamed).code(), "bundle_hash_mismatch");
    let more = packed(&[file("manifest.json", &good), file("a.rego", ALLOW), file("b.rego", DENY)]);
    assert_eq!(refused(&more).code(), "bundle_hash_mismatch");
    let less = packed(&[file("manifest.json", &good)]);
    assert_eq!(refused(&less).code(), "bundle_hash_mismatch");
    let alien = packed(&[file("manifest.json", &good), file("a.rego", ALLOW), file("x.sh", "")]);
    assert_eq!(refused(&alien), BundleError::Unexpected { name: "x.sh".to_owned() });
    let bare = packed(&[file("a.rego", ALLOW)]);
    assert_eq!(refused(&bare), BundleError::NoManifest);
    let both =
        packed(&[file("manifest.json", &good), file(".manifest", "{}"), file("a.rego", ALLOW)]);
    assert_eq!(refused(&both), BundleError::TwoManifests);
    let no_modules = packed(&[file(".manifest", "{}"), file("data.json", "{}")]);
    assert_eq!(refused(&no_modules), BundleError::NoModules);
    let good = packed(&[file("manifest.json", &good), file("a.rego", ALLOW)]);
    assert_eq!(word(&Bundle::open(&good).unwrap().evaluator().unwrap().evaluate(&echo())), "allow");
}

#[test]
fn names_that_lead_elsewhere_and_special_files_are_refused() {
    let manifest = || file("manifest.json", "{}");
    assert_eq!(fault(&[manifest(), file("/a.rego", ALLOW)]), PathFault::Absolute);
    assert_eq!(fault(&[file(".manifest", "{}"), file("/a.rego", ALLOW)]), PathFault::Absolute);
    assert_eq!(fault(&[manifest(), file("../a.rego", ALLOW)]), PathFault::Parent);
    assert_eq!(fault(&[file("/.manifest", "{}"), file("/x/../a.rego", ALLOW)]), PathFault::Parent);
    assert_eq!(fault(&[manifest(), file("a\\b.rego", ALLOW)]), PathFault::Forbidden);
    assert_eq!(fault(&[manifest(), file("a\nb.rego", ALLOW)]), PathFault::Forbidden);
    assert_eq!(fault(&[manifest(), file("a//b.rego", ALLOW)]), PathFault::Empty);
    let raw = Entry { name: b"\xff.rego", kind: EntryType::Regular, content: b"" };
    assert_eq!(fault(&[manifest(), raw]), PathFault::NotUtf8);
    for (kind, text) in [
        (EntryType::Symlink, "symbolic link"),
        (EntryType::Link, "hard link"),
        (EntryType::Char, "device"),
        (EntryType::Block, "device"),
        (EntryType::Fifo, "named pipe"),
        (EntryType::Continuous, "special entry of type 0x37"),
        (EntryType::XGlobalHeader, "special entry of type 0x67"),
    ] {
        let entry = Entry { name: b"a.rego", kind, content: b"" };
        let got = refused(&packed(&[manifest(), entry]));
        let want = BundleError::SpecialEntry { name: "a.rego".to_owned(), kind: text.to_owned() };
        assert_eq!(got, want);
    }
    let long = format!("{}.rego", "a/".repeat(PATH_LEN_MAX / 2));
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut sized(0), &long, &b""[..]).unwrap();
    let got = refused(&gzip(&archive.into_inner().unwrap()));
    assert!(matches!(got, BundleError::BadPath { fault: PathFault::TooLong, .. }), "{got:?}");
}

fn sized(len: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(len);
    header
}

#[test]
fn names_that_mean_the_same_file_are_duplicates() {
    for second in ["a.rego", "A.rego", "./a.rego", "a.REGO"] {
        let got =
            refused(&packed(&[file(".manifest", "{}"), file("a.rego", ALLOW), file(second, DENY)]));
        assert!(matches!(got, BundleError::Duplicate { .. }), "{second}: {got:?}");
    }
}

#[test]
fn limits_hold_while_unpacking() {
    let many: Vec<_> = (0..=ENTRIES_MAX).map(|i| format!("{i}.rego")).collect();
    let many: Vec<_> = many.iter().map(|name| file(name, "")).collect();
    assert_eq!(refused(&packed(&many)), BundleError::TooManyEntries);

    let long = "#".repeat((1 << 20) + 1);
    let got = refused(&packed(&[file("a.rego", &long)]));
    assert!(matches!(got, BundleError::EntryTooLong { limit: 1_048_576, .. }), "{got:?}");
    let got = refused(&packed(&[file("manifest.json", &long)]));
    assert!(matches!(got, BundleError::EntryTooLong { limit: 65_536, .. }), "{got:?}");

    // A header may claim any length; nothing is allocated for it.
    for (len, code) in [
        (ENTRY_LEN_MAX + 1, "bundle_entry_too_long"),
        (u64::MAX >> 2, "bundle_entry_too_long"),
        (u64::MAX, "bundle_not_tar"),
    ] {
        let mut claimed = sized(len);
        claimed.set_path("data.json").unwrap();
        claimed.set_cksum();
        assert_eq!(refused(&gzip(claimed.as_bytes())).code(), code, "{len}");
    }

    // Sixteen times the limit in zeros, packed into a few kilobytes.
    let bomb = gzip(&vec![0; UNPACKED_LEN_MAX * 16]);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(refused(&bomb), BundleError::UnpackedTooLong);
    let data = format!("{{\"a\": \"{}\"}}", "x".repeat(7 << 20));
    let names = ["a/data.json", "b/data.json", "c/data.json"];
    let entries: Vec<_> = names.iter().map(|name| file(name, &data)).collect();
    assert_eq!(refused(&packed(&entries)), BundleError::UnpackedTooLong);
    // A long name is an entry before the entry; it cannot be longer than everything together.
    let name =
        Entry { name: b"x", kind: EntryType::GNULongName, content: &vec![b'a'; UNPACKED_LEN_MAX] };
    let got = refused(&packed(&[name, file("a.rego", ALLOW)]));
    assert!(matches!(got, BundleError::UnpackedTooLong | BundleError::NotTar { .. }), "{got:?}");

    let len = BUNDLE_LEN_MAX + 1;
    assert_eq!(refused(&vec![0; len]), BundleError::TooLong { len });
}

#[test]
fn nothing_may_follow_the_end() {
    let good = built(&[("a.rego", ALLOW)]);
    let mut more = good.clone();
    more.push(0);
    assert_eq!(refused(&more), BundleError::Trailing { layer: "gzip file", len: 1 });
    let twice = [good.clone(), good.clone()].concat();
    let len = good.len();
    assert_eq!(refused(&twice), BundleError::Trailing { layer: "gzip file", len });
    let mut archive = gunzip(&good);
    archive.extend([0; 512]);
    Bundle::open(&gzip(&archive)).unwrap();
    archive.extend(b"hidden");
    let got = refused(&gzip(&archive));
    assert_eq!(got, BundleError::Trailing { layer: "tar archive", len: 6 });
}

#[test]
fn every_cut_is_refused() {
    let good = built(&[("a.rego", ALLOW), ("data.json", "{}")]);
    for len in 0..good.len() {
        refused(&good[..len]);
    }
    refused(b"");
    refused(b"not a gzip file");
    refused(&gzip(b"not a tar archive, although it is rather long".repeat(30).as_slice()));
}

#[test]
fn bundles_of_opa_load_as_they_are() {
    let policy = "package autonomy\nallow if input.kind in data.tools.allowed\n";
    let data = r#"{"tools": {"allowed": ["tool.echo"]}}"#;
    let nested = r#"{"allowed": ["tool.echo"]}"#;
    let manifest =
        r#"{"revision": "2026-03-01/7", "roots": [""], "rego_version": 1, "metadata": {"x": 1}}"#;
    let dir = |name: &'static str| Entry {
        name: name.as_bytes(),
        kind: EntryType::Directory,
        content: b"",
    };
    let bundles = [
        // As the documentation draws them.
        vec![file(".manifest", manifest), file("data.json", data), file("policy/a.rego", policy)],
        // As `opa build` writes them.
        vec![
            file("/data.json", data),
            file("/policy/a.rego", policy),
            file("/.manifest", manifest),
        ],
        // As `tar` in the directory writes them.
        vec![
            dir("./"),
            file("./.manifest", manifest),
            dir("./tools/"),
            file("./tools/data.json", nested),
            dir("./policy/"),
            file("./policy/a.rego", policy),
        ],
        // With what is no part of the policy.
        vec![
            file(".manifest", manifest),
            file("data.json", data),
            file("a.rego", policy),
            file(".signatures.json", "{}"),
            file("policy.wasm", "\0asm"),
            file("plan.json", "{}"),
        ],
    ];
    for entries in bundles {
        let bundle = Bundle::open(&packed(&entries)).unwrap();
        assert_eq!(
            (bundle.version(), bundle.name(), bundle.created_at()),
            ("2026-03-01/7", None, None)
        );
        assert!(bundle.requirement().is_empty());
        let evaluator = bundle.evaluator().unwrap();
        assert_eq!(word(&evaluator.evaluate(&echo())), "allow");
        assert_eq!(
            word(&evaluator.evaluate(&kit::request("tool.shell", &json!({})))),
            "no_rule_matched"
        );
    }
}

#[test]
fn bundles_of_opa_that_would_mean_something_else_here_are_refused() {
    let policy = "package autonomy\nallow if input.kind in data.tools.allowed\n";
    let nested = r#"{"allowed": ["tool.echo"]}"#;
    let bytes = packed(&[file(".manifest", "{}"), file("a.rego", policy)]);
    let bundle = Bundle::open(&bytes).unwrap();
    assert_eq!(bundle.version(), format!("opa-{}", &bundle.digest()[7..19]));
    for (manifest, code) in [
        (r#"{"rego_version": 0}"#, "bundle_bad_manifest"),
        (r#"{"revision": 7}"#, "bundle_bad_manifest"),
        (r#"{"revision": "a\nb"}"#, "bundle_bad_name"),
        ("[]", "bundle_bad_manifest"),
    ] {
        let got = refused(&packed(&[file(".manifest", manifest), file("a.rego", policy)]));
        assert_eq!(got.code(), code, "{manifest}");
    }
    let yaml =
        packed(&[file(".manifest", "{}"), file("a.rego", policy), file("data.yaml", "a: 1")]);
    assert_eq!(refused(&yaml), BundleError::Unexpected { name: "data.yaml".to_owned() });
    let overlap = packed(&[
        file(".manifest", "{}"),
        file("a.rego", policy),
        file("data.json", r#"{"tools": {"allowed": []}}"#),
        file("tools/data.json", nested),
    ]);
    let want =
        BundleError::DataOverlap { name: "tools/data.json".into(), path: "tools.allowed".into() };
    assert_eq!(refused(&overlap), want);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A byte changed, inserted or removed anywhere: refused, or the same policy (parts of a gzip
    /// header mean nothing). A policy that denies never allows.
    #[test]
    fn a_mutated_bundle_is_refused_or_the_same(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3_u8,
    ) {
        let good = built(&[("a.rego", DENY), ("data.json", "{\"a\": [1]}")]);
        let mut bytes = good.clone();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => _ = bytes.remove(at),
        }
        if let Ok(bundle) = Bundle::open(&bytes) {
            let original = Bundle::open(&good).unwrap();
            prop_assert_eq!(bundle.hash(), original.hash());
            let decision = bundle.evaluator().unwrap().evaluate(&echo());
            prop_assert_eq!(word(&decision), "policy_denied");
        }
    }

    /// The same below gzip, where no checksum protects.
    #[test]
    fn a_mutated_archive_is_refused_or_denies(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3_u8,
    ) {
        let mut bytes = gunzip(&built(&[("a.rego", DENY), ("data.json", "{\"a\": [1]}")]));
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => _ = bytes.remove(at),
        }
        if let Ok(evaluator) = Bundle::open(&gzip(&bytes)).map(|it| it.evaluator()) {
            prop_assert_eq!(word(&evaluator.unwrap().evaluate(&echo())), "policy_denied");
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(Bundle::open(&bytes).is_err());
        prop_assert!(Bundle::open(&gzip(&bytes)).is_err());
    }
}
