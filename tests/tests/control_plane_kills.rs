//! SIGKILL of the control plane at any moment under load: what was answered is there, once.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    io::Write as _,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use e2e::{
    harness::{Client, Ports, Process, Stack},
    stories::operators::{Operators, Random, trail_is_exact, what_was_answered_is_there},
};

/// Rounds of kill and start.
const KILLS: u64 = 200;
/// Operators at once.
const OPERATORS: usize = 64;
/// Rounds on one store before a new one: a start examines the whole store, and this is no test of that.
const KILLS_PER_STORE: u64 = 40;
/// A life under load, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 100..500;
/// One in so many kills hits the start itself, within so many milliseconds.
const AT_START: (u64, u64) = (8, 120);
/// `AUTONOMY_KILL_SEED=n` repeats the moments of a run.
const SEED: &str = "AUTONOMY_KILL_SEED";

#[test]
fn two_hundred_kills_under_64_operators_lose_nothing_and_do_nothing_twice() {
    let asked = std::env::var(SEED).ok().and_then(|it| it.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = asked.unwrap_or_else(now);
    say(&format!("{SEED}={seed}"));
    let mut random = Random(seed);
    let (mut answered, mut on_record) = (0, 0);
    for store in 0..KILLS / KILLS_PER_STORE {
        let (more, told) = one_store(&mut random, seed ^ (store << 32));
        answered += more;
        on_record += told;
    }
    let enough = usize::try_from(KILLS).unwrap() * 20;
    assert!(answered > enough, "only {answered} requests were answered: the kills showed nothing");
    say(&format!(
        "{KILLS} kills, {answered} answered requests, {on_record} changes on record once"
    ));
}

/// Kills the control plane of one store again and again; requests that were answered, and changes on record.
fn one_store(random: &mut Random, seed: u64) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let client = Client::new().unwrap();
    // The programs may have to be built first, which nobody waits for under load.
    stack.orchestrator_command().unwrap();
    let operators = Operators::begin(&client, &stack.orchestrator_url(), OPERATORS, seed);
    for _ in 0..KILLS_PER_STORE {
        if random.below(AT_START.0) == 0 {
            let mut command = stack.orchestrator_command().unwrap();
            let process = Process::start("orchestrator", &mut command).unwrap();
            live(random.below(AT_START.1));
            process.kill().unwrap();
            continue;
        }
        // A start that refuses ends here.
        let process = stack.orchestrator().unwrap();
        live(LIFE_MS.start + random.below(LIFE_MS.end - LIFE_MS.start));
        process.kill().unwrap();
        if operators.gave_up() {
            break;
        }
    }
    let process = stack.orchestrator().unwrap();
    let (answered, (broken, replayed)) = (operators.answered(), operators.broken_and_replayed());
    let memories = operators.end(&client).unwrap();
    what_was_answered_is_there(&stack, &client, &memories).unwrap();
    process.stop().unwrap();
    let on_record = trail_is_exact(&stack, &memories).unwrap();
    say(&format!(
        "{answered} answered, {broken} broken, {replayed} asked again, {on_record} on record"
    ));
    (answered, on_record)
}

/// Lets the process live for so long: the moment of the kill is what is chosen here, nothing is waited for.
fn live(ms: u64) {
    let end = Instant::now() + Duration::from_millis(ms);
    while let Some(rest) = end.checked_duration_since(Instant::now()).filter(|it| !it.is_zero()) {
        thread::park_timeout(rest);
    }
}

/// Not `eprintln`: that is captured, and the seed must be seen.
fn say(text: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "{text}").unwrap();
}
