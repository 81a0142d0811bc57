//! A guarded arm, in one process and without a service: every move is decided by a policy and is on record before it happens;
//! afterwards the record is made into OTLP requests in the order in which a collector would get them.

use std::{collections::BTreeMap, error::Error, path::Path};

use drain::{Answer, Config, Drain, Effect, Input, Progress};
use jiff::Timestamp;
use otlp::{Encoding, Limits};
use policy::{Bundle, Context, Evaluator, Recipe, Request, RuntimeRequirement, build};
use vfs::OsVfs;
use wal_format::{Event, Kind};
use wal_recovery::{Durability, Log, Opening, Overrides, Reader, Submission, recover};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RULES: &str = "package autonomy\nimport rego.v1\nallow if input.params.speed <= 2\n";
/// Would be random, and kept with the log.
const LOG_ID: [u8; 16] = [7; 16];

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut arm = Arm::default();
    let delivered = guarded(dir.path(), &mut arm, &[1, 9, 2])?;
    println!("moved {:?}; delivered {delivered:?}", arm.moved);
    Ok(())
}

/// What is to be guarded.
#[derive(Default)]
struct Arm {
    moved: Vec<u64>,
}

/// Moves the arm where the policy allows it. Returns the bodies of what a collector would have received.
fn guarded(dir: &Path, arm: &mut Arm, speeds: &[u64]) -> Result<Vec<String>> {
    let evaluator = evaluator()?;
    let opening = Opening {
        dir: dir.to_owned(),
        node: "arm-1".to_owned(),
        random: LOG_ID,
        now: Timestamp::now(),
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: format!("pid {}", std::process::id()),
    };
    let log = Log::start(recover(&OsVfs, &opening)?.writer)?;
    for speed in speeds {
        let allowed = evaluator.evaluate(&request(*speed)?).is_allow();
        let decision = Event::new(Kind::Decision).with("allowed", allowed).with("speed", *speed);
        log.append(Submission::new(&decision, Timestamp::now())?)?; // durable, then the effect
        if allowed {
            arm.moved.push(*speed);
            let action = Event::new(Kind::Action).with("moved", *speed);
            log.append(Submission::new(&action, Timestamp::now())?)?;
        }
    }
    log.close()?;
    deliver(dir)
}

fn evaluator() -> Result<impl Evaluator> {
    let files = BTreeMap::from([("arm.rego".to_owned(), RULES.as_bytes().to_vec())]);
    let recipe = Recipe {
        version: "1.0.0",
        name: Some("arm"),
        requirement: &RuntimeRequirement::default(),
        created_at: Timestamp::UNIX_EPOCH,
    };
    Ok(Bundle::open(&build(&files, &recipe)?.bytes)?.evaluator()?)
}

fn request(speed: u64) -> Result<Request> {
    let context = Context {
        node: "arm-1".to_owned(),
        operator: "ada".to_owned(),
        time: Timestamp::now(),
        mode: "normal".to_owned(),
    };
    let params = serde_json::from_value(serde_json::json!({ "speed": speed }))?;
    Ok(Request { kind: "tool.arm".to_owned(), params, context, agent_context: None })
}

/// Drives the drain with a collector that accepts everything.
fn deliver(dir: &Path) -> Result<Vec<String>> {
    let mut payloads = Vec::new();
    let mut reader = Reader::open(&OsVfs, dir)?;
    let id = wal_format::WalId::from_random(LOG_ID);
    let mut drain =
        Drain::new(Config::standard("arm-1".to_owned(), id, 1), Progress::load(id, None, None)?);
    while let Some(entry) = reader.next_entry()? {
        drain.index(entry.seq, 0, &entry.payload)?;
        payloads.push(entry.payload.to_vec());
    }
    let (mut input, mut bodies) = (Input::Indexed, Vec::new());
    loop {
        input = match drain.step(input, Timestamp::now()).effect {
            Effect::Read(entries) => {
                let at = |seq: u64| payloads.get(usize::try_from(seq - 1).ok()?).cloned();
                Input::Read(entries.iter().filter_map(|it| at(it.seq.get())).collect())
            }
            Effect::Send(request) => {
                for group in otlp::decode(&request.body, Encoding::Protobuf, &Limits::STANDARD)? {
                    bodies.extend(group.records.iter().map(|it| it.body.to_string()));
                }
                Input::Answered(Answer { status: 200, ..Answer::default() })
            }
            Effect::Wait(_) => Input::Waited,
            Effect::Finished(_) => return Ok(bodies),
            Effect::Failed(failure, _) => return Err(failure.into()),
            // Progress that is not kept: the next start would deliver everything again.
            _ => Input::Written,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_moves_and_decisions_are_delivered_before_actions() {
        let dir = tempfile::tempdir().unwrap();
        let mut arm = Arm::default();
        let delivered = guarded(dir.path(), &mut arm, &[1, 9, 2]).unwrap();
        assert_eq!(arm.moved, [1, 2]);
        let of = |word: &str| delivered.iter().filter(|it| it.contains(word)).count();
        assert_eq!((of("decision"), of("action")), (3, 2), "{delivered:?}");
        let last_decision = delivered.iter().rposition(|it| it.contains("decision"));
        let first_action = delivered.iter().position(|it| it.contains("action"));
        assert!(last_decision < first_action, "{delivered:?}");
    }
}
