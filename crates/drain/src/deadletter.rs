//! The file `telemetry.deadletter.jsonl`: entries that the collector refused for good.
//!
//! One JSON object a line; the entry itself stays in the log and its archives, under `seq`. After a
//! crash between this file and the cursors an entry can stand here twice, under the same `event_id`.

use jiff::Timestamp;
use serde::Serialize;
use wal_format::Seq;

use crate::Class;

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Stable id of the entry.
    pub event_id: String,
    /// Its number in the log.
    pub seq: Seq,
    /// How urgent it was.
    pub class: Class,
    /// Why, in the words of the collector.
    pub text: String,
    /// When.
    pub refused_at: Timestamp,
}

impl DeadLetter {
    /// Appends the line to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        // Strings and numbers always serialize.
        out.extend_from_slice(&serde_json::to_vec(self).unwrap_or_default());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_whatever_the_collector_says() {
        let letter = DeadLetter {
            event_id: "edge-1:w:7".to_owned(),
            seq: Seq::new(7).unwrap(),
            class: Class::Decision,
            text: "bad\n\"field\"".to_owned(),
            refused_at: "2026-01-02T03:04:05.5Z".parse().unwrap(),
        };
        let mut out = Vec::new();
        letter.write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"event_id":"edge-1:w:7","seq":7,"class":"decision","text":"bad\n\"field\"","refused_at":"2026-01-02T03:04:05.5Z"}"#,
                "\n"
            )
        );
    }
}
