//! An archive that is killed half way: the log is there, or all of it is in the archive.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    many::{STEPS, log},
    site::{Site, Stops, logs_in, steps_in},
};
use crate::{
    harness::{Bin, Process, SOON, program},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// How often a moment is tried that was over before the kill.
const TRIES: usize = 100;

/// Killed half way.
pub(super) const KILLED: Drill = Drill {
    name: "SW-11",
    hypothesis: "an archive that is killed leaves the log or all of it in the archive, never neither",
    fault: "SIGKILL of wal steps archive when the log is open, half packed, and packed",
    expected: "the same command again ends what was begun; a plan that was archived never runs again",
    needs: Needs::Nothing,
    lines: &[],
    play: killed,
};

/// When it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The log is open.
    Open,
    /// The archive has not got its name.
    Packing,
    /// The archive has its name, and the log is there.
    Packed,
}

/// A directory with one log, and what belongs to it.
struct Place {
    dir: PathBuf,
    bytes: Vec<u8>,
}

impl Place {
    fn at(&self, suffix: &str) -> PathBuf {
        self.dir.join(format!("m.wal.jsonl{suffix}"))
    }

    fn anew(&self) -> Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)?;
        }
        fs::create_dir(&self.dir)?;
        Ok(fs::write(self.at(""), &self.bytes)?)
    }

    /// Which moment the files show.
    fn moment(&self) -> Option<Moment> {
        let there = |suffix| self.at(suffix).exists();
        match (there(""), there(".gz"), there(".gz.tmp")) {
            (true, false, false) if there(".lock") => Some(Moment::Open),
            (true, false, true) => Some(Moment::Packing),
            (true, true, _) => Some(Moment::Packed),
            _ => None,
        }
    }

    /// Starts archives until one is killed at this moment.
    fn kill_at(&self, moment: Moment) -> Result<()> {
        for _ in 0..TRIES {
            self.anew()?;
            let mut command = program(Bin::Autonomy)?;
            command.args(["wal", "steps", "archive", "m", "--force", "--wal-dir"]).arg(&self.dir);
            let archive = Process::start("archive", &mut command)?;
            let deadline = Instant::now() + SOON;
            // Without a pause: what is waited for is soon over.
            while self.moment() != Some(moment) && self.at("").exists() {
                ensure!(Instant::now() < deadline, "the archive does not end");
                std::thread::yield_now();
            }
            archive.kill()?;
            if self.moment() == Some(moment) {
                return Ok(());
            }
        }
        bail!("{TRIES} archives were over before they could be killed at {moment:?}")
    }

    /// The log is as it was, or the archive unpacks to it.
    fn nothing_lost(&self) -> Result<()> {
        let log = fs::read(self.at("")).ok();
        ensure!(log.is_none_or(|it| it == self.bytes), "the log has changed");
        if self.at("").exists() {
            return Ok(());
        }
        ensure!(unpacked(&self.at(".gz"))? == self.bytes, "the archive is another log");
        Ok(())
    }
}

fn unpacked(archive: &Path) -> Result<Vec<u8>> {
    let output = Command::new("gzip").arg("-dc").arg(archive).output()?;
    ensure!(output.status.success(), "{}: {output:?}", archive.display());
    Ok(output.stdout)
}

fn killed(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let place = Place { dir: dir.join("big"), bytes: log("m", 1, STEPS - 1)? };
    for moment in [Moment::Open, Moment::Packing, Moment::Packed] {
        narrator.check(&format!("an archive is killed: {moment:?}"), || {
            if fault == Fault::Injected {
                return place.kill_at(moment);
            }
            place.anew()?;
            steps_in(&place.dir, &["archive", "m", "--force"])?.ended(0).map(drop)
        });
        narrator.check(&format!("proof: the files show it: {moment:?}"), || {
            let found = place.moment();
            ensure!(found == Some(moment), "{found:?}");
            place.nothing_lost()
        });
        narrator.check("nothing but the log counts as one", || {
            ensure!(logs_in(&place.dir)? == [place.at("")], "{:?}", logs_in(&place.dir)?);
            let said = steps_in(&place.dir, &["status"])?.ended(0)?;
            ensure!(said.json["logs"].as_array().is_some_and(|it| it.len() == 1), "{said:?}");
            Ok(())
        });
        narrator.check("the same command again ends what was begun", || {
            let said = steps_in(&place.dir, &["archive", "m", "--force"])?.ended(0)?;
            let archive = said.json["archive"].as_str().context("no archive")?;
            ensure!(Path::new(archive) == place.at(".gz"), "{said:?}");
            ensure!(!place.at("").exists(), "the log is still there");
            place.nothing_lost()?;
            let said = steps_in(&place.dir, &["recover"])?.ended(0)?;
            ensure!(said.json["files_scanned"] == 0, "{said:?}");
            Ok(())
        });
    }
    narrator.check("an archive that is not this log is not overwritten, and the log stays", || {
        place.anew()?;
        fs::write(place.at(".gz"), "something else")?;
        let said = steps_in(&place.dir, &["archive", "m", "--force"])?.ended(6)?;
        ensure!(said.json["error"]["code"] == "STEPS_ARCHIVE_EXISTS", "{said:?}");
        ensure!(fs::read(place.at(".gz"))? == b"something else", "it was overwritten");
        place.nothing_lost()
    });
    away(dir, narrator)
}

/// A plan whose log was archived elsewhere, and one that its daemon archives.
fn away(dir: &Path, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = site.plan("sw11", &[site.step("s", "opaque", Stops::Never)])?;
    let elsewhere = dir.join("elsewhere");
    narrator.check("a log goes to another directory, and its plan does not run again", || {
        site.run(&plan, &[])?.ended(0)?;
        let (mandate, path) = (site.mandate()?, site.log()?);
        let bytes = fs::read(&path)?;
        let to = elsewhere.to_str().context("a UTF-8 name")?;
        site.steps(&["archive", &mandate, "--dest", to])?.ended(0)?;
        ensure!(!path.exists(), "the log is still there");
        let archive = elsewhere.join(format!("{mandate}.wal.jsonl.gz"));
        ensure!(unpacked(&archive)? == bytes, "the archive is another log");
        never_again(&site, &plan, "s")
    });
    narrator.check("nor does one that its daemon has archived", || {
        let plan = site.plan("sw11-own", &[site.step("own", "opaque", Stops::Never)])?;
        let said = site.run(&plan, &["--archive"])?.ended(0)?;
        let archive = said.json["archived"].as_str().context("no archive")?;
        ensure!(!unpacked(Path::new(archive))?.is_empty(), "it is empty");
        never_again(&site, &plan, "own")
    });
    narrator.check("an open plan is not archived without --force", || {
        let plan = site.plan("sw11-open", &[site.step("open", "opaque", Stops::Before)])?;
        site.interrupt(&plan, "open", Fault::Injected)?;
        let said = site.steps(&["archive", &site.mandate()?])?.ended(6)?;
        ensure!(said.json["error"]["code"] == "STEPS_NOT_FINALIZED", "{said:?}");
        ensure!(site.log()?.exists(), "the log is gone");
        Ok(())
    });
    Ok(())
}

fn never_again(site: &Site, plan: &Path, step: &str) -> Result<()> {
    let said = site.run(plan, &[])?.ended(0)?;
    ensure!(said.json["state"] == "archived" && said.json["calls"] == 0, "{said:?}");
    ensure!(site.effects(step) == 1, "{} effects", site.effects(step));
    Ok(())
}
