//! Key files: what is made, what is shown, what is refused.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use crate::world::{IMAGE, World};

const PASSWORD: (&str, &str) = ("AUTONOMY_KEY_PASSWORD", "correct horse");

#[test]
fn keys_are_for_their_owner_and_never_replaced() {
    let world = World::empty();
    let made = world.json(&["keys", "generate", "--out", "a/b"]);
    assert_eq!(made["encrypted"], false);
    for name in ["a/b/autonomy.key", "a/b/autonomy.pub"] {
        assert_eq!(fs::metadata(world.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(world.json(&["keys", "show", name])["key_id"], made["key_id"]);
    }
    let before = world.text("a/b/autonomy.key");
    assert_eq!(
        world.error(&["keys", "generate", "--out", "a/b"], 6)["error"]["code"],
        "KEY_EXISTS"
    );
    assert_eq!(world.text("a/b/autonomy.key"), before);
    let again = world.json(&["keys", "generate", "--out", "c"]);
    assert_ne!(again["key_id"], made["key_id"]);
    fs::write(world.path("no.key"), "no key").unwrap();
    assert_eq!(world.error(&["keys", "show", "no.key"], 8)["error"]["code"], "KEY_INVALID");
    assert_eq!(world.error(&["keys", "show", "none"], 5)["error"]["code"], "IO");
}

#[test]
fn an_encrypted_key_signs_with_its_password_alone() {
    let world = World::new();
    let made = world.ok_with(&["keys", "generate", "--out", "sealed"], &[PASSWORD]);
    assert!(made.stdout.contains("encrypted    yes"), "{made:?}");
    assert!(world.text("sealed/autonomy.key").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let sign = ["sign", "--image", IMAGE, "--key", "sealed/autonomy.key"];
    for (env, exit, code) in [
        (&[][..], 2, "KEY_PASSWORD_MISSING"),
        (&[(PASSWORD.0, "wrong")], 3, "KEY_PASSWORD_WRONG"),
        (&[(PASSWORD.0, "wrong"), ("COSIGN_PASSWORD", PASSWORD.1)], 3, "KEY_PASSWORD_WRONG"),
    ] {
        let failed = world.run(&sign, env);
        assert_eq!(failed.code(), Some(exit), "{failed:?}");
        assert!(failed.stderr.contains(code) && !failed.stderr.contains("wrong\n"), "{failed:?}");
    }
    assert_eq!(world.json(&["oci", "inspect", "--image", IMAGE])["signatures"], 0);
    world.ok_with(&sign, &[PASSWORD]);
    world.ok_with(&sign, &[("COSIGN_PASSWORD", PASSWORD.1)]);
    world.ok(&["verify", "--image", IMAGE, "--pub", "sealed/autonomy.pub"]);
    let plain = world.run(&["sign", "--image", IMAGE, "--key", "keys/autonomy.key"], &[PASSWORD]);
    assert_eq!(plain.code(), Some(2), "{plain:?}");
    assert!(plain.stderr.contains("KEY_NOT_ENCRYPTED"), "{plain:?}");
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let world = World::new();
    let sign = ["sign", "--image", IMAGE, "--key", "keys/autonomy.key"];
    for mode in [0o640, 0o604, 0o602] {
        fs::set_permissions(world.path("keys/autonomy.key"), Permissions::from_mode(mode)).unwrap();
        assert_eq!(world.error(&sign, 3)["error"]["code"], "KEY_READABLE_BY_OTHERS", "{mode:o}");
    }
    fs::set_permissions(world.path("keys/autonomy.key"), Permissions::from_mode(0o600)).unwrap();
    world.ok(&sign);
}
