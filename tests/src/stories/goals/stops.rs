//! Work that stops: sessions, processes, networks.

use std::{fs, path::Path, time::Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::Lab;
use crate::{
    harness::{Process, eventually},
    stories::{Narrator, drill::Fault},
};

/// FM-1a to FM-1e.
pub(super) fn session_ends(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    lab.done(&["goal", "eval"])?;
    lab.done(&["goal", "eval"])?;
    if fault == Fault::Injected {
        lab.done(&["session", "end", "--reason", "normal"])?;
    }
    narrator.check("proof: the goal is paused by the end of the session", || {
        ensure!(lab.text("status")? == "paused", "{}", lab.goal()?);
        ensure!(lab.text("pause_reason")? == "session_end:normal", "{}", lab.goal()?);
        ensure!(lab.text("updated_at")? == lab.text("paused_at")?, "{}", lab.goal()?);
        Ok(())
    });
    narrator.check("the breadcrumb says where it stood", || {
        let crumb = fs::read_to_string(lab.state("goal-resume-breadcrumb.json"))?;
        ensure!(crumb.contains("\"previous_status\": \"active\""), "{crumb}");
        Ok(())
    });
    narrator.check("the next session is told, and nothing is changed by it", || {
        let before = fs::read(lab.state("goal.json"))?;
        let said = lab.done(&["session", "start"])?;
        ensure!(
            said.starts_with("Goal: Ship v2 (session ended)\nResume: autonomy goal resume\n"),
            "{said}"
        );
        ensure!(fs::read(lab.state("goal.json"))? == before);
        Ok(())
    });
    narrator.check("another end changes no byte", || {
        let before = fs::read(lab.state("goal.json"))?;
        lab.done(&["session", "end", "--reason", "again"])?;
        ensure!(fs::read(lab.state("goal.json"))? == before);
        Ok(())
    });
    narrator.check(
        "after a resume there is no banner, no breadcrumb, and the iteration is the same",
        || {
            lab.done(&["goal", "resume"])?;
            ensure!(lab.done(&["session", "start"])?.is_empty());
            ensure!(!lab.state("goal-resume-breadcrumb.json").exists());
            ensure!((lab.text("status")?, lab.iteration()?) == ("active".to_owned(), 3));
            Ok(())
        },
    );
    narrator.check("a session ends well also where the goal cannot be read", || {
        fs::write(lab.state("goal.json"), "{\"goal_id\":")?;
        let ended = lab.run(&["session", "end"])?;
        ensure!(ended.code() == Some(0) && ended.stderr.contains("GOAL_CORRUPT"), "{ended:?}");
        ensure!(fs::read(lab.state("goal.json"))? == b"{\"goal_id\":");
        ensure!(lab.refused(&["goal", "eval"])?.contains("goal.json"), "the file is named");
        Ok(())
    });
    Ok(())
}

/// FM-2a, FM-2b, FM-2f.
pub(super) fn killed(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    let (lock, dead) = (lab.state("goal.json.lock"), Lab::dead_pid()?);
    let marker = dir.join("marker");
    let now = jiff::Timestamp::now().as_second();
    let entry = |name: &str, pid: u32, age: i64| {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        json!({ "name": name, "ts": (now - age).to_string(), "git_root": "/r", "pid": pid, "host": host.trim() })
    };
    if fault == Fault::Injected {
        fs::write(&lock, dead.to_string())?;
        let entries = [entry("dead", dead, 60), entry("live", std::process::id(), 60)];
        fs::write(&marker, json!({ "name": "x", "active_tentacles": entries }).to_string())?;
    }
    narrator.check("proof: lock and marker of a dead process are there", || {
        ensure!(lock.exists() && marker.exists());
        Ok(())
    });
    narrator.check("a look at the goal clears the lock at once", || {
        let began = Instant::now();
        let ended = lab.run(&["goal", "status"])?;
        ensure!(ended.code() == Some(0) && ended.stderr.contains("was cleared"), "{ended:?}");
        ensure!(began.elapsed().as_secs() < 10 && !lock.exists());
        Ok(())
    });
    narrator.check("so does a change", || {
        fs::write(&lock, dead.to_string())?;
        lab.done(&["goal", "eval"])?;
        ensure!(!lock.exists());
        Ok(())
    });
    narrator.check(
        "a lock of a living process is waited for, then named, and the goal is as it was",
        || {
            fs::write(&lock, std::process::id().to_string())?;
            let before = fs::read(lab.state("goal.json"))?;
            let said = lab.refused(&["goal", "eval", "--lock-timeout", "1"])?;
            ensure!(said.contains("goal.json.lock") && said.contains("GOAL_LOCKED"), "{said}");
            let strict = lab.run(&["goal", "eval", "--lock-timeout", "0", "--strict-exit"])?;
            ensure!(strict.code() == Some(75), "{strict:?}");
            ensure!(fs::read(lab.state("goal.json"))? == before && lock.exists());
            Ok(())
        },
    );
    let path = marker.to_string_lossy().into_owned();
    narrator.check("a marker of a dead process is listed, and removed when told to", || {
        let words = ["tentacle", "marker-cleanup", "--marker", &path];
        let before = fs::read(&marker)?;
        let said = lab.done(&words)?;
        ensure!(said.contains("stale  dead (its process is dead)"), "{said}");
        ensure!(fs::read(&marker)? == before, "a dry run changes nothing");
        lab.done(&[&words[..], &["--apply"]].concat())?;
        let left = fs::read_to_string(&marker)?;
        ensure!(left.contains("\"live\"") && !left.contains("\"dead\""), "{left}");
        Ok(())
    });
    Ok(())
}

/// FM-3.
pub(super) fn interrupted(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    // Fails differently each time, and blocks in the third attempt for as long as it is told to.
    let blocks = fault == Fault::Injected;
    let wait = if blocks { "mkfifo hold; cat hold" } else { ":" };
    let script = format!(
        "n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n; [ $n != 3 ] || {{ {wait}; }}; \
         echo $n | tr 123456 abcdef; exit 1"
    );
    lab.done(&["goal", "criteria", "add", "--desc", "x", "--verify-cmd", &script])?;
    let words = ["goal", "verify-loop", "--max-retries", "5", "--retry-delay", "0"];
    let mut running = Process::start("verify-loop", &mut lab.command(&words)?)?;
    narrator.check("proof: the third attempt is interrupted", || {
        ensure!(blocks, "nothing holds the third attempt");
        eventually("the third attempt", || lab.root().join("hold").exists().then_some(()))?;
        running.signal(Signal::INT)?;
        let status = running.wait()?;
        ensure!(status.code() == Some(130), "{status:?}");
        Ok(())
    });
    narrator.check("two attempts are written, and the goal is active", || {
        ensure!(lab.count("verify_loop_history")? == 2, "{}", lab.goal()?);
        ensure!(lab.text("status")? == "active");
        let evidence = lab.goal()?["success_criteria"][0]["evidence"].clone();
        ensure!(evidence == "b\n", "of the second attempt: {evidence}");
        Ok(())
    });
    narrator.check("nothing of the command is left", || {
        // Nobody reads from the pipe any more.
        let open = rustix::fs::open(
            lab.root().join("hold"),
            rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK,
            rustix::fs::Mode::empty(),
        );
        ensure!(open.is_err(), "somebody still reads");
        Ok(())
    });
    narrator.check("a new loop begins with its first attempt", || {
        fs::write(lab.root().join("n"), "3")?;
        lab.refused(&["goal", "verify-loop", "--max-retries", "0"])?;
        let last = lab.goal()?["verify_loop_history"][2]["attempt"].clone();
        ensure!(last == 1, "{last}");
        Ok(())
    });
    Ok(())
}

/// FM-4.
pub(super) fn never_began(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    if fault == Fault::Injected {
        lab.linked("fix-login")?;
    }
    narrator.check("proof: a tentacle is linked and idle", || {
        ensure!(lab.meta("fix-login")?["status"] == "idle");
        ensure!(lab.done(&["goal", "next-iter"])?.contains("in progress: fix-login (ready)"));
        Ok(())
    });
    narrator.check("an eval names it and changes nothing", || {
        let before = fs::read(lab.state("goal.json"))?;
        let said = lab.refused(&["goal", "eval"])?;
        ensure!(said.contains("fix-login (ready)") && said.contains("GOAL_UNRESOLVED"), "{said}");
        ensure!(fs::read(lab.state("goal.json"))? == before);
        Ok(())
    });
    narrator.check("after it was done elsewhere and linked again, the goal goes on", || {
        lab.done(&["tentacle", "handoff", "fix-login", "done", "--status", "DONE"])?;
        lab.done(&["tentacle", "complete", "fix-login"])?;
        lab.done(&["goal", "link", "fix-login"])?;
        lab.done(&["goal", "eval"])?;
        ensure!(lab.iteration()? == 2);
        Ok(())
    });
    Ok(())
}
