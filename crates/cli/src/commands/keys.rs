//! `autonomy keys`, and key files as other commands use them.

use std::{fs, io, os::unix::fs::DirBuilderExt as _, path::Path};

use api::{env, exit::Exit};
use serde::Serialize;
use supply_chain::{
    KEY_RANDOM_LEN, KeyFileError, PublicKey, PublicKeyError, SEAL_RANDOM_LEN, SigningKey,
    SigningKeyError,
    keyfile::{read_public_key, read_signing_key, write_pair},
};

use crate::{
    args::{Keys, KeysGenerate, KeysShow, Output},
    commands::{print_json, print_pairs},
    context::Context,
    failure::Failure,
};

/// Mode of a directory that is made for keys.
const KEY_DIR_MODE: u32 = 0o700;

pub(crate) fn run(command: &Keys, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Keys::Generate(args) => generate(args, context),
        Keys::Show(args) => show(args, context),
    }
}

#[derive(Serialize)]
struct Generated {
    algorithm: &'static str,
    key_id: String,
    private_key: String,
    public_key: String,
    encrypted: bool,
}

fn generate(args: &KeysGenerate, context: Context<'_>) -> Result<Exit, Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(KEY_DIR_MODE).create(&args.out);
    made.map_err(|error| Failure::file("create", &args.out, &error))?;
    let key = SigningKey::generate(random::<KEY_RANDOM_LEN>()?);
    let password = context.key_password();
    let seal = random::<SEAL_RANDOM_LEN>()?;
    let written =
        write_pair(&args.out, &key, password.as_deref(), seal).map_err(|error| unusable(&error))?;
    let result = Generated {
        algorithm: key.public().algorithm(),
        key_id: key.public().id().to_string(),
        private_key: written.private.display().to_string(),
        public_key: written.public.display().to_string(),
        encrypted: password.is_some(),
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => {
            let encrypted = if result.encrypted {
                "yes".to_owned()
            } else {
                format!("no: {} is not set", env::KEY_PASSWORD)
            };
            print_pairs(&[
                ("algorithm", result.algorithm.to_owned()),
                ("key id", result.key_id),
                ("private key", result.private_key),
                ("public key", result.public_key),
                ("encrypted", encrypted),
            ])?;
        }
    }
    Ok(Exit::Done)
}

/// Randomness of the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure::process(&io::Error::other(error)))?;
    Ok(bytes)
}

#[derive(Serialize)]
struct Shown {
    kind: &'static str,
    algorithm: &'static str,
    key_id: String,
}

fn show(args: &KeysShow, context: Context<'_>) -> Result<Exit, Failure> {
    // What it is says the file itself: a public key that is read as a private one is told by its label.
    let (kind, key) = match read_public_key(&args.file) {
        Ok(key) => ("public", key),
        Err(KeyFileError::Public { source: PublicKeyError::Label { found }, .. })
            if found.ends_with("PRIVATE KEY") =>
        {
            ("private", signing_key(&args.file, context)?.public().clone())
        }
        Err(error) => return Err(unusable(&error)),
    };
    let shown = Shown { kind, algorithm: key.algorithm(), key_id: key.id().to_string() };
    match args.output.output {
        Output::Json => print_json(&shown)?,
        Output::Text => print_pairs(&[
            ("kind", shown.kind.to_owned()),
            ("algorithm", shown.algorithm.to_owned()),
            ("key id", shown.key_id),
        ])?,
    }
    Ok(Exit::Done)
}

/// Reads a private key.
pub(super) fn signing_key(path: &Path, context: Context<'_>) -> Result<SigningKey, Failure> {
    read_signing_key(path, context.key_password().as_deref()).map_err(|it| unusable(&it))
}

/// Reads a public key.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    read_public_key(path).map_err(|it| unusable(&it))
}

/// Explains a key file that cannot be used.
fn unusable(error: &KeyFileError) -> Failure {
    let of = |exit, code: &str| Failure::of(exit, code, error);
    match error {
        KeyFileError::Io { path, source } => {
            let mut failure = Failure::file("use", path, source);
            failure.cause = vec![source.to_string()];
            failure
        }
        KeyFileError::AlreadyExists { .. } => of(Exit::Conflict, "KEY_EXISTS")
            .hint("pass another directory with --out; who loses a key cannot get it back"),
        KeyFileError::ReadableByOthers { path, .. } if read_public_key(path).is_ok() => {
            of(Exit::Integrity, "KEY_INVALID").hint("this is a public key: pass autonomy.key")
        }
        KeyFileError::ReadableByOthers { path, .. } => of(Exit::Denied, "KEY_READABLE_BY_OTHERS")
            .hint(format!(
                "chmod 600 {} if nobody has read it; else make a new key and sign again",
                path.display()
            )),
        KeyFileError::Private { source: SigningKeyError::PasswordMissing, .. } => {
            of(Exit::Usage, "KEY_PASSWORD_MISSING").hint(format!("set {}", env::KEY_PASSWORD))
        }
        KeyFileError::Private { source: SigningKeyError::PasswordWrong, .. } => {
            of(Exit::Denied, "KEY_PASSWORD_WRONG").hint(format!("check {}", env::KEY_PASSWORD))
        }
        KeyFileError::Private { source: SigningKeyError::NotEncrypted, .. } => {
            of(Exit::Usage, "KEY_NOT_ENCRYPTED")
                .hint(format!("unset {} for this key", env::KEY_PASSWORD))
        }
        KeyFileError::Private { path, .. } if read_public_key(path).is_ok() => {
            of(Exit::Integrity, "KEY_INVALID").hint("this is a public key: pass autonomy.key")
        }
        KeyFileError::Public { source: PublicKeyError::Label { found }, .. }
            if found.ends_with("PRIVATE KEY") =>
        {
            of(Exit::Integrity, "KEY_INVALID").hint("this is a private key: pass autonomy.pub")
        }
        _ => of(Exit::Integrity, "KEY_INVALID")
            .hint("autonomy keys generate --out DIR makes a pair of keys"),
    }
}
