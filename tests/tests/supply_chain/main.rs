//! The supply chain with real processes: keys, a lock, signatures, verification, and what has to fail.
//!
//! | module    | what it does                                                             |
//! |-----------|--------------------------------------------------------------------------|
//! | `world`   | a directory with keys, a policy bundle and an image in a layout           |
//! | `keys`    | key files that are refused                                               |
//! | `outside` | openssl, a machine without a network, a real registry                     |
//! | `pages`   | the commands of the book                                                  |
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod keys;
mod outside;
mod pages;
mod world;

use std::fs;

use serde_json::Value;
use supply_chain::{Digest, REPORT_PREDICATE_TYPE, Statement};
use world::{IMAGE, REQUIRED, World, public_key};

#[test]
fn what_is_signed_verifies_and_the_report_says_what_that_means() {
    let world = World::signed();
    let done = world.ok(&REQUIRED);
    for line in ["step 1  signatures   ok", "step 2  digests      ok", "step 4  version      ok"] {
        assert!(done.stdout.contains(line), "{done:?}");
    }
    assert!(done.stdout.contains("\nVERIFIED\nnot established:\n"), "{done:?}");
    assert_eq!(done.stderr, "");

    let report = world.json(&REQUIRED);
    assert_eq!(report["result"], "verified");
    assert_eq!(report["signatures"].as_array().unwrap().len(), 3);
    assert_eq!(report["lock"]["release_counter"], 1);
    assert_eq!(report["freshness"]["checked"], true);
    // Less that is asked for is less that is established, and is said.
    let less =
        world.json(&["verify", "--image", IMAGE, "--pub", "keys/autonomy.pub", "--skip-layers"]);
    assert_eq!(less["steps"][2]["state"], "not_required");
    assert!(less["not_established"].to_string().contains("only its manifest"), "{less}");
    let policy = world.json(&["bundle", "verify", IMAGE, "--pub", "keys/autonomy.pub"]);
    assert!(policy["not_established"].to_string().contains("without the lock"), "{policy}");
}

#[test]
fn a_lock_with_one_nibble_flipped_and_attached_again_is_rejected() {
    let world = World::signed();
    world.ok(&["oci", "pull-lock", "--image", IMAGE, "--out", "lock.json"]);
    let lock = world.text("lock.json");
    assert_eq!(lock, world.text("autonomy.lock.json"), "byte for byte");
    let (before, after) = lock.split_once("\"digest\": \"sha256:").unwrap();
    let nibble = after.chars().next().unwrap();
    let flipped = format!("{:x}", nibble.to_digit(16).unwrap() ^ 1);
    let bad = format!("{before}\"digest\": \"sha256:{}", after.replacen(nibble, &flipped, 1));
    fs::write(world.path("bad.json"), bad).unwrap();
    world.ok(&["oci", "attach-lock", "--image", IMAGE, "--lock", "bad.json"]);

    let also = "\nNOT VERIFIED (ErrUnsigned; also ErrDigestMismatch, ErrFingerprintMismatch)\n";
    let failed = world.fails(&REQUIRED, 8);
    assert!(failed.stdout.contains(also), "{failed:?}");
    assert!(failed.stdout.contains("step 2  digests      FAILED        ErrDigestMismatch"));
    assert!(failed.stdout.contains("step 3  fingerprint  FAILED        ErrFingerprintMismatch"));
    assert!(failed.stderr.contains("\nhint: the lock was changed: do not sign it; "), "{failed:?}");
    let error = world.error(&REQUIRED, 8);
    assert_eq!(error["error"]["code"], "ErrUnsigned");
    assert_eq!(error["report"]["steps"][1]["code"], "ErrDigestMismatch");
    // Nobody signs it by mistake either.
    let sign = ["sign", "--image", IMAGE, "--key", "keys/autonomy.key", "--lock"];
    assert_eq!(world.error(&sign, 8)["error"]["code"], "ErrFingerprintMismatch");
    let verify = ["lock", "verify", "bad.json"];
    assert_eq!(world.error(&verify, 8)["error"]["code"], "ErrFingerprintMismatch");
    // The right one again, as it was signed.
    world.ok(&["oci", "attach-lock", "--image", IMAGE, "--lock", "lock.json"]);
    world.ok(&REQUIRED);
}

#[test]
fn what_is_missing_is_a_failure_with_a_name() {
    let world = World::new();
    let verify = |extra: &[&'static str]| {
        [&["verify", "--image", IMAGE, "--pub", "keys/autonomy.pub"], extra].concat()
    };
    assert_eq!(world.error(&verify(&[]), 8)["error"]["code"], "ErrUnsigned");
    world.ok(&["sign", "--image", IMAGE, "--key", "keys/autonomy.key"]);
    world.ok(&verify(&[]));
    for flag in ["--require-lock", "--require-policy"] {
        assert_eq!(world.error(&verify(&[flag]), 8)["error"]["code"], "ErrNothingToVerify");
    }
    let nothing = ["verify", "--image", "oci:layout:9.9.9", "--pub", "keys/autonomy.pub"];
    assert_eq!(world.error(&nothing, 8)["error"]["code"], "ErrNothingToVerify");
    for (command, code) in [
        (&["oci", "pull-lock", "--image", IMAGE, "--out", "x"][..], "SIDECAR_NOT_FOUND"),
        (
            &["sign", "--image", IMAGE, "--key", "keys/autonomy.key", "--policy"],
            "SIDECAR_NOT_FOUND",
        ),
        (&["sign", "--image", "oci:layout:9.9.9", "--key", "keys/autonomy.key"], "IMAGE_NOT_FOUND"),
        (&["oci", "inspect", "--image", "oci:layout:9.9.9"], "IMAGE_NOT_FOUND"),
    ] {
        assert_eq!(world.error(command, 5)["error"]["code"], code, "{command:?}");
    }
    assert!(!world.path("x").exists());
    let no_key = ["verify", "--image", IMAGE];
    assert_eq!(world.error(&no_key, 2)["error"]["code"], "NO_PUBLIC_KEY");
    world.ok_with(&no_key, &[("AUTONOMY_COSIGN_PUBKEY", "keys/autonomy.pub")]);
    let mut many = verify(&[]);
    many.extend(["--pub", "keys/autonomy.pub"].repeat(16));
    assert_eq!(world.error(&many, 2)["error"]["code"], "TOO_MANY_KEYS");
}

#[test]
fn a_threshold_counts_keys_and_each_key_once() {
    let world = World::signed();
    world.ok(&["keys", "generate", "--out", "other"]);
    let two = |keys: [&'static str; 2]| {
        let args = ["--pub", keys[0], "--pub", keys[1], "--threshold", "2"];
        [&REQUIRED[..3], &["--require-lock"], &args].concat()
    };
    let (a, b) = ("keys/autonomy.pub", "other/autonomy.pub");
    for keys in [[a, a], [a, b]] {
        let error = world.error(&two(keys), 8);
        assert_eq!(error["error"]["code"], "ErrBadSignature", "{error}");
    }
    // The same key signs twice; then the other one does.
    world.ok(&["sign", "--image", IMAGE, "--key", "keys/autonomy.key", "--lock"]);
    assert_eq!(world.error(&two([a, a]), 8)["error"]["code"], "ErrBadSignature");
    let signed = world.json(&["sign", "--image", IMAGE, "--key", "other/autonomy.key", "--lock"]);
    assert_eq!(signed["signed"].as_array().unwrap().len(), 2);
    world.ok(&two([a, b]));
    world.ok(&REQUIRED);
    assert_eq!(world.error(&two([a, a]), 8)["error"]["code"], "ErrBadSignature");
    let one = [&REQUIRED[..], &["--threshold", "2"]].concat();
    assert_eq!(world.error(&one, 2)["error"]["code"], "BAD_THRESHOLD");
    let wrong = ["verify", "--image", IMAGE, "--pub", b, "--require-policy"];
    assert_eq!(world.error(&wrong, 8)["error"]["code"], "ErrBadSignature");
}

#[test]
fn the_age_counts_unless_no_time_is_trusted() {
    let world = World::new();
    let sign = ["sign", "--image", IMAGE, "--key", "keys/autonomy.key"];
    let no_time = [("AUTONOMY_TRUST_TIME", "false")];
    let verify = ["verify", "--image", IMAGE, "--pub", "keys/autonomy.pub"];
    world.ok_with(&sign, &no_time);
    assert_eq!(world.error(&verify, 8)["error"]["code"], "ErrSignatureExpired");
    let done = world.ok_with(&verify, &no_time);
    assert!(done.stdout.contains("no time was looked at"), "{done:?}");
    // What the command line asks for wins.
    let aged = [&verify[..], &["--max-age", "1h"]].concat();
    let failed = world.run(&aged, &no_time);
    assert_eq!(failed.code(), Some(8), "{failed:?}");
    world.ok(&sign);
    world.ok(&aged);
    // A nanosecond is over before the next process looks.
    let now = [&verify[..], &["--max-age", "1ns"]].concat();
    let error = world.error(&now, 8)["error"].clone();
    assert_eq!(error["code"], "ErrSignatureExpired");
    assert!(error["message"].as_str().unwrap().ends_with("; --max-age is 1ns"), "{error}");
    let days = world.fails(&[&verify[..], &["--max-age", "1d"]].concat(), 2);
    assert!(days.stderr.contains("8760h"), "{days:?}");
    let odd = world.run(&verify, &[("AUTONOMY_TRUST_TIME", "no")]);
    assert_eq!((odd.code(), odd.stderr.contains("BAD_ENVIRONMENT")), (Some(2), true), "{odd:?}");
}

#[test]
fn a_statement_says_what_came_out_and_opens_with_the_public_key() {
    let world = World::signed();
    let args = [&REQUIRED[..], &["--statement", "s.json", "--key", "keys/autonomy.key"]].concat();
    let done = world.ok(&args);
    assert!(done.stderr.contains("statement (verified) written to s.json"), "{done:?}");
    let key = public_key(&world.path("keys/autonomy.pub"));
    let read = || {
        let bytes = fs::read(world.path("s.json")).unwrap();
        Statement::open(&bytes, std::slice::from_ref(&key)).unwrap().0
    };
    let good = read();
    assert_eq!(good.predicate_type, REPORT_PREDICATE_TYPE);
    assert_eq!(good.subject[0].name, IMAGE);
    let inspected = world.json(&["oci", "inspect", "--image", IMAGE]);
    assert_eq!(Value::from(good.subject[0].digest.to_string()), inspected["digest"]);
    assert_eq!(good.predicate["result"], "verified");

    world.ok(&["keys", "generate", "--out", "other"]);
    let other = public_key(&world.path("other/autonomy.pub"));
    let bytes = fs::read(world.path("s.json")).unwrap();
    assert!(Statement::open(&bytes, &[other]).is_err());

    let wrong = ["verify", "--image", IMAGE, "--pub", "other/autonomy.pub"];
    let failing = [&wrong[..], &["--statement", "s.json", "--key", "keys/autonomy.key"]].concat();
    let error = world.error(&failing, 8);
    let bad = read();
    assert_eq!(bad.predicate["code"], "ErrBadSignature");
    assert_eq!(bad.predicate, error["report"], "it is the same report");

    // Nothing is signed about nothing, and that is said.
    let nothing = ["verify", "--image", "oci:layout:9", "--pub", "keys/autonomy.pub"];
    let nothing = [&nothing[..], &["--statement", "n.json", "--key", "keys/autonomy.key"]].concat();
    let error = world.error(&nothing, 8);
    assert!(error["error"]["cause"].to_string().contains("statement was not written"), "{error}");
    assert!(!world.path("n.json").exists());
}

#[test]
fn a_push_signs_nothing_that_does_not_belong_together() {
    let world = World::new();
    let push = ["bundle", "push", "bundle.tar.gz", IMAGE, "--lock", "autonomy.lock.json"];
    let signing = [&push[..], &["--key", "keys/autonomy.key", "--sign-lock"]].concat();
    fs::create_dir(world.path("q")).unwrap();
    fs::write(world.path("q/a.rego"), "package autonomy\n\ndecision := {\"allow\": false}\n")
        .unwrap();
    world.ok(&["policy", "build", "--in", "q", "--out", "other.tar.gz", "--version", "1.0.0"]);
    let mut other = signing.clone();
    other[2] = "other.tar.gz";
    assert_eq!(world.error(&other, 8)["error"]["code"], "ErrDigestMismatch");
    let inspected = world.json(&["oci", "inspect", "--image", IMAGE]);
    assert_eq!((&inspected["policy"], &inspected["signatures"]), (&Value::Null, &0.into()));

    let pushed = world.json(&signing);
    let order: Vec<_> =
        pushed["signed"].as_array().unwrap().iter().map(|it| &it["artifact"]).collect();
    assert_eq!(order, ["policy", "lock", "image"]);
    world.ok(&REQUIRED);
    world.ok(&["bundle", "pull", IMAGE, "--out", "pulled.tar.gz"]);
    let digest = |name| Digest::sha256(&fs::read(world.path(name)).unwrap());
    assert_eq!(digest("pulled.tar.gz"), digest("bundle.tar.gz"));
    // Another bundle without its lock: the lock that is there names the old one.
    world.ok(&["bundle", "push", "other.tar.gz", IMAGE, "--key", "keys/autonomy.key"]);
    assert_eq!(world.error(&REQUIRED, 8)["error"]["code"], "ErrDigestMismatch");
}

#[test]
fn what_is_staged_verifies_on_its_own_and_what_is_not_verified_is_not_staged() {
    let world = World::signed();
    let stage = ["bundle", "stage", IMAGE, "--pub", "keys/autonomy.pub", "--to", "oci:usb:1.0.0"];
    let staged = world.json(&stage);
    assert_eq!(staged["copied"]["sidecars"], serde_json::json!(["lock", "policy"]));
    assert_eq!(staged["report"]["result"], "verified");
    fs::remove_dir_all(world.path("layout")).unwrap();
    let mut offline = REQUIRED.to_vec();
    offline[2] = "oci:usb:1.0.0";
    offline.push("--offline");
    world.ok(&offline);

    let unsigned = World::new();
    assert_eq!(unsigned.error(&stage, 8)["error"]["code"], "ErrUnsigned");
    assert!(!unsigned.path("usb").exists());
}

#[test]
fn what_an_operator_does_by_mistake_is_refused_before_anything_is_replaced() {
    let world = World::signed();
    let error = |args: &[&str], exit| world.error(args, exit)["error"].clone();
    let create = ["lock", "create", "--image", IMAGE, "--policy-bundle", "bundle.tar.gz"];
    let hash = format!("sha256:{}", "5".repeat(64));
    let named = ["--name", "arm", "--version", "1.0.0", "--release-counter", "2"];
    let hashes = ["--prompt-hash", &hash, "--tool-inputs-hash", &hash];
    let again = [&create[..], &named, &hashes, &["--out", "autonomy.lock.json"]].concat();
    let before = world.text("autonomy.lock.json");
    assert_eq!(error(&again, 6)["code"], "LOCK_EXISTS");
    assert_eq!(world.text("autonomy.lock.json"), before);

    world.ok(&["oci", "push-test-artifact", "--image", IMAGE]);
    let taken = ["oci", "push-test-artifact", "--image", "oci:layout:1.0.0-lock"];
    assert_eq!(error(&taken, 6)["code"], "TAG_TAKEN");
    world.ok(&REQUIRED);
    let nothing = error(&["oci", "inspect", "--image", "oci:layout:9"], 5);
    assert_eq!(nothing["hint"], "check tag and digest; there are: 1.0.0");

    let load = ["policy", "load", "--pub", "keys/autonomy.pub", "--wal-dir", "w"];
    let load = [&load[..], &["--policy-dir", "d", "--node-id", "n", "--lock"]].concat();
    let permit = error(&[&load[..], &[IMAGE, "--permit", "none.json"]].concat(), 5);
    assert_eq!(permit["code"], "IO");
    assert!(permit["message"].as_str().unwrap().contains("none.json"), "{permit}");
    for file in ["autonomy.lock.json", "./autonomy.lock.json", "none.json"] {
        let failed = world.fails(&[&load[..], &[file]].concat(), 2);
        assert!(failed.stderr.contains("--lock takes the image"), "{failed:?}");
    }
    assert!(!world.path("w").exists() && !world.path("d").exists());

    let place = error(&["verify", "--image", "oci:nowhere:1", "--pub", "keys/autonomy.pub"], 7);
    assert_eq!(place["code"], "ErrUnreachable");
    assert_eq!(place["message"], "nowhere: no image layout there (no file oci-layout)");
    assert_eq!(place["hint"], "check the path; is the disk mounted?");

    let private = error(&["verify", "--image", IMAGE, "--pub", "keys/autonomy.key"], 8);
    assert_eq!(private["hint"], "this is a private key: pass autonomy.pub");
    let public = error(&["sign", "--image", IMAGE, "--key", "keys/autonomy.pub"], 8);
    assert_eq!(public["hint"], "this is a public key: pass autonomy.key");
}

#[test]
fn who_signs_less_than_is_there_is_told_and_so_is_whose_signature_is_missing() {
    let world = World::signed();
    world.ok(&["keys", "generate", "--out", "new"]);
    let sign = ["sign", "--image", IMAGE, "--key", "new/autonomy.key"];
    for (options, note) in [
        (&[][..], "note: the lock and the policy beside it were not signed (--lock --policy)\n"),
        (&["--lock"], "note: the policy beside it was not signed (--policy)\n"),
        (&["--lock", "--policy"], ""),
    ] {
        assert_eq!(world.ok(&[&sign[..], options].concat()).stderr, note);
    }
    world.ok(&["keys", "generate", "--out", "third"]);
    let of = |keys: &[&'static str]| {
        let mut args = REQUIRED[..3].to_vec();
        args.extend(keys.iter().flat_map(|it| ["--pub", it]));
        args
    };
    let two =
        [&of(&["new/autonomy.pub", "third/autonomy.pub"])[..], &["--threshold", "2"]].concat();
    let error = world.error(&two, 8);
    assert!(error["error"]["hint"].to_string().contains("holders of the missing keys"), "{error}");
    assert_eq!(error["report"]["given_keys"].as_array().unwrap().len(), 2);
    let third = public_key(&world.path("third/autonomy.pub")).id().to_string();
    let failed = world.fails(&two, 8);
    assert!(failed.stdout.contains(&format!("\ngiven   key={third}\n")), "{failed:?}");
    let stranger = world.error(&of(&["third/autonomy.pub"]), 8);
    assert!(stranger["error"]["hint"].to_string().contains("do not load it"), "{stranger}");
}
