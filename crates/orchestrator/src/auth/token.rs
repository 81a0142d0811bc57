//! Bearer tokens: made once, shown once, kept as a hash.
//!
//! # Layout
//!
//! | offset | bytes | content                                                       |
//! |-------:|------:|---------------------------------------------------------------|
//! |      0 |     4 | `aut_`, so that a scanner of repositories finds a leaked one    |
//! |      4 |    16 | the id: 8 random bytes in lower-case hex; no secret             |
//! |     20 |     1 | `_`                                                           |
//! |     21 |    43 | the secret: 32 random bytes in base64url without padding        |
//!
//! # Invariants
//!
//! * **K1** The text of a token is nowhere but in the answer that shows it: what is kept is BLAKE3 of it,
//!   in a domain of its own, and no `Debug` or `Display` shows either.
//! * **K2** A token is found by its id and compared by its hash, in constant time.
//! * **K3** A text that is not of this form is refused by its length and its characters; nothing is hashed.
//!
//! A plain hash is enough, since nobody can guess 256 random bits; a slow one would let strangers make the
//! server work.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// What every token begins with.
const PREFIX: &str = "aut_";
/// Random bytes of an id.
pub(crate) const ID_BYTES: usize = 8;
/// Characters of an id.
const ID_LEN: usize = 2 * ID_BYTES;
/// Random bytes of a secret.
pub(crate) const SECRET_BYTES: usize = 32;
/// Characters of a secret.
const SECRET_LEN: usize = 43;
/// Characters of a token.
pub(crate) const TOKEN_LEN: usize = PREFIX.len() + ID_LEN + 1 + SECRET_LEN;
/// Keeps these hashes apart from all others that are made of the same bytes.
const CONTEXT: &str = "autonomy control plane 2026-07 bearer token v1";

/// Which token it is. No secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct TokenId(String);

impl TokenId {
    /// Checks an id.
    pub(crate) fn new(text: &str) -> Result<Self, MalformedToken> {
        let hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
        if text.len() == ID_LEN && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedToken)
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

impl TryFrom<String> for TokenId {
    type Error = MalformedToken;

    fn try_from(text: String) -> Result<Self, MalformedToken> {
        Self::new(&text)
    }
}

/// What is kept of a token (K1). Equality takes the same time wherever the difference is (K2).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct TokenHash(blake3::Hash);

impl TokenHash {
    fn of(token: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(CONTEXT).update(token.as_bytes()).finalize())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> Self {
        hash.0.to_hex().to_string()
    }
}

impl TryFrom<String> for TokenHash {
    type Error = MalformedToken;

    fn try_from(text: String) -> Result<Self, MalformedToken> {
        // One spelling only: what is written again is what was read.
        if text.bytes().any(|it| it.is_ascii_uppercase()) {
            return Err(MalformedToken);
        }
        blake3::Hash::from_hex(text).map(Self).map_err(|_| MalformedToken)
    }
}

/// The text of a token, to be shown once (K1). Its memory is overwritten when it is dropped.
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// Returns the text, for the one answer that shows it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A token that was just made.
#[derive(Debug)]
pub(crate) struct Minted {
    pub(crate) id: TokenId,
    pub(crate) hash: TokenHash,
    pub(crate) secret: Secret,
}

/// Makes a token of random bytes.
pub(crate) fn mint(id: [u8; ID_BYTES], secret: &Zeroizing<[u8; SECRET_BYTES]>) -> Minted {
    let id = format!("{:016x}", u64::from_be_bytes(id));
    // As long as it becomes: a string that grew would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_LEN));
    text.push_str(PREFIX);
    text.push_str(&id);
    text.push('_');
    URL_SAFE_NO_PAD.encode_string(&secret[..], &mut text);
    Minted { id: TokenId(id), hash: TokenHash::of(&text), secret: Secret(text) }
}

/// A token that somebody shows: which one he says it is, and what its hash is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) id: TokenId,
    pub(crate) hash: TokenHash,
}

impl Presented {
    /// Reads a token (K3).
    pub(crate) fn parse(text: &str) -> Result<Self, MalformedToken> {
        if text.len() != TOKEN_LEN {
            return Err(MalformedToken);
        }
        let (id, secret) = text
            .strip_prefix(PREFIX)
            .and_then(|it| it.split_at_checked(ID_LEN))
            .and_then(|(id, rest)| Some((id, rest.strip_prefix('_')?)))
            .ok_or(MalformedToken)?;
        let base64 = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
        if !secret.bytes().all(base64) {
            return Err(MalformedToken);
        }
        Ok(Self { id: TokenId::new(id)?, hash: TokenHash::of(text) })
    }
}

/// A text that is no token. It is not repeated: it may be one with a slip of the hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a token")]
pub(crate) struct MalformedToken;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minted(byte: u8) -> Minted {
        mint([byte; ID_BYTES], &Zeroizing::new([byte; SECRET_BYTES]))
    }

    #[test]
    fn the_layout_is_as_written() {
        let minted = minted(0xab);
        let text = minted.secret.expose();
        assert_eq!(text, "aut_abababababababab_q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s");
        assert_eq!(text.len(), TOKEN_LEN);
        let hash = String::from(minted.hash);
        assert_eq!(
            hash, "dc1216916d01c21fe6d423773d1ce7f3690e20f2c0c24972bf921ac7cb1765eb",
            "what is stored stays valid"
        );
    }

    #[test]
    fn nothing_that_is_printed_shows_a_token_or_its_hash() {
        let minted = minted(7);
        let presented = Presented::parse(minted.secret.expose()).unwrap();
        let printed = format!("{minted:?} {presented:?} {MalformedToken} {MalformedToken:?}");
        let hash = String::from(minted.hash);
        let secret = minted.secret.expose().rsplit('_').next().unwrap();
        let start = |it| str::get(it, ..8).unwrap();
        for hidden in [secret, minted.secret.expose(), &hash, start(&hash), start(secret)] {
            assert!(!printed.contains(hidden), "{printed} (K1)");
        }
    }

    #[test]
    fn a_token_with_one_other_character_is_another_token_or_none() {
        let minted = minted(0x5c);
        let text = minted.secret.expose();
        let others = ['A', 'z', '0', '-', '_', '=', '.', ' '];
        for (at, other) in (0..text.len()).flat_map(|at| others.map(|it| (at, it))) {
            let mut changed: Vec<char> = text.chars().collect();
            changed[at] = other;
            let changed: String = changed.into_iter().collect();
            let same = Presented::parse(&changed)
                .is_ok_and(|it| it.id == minted.id && it.hash == minted.hash);
            assert_eq!(same, changed == text, "{changed} (K2)");
        }
    }

    #[test]
    fn a_text_of_another_length_or_form_is_no_token() {
        let text = minted(1).secret.expose().to_owned();
        let upper = text.replacen("01", "0A", 1);
        let table = [
            text.get(1..).unwrap(),
            &format!("{text}A"),
            "",
            "Bearer",
            &upper,
            &text.replacen('_', "-", 1),
        ];
        for text in table {
            assert_eq!(Presented::parse(text), Err(MalformedToken), "{text} (K3)");
        }
        let wide = format!("{}\u{e4}", text.get(..text.len() - 2).unwrap());
        assert_eq!(wide.len(), TOKEN_LEN);
        assert_eq!(Presented::parse(&wide), Err(MalformedToken));
    }

    proptest! {
        #[test]
        fn every_token_that_is_made_is_read_back(id: [u8; ID_BYTES], secret: [u8; SECRET_BYTES]) {
            let minted = mint(id, &Zeroizing::new(secret));
            let presented = Presented::parse(minted.secret.expose()).unwrap();
            prop_assert_eq!(&presented.id, &minted.id);
            prop_assert!(presented.hash == minted.hash);
            let stored = serde_json::to_string(&minted.hash).unwrap();
            prop_assert!(serde_json::from_str::<TokenHash>(&stored).unwrap() == minted.hash);
        }

        #[test]
        fn no_text_makes_the_parser_fail_otherwise(text in "(aut_)?[0-9a-f_\\-é]{0,80}") {
            if let Ok(presented) = Presented::parse(&text) {
                prop_assert_eq!(Some(presented.id.as_str()), text.get(4..20));
            }
        }
    }
}
