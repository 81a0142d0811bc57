//! A daemon that is killed, and a runtime that goes with it.
//!
//! | drill   | moment of the kill                                   | then                                |
//! |---------|------------------------------------------------------|-------------------------------------|
//! | `SW-1`  | the step is due, and has not begun                    | it runs, once                       |
//! | `SW-2`  | it has begun, and has no effect yet                   | the world shows that: it runs, once |
//! | `SW-2b` | the same, and nothing shows whether it had its effect | a human says so                     |
//! | `SW-3`  | it had its effect, and has not answered               | it is found to be done              |
//! | `SW-lost` | the same, and the daemon lives: its answer is lost    | neither repeated nor taken for failed |

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::{
    gate::Gate,
    site::{Site, Stops, ended, ends_once},
};
use crate::stories::{
    Narrator,
    drill::{Drill, Fault, Needs},
};

/// Before the step begins.
pub(super) const BEFORE_IT_BEGINS: Drill = Drill {
    name: "SW-1",
    hypothesis: "a daemon that is killed before a step begins leaves it eligible, and it runs once",
    fault: "SIGKILL between the record that a step is due and the one that it begins",
    expected: "nothing is reset; the next run says 1 call, 0 confirmed",
    needs: Needs::Nothing,
    lines: &[],
    play: before_it_begins,
};

/// Before its effect.
pub(super) const BEFORE_ITS_EFFECT: Drill = Drill {
    name: "SW-2",
    hypothesis: "a step that was interrupted before its effect runs again, and what was done is not",
    fault: "SIGKILL of daemon and runtime while the second of two steps is about to act",
    expected: "wal_recovery_reset_step and wal_recovery_complete with 1; the next run says succeeded",
    needs: Needs::Nothing,
    lines: &[],
    play: before_its_effect,
};

/// Before its effect, which nothing shows.
pub(super) const UNSEEN: Drill = Drill {
    name: "SW-2b",
    hypothesis: "a step of which nothing shows whether it happened is not run again without a human",
    fault: "SIGKILL of daemon and runtime while an opaque step is about to act",
    expected: "exit code 4, STEP_NEEDS_REVIEW; after approve it runs under the key it had",
    needs: Needs::Nothing,
    lines: &[],
    play: unseen,
};

/// After its effect.
pub(super) const AFTER_ITS_EFFECT: Drill = Drill {
    name: "SW-3",
    hypothesis: "a step whose effect is there is completed as recovered, and its tool is not called",
    fault: "SIGKILL of the daemon between the effect of a step and its completed record",
    expected: "exit code 75, STEP_STILL_RUNNING, until the call has ended; then 0 calls, 1 confirmed",
    needs: Needs::Nothing,
    lines: &[],
    play: after_its_effect,
};

/// The runtime alone.
pub(super) const ANSWER_LOST: Drill = Drill {
    name: "SW-lost",
    hypothesis: "a call whose answer is lost is neither repeated nor taken for failed",
    fault: "SIGKILL of the runtime between the effect of a step and its answer",
    expected: "exit code 7, STEP_OUTCOME_UNKNOWN; with the runtime back: 0 calls, 1 confirmed",
    needs: Needs::Nothing,
    lines: &[],
    play: answer_lost,
};

fn before_it_begins(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = site.plan("sw1", &[site.step("s", "opaque", Stops::Never)])?;
    narrator.check("the daemon is at the door of the runtime, and is killed there", || {
        let gate = Gate::closed(site.stack.ports.runtime)?;
        let daemon = site.daemon_through(&plan, &gate.url())?;
        gate.wait_for_somebody()?;
        if fault == Fault::Injected {
            return daemon.kill();
        }
        gate.open();
        ended(daemon)
    });
    narrator.check("proof: the log ends with the step due, and nothing ran", || {
        let ops: Vec<_> = site.records()?.iter().map(|it| it["op"].clone()).collect();
        ensure!(ops == ["plan_commit", "append"], "{ops:?}");
        ensure!(site.effects("s") == 0, "it ran");
        Ok(())
    });
    narrator.check("a recovery resets nothing and changes no byte", || {
        let before = fs::read(site.log()?)?;
        let said = site.steps(&["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 0, "{said:?}");
        ensure!(said.events() == ["wal_recovery_complete"], "{said:?}");
        ensure!(fs::read(site.log()?)? == before, "the log has changed");
        Ok(())
    });
    narrator.check(
        "the step has never begun, and is not reviewed although nothing confirms it",
        || {
            ensure!(site.shown()?["steps"][0]["reached"] == false, "{}", site.shown()?);
            let said = site.run(&plan, &[])?.ended(0)?;
            ensure!(
                (&said.json["calls"], &said.json["confirmed"]) == (&1.into(), &0.into()),
                "{said:?}"
            );
            ensure!(site.effects("s") == 1, "{} effects", site.effects("s"));
            Ok(())
        },
    );
    narrator.check("what has ended is not run again", || ends_once(&site, &plan, &["s"]));
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn before_its_effect(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let steps =
        [site.step("a", "opaque", Stops::Never), site.step("b", "confirmable", Stops::Before)];
    let plan = site.plan("sw2", &steps)?;
    narrator.check("daemon and runtime are killed while the second step is about to act", || {
        site.interrupt(&plan, "b", fault)
    });
    narrator.check("proof: its record says that it has begun, and it has no effect", || {
        let (a, b) = (site.status("a")?, site.status("b")?);
        ensure!((&*a, &*b) == ("completed", "executing"), "{a}, {b}");
        ensure!(site.effects("b") == 0, "it had its effect");
        Ok(())
    });
    narrator.check(
        "a recovery makes it pending, says which, and leaves the other one alone",
        || {
            let said = site.steps(&["recover"])?.ended(0)?;
            ensure!(said.json["reset_count"] == 1, "{said:?}");
            ensure!(
                said.events() == ["wal_recovery_reset_step", "wal_recovery_complete"],
                "{said:?}"
            );
            let (reset, complete) = (&said.json["events"][0], &said.json["events"][1]);
            ensure!(reset["source"] == "wal_recovery", "{reset}");
            let details = &reset["details"];
            ensure!(details["path"] == *site.log()?.to_string_lossy(), "{details}");
            ensure!(details["plan_id"] == site.shown()?["plan_id"], "{details}");
            ensure!(details["step_id"] == "b", "{details}");
            ensure!(complete["details"]["reset_count"] == 1, "{complete}");
            ensure!((&*site.status("a")?, &*site.status("b")?) == ("completed", "pending"));
            Ok(())
        },
    );
    narrator.check("a second recovery resets nothing", || {
        let said = site.steps(&["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 0, "{said:?}");
        ensure!(said.events() == ["wal_recovery_complete"], "{said:?}");
        Ok(())
    });
    narrator.check("the world shows that nothing happened: it runs again, once", || {
        site.start()?;
        site.let_go(1)?;
        let said = site.run(&plan, &[])?.ended(0)?;
        ensure!(said.json["calls"] == 1 && said.json["state"] == "succeeded", "{said:?}");
        Ok(())
    });
    narrator.check("each step had its effect once", || ends_once(&site, &plan, &["a", "b"]));
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn unseen(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = site.plan("sw2b", &[site.step("pay", "opaque", Stops::Before)])?;
    narrator.check("daemon and runtime are killed while the step is about to act", || {
        site.interrupt(&plan, "pay", fault)
    });
    narrator.check("proof: its record says that it has begun", || {
        ensure!(site.status("pay")? == "executing", "{}", site.shown()?);
        Ok(())
    });
    let key = narrator.check("the next run does not run it, and asks for a human", || {
        site.start()?;
        let said = site.run(&plan, &[])?.ended(4)?;
        ensure!(said.json["error"]["code"] == "STEP_NEEDS_REVIEW", "{said:?}");
        let report = &said.json["report"];
        ensure!(report["calls"] == 0 && report["recovery"]["reset_count"] == 1, "{said:?}");
        let step = site.shown()?["steps"][0].clone();
        ensure!(step["status"] == "needs_review", "{step}");
        ensure!(step["reason"] == "interrupted_during_execution", "{step}");
        ensure!(site.effects("pay") == 0, "it ran");
        Ok(step["idem_key"].clone())
    });
    narrator.check("nor does another one, for as long as nobody has looked", || {
        let said = site.run(&plan, &[])?.ended(4)?;
        ensure!(said.json["report"]["calls"] == 0 && site.effects("pay") == 0, "{said:?}");
        Ok(())
    });
    narrator.check("a human approves, and it runs under the key that it had", || {
        let mandate = site.mandate()?;
        let approve =
            ["approve", "pay", "--mandate", &mandate, "--reason", "the account shows nothing"];
        let said = site.steps(&approve)?.ended(0)?;
        ensure!(said.json["status"] == "pending", "{said:?}");
        site.let_go(1)?;
        let said = site.run(&plan, &[])?.ended(0)?;
        ensure!(said.json["calls"] == 1, "{said:?}");
        let step = site.shown()?["steps"][0].clone();
        ensure!(Some(&step["idem_key"]) == key.as_ref(), "{step}");
        Ok(())
    });
    narrator.check("both calls are in the log of the runtime under that one key", || {
        let key = key.as_ref().and_then(|it| it.as_str()).unwrap_or("none");
        let lines = site.stack.export()?;
        let calls = lines.iter().filter(|it| it.contains("autonomy.decision") && it.contains(key));
        ensure!(calls.count() == 2, "{lines:?}");
        Ok(())
    });
    narrator.check("it had its effect once", || ends_once(&site, &plan, &["pay"]));
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn after_its_effect(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = site.plan("sw3", &[site.step("s", "confirmable", Stops::After)])?;
    narrator.check("the daemon is killed when the step had its effect", || {
        let daemon = site.daemon(&plan)?;
        site.stands("s")?;
        if fault == Fault::LeftOut {
            site.let_go(1)?;
            return ended(daemon);
        }
        daemon.kill()
    });
    narrator.check("proof: the effect is there, and the log has no outcome", || {
        ensure!(site.status("s")? == "executing", "{}", site.shown()?);
        ensure!(site.effects("s") == 1, "{} effects", site.effects("s"));
        Ok(())
    });
    narrator.check("as long as the call of the dead daemon runs, nothing is judged", || {
        let said = site.run(&plan, &["--call-timeout", "300ms"])?.ended(75)?;
        ensure!(said.json["error"]["code"] == "STEP_STILL_RUNNING", "{said:?}");
        ensure!(site.status("s")? == "pending", "{}", site.shown()?);
        Ok(())
    });
    narrator.check("the runtime is killed, too: the call is gone, its effect is not", || {
        site.kill_runtime()?;
        site.start()
    });
    narrator.check("the next run finds that it is done, and calls nothing", || {
        let said = site.run(&plan, &[])?.ended(0)?;
        let found = (&said.json["calls"], &said.json["confirmed"], &said.json["state"]);
        ensure!(found == (&0.into(), &1.into(), &"succeeded".into()), "{said:?}");
        Ok(())
    });
    narrator.check("the record says recovered, by what, and the hash that the world has", || {
        let records = site.records()?;
        let done: Vec<_> = records.iter().filter(|it| it["status"] == "completed").collect();
        ensure!(done.len() == 1 && done[0]["recovered"] == true, "{done:?}");
        let reason = &done[0]["evidence"]["reason"];
        ensure!(reason == "current_state_matches_expected_post", "{done:?}");
        ensure!(done[0]["post_hash"] == records[0]["steps"][0]["expected_post_hash"], "{done:?}");
        Ok(())
    });
    narrator.check("it had its effect once", || ends_once(&site, &plan, &["s"]));
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn answer_lost(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = site.plan("lost", &[site.step("s", "confirmable", Stops::After)])?;
    let mut daemon = site.daemon(&plan)?;
    let code = narrator.check("the runtime is killed when the step had its effect", || {
        site.stands("s")?;
        match fault {
            Fault::Injected => site.runtime.take().context("no runtime")?.kill()?,
            Fault::LeftOut => site.let_go(1)?,
        }
        Ok(daemon.wait()?.code())
    });
    narrator.check("proof: the daemon says that it does not know, and the effect is there", || {
        ensure!(code == Some(Some(7)), "{code:?}: {}", daemon.output());
        ensure!(daemon.output().contains("STEP_OUTCOME_UNKNOWN"), "{}", daemon.output());
        ensure!(site.effects("s") == 1, "{} effects", site.effects("s"));
        ensure!(site.status("s")? == "executing", "{}", site.shown()?);
        Ok(())
    });
    narrator.check("without a runtime nothing is judged", || {
        let said = site.run(&plan, &[])?.ended(7)?;
        ensure!(said.json["error"]["code"] == "RUNTIME_UNREACHABLE", "{said:?}");
        ensure!(site.status("s")? == "pending", "{}", site.shown()?);
        Ok(())
    });
    narrator.check("with the runtime back the step is found to be done", || {
        site.start()?;
        let said = site.run(&plan, &[])?.ended(0)?;
        let found = (&said.json["calls"], &said.json["confirmed"]);
        ensure!(found == (&0.into(), &1.into()), "{said:?}");
        ends_once(&site, &plan, &["s"])
    });
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}
