//! Seals: what they prove, and that `openssl` agrees.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::{fs, io::Write as _, path::Path, process::Command};

use harness::{DIR, entry, now, open, read, write};
use vfs::{MemVfs, Vfs as _};
use wal_format::{SealFile, names};
use wal_recovery::{
    codes,
    seal::{SealError, SigningKey, check_seal, seal, signing_key, verifying_key},
};

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn log_of(count: u64) -> MemVfs {
    let vfs = MemVfs::default();
    let mut writer = open(&vfs).unwrap();
    for id in 1..=count {
        writer.commit(&[entry(id, 10)]).unwrap();
    }
    writer.sync_safe_point().unwrap();
    vfs
}

#[test]
fn a_log_is_sealed_while_it_is_written() {
    let vfs = MemVfs::default();
    assert_eq!(seal(&vfs, dir(), &key(), now()).unwrap_err().code(), codes::WAL_NOT_FOUND);
    let mut writer = open(&vfs).unwrap();
    for id in 1..=3 {
        let receipt = writer.commit(&[entry(id, 10)]).unwrap()[0];
        let sealed = seal(&vfs, dir(), &key(), now()).unwrap();
        assert_eq!((sealed.seq, sealed.chain), (receipt.seq, receipt.chain));
        let checked = check_seal(&vfs, dir(), Some(&key().verifying_key())).unwrap();
        assert_eq!(
            (checked.wal_id, checked.seq, checked.chain),
            (sealed.wal_id, sealed.seq, sealed.chain)
        );
        assert!(checked.trusted && !check_seal(&vfs, dir(), None).unwrap().trusted);
    }
}

#[test]
fn a_seal_of_another_key_and_a_changed_one_do_not_count() {
    let vfs = log_of(2);
    assert_eq!(check_seal(&vfs, dir(), None).unwrap_err().code(), codes::SEAL_NOT_FOUND);
    seal(&vfs, dir(), &key(), now()).unwrap();
    let other = SigningKey::from_bytes(&[4; 32]).verifying_key();
    let error = check_seal(&vfs, dir(), Some(&other)).unwrap_err();
    assert_eq!(error.code(), codes::SEAL_KEY_MISMATCH);
    let good = SealFile::from_bytes(&read(&vfs, names::SEAL).unwrap()).unwrap();
    let mut bad = vec![
        SealFile { statement: good.statement.replace("seq=3", "seq=2"), ..good.clone() },
        SealFile { public_key: [0; 32], ..good.clone() },
        SealFile { public_key: other.to_bytes(), ..good.clone() },
    ];
    for bit in 0..512 {
        let mut signature = good.signature;
        signature[bit / 8] ^= 1 << (bit % 8);
        bad.push(SealFile { signature, ..good.clone() });
    }
    for file in bad {
        write(&vfs, names::SEAL, &file.to_bytes());
        assert_eq!(check_seal(&vfs, dir(), None).unwrap_err().code(), codes::SEAL_INVALID);
        // Nor is it replaced: it may be evidence.
        assert_eq!(seal(&vfs, dir(), &key(), now()).unwrap_err().code(), codes::SEAL_INVALID);
    }
    for bytes in [vec![], vec![b'x'; 5000]] {
        write(&vfs, names::SEAL, &bytes);
        assert_eq!(check_seal(&vfs, dir(), None).unwrap_err().code(), codes::SEAL_INVALID);
    }
}

#[test]
fn a_key_that_signs_everything_is_refused() {
    let vfs = log_of(2);
    seal(&vfs, dir(), &key(), now()).unwrap();
    let good = SealFile::from_bytes(&read(&vfs, names::SEAL).unwrap()).unwrap();
    // The neutral point of the curve: this signature holds for every text, but for a strict check.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    let forged = SealFile { public_key: neutral, signature, ..good };
    write(&vfs, names::SEAL, &forged.to_bytes());
    assert_eq!(check_seal(&vfs, dir(), None).unwrap_err().code(), codes::SEAL_INVALID);
}

#[test]
fn a_log_that_lost_sealed_entries_or_was_rewritten_is_not_sealed_again() {
    let long = log_of(5);
    seal(&long, dir(), &key(), now()).unwrap();
    let sealed = read(&long, names::SEAL).unwrap();
    for (other, name) in [(log_of(3), "shorter"), (log_of(0), "empty")] {
        write(&other, names::SEAL, &sealed);
        let error = seal(&other, dir(), &key(), now()).unwrap_err();
        assert_eq!(error.code(), codes::SEAL_CONTRADICTED, "{name}");
        assert_eq!(read(&other, names::SEAL).unwrap(), sealed);
    }
    let rewritten = MemVfs::default();
    let mut writer = open(&rewritten).unwrap();
    for id in 10..=20 {
        writer.commit(&[entry(id, 10)]).unwrap();
    }
    write(&rewritten, names::SEAL, &sealed);
    let error = seal(&rewritten, dir(), &key(), now()).unwrap_err();
    assert!(matches!(error, SealError::Contradicted { .. }), "{error}");
    // The log that goes on is.
    let mut writer = open(&long).unwrap();
    writer.commit(&[entry(6, 10)]).unwrap();
    assert_eq!(seal(&long, dir(), &key(), now()).unwrap().seq.get(), 7);
}

#[test]
fn a_log_without_a_chain_is_not_sealed() {
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, &harness::foreign_frames(1..=3));
    write(&vfs, names::SAFE_SEQ, &3_u64.to_le_bytes());
    assert!(matches!(seal(&vfs, dir(), &key(), now()), Err(SealError::NoChain)));
    open(&vfs).unwrap();
    assert_eq!(seal(&vfs, dir(), &key(), now()).unwrap().seq.get(), 4);
}

#[test]
fn what_is_no_ed25519_key_is_refused() {
    for text in ["", "key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert_eq!(signing_key(text).unwrap_err().code(), codes::SEAL_KEY_INVALID);
        assert_eq!(verifying_key(text).unwrap_err().code(), codes::SEAL_KEY_INVALID);
    }
}

/// Runs `openssl`; `None` when it is not installed.
fn openssl(at: &Path, args: &str) -> Option<bool> {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(at).output().ok()?;
    Some(output.status.success())
}

#[test]
fn openssl_makes_the_key_and_accepts_the_signature() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path();
    if openssl(at, "genpkey -algorithm ed25519 -out key.pem") != Some(true) {
        assert!(std::env::var_os("AUTONOMY_NO_SKIP").is_none(), "no test may be skipped here");
        // Not `eprintln`: that is captured, and a skip must be seen.
        writeln!(
            std::io::stderr(),
            "skipped openssl_makes_the_key_and_accepts_the_signature: openssl is not installed"
        )
        .unwrap();
        return;
    }
    assert_eq!(openssl(at, "pkey -in key.pem -pubout -out pub.pem"), Some(true));
    let key = signing_key(&fs::read_to_string(at.join("key.pem")).unwrap()).unwrap();
    let public = verifying_key(&fs::read_to_string(at.join("pub.pem")).unwrap()).unwrap();
    assert_eq!(key.verifying_key(), public);

    let vfs = log_of(3);
    seal(&vfs, dir(), &key, now()).unwrap();
    assert!(check_seal(&vfs, dir(), Some(&public)).unwrap().trusted);
    let file = SealFile::from_bytes(&read(&vfs, names::SEAL).unwrap()).unwrap();
    fs::write(at.join("statement"), &file.statement).unwrap();
    fs::write(at.join("signature"), file.signature).unwrap();
    let verify = "pkeyutl -verify -rawin -pubin -inkey pub.pem -sigfile signature -in statement";
    assert_eq!(openssl(at, verify), Some(true));
    fs::write(at.join("statement"), file.statement.replace("seq=4", "seq=5")).unwrap();
    assert_eq!(openssl(at, verify), Some(false));
    assert!(vfs.stat(&dir().join(names::SEAL)).unwrap().is_some());
}
