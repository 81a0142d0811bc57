//! One record to one line and back.

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::record::{OPS, StepRecord};
use crate::{Plain, Seq};

/// Number of the format in every line that we write.
pub const VERSION: u64 = 1;
/// Longest line in bytes, its line feed included. Bounds what evidence can make a file grow by.
pub const LINE_LEN_MAX: usize = 4 << 20;

/// A line as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct StepLine {
    /// Version of the format; lines of others have none.
    pub v: Option<u64>,
    /// Number of the line in its file; lines of others have none.
    pub seq: Option<Seq>,
    /// When it was written.
    pub ts: Option<Timestamp>,
    /// What it says.
    pub said: Said,
}

/// What a line says, if it is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A record.
    Record(StepRecord),
    /// Something that later versions know (G2).
    Unknown {
        /// The value of `op`; `None` when there is none.
        op: Option<String>,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    record: &'a StepRecord,
    v: u64,
    seq: Seq,
    ts: String,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    v: Option<u64>,
    #[serde(default)]
    seq: Option<Seq>,
    #[serde(default)]
    ts: Option<Timestamp>,
}

/// Appends a record as a line to `out` (G1).
///
/// # Errors
///
/// [`LineError::TooLong`]; `out` is then as it was.
///
/// # Examples
///
/// ```
/// use wal_format::{Seq, step::{PlanFinalize, FinalizeStatus, StepRecord, encode_line}};
///
/// let record = StepRecord::PlanFinalize(PlanFinalize {
///     plan_id: "p".to_owned(),
///     status: FinalizeStatus::Succeeded,
///     reason: None,
/// });
/// let mut out = Vec::new();
/// encode_line(&record, Seq::FIRST, "2026-01-02T03:04:05.006Z".parse()?, &mut out)?;
/// assert_eq!(
///     std::str::from_utf8(&out)?,
///     "{\"op\":\"plan_finalize\",\"plan_id\":\"p\",\"status\":\"succeeded\",\
///      \"v\":1,\"seq\":1,\"ts\":\"2026-01-02T03:04:05.006Z\"}\n",
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_line(
    record: &StepRecord,
    seq: Seq,
    at: Timestamp,
    out: &mut Vec<u8>,
) -> Result<(), LineError> {
    let start = out.len();
    let line = Written { record, v: VERSION, seq, ts: format!("{at:.3}") };
    let written = serde_json::to_writer(&mut *out, &line).map_err(io::Error::from);
    out.push(b'\n');
    let len = out.len() - start;
    if written.is_err() || len > LINE_LEN_MAX {
        out.truncate(start);
        return Err(LineError::TooLong { len });
    }
    Ok(())
}

impl StepLine {
    /// Reads a line, with or without its line feed.
    ///
    /// # Errors
    ///
    /// [`LineError`] when it is not a JSON object, or when a record that is known has not the keys
    /// of one.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        if line.len() > LINE_LEN_MAX {
            return Err(LineError::TooLong { len: line.len() });
        }
        let text =
            std::str::from_utf8(line).map_err(|it| LineError::NotUtf8 { at: it.valid_up_to() })?;
        let Plain(value) =
            serde_json::from_str(text).map_err(|it| LineError::NotJson { column: it.column() })?;
        let Value::Object(object) = &value else { return Err(LineError::NotAnObject) };
        let op = object.get("op").and_then(Value::as_str).map(str::to_owned);
        let Head { v, seq, ts } = Head::deserialize(&value).map_err(malformed)?;
        let said = match op {
            Some(op) if OPS.contains(&op.as_str()) => {
                Said::Record(StepRecord::deserialize(value).map_err(malformed)?)
            }
            op => Said::Unknown { op },
        };
        Ok(Self { v, seq, ts, said })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn malformed(error: serde_json::Error) -> LineError {
    LineError::Malformed { text: error.to_string() }
}

/// Why a line is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineError {
    /// It is longer than any that we write.
    #[error("the line has {len} bytes, at most {LINE_LEN_MAX} are possible")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It is no text.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// How many bytes before it are.
        at: usize,
    },
    /// It is no JSON.
    #[error("not JSON at column {column}")]
    NotJson {
        /// Where, from 1.
        column: usize,
    },
    /// It is a number, a text, a list or `null`.
    #[error("not a JSON object")]
    NotAnObject,
    /// It has an `op` that is known and not its keys.
    #[error("not a record: {text}")]
    Malformed {
        /// What is wrong with it.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::step::{
        Append, Change, FinalizeStatus, PlanCommit, PlanFinalize, PlannedStep, StepStatus,
        Transition,
    };

    const AT: &str = "2026-01-02T03:04:05.006Z";

    fn line(record: &StepRecord) -> String {
        let mut out = Vec::new();
        encode_line(record, Seq::FIRST, AT.parse().unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// A record has exactly these keys, in this order, and comes back.
    #[track_caller]
    fn check(record: StepRecord, keys: &str) {
        let line = line(&record);
        assert_eq!(line, format!("{{{keys},\"v\":1,\"seq\":1,\"ts\":\"{AT}\"}}\n"));
        let read = StepLine::parse(line.as_bytes()).unwrap();
        assert_eq!((read.v, read.seq, read.ts), (Some(1), Some(Seq::FIRST), AT.parse().ok()));
        assert_eq!(read.said, Said::Record(record));
    }

    fn change(change: Change) -> StepRecord {
        StepRecord::Transition(Transition {
            step_id: "s".to_owned(),
            plan_id: Some("p".to_owned()),
            change,
        })
    }

    fn text(it: &str) -> String {
        it.to_owned()
    }

    #[test]
    fn every_record_has_its_keys_in_their_order() {
        let step = PlannedStep {
            step_id: "s".to_owned(),
            tool: Some(text("t")),
            params_hash: None,
            pre_hash: Some(text("a")),
            expected_post_hash: Some(text("b")),
            effect: None,
        };
        let plan = PlanCommit::new("p", "m", 2, vec![step]).unwrap();
        let hash = plan.plan_hash.clone();
        check(
            StepRecord::PlanCommit(plan),
            &format!(
                r#""op":"plan_commit","plan_id":"p","mandate_id":"m","cycle":2,"plan_hash":"{hash}","steps":[{{"step_id":"s","tool":"t","params_hash":null,"pre_hash":"a","expected_post_hash":"b"}}]"#
            ),
        );
        let append = Append {
            step_id: "s".to_owned(),
            plan_id: Some(text("p")),
            idem_key: Some(text("k")),
            status: StepStatus::Pending,
        };
        check(
            StepRecord::Append(append),
            r#""op":"append","step_id":"s","plan_id":"p","idem_key":"k","status":"pending""#,
        );
        let finalize = |status, reason| PlanFinalize { plan_id: "p".to_owned(), status, reason };
        check(
            StepRecord::PlanFinalize(finalize(FinalizeStatus::Abandoned, Some(text("r")))),
            r#""op":"plan_finalize","plan_id":"p","status":"abandoned","reason":"r""#,
        );
        check(
            StepRecord::PlanFinalize(finalize(FinalizeStatus::Failed, None)),
            r#""op":"plan_finalize","plan_id":"p","status":"failed""#,
        );
    }

    #[test]
    fn every_change_has_its_keys_in_their_order() {
        let check = |it, keys: &str| {
            check(
                change(it),
                &format!(r#""op":"transition","step_id":"s","plan_id":"p","status":{keys}"#),
            );
        };
        check(Change::Executing { pre_hash: Some(text("a")) }, r#""executing","pre_hash":"a""#);
        let completed = |recovered, evidence| Change::Completed {
            post_hash: Some(text("b")),
            result_hash: None,
            recovered,
            evidence,
        };
        check(completed(None, None), r#""completed","post_hash":"b","result_hash":null"#);
        check(
            completed(Some(true), Some(json!({"a": [1]}))),
            r#""completed","post_hash":"b","result_hash":null,"recovered":true,"evidence":{"a":[1]}"#,
        );
        check(
            Change::Failed { error_class: Some(text("E")), error_msg: Some(text("m")) },
            r#""failed","error_class":"E","error_msg":"m""#,
        );
        check(
            Change::NeedsReview { reason: Some(text("r")), evidence: Some(json!(7)) },
            r#""needs_review","reason":"r","evidence":7"#,
        );
        check(Change::NeedsReview { reason: None, evidence: None }, r#""needs_review""#);
        check(Change::Paused { reason: Some(text("r")) }, r#""paused","reason":"r""#);
        check(Change::Pending { reset: true, reason: None }, r#""pending","reset":true"#);
        check(Change::Pending { reset: false, reason: None }, r#""pending""#);
        let reason = Some("why".to_owned());
        check(Change::Pending { reset: false, reason }, r#""pending","reason":"why""#);
        check(Change::Abandoned { reason: None }, r#""abandoned""#);
    }

    #[test]
    fn lines_of_others_are_read_and_unknown_keys_ignored() {
        let line = br#"{"op":"transition","step_id":"s","status":"pending","reset":true,"x":{"y":1},"ts":"2026-04-20T12:00:00.000Z"}"#;
        let read = StepLine::parse(line).unwrap();
        assert_eq!((read.v, read.seq), (None, None));
        let Said::Record(StepRecord::Transition(it)) = read.said else { panic!("{read:?}") };
        assert_eq!((it.plan_id, it.change), (None, Change::Pending { reset: true, reason: None }));
    }

    #[test]
    fn an_unknown_op_is_told_and_is_no_damage() {
        let said = |it: &str| StepLine::parse(it.as_bytes()).unwrap().said;
        assert_eq!(said(r#"{"op":"lease","v":1}"#), Said::Unknown { op: Some(text("lease")) });
        assert_eq!(said("{}"), Said::Unknown { op: None });
    }

    #[test]
    fn what_is_no_record_is_named() {
        let check = |it: &[u8], want: &str| {
            assert_eq!(StepLine::parse(it).unwrap_err().to_string(), want);
        };
        check(b"{\"op\":", "not JSON at column 6");
        check(b"{}{}", "not JSON at column 3");
        for it in ["7", "null", "[]", "\"x\""] {
            check(it.as_bytes(), "not a JSON object");
        }
        check(b"{\"a\":\"\xff\"}", "not UTF-8 at byte 6");
        check(br#"{"op":"plan_finalize"}"#, "not a record: missing field `plan_id`");
        let unknown = br#"{"op":"transition","step_id":"s","status":"resting"}"#;
        assert!(matches!(StepLine::parse(unknown), Err(LineError::Malformed { .. })));
        let seq = br#"{"op":"append","step_id":"s","status":"pending","seq":0}"#;
        assert!(matches!(StepLine::parse(seq), Err(LineError::Malformed { .. })));
    }

    #[test]
    fn a_line_has_a_longest_length_and_leaves_nothing_behind() {
        let evidence = Some(json!("x".repeat(LINE_LEN_MAX)));
        let record = change(Change::NeedsReview { reason: None, evidence });
        let mut out = b"before".to_vec();
        let result = encode_line(&record, Seq::FIRST, AT.parse().unwrap(), &mut out);
        assert!(matches!(result, Err(LineError::TooLong { .. })), "{result:?}");
        assert_eq!(out, b"before");
    }

    #[test]
    fn evidence_is_what_stands_there_whatever_its_keys() {
        let trap = r#"{"$serde_json::private::RawValue":"{"}"#;
        let line = format!(
            r#"{{"op":"transition","step_id":"s","status":"needs_review","evidence":{trap}}}"#
        );
        let Said::Record(StepRecord::Transition(it)) =
            StepLine::parse(line.as_bytes()).unwrap().said
        else {
            panic!("{line}")
        };
        let Change::NeedsReview { evidence, .. } = it.change else { panic!("{line}") };
        assert_eq!(evidence.unwrap().to_string(), trap);
    }

    proptest! {
        #[test]
        fn no_strict_prefix_of_a_line_is_a_line(reason in ".{0,20}", evidence in ".{0,20}") {
            let evidence = Some(json!({"{}": evidence, "n": [1, "}"]}));
            let line = line(&change(Change::NeedsReview { reason: Some(reason), evidence }));
            prop_assert_eq!(line.matches('\n').count(), 1);
            let whole = line.trim_end().as_bytes();
            for cut in 0..whole.len() {
                prop_assert!(StepLine::parse(&whole[..cut]).is_err());
            }
            prop_assert!(StepLine::parse(whole).is_ok());
        }
    }
}
