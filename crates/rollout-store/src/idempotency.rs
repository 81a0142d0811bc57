//! What `Idempotency-Key` means: a request that is sent again gets the answer of the first time.
//!
//! # Table
//!
//! | record of the key | content  | answer                |
//! |-------------------|----------|-----------------------|
//! | none, or expired  | any      | the request is done   |
//! | there             | the same | that of the record    |
//! | there             | other    | conflict              |
//!
//! # Invariants
//!
//! * **I1** Record and change are written together: there is no change without its record.
//! * **I2** A refused request leaves no record; the same key can be tried again.

use serde::{Deserialize, Serialize};

use crate::{moment::Moment, store::Written};

/// How long a key is remembered.
pub const REMEMBERED_SECONDS: u64 = 24 * 3600;
/// Longest key.
pub const KEY_LEN_MAX: usize = 255;
/// Domain of the content hash.
const CONTEXT: &str = "autonomy rollout idempotency v1";

/// A key of a client and what it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Which client and route the key belongs to; keys of others never collide.
    scope: String,
    key: String,
    content: [u8; 32],
}

/// A key that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {KEY_LEN_MAX} printable ASCII characters")]
pub struct KeyError;

impl KeyError {
    /// The stable code.
    #[expect(clippy::unused_self, reason = "asked like every other error")]
    pub const fn code(self) -> &'static str {
        "IDEMPOTENCY_KEY"
    }
}

impl Idempotency {
    /// A key within `scope` (who asks, and for which route) with the bytes of its request.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for a key that cannot be one.
    pub fn new(scope: &str, key: &str, content: &[u8]) -> Result<Self, KeyError> {
        let fits = !key.is_empty() && key.len() <= KEY_LEN_MAX;
        if !fits || !key.bytes().all(|it| it.is_ascii_graphic() || it == b' ') {
            return Err(KeyError);
        }
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(content);
        let content = *hasher.finalize().as_bytes();
        Ok(Self { scope: scope.to_owned(), key: key.to_owned(), content })
    }

    /// What a store files it under: the hash of scope and key.
    pub fn filed_under(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        hasher.update(&(self.scope.len() as u64).to_le_bytes());
        hasher.update(self.scope.as_bytes());
        hasher.update(self.key.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// The key as the client wrote it.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What to remember.
    pub fn record(&self, answer: Written, now: Moment) -> Remembered {
        Remembered { content: self.content, answer, at: now }
    }
}

/// What is remembered about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    content: [u8; 32],
    /// What was answered.
    pub answer: Written,
    /// When.
    pub at: Moment,
}

/// The answer of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Do it.
    New,
    /// This was answered.
    Again(Box<Written>),
    /// The key was used for something else.
    OtherContent,
}

/// Applies the table of this module.
pub fn judge(asked: &Idempotency, known: Option<Remembered>, now: Moment) -> Judgement {
    match known {
        Some(it) if now.seconds_since(it.at) >= REMEMBERED_SECONDS => Judgement::New,
        Some(it) if it.content == asked.content => Judgement::Again(Box::new(it.answer)),
        Some(_) => Judgement::OtherContent,
        None => Judgement::New,
    }
}
