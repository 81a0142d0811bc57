//! The model must see what is wrong.

use super::*;

fn rollout(plan: &str, phase: &str, generation: u64) -> Value {
    json!({
        "plan": { "metadata": { "id": plan } }, "plan_digest": "blake3:1",
        "phase": phase, "generation": generation,
    })
}

fn answer(status: StatusCode, said: &Value, attempts: u32) -> Answer {
    Answer { status, replayed: false, text: said.to_string(), attempts }
}

/// A memory with one published plan, and what to ask about it next.
fn published() -> Result<(Memory, Ask)> {
    let mut memory = Memory::new(0);
    let what = What::Create { plan: "p".to_owned(), phase: Phase::Published };
    let create = memory.ask("/v1/rollouts".to_owned(), Value::Null, what);
    let said = rollout("p", "published", 1);
    memory.learn(&create, &answer(StatusCode::CREATED, &said, 1))?;
    let what = What::Turn { plan: "p".to_owned(), phase: Phase::PausedPublished };
    let turn = memory.ask("/v1/rollouts/p/pause".to_owned(), Value::Null, what);
    Ok((memory, turn))
}

#[test]
fn a_request_in_flight_was_done_once_or_not_at_all() -> Result<()> {
    let (memory, turn) = published()?;
    for (phase, generation, good) in [
        ("published", 1, true),
        ("paused", 2, true),
        ("paused", 1, false),
        ("published", 2, false),
        ("paused", 3, false),
    ] {
        let found = rollout("p", phase, generation);
        let seen = memory.in_flight(&turn, Some(&found));
        assert_eq!(seen.is_ok(), good, "{phase} {generation}");
    }
    assert!(memory.in_flight(&turn, None).is_err(), "the plan is gone");
    Ok(())
}

#[test]
fn an_answer_that_was_not_to_be_expected_is_seen() -> Result<()> {
    for (said, good) in [
        (rollout("p", "paused", 2), true),
        (rollout("p", "paused", 3), false),
        (rollout("p", "published", 2), false),
        (rollout("q", "paused", 2), false),
    ] {
        let (mut memory, turn) = published()?;
        let learnt = memory.learn(&turn, &answer(StatusCode::OK, &said, 1));
        assert_eq!(learnt.is_ok(), good, "{said}");
    }
    let (mut memory, _) = published()?;
    let events = memory.events();
    let half = json!({ "received": 3, "inserted": 1, "deduped": 2 });
    assert!(memory.learn(&events, &answer(StatusCode::OK, &half, 2)).is_err());
    Ok(())
}

#[test]
fn a_key_that_is_used_again_must_get_the_first_answer() -> Result<()> {
    let (_, turn) = published()?;
    let first = answer(StatusCode::OK, &rollout("p", "paused", 2), 1);
    let again = Answer { replayed: true, ..first.clone() };
    same(&turn, &first, &again)?;
    assert!(same(&turn, &first, &first.clone()).is_err(), "done twice");
    let other = Answer { text: rollout("p", "paused", 3).to_string(), ..again };
    assert!(same(&turn, &first, &other).is_err(), "another answer");
    Ok(())
}
