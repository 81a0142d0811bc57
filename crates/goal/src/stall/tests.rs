use proptest::prelude::*;

use super::*;

fn key(output: &str) -> StallKey {
    StallKey::new(1, output)
}

#[test]
fn the_keys_are_those_of_other_tools() {
    assert_eq!(raw_key(1, "boom\n"), "1a1285a6f353caab");
    assert_eq!(output_hash("boom\n"), "8d7a531d714c4bd7");
    assert_eq!(key("boom\n").as_str(), "1a1285a6f353caab", "nothing in it is replaced");
}

#[test]
fn what_differs_from_run_to_run_is_replaced() {
    for (output, want) in [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07a\x1b]8;;x\x1b\\b", "ab"),
        ("\x1b(Bx\x1b=y\x1b", "xy"),
        ("a  \t\r\nb \n", "a\nb\n"),
        ("at 2026-03-01T10:00:00.123456Z: no", "at <time>: no"),
        ("[2026-03-01 10:00:00,123] no", "[<time>] no"),
        ("2026-03-01T10:00+02:00", "<time>"),
        ("2026-03-01T10:00:00-0700x", "2026-03-01T10:00:00-0700x"),
        ("on 2026-03-01", "on <date>"),
        ("10:00:00 no", "<time> no"),
        (
            "took 1.53s (250 ms, 1m30s, 2 minutes)",
            "took <duration> (<duration>, <duration>, <duration>)",
        ),
        ("finished in 12s", "finished in <duration>"),
        ("at 0x7ffe12ab", "at <address>"),
        ("0x0\u{a0}", "<address>"),
        ("/tmp/.tmpAb12/src/a.rs:4:12: no", "<tmp>/src/a.rs:4:12: no"),
        ("\"/var/tmp/x-1\"", "\"<tmp>\""),
        ("PID=12 pid: 13 process 14", "pid <pid> pid <pid> pid <pid>"),
    ] {
        assert_eq!(normalise(output), want, "{output:?}");
    }
}

#[test]
fn what_says_something_is_kept() {
    for output in [
        "3 tests failed",
        "src/a.rs:4:12: expected 5",
        "exit 7",
        "sha 1a1285a6",
        "home/tmp/x",
        "/tmp/",
        "rapid 12",
        "4 days2",
        "v1.2.3",
        "port 8080",
        "12",
        "é12sé",
        "0x",
    ] {
        assert_eq!(normalise(output), output);
    }
}

#[test]
fn a_difference_behind_the_first_five_hundred_characters_counts() {
    let long = "x".repeat(500);
    assert_ne!(key(&format!("{long}a")), key(&format!("{long}b")));
}

#[test]
fn the_same_failure_three_times_is_a_stall() {
    let mut tracker = StallTracker::default();
    let counts: Vec<u32> = (0..3).map(|_| tracker.failed("sc-1", key("boom"))).collect();
    assert_eq!(counts, [1, 2, 3]);
    assert!(tracker.is_stalled("sc-1"));
    assert!(!tracker.is_stalled("sc-2"));
}

#[test]
fn two_attempts_are_never_a_stall() {
    let mut tracker = StallTracker::default();
    tracker.failed("sc-1", key("boom"));
    tracker.failed("sc-1", key("boom"));
    assert!(!tracker.all_stalled(["sc-1"]));
}

#[test]
fn another_failure_counts_from_one_and_a_success_from_zero() {
    let mut tracker = StallTracker::default();
    tracker.failed("sc-1", key("boom"));
    tracker.failed("sc-1", key("boom"));
    assert_eq!(tracker.failed("sc-1", key("bang")), 1);
    assert_eq!(tracker.failed("sc-1", StallKey::new(2, "bang")), 1, "the exit code is part of it");
    tracker.passed("sc-1");
    assert_eq!(tracker.count("sc-1"), 0);
    assert_eq!(tracker.failed("sc-1", StallKey::new(2, "bang")), 1);
}

#[test]
fn a_loop_stops_early_only_when_all_that_fail_are_stalled() {
    let mut tracker = StallTracker::default();
    for attempt in 0..5 {
        tracker.failed("stalled", key("boom"));
        tracker.failed("moving", key(&format!("{attempt} tests failed")));
    }
    assert!(!tracker.all_stalled(["stalled", "moving"]));
    assert!(tracker.all_stalled(["stalled"]), "the moving one has passed");
    assert!(!tracker.all_stalled([]), "nothing fails, nothing is stalled");
}

#[test]
fn outputs_that_differ_by_their_time_alone_stall() {
    let mut tracker = StallTracker::default();
    for second in 10..13 {
        tracker.failed("sc-1", key(&format!("2026-03-01T10:00:{second}Z boom (took 0.{second}s)")));
    }
    assert!(tracker.all_stalled(["sc-1"]));
}

#[test]
fn the_same_rate_limit_three_times_is_a_stall_too() {
    let mut tracker = StallTracker::default();
    for _ in 0..3 {
        tracker.failed("sc-1", key("HTTP 429 too many requests\n"));
    }
    assert!(tracker.all_stalled(["sc-1"]));
}

/// Texts made of what the rules look at.
fn hard_text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        prop::sample::select(vec![
            "2026-03-01",
            "T",
            "10:00",
            ":00",
            ".5",
            "Z",
            "+02:00",
            "0x",
            "12",
            "1",
            "m",
            "s",
            "ms",
            " ",
            "/tmp/",
            "/var",
            "/tmp",
            "/",
            "pid",
            "process",
            "=",
            ":",
            "<",
            ">",
            "<tmp>",
            "<time>",
            "a",
            "f",
            "-",
            "_",
            ".",
            "\n",
            "\r",
            "\t",
            "\x1b",
            "[",
            "]",
            "(",
            "\x07",
            "\\",
            "é",
            "0",
            "d",
            "minutes",
            ",",
            "\u{85}",
            "\u{a0}",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,3}",
        "[0-9]{1,4}",
    ];
    prop::collection::vec(part, 0..24).prop_map(|it| it.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    #[test]
    fn once_is_enough(text in hard_text()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn another_time_never_changes_the_key(
        before in "[a-z ]{0,20}",
        after in "[a-z ]{0,20}",
        first in 0_i64..4_000_000_000,
        second in 0_i64..4_000_000_000,
    ) {
        let with = |secs| {
            let time = jiff::Timestamp::from_second(secs).unwrap();
            key(&format!("{before} {time} {after}"))
        };
        prop_assert_eq!(with(first), with(second));
    }

    #[test]
    fn another_word_changes_the_key(
        before in "[a-z 0-9:.]{0,20}",
        first in "[a-z]{1,8}",
        second in "[a-z]{1,8}",
    ) {
        prop_assume!(first != second);
        let with = |word: &str| key(&format!("{before} | {word} | end"));
        prop_assert_ne!(with(&first), with(&second));
    }
}
