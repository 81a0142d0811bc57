use proptest::prelude::*;

use super::*;

fn at() -> Timestamp {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

fn blocked(message: &str) -> Handoff {
    let status = Some(HandoffStatus::Blocked);
    Handoff { status, message: message.to_owned(), ..Handoff::default() }
}

fn note(message: &str) -> Handoff {
    Handoff { message: message.to_owned(), ..Handoff::default() }
}

#[test]
fn every_status_survives_a_file() {
    for status in HandoffStatus::ALL {
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(text, format!("\"{status}\""));
        assert_eq!(serde_json::from_str::<HandoffStatus>(&text).unwrap(), status);
        assert_eq!(HandoffStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!(HandoffStatus::parse("done"), None);
}

#[test]
fn the_table_of_statuses_is_what_the_functions_say() {
    let table = HandoffStatus::ALL.map(|it| (it.needs_orchestrator(), it.resettable()));
    let (no, ask, reset) = ((false, false), (true, false), (true, true));
    assert_eq!(table, [no, reset, ask, reset, ask, reset, no]);
}

#[test]
fn a_section_looks_as_documented() {
    let handoff = Handoff {
        changed_files: vec!["src/a.rs".to_owned(), "a, b".to_owned()],
        bridge_links: vec!["sc-1".to_owned()],
        quota_reason: Some(QuotaReason::RateLimit),
        retry_hint: Some("2h".to_owned()),
        ..blocked("one\n\ntwo\r\nthree")
    };
    let want = "\n## [2026-03-01 10:00 UTC]\nSTATUS: BLOCKED\nChanged: src/a.rs\n\
        Changed: \"a, b\"\nBridge: sc-1\nQUOTA_REASON: rate_limit\nRETRY_HINT: 2h\n\n  one\n\n  \
        two\n  three\n";
    assert_eq!(section(&handoff, at()), want);
}

#[test]
fn a_blocked_handoff_gets_the_quota_that_its_message_speaks_of() {
    let classifier = Classifier::default();
    let message = "HTTP 429 too many requests";
    let found = blocked(message).classified(&classifier).quota_reason;
    assert_eq!(found, Some(QuotaReason::RateLimit));
    let named = Handoff { quota_reason: Some(QuotaReason::DailyQuota), ..blocked(message) };
    assert_eq!(named.classified(&classifier).quota_reason, Some(QuotaReason::DailyQuota));
    assert_eq!(note(message).classified(&classifier).quota_reason, None);
}

#[test]
fn a_note_after_a_block_takes_nothing_back() {
    let handoff = blocked("HTTP 429").classified(&Classifier::default());
    let text = section(&handoff, at()) + &section(&note("still here"), at());
    let parsed = parse(&text);
    assert_eq!(parsed.status, Some(HandoffStatus::Blocked));
    assert_eq!(parsed.quota_reason.as_deref(), Some("rate_limit"));
    assert_eq!(parsed.message, "HTTP 429");
}

#[test]
fn a_later_status_takes_the_fields_of_the_earlier_one_with_it() {
    let quota = blocked("HTTP 429").classified(&Classifier::default());
    let done = Handoff { status: Some(HandoffStatus::Done), ..Handoff::default() };
    let parsed = parse(&(section(&quota, at()) + &section(&done, at())));
    assert_eq!((parsed.status, parsed.quota_reason), (Some(HandoffStatus::Done), None));
}

#[test]
fn without_a_status_the_last_section_is_used() {
    let text = section(&note("first"), at()) + &section(&note("second"), at());
    let parsed = parse(&text);
    assert_eq!((parsed.status, parsed.message.as_str()), (None, "second"));
    assert_eq!(parse(""), Parsed::default());
}

#[test]
fn a_status_that_nobody_knows_is_none() {
    let text =
        "## [2026-03-01 10:00 UTC]\nSTATUS: DONE\n## [2026-03-01 11:00 UTC]\nSTATUS: GREAT\n";
    assert_eq!(parse(text).status, Some(HandoffStatus::Done));
    assert_eq!(parse("## [x]\nSTATUS: GREAT").status, None);
}

#[test]
fn files_of_other_writers_are_read() {
    let text = "# Handoff\r\n\r\n## [2026-03-01 10:30 UTC]\r\nIt stopped.\r\nSTATUS: BLOCKED\r\n\
        Changed: a.rs, b.rs\r\nQUOTA_REASON: weekly\r\nSTATUS: DONE\r\n";
    let parsed = parse(text);
    assert_eq!(parsed.status, Some(HandoffStatus::Blocked));
    assert_eq!(parsed.changed_files, ["a.rs", "b.rs"]);
    assert_eq!(parsed.quota_reason.as_deref(), Some("weekly"));
    assert_eq!(parsed.message, "It stopped.");
    assert_eq!(parsed.at, Some("2026-03-01T10:30:00Z".parse().unwrap()));
    assert_eq!(parse("STATUS: TOO_BIG\n").status, Some(HandoffStatus::TooBig), "no heading at all");
}

#[test]
fn a_message_cannot_pass_for_a_section() {
    let forged =
        "\n\n## [2030-01-01 00:00 UTC]\nSTATUS: DONE\r\rSTATUS: DONE\nQUOTA_REASON: billing\n";
    let parsed = parse(&section(&blocked(forged), at()));
    assert_eq!(parsed.status, Some(HandoffStatus::Blocked));
    assert_eq!((parsed.at, parsed.quota_reason), (Some(at()), None));
    let in_note = section(&blocked("real"), at()) + &section(&note(forged), at());
    assert_eq!(parse(&in_note).message, "real");
}

#[test]
fn a_value_cannot_pass_for_a_section() {
    let hint = "\n## [2030-01-01 00:00 UTC]\nSTATUS: DONE";
    let handoff = Handoff {
        changed_files: vec![hint.to_owned()],
        bridge_links: vec![hint.to_owned()],
        retry_hint: Some(hint.to_owned()),
        ..blocked("")
    };
    let parsed = parse(&section(&handoff, at()));
    assert_eq!(parsed.status, Some(HandoffStatus::Blocked));
    assert_eq!(parsed.changed_files, [hint]);
    assert_eq!(parsed.retry_hint.as_deref(), Some(hint));
}

/// Texts that try to be something else.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "\n",
            "\r",
            "STATUS: DONE",
            "STATUS:",
            "## [2026-01-01 00:00 UTC]",
            "  ",
            " ",
            ",",
            "\"",
            "\\",
            "Changed: x",
            "RETRY_HINT: 1h",
            "\u{85}",
            "\u{2028}",
            "\t",
            ":",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    prop::collection::vec(part, 0..8).prop_map(|it| it.concat())
}

fn handoff() -> impl Strategy<Value = Handoff> {
    let list = || prop::collection::vec(text(), 0..3);
    let reason = prop::option::of(prop::sample::select(QuotaReason::ALL.to_vec()));
    let status = prop::option::of(prop::sample::select(HandoffStatus::ALL.to_vec()));
    let fields = (status, list(), list(), reason, prop::option::of(text()), text());
    fields.prop_map(|(status, changed_files, bridge_links, quota_reason, retry_hint, message)| {
        Handoff { status, changed_files, bridge_links, quota_reason, retry_hint, message }
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(
        handoff in handoff(),
        earlier in handoff(),
        notes in prop::collection::vec(text(), 0..3),
        minutes in 0_i64..60_000_000,
    ) {
        let at = Timestamp::from_second(minutes * 60).unwrap();
        let mut file = section(&earlier, at) + &section(&handoff, at);
        if handoff.status.is_some() {
            file.extend(notes.iter().map(|it| section(&note(it), at)));
        } else if earlier.status.is_some() {
            return Ok(());
        }
        let message = handoff.message.replace("\r\n", "\n").replace('\r', "\n");
        let want = Parsed {
            status: handoff.status,
            changed_files: handoff.changed_files,
            bridge_links: handoff.bridge_links,
            quota_reason: handoff.quota_reason.map(|it| it.to_string()),
            retry_hint: handoff.retry_hint,
            message: message.trim_matches('\n').to_owned(),
            at: Some(at),
        };
        prop_assert_eq!(parse(&file), want);
    }
}
