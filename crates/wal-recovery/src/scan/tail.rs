//! What stands behind the last frame that holds.
//!
//! | stop       | behind it        | tail                | a length that no writer produces |
//! |------------|------------------|---------------------|----------------------------------|
//! | phantom    | anything         | phantoms, counted   | no                               |
//! | impossible | anything         | phantoms            | yes                              |
//! | zeros      | zeros only       | clean               | no                               |
//! | zeros      | anything else    | phantoms            | yes: 0                           |
//! | torn       | zeros or nothing | clean               | no                               |
//! | torn       | anything else    | torn                | no                               |
//!
//! Where the safe point promises a further frame, zeros are refused whatever stands behind them, so the
//! walk over them ends after [`ZEROS_LEN_MAX`] bytes: a file of nothing but zeros is refused as quickly as
//! any other, however long it is.
//!
//! This is the walk; whether something was lost is judged by whoever knows what was promised
//! ([`Scanner::judge`](super::Scanner::judge)).

use std::io;

use crate::{
    frames::{FrameReader, Next, Peek},
    growth::STEP_MAX,
};

/// Most zeros that are looked at where a frame was promised: more than a writer lays out ahead at once.
const ZEROS_LEN_MAX: u64 = 64 << 20;
const _: () = assert!(ZEROS_LEN_MAX > STEP_MAX, "preallocated zeros are told from other damage");

/// What stands behind the last entry that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing, or zeros only.
    Clean,
    /// The beginning of a frame: a crash in the middle of a write.
    Torn,
    /// Something that was never acknowledged.
    Phantoms {
        /// How many whole frames.
        frames: u64,
    },
}

/// Why there is no further frame.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// A frame does not hold and nobody vouches for it. The reader is behind it.
    Phantom,
    /// The file ends inside a frame, or right here.
    Torn,
    /// A zero length prefix.
    Zeros,
    /// A length that no writer produces.
    Impossible(u32),
}

impl Stop {
    /// Why the reader gives out no frame; `None` when it will.
    pub(crate) fn of(peek: Peek) -> Option<Self> {
        match peek {
            Peek::Frame(_) => None,
            Peek::Torn => Some(Self::Torn),
            Peek::End => Some(Self::Zeros),
            Peek::TooLong(len) => Some(Self::Impossible(len)),
        }
    }
}

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) tail: Tail,
    /// A length that no writer produces, where the next frame should begin.
    pub(crate) impossible: Option<u32>,
}

/// Walks over what is left of a file. `promised` says that the safe point names a frame which is not there.
pub(crate) fn end_of_log(frames: &mut FrameReader, stop: Stop, promised: bool) -> io::Result<End> {
    let most = if promised { ZEROS_LEN_MAX } else { u64::MAX };
    let (tail, impossible) = match stop {
        Stop::Phantom => (Tail::Phantoms { frames: 1 + count_whole(frames)? }, None),
        Stop::Impossible(len) => (Tail::Phantoms { frames: 0 }, Some(len)),
        Stop::Zeros | Stop::Torn if frames.only_zeros_follow(most)? => (Tail::Clean, None),
        Stop::Zeros => (Tail::Phantoms { frames: 0 }, Some(0)),
        Stop::Torn => (Tail::Torn, None),
    };
    Ok(End { tail, impossible })
}

fn count_whole(frames: &mut FrameReader) -> io::Result<u64> {
    let mut count = 0;
    while let Next::Frame { .. } = frames.next()? {
        count += 1;
    }
    Ok(count)
}
