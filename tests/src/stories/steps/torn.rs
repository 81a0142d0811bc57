//! A log that was cut off.
//!
//! | drill   | the log               | then                                   |
//! |---------|-----------------------|----------------------------------------|
//! | `SW-4`  | ends in half a record | the half is put aside, the rest counts |
//! | `SW-4b` | ends anywhere         | what its whole lines say               |

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    bytes::{append, two_steps},
    site::{Site, ends_once, steps_in},
};
use crate::stories::{
    Narrator,
    drill::{Drill, Fault, Needs},
};

/// What a crash leaves of a record.
const HALF: &[u8] = br#"{"op":"transition","step_id":"b","pl"#;

/// Half a record at the end.
pub(super) const TORN_TAIL: Drill = Drill {
    name: "SW-4",
    hypothesis: "half a record at the end of a log costs nothing but itself, on the first recovery",
    fault: "half a record behind a step that began",
    expected: "wal_recovery_torn_tail; the bytes beside the log, in a file with .torn- in its name",
    needs: Needs::Nothing,
    lines: &[],
    play: torn_tail,
};

/// Every length.
pub(super) const EVERY_PREFIX: Drill = Drill {
    name: "SW-4b",
    hypothesis: "wherever a log was cut off, a recovery succeeds and has what its whole lines say",
    fault: "the log of a whole plan, cut off at every one of its bytes",
    expected: "exit code 0; a torn tail wherever the cut is inside of a line",
    needs: Needs::Nothing,
    lines: &[],
    play: every_prefix,
};

fn torn_tail(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = two_steps(&site, "sw4")?;
    narrator.check("daemon and runtime are killed, and half a record is behind the log", || {
        site.interrupt(&plan, "b", Fault::Injected)?;
        if fault == Fault::Injected {
            append(&site.log()?, HALF)?;
        }
        Ok(())
    });
    narrator.check(
        "proof: a look at the log says how many bytes are torn, and changes none",
        || {
            let before = fs::read(site.log()?)?;
            let said = site.steps(&["inspect", &site.mandate()?])?.ended(0)?;
            ensure!(said.json["torn_bytes"] == HALF.len(), "{said:?}");
            ensure!(fs::read(site.log()?)? == before, "the log has changed");
            Ok(())
        },
    );
    narrator.check("the first recovery resets the step, and says what it put aside", || {
        let said = site.steps(&["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 1 && said.json["torn_tails"] == 1, "{said:?}");
        let events = ["wal_recovery_torn_tail", "wal_recovery_reset_step", "wal_recovery_complete"];
        ensure!(said.events() == events, "{said:?}");
        let details = &said.json["events"][0]["details"];
        ensure!(details["bytes"] == HALF.len(), "{details}");
        let aside = details["moved_to"].as_str().context("no moved_to")?;
        ensure!(aside.contains(".torn-") && fs::read(aside)? == HALF, "{aside}");
        Ok(())
    });
    narrator.check("every line holds, and every step is where it should be", || {
        site.records()?;
        ensure!((&*site.status("a")?, &*site.status("b")?) == ("completed", "pending"));
        site.steps(&["verify"])?.ended(0)?;
        Ok(())
    });
    narrator.check("the plan goes on to its end", || {
        site.start()?;
        site.let_go(1)?;
        site.run(&plan, &[])?.ended(0)?;
        ends_once(&site, &plan, &["a", "b"])
    });
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn every_prefix(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let (cut, whole) = (dir.join("cut"), dir.join("whole"));
    let plan = two_steps(&site, "sw4b")?;
    let log = narrator.check("a plan is interrupted, recovered and run to its end", || {
        site.interrupt(&plan, "b", Fault::Injected)?;
        site.start()?;
        site.let_go(1)?;
        site.run(&plan, &[])?.ended(0)?;
        site.stop()?;
        Ok(fs::read(site.log()?)?)
    });
    let log = log.unwrap_or_default();
    narrator.check("its log is cut off at every byte; beside it, in whole lines", || {
        cut_up(&log, fault, &cut, &whole)
    });
    // A cut right before the end of a line leaves a whole record.
    let inside = (0..=log.len()).filter(|len| {
        let prefix = log.get(..*len).unwrap_or_default();
        whole_lines(prefix).len() < prefix.len()
    });
    let inside = inside.count();
    let recovered = narrator.check("proof: most cuts are inside of a line", || {
        let said = steps_in(&cut, &["recover"])?.ended(0)?;
        ensure!(inside > log.len() / 2, "{inside} of {}", log.len());
        ensure!(said.json["torn_tails"] == inside, "{} torn", said.json["torn_tails"]);
        Ok(said)
    });
    let resets = recovered.as_ref().map(|it| it.json["reset_count"].clone());
    narrator.check("each has the plans and steps that its whole lines say", || {
        steps_in(&whole, &["recover"])?.ended(0)?;
        let recovered = recovered.context("not recovered")?;
        ensure!(recovered.json["files_scanned"] == log.len() + 1, "{:?}", recovered.events());
        same_states(&log, &states(&cut)?, &states(&whole)?)
    });
    narrator.check("each was reset where its whole lines end with a step that began", || {
        let text = String::from_utf8(log.clone())?;
        let lines = text.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        // From the record that a step begins, whole but for its end, to the next one.
        let began = text.lines().skip(1).zip(&lines).filter(|(_, it)| it["status"] == "executing");
        let expected: usize = began.map(|(next, _)| next.len() + 1).sum();
        ensure!(expected > 0, "no step began");
        ensure!(resets == Some(Value::from(expected)), "{resets:?}, not {expected}");
        Ok(())
    });
    narrator.check("a second recovery finds nothing to do", || {
        let said = steps_in(&cut, &["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 0 && said.json["torn_tails"] == 0, "{said:?}");
        Ok(())
    });
    Ok(())
}

/// Every prefix of a log, and beside them the whole lines that they have.
fn cut_up(log: &[u8], fault: Fault, cut: &Path, whole: &Path) -> Result<()> {
    fs::create_dir(cut)?;
    fs::create_dir(whole)?;
    for len in 0..=log.len() {
        let kept = if fault == Fault::Injected { len } else { log.len() };
        let prefix = log.get(..kept).context("a prefix")?;
        fs::write(cut.join(format!("p{len:05}.wal.jsonl")), prefix)?;
        let lines = whole_lines(prefix);
        fs::write(whole.join(lines_name(lines.len())), lines)?;
    }
    Ok(())
}

fn same_states(
    log: &[u8],
    cut: &BTreeMap<String, Value>,
    whole: &BTreeMap<String, Value>,
) -> Result<()> {
    ensure!(cut.len() == log.len() + 1, "{} logs", cut.len());
    for len in 0..=log.len() {
        let lines = whole_lines(log.get(..len).context("a prefix")?).len();
        let found = cut.get(&format!("p{len:05}.wal.jsonl"));
        let expected = whole.get(&lines_name(lines));
        ensure!(found.is_some() && found == expected, "{len}: {found:?}, {expected:?}");
    }
    // Nothing, both pending, one done, both done, ended.
    let kinds: BTreeSet<_> = cut.values().map(Value::to_string).collect();
    ensure!(kinds.len() == 5, "{kinds:?}");
    Ok(())
}

/// Name of a log of whole lines of that length.
fn lines_name(len: usize) -> String {
    format!("w{len:05}.wal.jsonl")
}

/// The whole records of a prefix: one whose line only lacks its end is whole.
fn whole_lines(prefix: &[u8]) -> Vec<u8> {
    let end = prefix.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
    let (lines, rest) = prefix.split_at(end);
    match serde_json::from_slice::<Value>(rest) {
        Ok(Value::Object(_)) => [lines, rest, b"\n"].concat(),
        _ => lines.to_vec(),
    }
}

/// What every log of a directory says, by the name of its file.
fn states(dir: &Path) -> Result<BTreeMap<String, Value>> {
    let said = steps_in(dir, &["status"])?.ended(0)?;
    let logs = said.json["logs"].as_array().context("no logs")?;
    let state = |it: &Value| {
        let file = Path::new(it["file"].as_str()?).file_name()?.to_str()?.to_owned();
        ensure_ok(it).then(|| (file, it["plans"].clone()))
    };
    logs.iter().map(|it| state(it).with_context(|| it.to_string())).collect()
}

fn ensure_ok(log: &Value) -> bool {
    log["health"] == "ok" && log["torn_bytes"] == 0 && log["orphan_plans"] == 0
}
