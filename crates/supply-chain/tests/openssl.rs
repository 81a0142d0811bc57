//! Keys and signatures, exchanged with `openssl`, which shares no code with this crate. Where it is missing the tests
//! say so and check nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use supply_chain::{PublicKey, SigningKey, SigningKeyError};

const MESSAGE: &[u8] = b"what was signed";
const SEALED: &str = "-passin pass:secret";

/// Runs `openssl` in a directory.
fn openssl(at: &Path, args: &str) -> Output {
    Command::new("openssl").args(args.split_whitespace()).current_dir(at).output().unwrap()
}

#[track_caller]
fn run(at: &Path, args: &str) -> Vec<u8> {
    let output = openssl(at, args);
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A directory for one test; `None` when `openssl` is not installed, which the test says.
fn directory(test: &str) -> Option<tempfile::TempDir> {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(std::env::var_os("AUTONOMY_NO_SKIP").is_none(), "no test may be skipped here");
        // Not `eprintln`: that is captured, and a skip must be seen.
        let line = format!("skipped {test}: openssl is not installed\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    }
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("message"), MESSAGE).unwrap();
    Some(temp)
}

fn text(at: &Path, name: &str) -> String {
    fs::read_to_string(at.join(name)).unwrap()
}

#[test]
fn openssl_reads_our_keys() {
    let Some(temp) = directory("openssl_reads_our_keys") else { return };
    let at = temp.path();
    let key = SigningKey::generate([7; 32]);
    fs::write(at.join("plain"), &*key.to_pem(None, [1; 32]).unwrap()).unwrap();
    fs::write(at.join("sealed"), &*key.to_pem(Some("secret"), [2; 32]).unwrap()).unwrap();
    fs::write(at.join("public"), key.public().to_pem()).unwrap();
    let public = key.public().to_pem().into_bytes();
    assert_eq!(run(at, "pkey -in plain -pubout"), public);
    assert_eq!(run(at, &format!("pkey -in sealed {SEALED} -pubout")), public);
    assert_eq!(run(at, "pkey -pubin -in public -pubout"), public);
    assert!(!openssl(at, "pkey -in sealed -passin pass:other -pubout").status.success());
    // It writes the plain key as we do, byte for byte.
    assert_eq!(run(at, "pkey -in plain"), text(at, "plain").into_bytes());
}

#[test]
fn a_key_is_called_what_openssl_calls_it() {
    let Some(temp) = directory("a_key_is_called_what_openssl_calls_it") else { return };
    let at = temp.path();
    for kind in ["ed25519", "ec -pkeyopt ec_paramgen_curve:P-256"] {
        run(at, &format!("genpkey -algorithm {kind} -out key"));
        run(at, "pkey -in key -pubout -out public");
        run(at, "pkey -in key -pubout -outform DER -out public.der");
        let digest = String::from_utf8(run(at, "dgst -sha256 -r public.der")).unwrap();
        let public = PublicKey::from_pem(&text(at, "public")).unwrap();
        assert_eq!(digest.split(' ').next(), Some(public.id().to_string().as_str()));
        assert_eq!(public.to_pem(), text(at, "public"));
    }
}

#[test]
fn openssl_verifies_our_signature() {
    let Some(temp) = directory("openssl_verifies_our_signature") else { return };
    let at = temp.path();
    let key = SigningKey::generate([7; 32]);
    fs::write(at.join("public"), key.public().to_pem()).unwrap();
    fs::write(at.join("signature"), key.sign(MESSAGE)).unwrap();
    let verify = "pkeyutl -verify -rawin -pubin -inkey public -sigfile signature -in";
    run(at, &format!("{verify} message"));
    fs::write(at.join("other"), b"what was not signed").unwrap();
    assert!(!openssl(at, &format!("{verify} other")).status.success());
}

#[test]
fn keys_and_signatures_of_openssl_are_accepted() {
    let Some(temp) = directory("keys_and_signatures_of_openssl_are_accepted") else { return };
    let at = temp.path();
    for (kind, sign) in [
        ("ed25519", "pkeyutl -sign -rawin -inkey key -in message -out signature"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "dgst -sha256 -sign key -out signature message"),
    ] {
        run(at, &format!("genpkey -algorithm {kind} -out key"));
        run(at, "pkey -in key -pubout -out public");
        run(at, sign);
        let public = PublicKey::from_pem(&text(at, "public")).unwrap();
        let signature = fs::read(at.join("signature")).unwrap();
        assert_eq!(public.verify(MESSAGE, &signature), Ok(()), "{kind}");
        assert!(public.verify(b"another", &signature).is_err());
    }
}

#[test]
fn private_keys_of_openssl_are_read_however_they_are_encrypted() {
    let test = "private_keys_of_openssl_are_read_however_they_are_encrypted";
    let Some(temp) = directory(test) else { return };
    let at = temp.path();
    run(at, "genpkey -algorithm ed25519 -out key");
    let plain = SigningKey::from_pem(&text(at, "key"), None).unwrap();
    for how in [
        "",
        "-scrypt",
        "-scrypt -scrypt_N 8192 -scrypt_r 8 -scrypt_p 2",
        "-v2 aes-128-cbc",
        "-v2 aes-256-cbc -v2prf hmacWithSHA512 -iter 20000",
    ] {
        run(at, &format!("pkcs8 -topk8 -in key -out sealed {how} -passout pass:secret"));
        let sealed = text(at, "sealed");
        let read = SigningKey::from_pem(&sealed, Some("secret")).unwrap();
        assert_eq!(read.public(), plain.public(), "{how}");
        let error = SigningKey::from_pem(&sealed, Some("other")).unwrap_err();
        assert_eq!(error, SigningKeyError::PasswordWrong, "{how}");
    }
    for how in ["-v2 des3", "-v2 aes-256-cbc -v2prf hmacWithSHA1", "-v1 PBE-SHA1-3DES"] {
        run(at, &format!("pkcs8 -topk8 -in key -out sealed {how} -passout pass:secret"));
        let error = SigningKey::from_pem(&text(at, "sealed"), Some("secret")).unwrap_err();
        assert_eq!(error, SigningKeyError::Cipher, "{how}");
    }
}

#[test]
fn keys_of_openssl_that_cannot_sign_here_are_named() {
    let Some(temp) = directory("keys_of_openssl_that_cannot_sign_here_are_named") else { return };
    let at = temp.path();
    for (make, found) in [
        ("ecparam -name prime256v1 -genkey -noout -out key", "an ECDSA key"),
        ("genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-256 -out key", "an ECDSA key"),
        ("genrsa -out key 1024", "an RSA key"),
        ("genrsa -traditional -out key 1024", "an RSA key"),
        ("genpkey -algorithm ed448 -out key", "a key of the algorithm 1.3.101.113"),
    ] {
        run(at, make);
        let error = SigningKey::from_pem(&text(at, "key"), None).unwrap_err();
        assert_eq!(error, SigningKeyError::Other { found: found.to_owned() }, "{make}");
    }
}
