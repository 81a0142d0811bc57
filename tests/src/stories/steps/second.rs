//! Two daemons, and one that is asked to end.
//!
//! | drill     | what happens to the daemon                     | then                                   |
//! |-----------|------------------------------------------------|----------------------------------------|
//! | `SW-10`   | another one is started, then the first is killed | the second never writes; a third starts |
//! | `SW-term` | SIGTERM in the middle of a step                  | the step ends, and the next never begins |

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::site::{Site, Stops, ended, ends_once};
use crate::stories::{
    Narrator,
    drill::{Drill, Fault, Needs},
};

/// Two at once.
pub(super) const TWO_DAEMONS: Drill = Drill {
    name: "SW-10",
    hypothesis: "a directory has one daemon: a second changes nothing, and a killed one bars nobody",
    fault: "a second daemon in the middle of a step of the first, then SIGKILL of the first",
    expected: "exit code 1, DAEMON_LOCKED and the pid; after the kill it starts without any care",
    needs: Needs::Nothing,
    lines: &[],
    play: two_daemons,
};

/// SIGTERM.
pub(super) const ASKED_TO_END: Drill = Drill {
    name: "SW-term",
    hypothesis: "a daemon that is asked to end finishes its step, and begins no other",
    fault: "SIGTERM in the middle of the first of two steps",
    expected: "exit code 0, interrupted; the next run goes on with the second step",
    needs: Needs::Nothing,
    lines: &[],
    play: asked_to_end,
};

fn two_daemons(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = site.plan("sw10", &[site.step("s", "confirmable", Stops::Before)])?;
    let other = site.plan("other", &[site.step("other", "none", Stops::Never)])?;
    let mut first = Some(site.daemon(&plan)?);
    let held = narrator.check("a daemon is in the middle of a step", || {
        site.stands("s")?;
        let first_id = first.as_ref().context("no daemon")?.id();
        if fault == Fault::LeftOut {
            site.let_go(1)?;
            ended(first.take().context("no daemon")?)?;
        }
        Ok((first_id, fs::read(site.log()?)?))
    });
    let (pid, before) = held.unwrap_or_default();
    narrator.check("proof: the place is taken, and the file of the lock says by whom", || {
        let text = fs::read_to_string(site.logs.join("run/daemon.pid"))?;
        ensure!(text == format!("{pid}\n"), "`{text}`");
        Ok(())
    });
    narrator.check("a second one with the same or another plan ends, and names the first", || {
        for plan in [&plan, &other] {
            let said = site.run(plan, &[])?.ended(1)?;
            ensure!(said.json["error"]["code"] == "DAEMON_LOCKED", "{said:?}");
            let message = said.json["error"]["message"].as_str().context("no message")?;
            ensure!(message.contains(&format!("pid {pid}")), "{message}");
        }
        Ok(())
    });
    narrator.check("nor does a command change anything under it", || {
        let mandate = site.mandate()?;
        for args in [
            &["recover"][..],
            &["archive", &mandate, "--force"],
            &["approve", "s", "--mandate", &mandate, "--reason", "x"],
        ] {
            let said = site.steps(args)?.ended(75)?;
            ensure!(said.json["error"]["code"] == "DAEMON_LOCKED", "{said:?}");
        }
        Ok(())
    });
    narrator.check("the lock names the first, and no byte of the log has changed", || {
        let text = fs::read_to_string(site.logs.join("run/daemon.pid"))?;
        ensure!(text == format!("{pid}\n"), "`{text}`");
        ensure!(fs::read(site.log()?)? == before, "the log has changed");
        ensure!(site.effects("other") == 0, "the other plan ran");
        Ok(())
    });
    narrator.check("the first is killed: its lock file stays, and bars nobody", || {
        first.take().context("no daemon")?.kill()?;
        ensure!(site.logs.join("run/daemon.pid").exists(), "there is nothing to clean up");
        site.let_go(1)?;
        let said = site.run(&plan, &[])?.ended(0)?;
        // The call of the first one went on, and was waited for.
        ensure!(said.json["calls"] == 0 && said.json["confirmed"] == 1, "{said:?}");
        Ok(())
    });
    narrator.check("the step had its effect once", || ends_once(&site, &plan, &["s"]));
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn asked_to_end(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let steps = [site.step("a", "opaque", Stops::Before), site.step("b", "opaque", Stops::Never)];
    let plan = site.plan("term", &steps)?;
    let said = narrator.check("a daemon gets SIGTERM in the middle of its first step", || {
        let mut daemon = site.daemon(&plan)?;
        site.stands("a")?;
        if fault == Fault::Injected {
            daemon.signal(Signal::TERM)?;
        }
        site.let_go(1)?;
        let status = daemon.wait()?;
        ensure!(status.code() == Some(0), "{status}: {}", daemon.output());
        let said = daemon.wait_for(r#"{"mandate_id""#)?;
        Ok(serde_json::from_str::<Value>(&said)?)
    });
    narrator.check("proof: it ended before the second step", || {
        let said = said.context("nothing was said")?;
        ensure!(said["state"] == "interrupted" && said["calls"] == 1, "{said}");
        ensure!((site.effects("a"), site.effects("b")) == (1, 0), "{said}");
        Ok(())
    });
    narrator.check("the first step is done, the second is due, and no lock is left", || {
        ensure!((&*site.status("a")?, &*site.status("b")?) == ("completed", "pending"));
        ensure!(!site.logs.join("run/daemon.pid").exists(), "the lock file is there");
        let mut command = crate::harness::program(crate::harness::Bin::Autonomy)?;
        command.args(["daemon", "status", "--output", "json", "--wal-dir"]).arg(&site.logs);
        let ended = crate::harness::run_to_end(&mut command)?;
        let status: Value = serde_json::from_str(&ended.stdout)?;
        ensure!(status["state"] == "stopped" && status["open_plans"] == 1, "{status}");
        Ok(())
    });
    narrator.check("the next run goes on with the second step", || {
        let said = site.run(&plan, &[])?.ended(0)?;
        ensure!(said.json["calls"] == 1 && said.json["state"] == "succeeded", "{said:?}");
        ends_once(&site, &plan, &["a", "b"])
    });
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}
