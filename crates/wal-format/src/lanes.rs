//! Chain values of several entries at once.
//!
//! Entries are short, and BLAKE3 gains its speed from long inputs: it works on many chunks side by side,
//! and an entry is less than one. But entries that each name their predecessor (C2) do not wait for each
//! other, so here the same instructions work on [`LANES`] of them. This is BLAKE3 of a single chunk as in
//! section 2 of its specification, one word of every lane in one vector.
//!
//! * **N1** Every lane has the value of [`Chain::link`]. Nothing here depends on the bytes that are hashed, only
//!   on their number, so what agrees for each number of bytes agrees for all of them.
//! * **N2** An input that is longer than a chunk is left to the library, and the others beside it.

use wide::u32x4;

use crate::Chain;

/// How many values are computed at once.
pub const LANES: usize = 4;

/// Bytes of a block, and words of it.
const BLOCK_LEN: usize = 64;
const WORDS: usize = BLOCK_LEN / size_of::<u32>();
/// Longest body whose link is one chunk.
const BODY_LEN_MAX: usize = blake3::CHUNK_LEN - Chain::LEN;

const ROUNDS: usize = 7;
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 1 << 1;
const ROOT: u32 = 1 << 3;

const IV: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

/// One word of every lane.
type Lanes = u32x4;

/// Returns [`Chain::link`] of every pair (N1).
pub fn link_each(pairs: &[(Chain, &[u8]); LANES]) -> [Chain; LANES] {
    if pairs.iter().any(|(_, body)| body.len() > BODY_LEN_MAX) {
        return pairs.map(|(previous, body)| previous.link(body));
    }
    let inputs = pairs.map(|(previous, body)| Input::new(previous, body));
    let last = inputs.iter().map(|it| it.last).max().unwrap_or_default();
    let mut chaining = IV.map(Lanes::splat);
    let mut links = pairs.map(|(previous, _)| previous);
    for number in 0..=last {
        let blocks = inputs.each_ref().map(|it| it.block(number));
        let words = side_by_side(&blocks.map(|it| it.words));
        let (lens, flags) = (blocks.map(|it| it.len), blocks.map(|it| it.flags));
        chaining = compress(chaining, words, Lanes::new(lens), Lanes::new(flags));
        for (lane, (input, link)) in inputs.iter().zip(&mut links).enumerate() {
            if input.last == number {
                *link = lane_of(&chaining, lane);
            }
        }
    }
    links
}

/// A value and a body, which are hashed as one piece.
struct Input<'a> {
    previous: [u8; Chain::LEN],
    body: &'a [u8],
    /// Number of the last block.
    last: usize,
}

#[derive(Clone, Copy)]
struct Block {
    words: [u32; WORDS],
    len: u32,
    flags: u32,
}

impl<'a> Input<'a> {
    fn new(previous: Chain, body: &'a [u8]) -> Self {
        let last = (Chain::LEN + body.len() - 1) / BLOCK_LEN;
        Self { previous: previous.to_bytes(), body, last }
    }

    /// The block with this number, zeros behind its end. What comes after the last one does not matter.
    fn block(&self, number: usize) -> Block {
        let mut bytes = [0; BLOCK_LEN];
        let from = (number * BLOCK_LEN).saturating_sub(Chain::LEN);
        let rest = self.body.get(from..).unwrap_or_default();
        let (head, room) = bytes.split_at_mut(Chain::LEN);
        let mut len = Chain::LEN;
        if number == 0 {
            head.copy_from_slice(&self.previous);
            len += copy(rest, room);
        } else if let Some(whole) = rest.first_chunk() {
            (bytes, len) = (*whole, BLOCK_LEN);
        } else {
            len = copy(rest, &mut bytes);
        }
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let start = if number == 0 { CHUNK_START } else { 0 };
        let end = if number == self.last { CHUNK_END | ROOT } else { 0 };
        Block { words, len: u32::try_from(len).unwrap_or_default(), flags: start | end }
    }
}

/// Copies what there is room for, and returns how much that was.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    to.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
}

/// The first word of every block, the second of every block, and so on.
fn side_by_side([a, b, c, d]: &[[u32; WORDS]; LANES]) -> [Lanes; WORDS] {
    let mut words = [Lanes::splat(0); WORDS];
    for (to, (((a, b), c), d)) in words.iter_mut().zip(a.iter().zip(b).zip(c).zip(d)) {
        *to = Lanes::new([*a, *b, *c, *d]);
    }
    words
}

fn lane_of(chaining: &[Lanes; 8], lane: usize) -> Chain {
    let mut value = [0; Chain::LEN];
    for (to, word) in value.as_chunks_mut().0.iter_mut().zip(chaining) {
        *to = word.to_array().get(lane).copied().unwrap_or_default().to_le_bytes();
    }
    Chain::from_hash(value)
}

/// The compression function, with the counter of a first chunk.
fn compress(chaining: [Lanes; 8], block: [Lanes; WORDS], len: Lanes, flags: Lanes) -> [Lanes; 8] {
    let [c0, c1, c2, c3, c4, c5, c6, c7] = chaining;
    let [i0, i1, i2, i3, ..] = IV.map(Lanes::splat);
    let none = Lanes::splat(0);
    let mut state = [c0, c1, c2, c3, c4, c5, c6, c7, i0, i1, i2, i3, none, none, len, flags];
    let mut block = block;
    for _ in 0..ROUNDS {
        state = round(state, &block);
        block = permuted(block);
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15] = state;
    [s0 ^ s8, s1 ^ s9, s2 ^ s10, s3 ^ s11, s4 ^ s12, s5 ^ s13, s6 ^ s14, s7 ^ s15]
}

/// Mixes the columns of the state, then its diagonals. The names of the words are those of the specification.
#[inline]
fn round(state: [Lanes; WORDS], m: &[Lanes; WORDS]) -> [Lanes; WORDS] {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3] = state;
    let [a0, b0, c0, d0] = mixed([a0, b0, c0, d0], m[0], m[1]);
    let [a1, b1, c1, d1] = mixed([a1, b1, c1, d1], m[2], m[3]);
    let [a2, b2, c2, d2] = mixed([a2, b2, c2, d2], m[4], m[5]);
    let [a3, b3, c3, d3] = mixed([a3, b3, c3, d3], m[6], m[7]);
    let [a0, b1, c2, d3] = mixed([a0, b1, c2, d3], m[8], m[9]);
    let [a1, b2, c3, d0] = mixed([a1, b2, c3, d0], m[10], m[11]);
    let [a2, b3, c0, d1] = mixed([a2, b3, c0, d1], m[12], m[13]);
    let [a3, b0, c1, d2] = mixed([a3, b0, c1, d2], m[14], m[15]);
    [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3]
}

#[inline]
fn mixed([a, b, c, d]: [Lanes; 4], first: Lanes, second: Lanes) -> [Lanes; 4] {
    let a = a + b + first;
    let d = rotated::<16>(d ^ a);
    let c = c + d;
    let b = rotated::<12>(b ^ c);
    let a = a + b + second;
    let d = rotated::<8>(d ^ a);
    let c = c + d;
    let b = rotated::<7>(b ^ c);
    [a, b, c, d]
}

#[inline]
fn rotated<const RIGHT: u32>(word: Lanes) -> Lanes {
    (word >> RIGHT) | (word << (u32::BITS - RIGHT))
}

#[inline]
fn permuted(m: [Lanes; WORDS]) -> [Lanes; WORDS] {
    [
        m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14],
        m[15], m[8],
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pairs: [(Chain, &[u8]); LANES]) {
        assert_eq!(link_each(&pairs), pairs.map(|(previous, body)| previous.link(body)));
    }

    #[test]
    fn every_number_of_bytes_gives_the_value_of_the_library_in_every_lane() {
        let body: Vec<u8> = (0..=250).cycle().take(2 * blake3::CHUNK_LEN).collect();
        let previous = [&b"a"[..], b"b", b"c", b"d"].map(Chain::before);
        let [p0, p1, p2, p3] = previous;
        for len in 0..=BODY_LEN_MAX + 70 {
            let other = (len * 7) % (BODY_LEN_MAX + 1);
            check([(p0, &body[..len]), (p1, &body[1..=len]), (p2, &body[..other]), (p3, &[])]);
            check([(p3, &body[..other]), (p2, &[]), (p1, &body[2..len + 2]), (p0, &body[..len])]);
        }
    }

    proptest! {
        #[test]
        fn any_bodies_give_the_values_of_the_library(
            previous in any::<[[u8; Chain::LEN]; LANES]>(),
            bodies in prop::array::uniform4(prop::collection::vec(any::<u8>(), 0..BODY_LEN_MAX + 9)),
        ) {
            let [p0, p1, p2, p3] = previous.map(Chain::from_hash);
            let [b0, b1, b2, b3] = &bodies;
            check([(p0, b0), (p1, b1), (p2, b2), (p3, b3)]);
        }
    }
}
