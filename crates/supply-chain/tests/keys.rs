//! Keys: what is read, what is refused and in which words, and that no byte of a key can change unnoticed.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use pkcs8::{
    EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef,
    der::{Encode as _, asn1::OctetStringRef, pem},
    pkcs5::{
        EncryptionScheme,
        pbes2::{EncryptionScheme as Cipher, Kdf, Parameters, Pbkdf2Params, ScryptParams},
    },
};
use proptest::prelude::*;
use supply_chain::{
    KeyFileError, PBKDF2_ROUNDS_MAX, PublicKey, PublicKeyError, SealError, SigningKey,
    SigningKeyError, keyfile,
};

const P256: &str = include_str!("fixtures/cosign.pub");
const P256_COMPRESSED: &str = include_str!("fixtures/p256-compressed.pub");
const PAYLOAD: &[u8] = include_bytes!("fixtures/cosign.payload");
const SIGNATURE: &str = include_str!("fixtures/cosign.signature");

fn key() -> SigningKey {
    SigningKey::generate([7; 32])
}

fn block(label: &str, der: &[u8]) -> String {
    pem::encode_string(label, pem::LineEnding::LF, der).unwrap()
}

fn p256_signature() -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(SIGNATURE).unwrap()
}

#[test]
fn a_public_key_is_written_as_it_was_read() {
    for text in [key().public().to_pem(), P256.to_owned()] {
        let public = PublicKey::from_pem(&text).unwrap();
        assert_eq!(public.to_pem(), text);
        assert_eq!(PublicKey::from_pem(&text.replace('\n', "\r\n")), Ok(public));
    }
}

#[test]
fn no_byte_of_a_public_key_can_change_unnoticed() {
    for text in [key().public().to_pem(), P256.to_owned()] {
        let public = PublicKey::from_pem(&text).unwrap();
        for (at, flip) in (0..text.len()).flat_map(|at| (1..=0x7f).map(move |flip| (at, flip))) {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= flip;
            let other = PublicKey::from_pem(std::str::from_utf8(&bytes).unwrap());
            let same = other.as_ref().is_ok_and(|it| it.id() == public.id());
            assert_eq!(same, other.is_ok_and(|it| it == public));
            // The same key only where the end of a line became another one (K1).
            assert!(!same || text.as_bytes()[at] == b'\n', "{at} {flip}");
        }
    }
}

#[test]
fn one_key_and_nothing_else_is_in_a_file() {
    let text = key().public().to_pem();
    for bad in [
        format!("{text}{text}"),
        format!("{P256}{text}"),
        format!("{text}trailing"),
        format!("preamble\n{text}"),
        text.replace("-----END", "=\n-----END"),
        text.to_lowercase(),
        String::new(),
        "x".repeat(1 << 20),
    ] {
        assert_eq!(PublicKey::from_pem(&bad), Err(PublicKeyError::Pem), "{bad:.200}");
    }
    let (_, der) = pem::decode_vec(text.as_bytes()).unwrap();
    let longer = block("PUBLIC KEY", &[der.as_slice(), &[0]].concat());
    assert_eq!(PublicKey::from_pem(&longer), Err(PublicKeyError::Point));
    let shorter = block("PUBLIC KEY", &der[..der.len() - 1]);
    assert_eq!(PublicKey::from_pem(&shorter), Err(PublicKeyError::Point));
    let private = key().to_pem(None, [0; 32]).unwrap();
    let found = "PRIVATE KEY".to_owned();
    assert_eq!(PublicKey::from_pem(&private), Err(PublicKeyError::Label { found }));
}

#[test]
fn a_key_has_one_form_and_belongs_to_somebody() {
    assert_eq!(PublicKey::from_pem(P256_COMPRESSED), Err(PublicKeyError::Kind)); // K1
    // The same point, compressed, behind the beginning of the other form.
    let (_, long) = pem::decode_vec(P256.as_bytes()).unwrap();
    let (_, short) = pem::decode_vec(P256_COMPRESSED.as_bytes()).unwrap();
    let mixed = [&long[..26], &short[26..]].concat();
    assert_eq!(PublicKey::from_pem(&block("PUBLIC KEY", &mixed)), Err(PublicKeyError::Point));
    let (_, der) = pem::decode_vec(key().public().to_pem().as_bytes()).unwrap();
    let with_point = |point: [u8; 32]| {
        PublicKey::from_pem(&block("PUBLIC KEY", &[&der[..12], point.as_slice()].concat()))
    };
    let identity = {
        let mut it = [0; 32];
        it[0] = 1;
        it
    };
    let minus_one = {
        let mut it = [0xff; 32];
        it[0] = 0xec;
        it[31] = 0x7f;
        it
    };
    for weak in [[0; 32], identity, minus_one] {
        assert_eq!(with_point(weak), Err(PublicKeyError::Point)); // K2
    }
    // y = p + 3 is another spelling of y = 3, which is on the curve.
    let spelled_again = {
        let mut it = [0xff; 32];
        it[0] = 0xf0;
        it[31] = 0x7f;
        it
    };
    let three = {
        let mut it = [0; 32];
        it[0] = 3;
        it
    };
    assert!(with_point(three).is_ok());
    assert_eq!(with_point(spelled_again), Err(PublicKeyError::Point)); // K1
}

#[test]
fn no_bit_of_message_and_signature_can_change_unnoticed() {
    let p256 = PublicKey::from_pem(P256).unwrap();
    let ours = key();
    let cases = [(ours.public().clone(), ours.sign(PAYLOAD).to_vec()), (p256, p256_signature())];
    for (public, signature) in cases {
        assert_eq!(public.verify(PAYLOAD, &signature), Ok(()));
        for bit in 0..signature.len() * 8 {
            let mut other = signature.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(public.verify(PAYLOAD, &other).is_err(), "{bit}"); // K3
        }
        for at in 0..PAYLOAD.len() {
            let mut other = PAYLOAD.to_vec();
            other[at] ^= 1;
            assert!(public.verify(&other, &signature).is_err(), "{at}");
        }
        for at in 0..signature.len() {
            assert!(public.verify(PAYLOAD, &signature[..at]).is_err());
        }
        assert!(public.verify(PAYLOAD, &[signature.as_slice(), &[0]].concat()).is_err());
    }
}

#[test]
fn a_signature_is_not_one_of_another_key() {
    let other = SigningKey::generate([8; 32]);
    let error = other.public().verify(PAYLOAD, &key().sign(PAYLOAD)).unwrap_err();
    assert_eq!(error.key, other.public().id());
    assert!(other.public().verify(PAYLOAD, &p256_signature()).is_err());
    assert!(PublicKey::from_pem(P256).unwrap().verify(PAYLOAD, &key().sign(PAYLOAD)).is_err());
}

#[test]
fn a_private_key_is_read_as_it_was_written() {
    let plain = key().to_pem(None, [0; 32]).unwrap();
    assert_eq!(SigningKey::from_pem(&plain, None).unwrap().public(), key().public());
    let sealed = key().to_pem(Some("pass wörd"), [9; 32]).unwrap();
    assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    let read = SigningKey::from_pem(&sealed, Some("pass wörd")).unwrap();
    assert_eq!(read.public(), key().public());
    assert_ne!(key().to_pem(Some("pass wörd"), [8; 32]).unwrap(), sealed);
}

#[track_caller]
fn private_refused(text: &str, password: Option<&str>, error: &SigningKeyError) {
    assert_eq!(SigningKey::from_pem(text, password).unwrap_err(), *error);
}

#[test]
fn a_password_that_is_wrong_missing_or_too_much_has_its_own_error() {
    let plain = key().to_pem(None, [0; 32]).unwrap();
    private_refused(&plain, Some("x"), &SigningKeyError::NotEncrypted);
    let sealed = key().to_pem(Some("right"), [9; 32]).unwrap();
    private_refused(&sealed, None, &SigningKeyError::PasswordMissing);
    private_refused(&sealed, Some("wrong"), &SigningKeyError::PasswordWrong);
    assert_eq!(key().to_pem(Some(""), [0; 32]).unwrap_err(), SealError::PasswordEmpty);
}

#[test]
fn keys_of_other_kinds_are_named() {
    let other = |found: &str| SigningKeyError::Other { found: found.to_owned() };
    for (label, error) in [
        ("ENCRYPTED SIGSTORE PRIVATE KEY", SigningKeyError::Cosign),
        ("ENCRYPTED COSIGN PRIVATE KEY", SigningKeyError::Cosign),
        ("EC PRIVATE KEY", other("an ECDSA key")),
        ("RSA PRIVATE KEY", other("an RSA key")),
        ("OPENSSH PRIVATE KEY", other("a key of OpenSSH")),
        ("PUBLIC KEY", other("a public key")),
        ("CERTIFICATE", other("a `CERTIFICATE`")),
        ("PRIVATE KEY", SigningKeyError::Pem),
    ] {
        private_refused(&block(label, b"content"), None, &error);
    }
    for (oid, found) in [
        ("1.2.840.10045.2.1", "an ECDSA key"),
        ("1.2.840.113549.1.1.1", "an RSA key"),
        ("1.3.101.113", "a key of the algorithm 1.3.101.113"),
    ] {
        let algorithm = pkcs8::AlgorithmIdentifierRef {
            oid: ObjectIdentifier::new(oid).unwrap(),
            parameters: None,
        };
        let secret = OctetStringRef::new(&[1; 32]).unwrap();
        let der = PrivateKeyInfoRef::new(algorithm, secret).to_der().unwrap();
        private_refused(&block("PRIVATE KEY", &der), None, &other(found));
    }
}

#[test]
fn a_private_key_whose_halves_do_not_fit_is_refused() {
    let algorithm = pkcs8::AlgorithmIdentifierRef {
        oid: ObjectIdentifier::new("1.3.101.112").unwrap(),
        parameters: None,
    };
    let secret = [[4, 32].as_slice(), &[7; 32]].concat();
    let info = |public: &[u8]| {
        let mut info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&secret).unwrap());
        info.public_key = Some(pkcs8::der::asn1::BitStringRef::new(0, public).unwrap());
        block("PRIVATE KEY", &info.to_der().unwrap())
    };
    let of = |key: &SigningKey| {
        let (_, der) = pem::decode_vec(key.public().to_pem().as_bytes()).unwrap();
        der[12..].to_vec()
    };
    assert!(SigningKey::from_pem(&info(&of(&key())), None).is_ok());
    let other = of(&SigningKey::generate([8; 32]));
    private_refused(&info(&other), None, &SigningKeyError::Damaged);
}

fn sealed_with(kdf: Kdf) -> String {
    let parameters = Parameters { kdf, encryption: Cipher::Aes256Cbc { iv: [0; 16] } };
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: EncryptionScheme::Pbes2(parameters),
        encrypted_data: OctetStringRef::new(&[0; 64]).unwrap(),
    };
    block("ENCRYPTED PRIVATE KEY", &info.to_der().unwrap())
}

#[test]
fn a_hostile_key_file_costs_no_time_and_no_memory() {
    let scrypt = |cost_parameter, block_size, parallelization| {
        let salt = [0_u8; 16].as_slice().try_into().unwrap();
        let key_length = None;
        let it = ScryptParams { salt, cost_parameter, block_size, parallelization, key_length };
        SigningKey::from_pem(&sealed_with(Kdf::Scrypt(it)), Some("x")).unwrap_err()
    };
    // Each of these would take gigabytes, or minutes (Y1).
    for (n, r, p) in [
        (1 << 30, 8, 1),
        (1 << 63, 1, 1),
        (1 << 17, 8, 1),
        (1 << 16, 8, 5),
        (1 << 15, 8, 9),
        (1 << 14, u16::MAX, 1),
        (2, 1, u16::MAX),
        (2, u16::MAX, u16::MAX),
        (1 << 63, u16::MAX, u16::MAX),
    ] {
        let error = scrypt(n, r, p);
        let small = u64::from(r) * u64::from(p) <= 1 << 16;
        let cheap = n == 2 && small;
        assert!(matches!(error, SigningKeyError::Work { .. }) != cheap, "{n} {r} {p} {error}");
    }
    for (n, r, p) in [(0, 8, 1), (1, 8, 1), (3, 8, 1), (u64::MAX, 8, 1), (16, 0, 1), (16, 8, 0)] {
        assert_eq!(scrypt(n, r, p), SigningKeyError::Cipher, "{n} {r} {p}");
    }
    let pbkdf2 = |rounds| {
        let it = Pbkdf2Params::hmac_sha256(rounds, &[0; 16]).unwrap();
        SigningKey::from_pem(&sealed_with(Kdf::Pbkdf2(it)), Some("x")).unwrap_err()
    };
    assert!(matches!(pbkdf2(PBKDF2_ROUNDS_MAX + 1), SigningKeyError::Work { .. }));
    assert_eq!(pbkdf2(0), SigningKeyError::Cipher);
    assert_eq!(pbkdf2(1), SigningKeyError::PasswordWrong);
}

#[test]
fn no_byte_of_a_sealed_key_file_upsets_the_reader() {
    // Cheap to open, so that every byte can be tried.
    let it = Pbkdf2Params::hmac_sha256(1, &[0; 16]).unwrap();
    let text = sealed_with(Kdf::Pbkdf2(it));
    let (_, der) = pem::decode_vec(text.as_bytes()).unwrap();
    for at in 0..der.len() {
        for flip in [1, 0x80, 0xff] {
            let mut other = der.clone();
            other[at] ^= flip;
            let text = block("ENCRYPTED PRIVATE KEY", &other);
            assert!(SigningKey::from_pem(&text, Some("x")).is_err());
        }
    }
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?} {:?}", key(), key().public());
    assert!(!shown.contains("0707") && !shown.contains("7, 7"), "{shown}"); // Y2
    assert!(shown.contains(&key().public().id().to_string()));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_pair_is_written_for_its_owner_alone_and_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let written = keyfile::write_pair(temp.path(), &key(), None, [0; 32]).unwrap();
    assert_eq!(written.private, temp.path().join("autonomy.key"));
    assert_eq!(written.public, temp.path().join("autonomy.pub"));
    assert_eq!((mode(&written.private), mode(&written.public)), (0o600, 0o600));
    let read = keyfile::read_signing_key(&written.private, None).unwrap();
    assert_eq!(read.public(), key().public());
    assert_eq!(keyfile::read_public_key(&written.public).unwrap(), *key().public());
}

#[test]
fn a_key_replaces_no_file_and_leaves_no_half() {
    for taken in ["autonomy.key", "autonomy.pub"] {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(taken), "precious").unwrap();
        let error = keyfile::write_pair(temp.path(), &key(), None, [0; 32]).unwrap_err();
        assert!(matches!(error, KeyFileError::AlreadyExists { path } if path.ends_with(taken))); // W2
        assert_eq!(fs::read_to_string(temp.path().join(taken)).unwrap(), "precious");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }
    let temp = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("elsewhere", temp.path().join("autonomy.key")).unwrap();
    let error = keyfile::write_pair(temp.path(), &key(), None, [0; 32]).unwrap_err();
    assert!(matches!(error, KeyFileError::AlreadyExists { .. }));
    assert!(!temp.path().join("elsewhere").exists());
    let error = keyfile::write_pair(&temp.path().join("no"), &key(), None, [0; 32]).unwrap_err();
    assert!(matches!(error, KeyFileError::Io { .. }));
}

#[test]
fn a_private_key_that_others_may_read_is_not_used() {
    let temp = tempfile::tempdir().unwrap();
    let path = keyfile::write_pair(temp.path(), &key(), None, [0; 32]).unwrap().private;
    for bad in [0o640, 0o604, 0o620, 0o601, 0o644, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bad)).unwrap();
        let error = keyfile::read_signing_key(&path, None).unwrap_err(); // W1
        assert!(matches!(&error, KeyFileError::ReadableByOthers { mode, .. } if *mode == bad));
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())));
    }
    for good in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(good)).unwrap();
        assert!(keyfile::read_signing_key(&path, None).is_ok());
    }
}

#[test]
fn only_regular_files_are_read_also_through_links() {
    let temp = tempfile::tempdir().unwrap();
    let path = keyfile::write_pair(temp.path(), &key(), None, [0; 32]).unwrap().private;
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(keyfile::read_signing_key(&link, None).is_ok());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = keyfile::read_signing_key(&link, None).unwrap_err();
    assert!(matches!(error, KeyFileError::ReadableByOthers { .. }));
    for bad in [temp.path(), Path::new("/dev/zero")] {
        let error = keyfile::read_public_key(bad).unwrap_err();
        assert!(matches!(error, KeyFileError::NotAFile { .. }), "{error}");
    }
    let long = temp.path().join("long");
    fs::write(&long, "x".repeat(1 << 20)).unwrap();
    assert!(matches!(keyfile::read_public_key(&long), Err(KeyFileError::TooLong { .. })));
    fs::write(&long, [0xff]).unwrap();
    assert!(matches!(keyfile::read_public_key(&long), Err(KeyFileError::NotText { .. })));
    let absent = keyfile::read_public_key(&temp.path().join("absent"));
    assert!(matches!(absent, Err(KeyFileError::Io { .. })));
}

proptest! {
    #[test]
    fn what_a_key_signs_it_verifies(
        secret in any::<[u8; 32]>(),
        message in prop::collection::vec(any::<u8>(), 0..99),
    ) {
        let key = SigningKey::generate(secret);
        prop_assert_eq!(key.public().verify(&message, &key.sign(&message)), Ok(()));
        let read = PublicKey::from_pem(&key.public().to_pem());
        prop_assert_eq!(read.as_ref(), Ok(key.public()));
    }

    #[test]
    fn no_text_upsets_the_readers(text in ".{0,99}", der in prop::collection::vec(any::<u8>(), 0..99)) {
        prop_assert!(PublicKey::from_pem(&text).is_err());
        prop_assert!(SigningKey::from_pem(&text, None).is_err());
        for label in ["PUBLIC KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"] {
            let text = block(label, &der);
            prop_assert!(PublicKey::from_pem(&text).is_err());
            prop_assert!(SigningKey::from_pem(&text, Some("x")).is_err());
        }
    }
}
