//! A disk that takes no record.
//!
//! | drill   | the disk of the step logs                     | then                                        |
//! |---------|-----------------------------------------------|---------------------------------------------|
//! | `SW-9`  | goes read-only right before a step begins      | the step is not run                         |
//! | `SW-9b` | is full in the middle of a plan                | no step runs whose record found no room      |

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    gate::Gate,
    site::{Site, Stops, ends_once},
};
use crate::{
    harness::{Disk, Mount},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// Size of the disks.
const DISK_KIB: u32 = 8 << 10;
/// Steps of the plan that finds no room: more records than fit into what is left of a page.
const STEPS: usize = 24;

/// Read-only under the daemon.
pub(super) const READ_ONLY: Drill = Drill {
    name: "SW-9",
    hypothesis: "a step whose beginning cannot be put on record is not run",
    fault: "the file system goes read-only between the record that a step is due and the one that it begins",
    expected: "exit code 1, STEPS_IO; with a disk again the step runs, once",
    needs: Needs::Mount(Disk::Ext4),
    lines: &[],
    play: read_only,
};

/// Full in the middle.
pub(super) const FULL: Drill = Drill {
    name: "SW-9b",
    hypothesis: "on a full disk no step runs without a record, and with room again each runs once",
    fault: "no room on the disk of the step logs while a plan of 24 steps runs",
    expected: "exit code 1, STEPS_IO; nothing runs until there is room",
    needs: Needs::Mount(Disk::Tmpfs),
    lines: &[],
    play: full,
};

fn read_only(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let mut disk = Some(Mount::new(Disk::Ext4, &site.logs, DISK_KIB)?);
    let plan = site.plan("sw9", &[site.step("s", "confirmable", Stops::Never)])?;
    let gate = Gate::closed(site.stack.ports.runtime)?;
    let mut daemon = site.daemon_through(&plan, &gate.url())?;
    narrator.check("the disk goes read-only while the daemon is at the door", || {
        gate.wait_for_somebody()?;
        if fault == Fault::Injected {
            disk.as_ref().context("no disk")?.remount("abort")?;
        }
        Ok(())
    });
    narrator.check("proof: the disk refuses another writer too", || {
        disk.as_ref().context("no disk")?.refuses()
    });
    narrator.check("let in, the daemon ends with an error, and calls nothing", || {
        gate.open();
        let status = daemon.wait()?;
        ensure!(status.code() == Some(1), "{status}: {}", daemon.output());
        ensure!(daemon.output().contains("STEPS_IO"), "{}", daemon.output());
        // It came to ask, and for nothing else.
        ensure!(gate.came() == 1, "{} came", gate.came());
        ensure!(site.effects("s") == 0, "it ran");
        Ok(())
    });
    narrator.check("nor does another one, as long as the disk is as it is", || {
        let said = site.run(&plan, &[])?.ended(1)?;
        ensure!(site.effects("s") == 0, "it ran: {said:?}");
        Ok(())
    });
    narrator.check("with the disk in order, the step runs once", || {
        disk.take().context("no disk")?.unmount()?;
        disk = Some(Mount::new(Disk::Ext4, &site.logs, DISK_KIB)?);
        let said = site.run(&plan, &[])?.ended(0)?;
        ensure!(said.json["calls"] == 1, "{said:?}");
        ends_once(&site, &plan, &["s"])
    });
    narrator.check("the runtime ends", || site.stop());
    drop(daemon);
    narrator.check("the disk goes", || disk.take().context("no disk")?.unmount());
    Ok(())
}

fn full(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let mut disk = Some(Mount::new(Disk::Tmpfs, &site.logs, DISK_KIB)?);
    let ids: Vec<_> = (0..STEPS).map(|it| format!("s{it:02}")).collect();
    let steps: Vec<_> = ids.iter().map(|it| site.step(it, "confirmable", Stops::Never)).collect();
    let plan = site.plan("sw9b", &steps)?;
    let gate = Gate::closed(site.stack.ports.runtime)?;
    let mut daemon = site.daemon_through(&plan, &gate.url())?;
    narrator.check("the room is taken away while the daemon is at the door", || {
        gate.wait_for_somebody()?;
        if fault == Fault::Injected {
            disk.as_ref().context("no disk")?.fill(0)?;
        }
        Ok(())
    });
    narrator.check("proof: the disk refuses another writer too", || {
        disk.as_ref().context("no disk")?.refuses()
    });
    let ran = || ids.iter().map(|it| site.effects(it)).sum::<usize>();
    narrator.check(
        "let in, the daemon ends with an error at the first record without room",
        || {
            gate.open();
            let status = daemon.wait()?;
            ensure!(status.code() == Some(1), "{status}: {}", daemon.output());
            ensure!(daemon.output().contains("STEPS_IO"), "{}", daemon.output());
            ensure!(ran() < STEPS, "all of them ran");
            Ok(())
        },
    );
    narrator.check("no step ran without a record that it begins", || {
        let text = fs::read_to_string(site.log()?)?;
        let records = text.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let begun = records.filter(|it| it["status"] == "executing").count();
        ensure!(ran() <= begun, "{} ran, {begun} have begun", ran());
        Ok(())
    });
    narrator.check("as long as there is no room, nothing more runs", || {
        let before = ran();
        let said = site.run(&plan, &[])?.ended(1)?;
        ensure!(ran() == before, "{said:?}");
        Ok(())
    });
    narrator.check("with room again the plan goes on, and each step had its effect once", || {
        disk.as_ref().context("no disk")?.make_room()?;
        site.run(&plan, &[])?.ended(0)?;
        ends_once(&site, &plan, &ids.iter().map(String::as_str).collect::<Vec<_>>())
    });
    narrator.check("the runtime ends", || site.stop());
    drop(daemon);
    narrator.check("the disk goes", || disk.take().context("no disk")?.unmount());
    Ok(())
}
