//! The files about the life of a log: a seal, a switch, a manifest. What is read means the same when
//! it is written and read again, or it is refused.

use wal_format::{Manifest, SealFile, SealStatement, Switch};

/// Reads `bytes` as each of them.
pub fn check(bytes: &[u8]) {
    if let Ok(seal) = SealFile::from_bytes(bytes) {
        assert_eq!(SealFile::from_bytes(&seal.to_bytes()), Ok(seal));
    }
    if let Ok(switch) = Switch::from_bytes(bytes) {
        assert_eq!(Switch::from_bytes(&switch.to_bytes()), Ok(switch));
    }
    if let Ok(manifest) = Manifest::from_bytes(bytes) {
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest));
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(statement) = SealStatement::parse(text)
    {
        assert_eq!(statement.to_text(), text, "what was signed has one spelling");
    }
}
