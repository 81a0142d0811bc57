//! Private keys: Ed25519, in PKCS#8, with a password or without.
//!
//! Source: RFC 5958 and RFC 8410 (PKCS#8 version 1 is written: openssl 3.0 reads no other), RFC 8018 (PBES2),
//! RFC 7914 (scrypt).
//!
//! # Invariants
//!
//! * **Y1** What a key file says about the work of opening it is checked before the work: a hostile file costs no more
//!   memory and time than the limits here.
//! * **Y2** Secrets are wiped when they are dropped, and no message and no `Debug` has one.

use std::fmt;

use ed25519_dalek::Signer as _;
use pkcs8::{
    EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument,
    der::{Encode as _, asn1::OctetStringRef},
    pkcs5::{
        EncryptionScheme,
        pbes2::{Kdf, Parameters},
        scrypt,
    },
};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{ED25519_SIGNATURE_LEN, PublicKey, form::shown, pem};

/// Bytes of randomness for a key.
pub const KEY_RANDOM_LEN: usize = 32;
/// Bytes of randomness for the encryption of a key file: a salt and an initialization vector.
pub const SEAL_RANDOM_LEN: usize = 32;
/// Most memory that scrypt may take to open a key file, in bytes.
pub const SCRYPT_MEMORY_MAX: u64 = 64 << 20;
/// Most bytes that scrypt may mix to open a key file.
pub const SCRYPT_WORK_MAX: u64 = 256 << 20;
/// Most rounds of PBKDF2 to open a key file. OWASP recommended 600 000 in 2023.
pub const PBKDF2_ROUNDS_MAX: u32 = 2_000_000;
/// scrypt of the files that are written: 2^14 blocks of 8 · 128 bytes, five times. OWASP counts that as good as 2^17
/// once, and openssl opens no file that takes 32 MiB.
const SCRYPT_WRITTEN: (u8, u32, u32) = (14, 8, 5);

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ECDSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// PKCS#8 of an Ed25519 key, up to the secret (RFC 8410 section 10.3).
const START: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A key that signs.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id()) // Y2
    }
}

impl SigningKey {
    fn new(key: ed25519_dalek::SigningKey) -> Self {
        let public = PublicKey::ed25519(key.verifying_key());
        Self { key, public }
    }

    /// Makes a key out of randomness, which has to come from the system.
    pub fn generate(mut random: [u8; KEY_RANDOM_LEN]) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&random);
        random.zeroize();
        Self::new(key)
    }

    /// Reads a key file.
    ///
    /// # Errors
    ///
    /// [`SigningKeyError`], which says what to do.
    pub fn from_pem(text: &str, password: Option<&str>) -> Result<Self, SigningKeyError> {
        let (label, der) = pem::read(text).ok_or(SigningKeyError::Pem)?;
        match (label, password) {
            (PLAIN, None) => Self::from_der(&der),
            (PLAIN, Some(_)) => Err(SigningKeyError::NotEncrypted),
            (ENCRYPTED, None) => Err(SigningKeyError::PasswordMissing),
            (ENCRYPTED, Some(password)) => match decrypt(&der, password)? {
                // One wrong password of 256 leads to something that looks whole at its end.
                it if PrivateKeyInfoRef::try_from(it.as_bytes()).is_err() => {
                    Err(SigningKeyError::PasswordWrong)
                }
                it => Self::from_der(it.as_bytes()),
            },
            ("ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY", _) => {
                Err(SigningKeyError::Cosign)
            }
            ("EC PRIVATE KEY", _) => Err(other("an ECDSA key")),
            ("RSA PRIVATE KEY", _) => Err(other("an RSA key")),
            ("OPENSSH PRIVATE KEY", _) => Err(other("a key of OpenSSH")),
            ("PUBLIC KEY", _) => Err(other("a public key")),
            (label, _) => Err(other(&format!("a `{}`", shown(label)))),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, SigningKeyError> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| SigningKeyError::Pem)?;
        match info.algorithm.oid {
            // The library compares the public key, where the file has one, with the secret.
            ED25519 => ed25519_dalek::SigningKey::try_from(info)
                .map(Self::new)
                .map_err(|_| SigningKeyError::Damaged),
            ECDSA => Err(other("an ECDSA key")),
            RSA => Err(other("an RSA key")),
            oid => Err(other(&format!("a key of the algorithm {oid}"))),
        }
    }

    /// The file, in PKCS#8: encrypted (PBES2 with scrypt and AES-256-CBC) when there is a password. `random` has to
    /// come from the system, anew for each file.
    ///
    /// # Errors
    ///
    /// [`SealError`]. Without a password there is no error.
    pub fn to_pem(
        &self,
        password: Option<&str>,
        random: [u8; SEAL_RANDOM_LEN],
    ) -> Result<Zeroizing<String>, SealError> {
        let secret = Zeroizing::new(self.key.to_bytes());
        let der = Zeroizing::new([START.as_slice(), secret.as_slice()].concat());
        match password {
            None => Ok(pem::write(PLAIN, &der)),
            Some("") => Err(SealError::PasswordEmpty),
            Some(password) => {
                let sealed = encrypt(&der, password, random).map_err(|_| SealError::Encrypt)?;
                Ok(pem::write(ENCRYPTED, &sealed))
            }
        }
    }

    /// The key that checks what this one signs.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; ED25519_SIGNATURE_LEN] {
        self.key.sign(message).to_bytes()
    }
}

fn other(found: &str) -> SigningKeyError {
    SigningKeyError::Other { found: found.to_owned() }
}

fn decrypt(der: &[u8], password: &str) -> Result<SecretDocument, SigningKeyError> {
    let sealed = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| SigningKeyError::Cipher)?;
    let EncryptionScheme::Pbes2(parameters) = &sealed.encryption_algorithm else {
        return Err(SigningKeyError::Cipher);
    };
    check_work(&parameters.kdf)?; // Y1
    sealed.decrypt(password).map_err(|it| match it {
        pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::DecryptFailed | pkcs8::pkcs5::Error::EncryptFailed,
        )
        | pkcs8::Error::Asn1(_) => SigningKeyError::PasswordWrong,
        _ => SigningKeyError::Cipher,
    })
}

/// The library would take whatever the file says, and falls over a cost of zero.
fn check_work(kdf: &Kdf) -> Result<(), SigningKeyError> {
    match kdf {
        Kdf::Scrypt(it) => {
            let (r, p) = (u64::from(it.block_size), u64::from(it.parallelization));
            let memory = it.cost_parameter.saturating_mul(128 * r).saturating_add(128 * r * p);
            let work = it.cost_parameter.saturating_mul(128 * r).saturating_mul(p);
            if !it.cost_parameter.is_power_of_two() || it.cost_parameter < 2 || r == 0 || p == 0 {
                Err(SigningKeyError::Cipher)
            } else if memory > SCRYPT_MEMORY_MAX || work > SCRYPT_WORK_MAX {
                let text = format!("scrypt with N={} r={r} p={p}", it.cost_parameter);
                Err(SigningKeyError::Work { text })
            } else {
                Ok(())
            }
        }
        Kdf::Pbkdf2(it) if it.iteration_count == 0 => Err(SigningKeyError::Cipher),
        Kdf::Pbkdf2(it) if it.iteration_count > PBKDF2_ROUNDS_MAX => {
            let text = format!("PBKDF2 with {} rounds", it.iteration_count);
            Err(SigningKeyError::Work { text })
        }
        Kdf::Pbkdf2(_) => Ok(()),
        _ => Err(SigningKeyError::Cipher),
    }
}

fn encrypt(
    der: &[u8],
    password: &str,
    random: [u8; SEAL_RANDOM_LEN],
) -> Result<Vec<u8>, pkcs8::Error> {
    let bad = |_| pkcs8::Error::ParametersMalformed;
    let (salt, iv) = random.split_at(SEAL_RANDOM_LEN / 2);
    let iv = iv.try_into().map_err(|_| pkcs8::Error::ParametersMalformed)?;
    let (log_n, r, p) = SCRYPT_WRITTEN;
    let cost = scrypt::Params::new(log_n, r, p).map_err(|_| pkcs8::Error::ParametersMalformed)?;
    let parameters = Parameters::generate_scrypt_aes256cbc(cost, salt, iv).map_err(bad)?;
    let sealed = parameters.encrypt(password, der).map_err(bad)?;
    let info = EncryptedPrivateKeyInfoRef {
        encryption_algorithm: EncryptionScheme::Pbes2(parameters),
        encrypted_data: OctetStringRef::new(&sealed)?,
    };
    Ok(info.to_der()?)
}

/// Why a key cannot sign.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// Not one block in PEM, or no PKCS#8 in it.
    #[error("the file is not one private key in PEM (PKCS#8), with nothing before and behind it")]
    Pem,
    /// The key is encrypted, and there is no password.
    #[error("the key is encrypted: set AUTONOMY_KEY_PASSWORD to its password")]
    PasswordMissing,
    /// The password is not the one of the key.
    #[error(
        "the password does not open the key, or the file is damaged: check AUTONOMY_KEY_PASSWORD"
    )]
    PasswordWrong,
    /// A password was given for a key that has none.
    #[error(
        "a password was given, but the key is not encrypted: unset AUTONOMY_KEY_PASSWORD, \
         or encrypt the key with `openssl pkcs8 -topk8`"
    )]
    NotEncrypted,
    /// A key of cosign, in its own format.
    #[error(
        "private keys of cosign are not read: sign with cosign (its public key and its signatures \
         are accepted here), or make a key with `autonomy keys generate`"
    )]
    Cosign,
    /// A key of another kind.
    #[error(
        "the file holds {found}, and only Ed25519 private keys sign here: make one with \
         `autonomy keys generate`"
    )]
    Other {
        /// What it holds.
        found: String,
    },
    /// Encrypted in a way that is not read.
    #[error(
        "the key is encrypted in a way that is not read: only PBES2 with AES, and with scrypt or \
         PBKDF2 over SHA-2 (write it anew with `openssl pkcs8 -topk8 -scrypt`)"
    )]
    Cipher,
    /// Opening it would cost too much (Y1).
    #[error(
        "the key asks for too much work ({text}): write it anew with `openssl pkcs8 -topk8 -scrypt`"
    )]
    Work {
        /// What it asks for.
        text: String,
    },
    /// An Ed25519 key whose parts do not fit.
    #[error("the key is damaged: it has no secret of 32 bytes, or its public half is another one")]
    Damaged,
}

/// Why a key file cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// A password without characters protects nothing.
    #[error("the password is empty: set AUTONOMY_KEY_PASSWORD to one, or unset it for a plain key")]
    PasswordEmpty,
    /// The library refused; no input is known that leads here.
    #[error("the key could not be encrypted")]
    Encrypt,
}
