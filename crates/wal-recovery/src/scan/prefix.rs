//! The hash over the frames in front of the first one with a chain.

use wal_format::{Chain, HEADER_LEN};

/// Bytes hashed at once. Many small pieces take several times as long as few large ones.
const PIECE_LEN: usize = 64 << 10;

/// BLAKE3 of every byte from the beginning of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    hasher: Box<blake3::Hasher>,
    /// What is not hashed yet.
    piece: Vec<u8>,
}

impl Prefix {
    /// Takes one frame.
    pub(crate) fn frame(&mut self, payload: &[u8]) {
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.piece.extend_from_slice(&len.to_be_bytes());
        if HEADER_LEN + payload.len() >= PIECE_LEN {
            self.flush();
            self.hasher.update(payload);
            return;
        }
        self.piece.extend_from_slice(payload);
        if self.piece.len() >= PIECE_LEN {
            self.flush();
        }
    }

    /// Takes many frames as they stand in the file.
    pub(crate) fn frames(&mut self, bytes: &[u8]) {
        self.flush();
        self.hasher.update(bytes);
    }

    /// The value that a first chained frame continues from.
    pub(crate) fn chain(&self) -> Chain {
        let hash = if self.piece.is_empty() {
            self.hasher.finalize()
        } else {
            self.hasher.clone().update(&self.piece).finalize()
        };
        Chain::from_hash(*hash.as_bytes())
    }

    fn flush(&mut self) {
        self.hasher.update(&self.piece);
        self.piece.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_one_by_one_or_many_at_once_give_the_hash_of_the_file() {
        let mut file = Vec::new();
        let mut prefix = Prefix::default();
        for len in [1, 5, 70_000, 9, 60_000, 6_000, PIECE_LEN - 4, 3] {
            let start = file.len();
            wal_format::Frame::encode(&vec![b'x'; len], &mut file).unwrap();
            if len % 2 == 1 {
                prefix.frames(&file[start..]);
            } else {
                prefix.frame(&file[start + HEADER_LEN..]);
            }
            assert_eq!(prefix.chain(), Chain::before(&file), "{len}");
        }
    }
}
