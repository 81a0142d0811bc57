//! PEM: one block, and nothing beside it.
//!
//! Source: RFC 7468, the strict form (lines of 64 characters), which is also what openssl and cosign write.
//!
//! # Invariants
//!
//! * **P1** A file has one block. Text before it and behind it is refused: who reads the first of two keys and who reads
//!   the last trust different people.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use pkcs8::der::pem;
use zeroize::Zeroizing;

/// Longest text that is read, in bytes. Keys have a few hundred.
pub(crate) const PEM_LEN_MAX: usize = 16 << 10;
/// Characters of a full line.
const LINE_LEN: usize = 64;
const BEGIN: &str = "-----BEGIN ";

/// Reads the block of a text: its label and its content. `None` when it is not one block in PEM.
pub(crate) fn read(text: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let text = text.trim_ascii();
    if text.len() > PEM_LEN_MAX || !text.starts_with(BEGIN) {
        return None; // P1
    }
    // This decoder takes as long for one key as for another. To it, a second block is no base64 of the first.
    let (label, content) = pem::decode_vec(text.as_bytes()).ok()?;
    Some((label, Zeroizing::new(content)))
}

/// Writes a block.
pub(crate) fn write(label: &str, content: &[u8]) -> Zeroizing<String> {
    let digits = Zeroizing::new(STANDARD.encode(content));
    let lines = digits.len() / LINE_LEN + 1;
    // With its whole capacity from the start, no copy of a secret stays behind.
    let mut text =
        Zeroizing::new(String::with_capacity(digits.len() + lines + 2 * (label.len() + 20)));
    text.push_str(BEGIN);
    text.push_str(label);
    text.push_str("-----\n");
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % LINE_LEN == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(content in prop::collection::vec(any::<u8>(), 1..200)) {
            let text = write("SOME KEY", &content);
            let (label, read) = read(&text).unwrap();
            prop_assert_eq!((label, &*read), ("SOME KEY", &content));
            prop_assert_eq!(&*pem::encode_string("SOME KEY", pem::LineEnding::LF, &content).unwrap(), &**text);
        }
    }

    #[test]
    fn a_file_has_one_block_and_nothing_else() {
        let one = write("KEY", b"abc");
        assert!(read(&format!("\n{}\r\n ", *one)).is_some());
        for text in [format!("{0}{0}", *one), format!("x\n{}", *one), format!("{}x", *one)] {
            assert!(read(&text).is_none(), "{text}"); // P1
        }
        assert!(read(&one.replace("END KEY", "END KEX")).is_none());
        assert!(read(&write("KEY", &[0; PEM_LEN_MAX])).is_none());
        assert!(read("").is_none());
    }
}
