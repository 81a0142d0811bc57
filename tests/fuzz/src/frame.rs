//! The bytes of a log as frames: whole, torn, ended or impossible, and nothing in between.

use wal_format::{Decoded, Frame, FrameError, HEADER_LEN, MAX_PAYLOAD_LEN};

/// F1, F3, and that the frames of a log and what follows them are the log.
pub fn check(bytes: &[u8]) {
    let mut rest = bytes;
    let mut copy = Vec::new();
    loop {
        let prefix = rest.first_chunk::<HEADER_LEN>().map(|it| u32::from_be_bytes(*it));
        match Frame::decode(rest) {
            Ok(Decoded::Whole(frame, behind)) => {
                let len = frame.payload().len();
                assert_eq!(prefix.map(|it| it as usize), Some(len));
                assert_eq!(rest.len(), HEADER_LEN + len + behind.len());
                let start = copy.len();
                Frame::encode(frame.payload(), &mut copy).unwrap();
                assert_eq!(copy[start..], rest[..HEADER_LEN + len], "F3");
                every_prefix_is_torn(&copy[start..]);
                rest = behind;
            }
            Ok(Decoded::Torn) => {
                let want = prefix.map_or(0, |it| it as usize + HEADER_LEN);
                assert!(prefix.is_none() || (rest.len() < want && prefix != Some(0)));
                break;
            }
            Ok(Decoded::End) => {
                assert_eq!(prefix, Some(0));
                break;
            }
            Err(FrameError::TooLong { len }) => {
                assert_eq!(prefix, Some(len));
                assert!(len > MAX_PAYLOAD_LEN);
                break;
            }
            Err(FrameError::Empty) => panic!("zero is the end of a log, not an error"),
        }
    }
    copy.extend_from_slice(rest);
    assert_eq!(copy, bytes);
}

/// F1, at every cut of a short frame and at the interesting ones of a long one.
fn every_prefix_is_torn(frame: &[u8]) {
    let near_an_end = |cut: &usize| *cut <= 64 || *cut + 64 >= frame.len();
    for cut in (0..frame.len()).filter(near_an_end) {
        assert_eq!(Frame::decode(&frame[..cut]), Ok(Decoded::Torn), "cut at {cut}");
    }
}
