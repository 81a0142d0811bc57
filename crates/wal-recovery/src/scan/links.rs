//! Whether the frames of a block follow from each other, several at once.
//!
//! * **L1** The answer is yes only if [`follows`] says so of every frame. Each frame names its value, so the
//!   next one can be checked before it: when both hold, the one is what the other was checked with.

use wal_format::{Chain, Decoded, Frame, LANES, Seq, leading_seq, link_each, split_chain};

use super::follows;

/// What a frame says: the value in front of it, its body, and its own value.
type Claim<'a> = (Chain, &'a [u8], Chain);

/// Whether the whole frames that `rest` begins with hold behind an entry with this number and value.
pub(super) fn hold(mut rest: &[u8], mut last: Option<Seq>, mut chain: Chain) -> bool {
    let mut claims = [const { None }; LANES];
    loop {
        let (before, from) = (last, chain);
        let start = rest;
        for place in &mut claims {
            *place = claim(&mut rest, &mut last, &mut chain);
        }
        let [Some(a), Some(b), Some(c), Some(d)] = claims else {
            // The end, or a frame that does not hold: one by one.
            return hold_singly(start, before, from);
        };
        if !links_hold(&[a, b, c, d]) {
            return false;
        }
    }
}

/// Returns the values of the next frames, when there are [`LANES`] of them and all hold behind an entry with
/// this number and value. `None` says nothing about any of them.
pub(super) fn several(
    mut rest: &[u8],
    mut last: Option<Seq>,
    mut chain: Chain,
) -> Option<[Chain; LANES]> {
    let mut claims = [(chain, &[][..], chain); LANES];
    for place in &mut claims {
        *place = claim(&mut rest, &mut last, &mut chain)?;
    }
    links_hold(&claims).then(|| claims.map(|(.., value)| value))
}

/// Takes what the next frame says; `None` when there is none, or it is not as ours are.
fn claim<'a>(rest: &mut &'a [u8], last: &mut Option<Seq>, chain: &mut Chain) -> Option<Claim<'a>> {
    let Ok(Decoded::Whole(frame, behind)) = Frame::decode(rest) else { return None };
    let seq = last.map_or(Some(Seq::FIRST), Seq::next)?;
    if leading_seq(frame.payload()) != Some(seq) {
        return None;
    }
    let (body, value) = split_chain(frame.payload())?;
    let previous = std::mem::replace(chain, value);
    (*rest, *last) = (behind, Some(seq));
    Some((previous, body, value))
}

fn links_hold(claims: &[Claim<'_>; LANES]) -> bool {
    link_each(&claims.map(|(previous, body, _)| (previous, body))) == claims.map(|it| it.2)
}

fn hold_singly(mut rest: &[u8], mut last: Option<Seq>, mut chain: Chain) -> bool {
    while let Ok(Decoded::Whole(frame, behind)) = Frame::decode(rest) {
        let Some(seq) = last.map_or(Some(Seq::FIRST), Seq::next) else { return false };
        let Some(value) = follows(frame.payload(), seq, chain) else { return false };
        (rest, last, chain) = (behind, Some(seq), value);
    }
    true
}

#[cfg(test)]
mod tests {
    use wal_format::{Event, Kind, encode_entry};

    use super::*;

    /// Frames with the numbers 1 to `count`, of several lengths.
    fn frames(count: u64) -> Vec<Vec<u8>> {
        let mut chain = Chain::before(b"");
        let mut frame = |number: u64| {
            let mut out = Vec::new();
            let text = "x".repeat(usize::try_from(number * 97 % 1500).unwrap());
            let event = Event::new(Kind::Action).with("x", text).to_json();
            let (seq, at) = (Seq::new(number).unwrap(), jiff::Timestamp::UNIX_EPOCH);
            chain = encode_entry(seq, at, &event, chain, &mut out).unwrap();
            out
        };
        (1..=count).map(&mut frame).collect()
    }

    fn check(frames: &[Vec<u8>], want: bool) {
        let block = frames.concat();
        assert_eq!(hold(&block, None, Chain::before(b"")), want, "{} frames", frames.len());
        assert_eq!(hold_singly(&block, None, Chain::before(b"")), want, "{} frames", frames.len());
    }

    #[test]
    fn frames_that_follow_from_each_other_hold_however_many_they_are() {
        let frames = frames(23);
        for count in 0..=frames.len() {
            check(&frames[..count], true);
        }
    }

    #[test]
    fn a_frame_that_was_changed_taken_or_moved_holds_nowhere() {
        let good = frames(11);
        for at in 0..good.len() {
            for byte in [4, 10, good[at].len() / 2, good[at].len() - 70, good[at].len() - 3] {
                let mut bad = good.clone();
                bad[at][byte] ^= 1;
                check(&bad, false);
            }
            let mut bad = good.clone();
            bad.remove(at);
            check(&bad, at + 1 == good.len());
            bad.insert((at + 3) % good.len(), good[at].clone());
            check(&bad, false);
        }
    }

    #[test]
    fn several_frames_have_their_values_only_when_all_of_them_hold() {
        let good = frames(LANES as u64 + 1);
        let before = Chain::before(b"");
        let values: Vec<_> = good.iter().map(|it| split_chain(&it[4..]).unwrap().1).collect();
        let found = several(&good.concat(), None, before).unwrap();
        assert_eq!(found[..], values[..LANES]);
        assert_eq!(several(&good[..LANES - 1].concat(), None, before), None, "too few");
        assert_eq!(several(&good.concat(), None, values[0]), None, "of another place");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at][20] ^= 1;
            assert_eq!(several(&bad.concat(), None, before).is_some(), at == LANES, "{at}");
        }
    }

    #[test]
    fn the_first_frame_follows_from_what_stands_before_the_block() {
        let frames = frames(9);
        let (before, block) = (&frames[0], frames[1..].concat());
        let (_, value) = split_chain(&before[wal_format::HEADER_LEN..]).unwrap();
        assert!(hold(&block, Some(Seq::FIRST), value));
        assert!(!hold(&block, Some(Seq::FIRST), Chain::before(b"")));
        assert!(!hold(&block, None, value));
    }
}
