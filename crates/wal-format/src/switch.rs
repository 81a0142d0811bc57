//! The file `telemetry.switch`: the live log is being replaced by the next one.
//!
//! # Layout
//!
//! One line of JSON, exactly as written here:
//!
//! ```text
//! {"format":"autonomy.wal.switch/1","kind":"archive","from":"<uuid>","to":"<uuid>","aside":null,
//!  "log":true,"entries":1,"chain":"<64 hex digits>","at":"2026-01-02T03:04:05.000006Z","check":"<64 hex digits>"}
//! ```
//!
//! | key       | value                                                                        |
//! |-----------|------------------------------------------------------------------------------|
//! | `kind`    | `archive` or `repair`                                                          |
//! | `from`    | the log that is replaced; `null` when it could not be told                     |
//! | `to`      | the log that takes its place                                                   |
//! | `aside`   | name of the directory under `damaged/`; `null` for `archive`                   |
//! | `log`     | whether there is a log file to put aside                                       |
//! | `entries` | entries of the next log                                                        |
//! | `chain`   | chain value of the last of them                                                |
//! | `at`      | RFC 3339, UTC, microseconds                                                    |
//! | `check`   | BLAKE3 of the bytes before `,"check":`                                         |
//!
//! # Invariants
//!
//! * **I1** A file with any other byte in it is refused, not guessed at.
//! * **I2** The file names no path. Where the old log goes follows from the kind, and a name under
//!   `damaged/` has letters, digits and hyphens only, so no content of it leads out of the directory.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Chain, Seq, WalId, names};

/// The format that this version writes.
const FORMAT: &str = "autonomy.wal.switch/1";
/// Most characters of a name under `damaged/`.
const ASIDE_LEN_MAX: usize = 64;

/// A replacement of the live log that was decided and has to be carried through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// The log that is replaced; `None` when it could not be told.
    pub from: Option<WalId>,
    /// The log that takes its place.
    pub to: WalId,
    /// Where the old log goes.
    pub aside: Aside,
    /// Whether there is an old log file at all.
    pub has_log: bool,
    /// The last entry of the next log.
    pub last: Seq,
    /// Its chain value.
    pub chain: Chain,
    /// When it was decided.
    pub at: Timestamp,
}

/// Where the old log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// To the archive: everything in it was delivered.
    Archive,
    /// To `damaged/<name>`.
    Damaged(String),
}

impl Switch {
    /// Returns the path of the old log below the log directory.
    ///
    /// `None` when there is no old log to put aside.
    pub fn aside_path(&self) -> Option<String> {
        match (&self.aside, self.from) {
            _ if !self.has_log => None,
            (Aside::Archive, Some(from)) => {
                Some(format!("{}/telemetry-{from}.wal", names::ARCHIVE_DIR))
            }
            (Aside::Archive, None) => None,
            (Aside::Damaged(name), _) => {
                Some(format!("{}/{name}/{}", names::DAMAGED_DIR, names::WAL))
            }
        }
    }

    /// Returns the content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, aside) = match &self.aside {
            Aside::Archive => ("archive", None),
            Aside::Damaged(name) => ("repair", Some(name.clone())),
        };
        let wire = Wire {
            format: FORMAT.to_owned(),
            kind: kind.to_owned(),
            from: self.from.map(|it| it.to_string()),
            to: self.to.to_string(),
            aside,
            log: self.has_log,
            entries: self.last,
            chain: self.chain.to_string(),
            at: format!("{:.6}", self.at),
            _check: serde::de::IgnoredAny,
        };
        // Numbers and strings always serialize, and the object ends with a brace.
        let mut out = serde_json::to_vec(&wire).unwrap_or_default();
        out.pop();
        let check = blake3::hash(&out).to_hex();
        out.extend_from_slice(br#","check":""#);
        out.extend_from_slice(check.as_bytes());
        out.extend_from_slice(b"\"}\n");
        out
    }

    /// Reads the content of the file (I1, I2).
    ///
    /// # Errors
    ///
    /// [`SwitchError`] for anything that this version did not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SwitchError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let corrupt = |text: String| SwitchError::Corrupt { text };
        let head: Head = serde_json::from_slice(bytes).map_err(|it| corrupt(it.to_string()))?;
        if head.format != FORMAT {
            return Err(SwitchError::Unknown { format: head.format });
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|it| corrupt(it.to_string()))?;
        let id = |text: &str| text.parse::<WalId>().map_err(|it| corrupt(it.to_string()));
        let aside = match (wire.kind.as_str(), wire.aside) {
            ("archive", None) => Aside::Archive,
            ("repair", Some(name)) if is_name(&name) => Aside::Damaged(name),
            _ => return Err(corrupt("kind and aside do not fit".to_owned())),
        };
        let switch = Self {
            from: wire.from.as_deref().map(id).transpose()?,
            to: id(&wire.to)?,
            aside,
            has_log: wire.log,
            last: wire.entries,
            chain: wire.chain.parse().map_err(|_| corrupt("chain".to_owned()))?,
            at: wire.at.parse().map_err(|it: jiff::Error| corrupt(it.to_string()))?,
        };
        if switch.aside == Aside::Archive && (switch.from.is_none() || !switch.has_log) {
            return Err(corrupt("an archive without a log".to_owned()));
        }
        if switch.to_bytes() != bytes {
            return Err(corrupt("the check does not match the content".to_owned()));
        }
        Ok(switch)
    }
}

fn is_name(name: &str) -> bool {
    (1..=ASIDE_LEN_MAX).contains(&name.len())
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    kind: String,
    from: Option<String>,
    to: String,
    aside: Option<String>,
    log: bool,
    entries: Seq,
    chain: String,
    at: String,
    /// Compared by encoding again (I1).
    #[serde(rename = "check", skip_serializing)]
    _check: serde::de::IgnoredAny,
}

/// Why a file is no switch of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SwitchError {
    /// It is damaged.
    #[error("not readable: {text}")]
    Corrupt {
        /// What does not fit.
        text: String,
    },
    /// Another version wrote it.
    #[error("format `{format}` (this version writes `{FORMAT}`)")]
    Unknown {
        /// The format found.
        format: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Switch {
        Switch {
            from: Some(WalId::from_random([1; 16])),
            to: WalId::from_random([2; 16]),
            aside: Aside::Archive,
            has_log: true,
            last: Seq::FIRST,
            chain: Chain::before(b"x"),
            at: "2026-01-02T03:04:05.000006Z".parse().unwrap(),
        }
    }

    fn repair() -> Switch {
        let aside = Aside::Damaged("20260102T030405Z-1".to_owned());
        Switch { from: None, aside, last: Seq::new(2).unwrap(), ..archive() }
    }

    #[test]
    fn the_bytes_of_the_file_are_pinned() {
        let golden = [
            (&include_bytes!("../tests/golden/switch-archive.json")[..], archive()),
            (&include_bytes!("../tests/golden/switch-repair.json")[..], repair()),
        ];
        for (golden, switch) in golden {
            assert_eq!(String::from_utf8(switch.to_bytes()).unwrap().as_bytes(), golden);
            assert_eq!(Switch::from_bytes(golden), Ok(switch));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = repair().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Switch::from_bytes(&damaged).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Switch::from_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn no_content_leads_out_of_the_directory() {
        for name in ["", "..", "a/b", "/etc", "a.b", "a b", &"x".repeat(65)] {
            let aside = Aside::Damaged(name.to_owned());
            let bytes = Switch { aside, ..repair() }.to_bytes();
            assert!(matches!(Switch::from_bytes(&bytes), Err(SwitchError::Corrupt { .. })));
        }
        assert_eq!(
            archive().aside_path().unwrap(),
            "archive/telemetry-01010101-0101-4101-8101-010101010101.wal"
        );
        assert_eq!(repair().aside_path().unwrap(), "damaged/20260102T030405Z-1/telemetry.wal");
        assert_eq!(Switch { has_log: false, ..repair() }.aside_path(), None);
        let lost = Switch { from: None, ..archive() };
        assert!(Switch::from_bytes(&lost.to_bytes()).is_err());
    }

    #[test]
    fn a_newer_format_is_named() {
        let newer = br#"{"format":"autonomy.wal.switch/2","x":1}"#;
        let error = Switch::from_bytes(newer).unwrap_err();
        assert!(error.to_string().contains("switch/2"), "{error}");
    }
}
