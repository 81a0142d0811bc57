//! Writes a log into memory, reads it back, and finds what was done to it: one changed byte, and an end that a
//! crash has torn. No file, no clock.
//!
//! `cargo run -p wal-format --example find_the_damage`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::error::Error;

use wal_format::{
    Chain, Decoded, Entry, Event, Frame, FrameError, HEADER_LEN, Kind, Seq, encode_entry, linked,
};

/// What the arm of a robot did.
const MOVES: [&str; 5] = ["grip", "lift", "turn", "lower", "release"];

/// How far a log can be believed.
#[derive(Debug, PartialEq)]
enum End {
    /// To its end.
    Whole,
    /// To this place: behind it is the beginning of a frame. A crash leaves such an end.
    Torn { at: usize },
    /// To this place: the frame there is not the one that was written.
    Damaged { at: usize, why: String },
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let log = write()?;
    println!("written: {} entries, {} bytes", MOVES.len(), log.len());

    let (seen, end) = read(&log)?;
    for it in &seen {
        println!("  {it}");
    }
    println!("as it was written: {end:?}");
    expect(&end, &End::Whole)?;

    // A crash in the middle of the last write. It is told from damage, and everything before it holds.
    let last = log.len() - 7;
    let (seen, end) = read(log.get(..last).unwrap_or_default())?;
    println!("seven bytes short: {} entries hold, {end:?}", seen.len());

    // Somebody makes the lift a drop. The frame is as long as before and its JSON is whole: only the chain can tell.
    let mut changed = log.clone();
    let place = find(&changed, b"lift").ok_or("the log has no lift in it")?;
    changed.get_mut(place..place + 4).ok_or("too short")?.copy_from_slice(b"drop");
    let (seen, end) = read(&changed)?;
    println!("changed at byte {place}: {} entries hold, {end:?}", seen.len());
    let End::Damaged { at, .. } = end else { return Err("nobody noticed".into()) };
    if seen.len() != 1 || at > place {
        return Err("the damage is elsewhere".into());
    }

    // A length that no writer writes is refused before anything is read for it.
    let absurd = Frame::decode(&[0xff; HEADER_LEN]);
    println!("a length of 4 GiB: {absurd:?}");
    expect(&absurd.err(), &Some(FrameError::TooLong { len: u32::MAX }))
}

/// Each entry carries a hash over itself and everything before it.
fn write() -> Result<Vec<u8>> {
    let (mut log, mut chain, mut seq) = (Vec::new(), Chain::before(b""), Seq::FIRST);
    for what in MOVES {
        let event = Event::new(Kind::Action).with("arm", what);
        let at = "2026-01-02T03:04:05Z".parse()?;
        chain = encode_entry(seq, at, &event.to_json(), chain, &mut log)?;
        seq = seq.next().ok_or("no number is left")?;
    }
    Ok(log)
}

/// Reads as far as the log can be believed.
fn read(log: &[u8]) -> Result<(Vec<String>, End)> {
    let (mut seen, mut chain, mut rest) = (Vec::new(), Chain::before(b""), log);
    while !rest.is_empty() {
        let at = log.len() - rest.len();
        let (frame, behind) = match Frame::decode(rest) {
            Ok(Decoded::Whole(frame, behind)) => (frame, behind),
            Ok(Decoded::Torn) => return Ok((seen, End::Torn { at })),
            // Zeros, as a file system leaves them behind the last frame.
            Ok(Decoded::End) => break,
            Err(error) => return Ok((seen, End::Damaged { at, why: error.to_string() })),
        };
        let Some(next) = linked(frame.payload(), chain) else {
            let why = "the chain does not hold".to_owned();
            return Ok((seen, End::Damaged { at, why }));
        };
        let entry = Entry::parse(frame.payload())?;
        seen.push(format!("entry {} at byte {at}: {}", entry.seq, entry.event.kind()));
        (chain, rest) = (next, behind);
    }
    Ok((seen, End::Whole))
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|it| it == text)
}

fn expect<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(format!("{found:?} is not {wanted:?}").into()) }
}
