//! How each cause is told.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::stories::{Narrator, drill::Fault};

use super::{
    Cause, Judge, log,
    remedies::Remedy,
    site::{Site, text, wal},
};

/// Tells one cause: calls, the fault, what is said about it, and each way out of it from the same damage.
pub(super) fn told(cause: &Cause, dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    narrator.check("a runtime decides calls and is killed", || {
        site.start(&[])?;
        site.before = site.calls()?;
        site.runtime()?.kill()?;
        (cause.prepare)(&site)?;
        log::copy(&site.dir(), &site.backup())
    });
    narrator.check("the fault is made", || match fault {
        Fault::Injected => (cause.deed.inject)(&mut site),
        Fault::LeftOut => Ok(()),
    });
    narrator.check(cause.proof, || (cause.deed.proof)(&site));
    narrator.check("it is copied away as evidence", || log::copy(&site.dir(), &site.evidence()));
    said(cause, &site, narrator);
    for (number, remedy) in cause.remedies.iter().enumerate() {
        if number > 0 {
            narrator.check("the same damage once more", || site.damaged_again());
        }
        healed(remedy, &mut site, narrator);
    }
    Ok(())
}

/// What the programs say about the fault before anybody does something about it.
fn said(cause: &Cause, site: &Site, narrator: &mut Narrator) {
    let code = cause.code;
    match cause.judge {
        Judge::Start(refused) => {
            narrator.check(
                "each start ends with exit code 8 and the code in its FATAL line",
                || {
                    let fatal = format!("FATAL wal recovery failed: {refused}: ");
                    for _ in 0..2 {
                        let (exit, output) = site.start_in_vain()?;
                        ensure!(exit == Some(8) && output.contains(&fatal), "{exit:?}: {output}");
                        let cause = format!(r#""cause":"{refused}""#);
                        ensure!(output.contains(&cause), "no log line with {cause}: {output}");
                        unchanged(site)?;
                    }
                    Ok(())
                },
            );
            narrator.check("`autonomy wal status` says the same code", || {
                let (exit, status) = wal(&["status"], &site.dir())?;
                ensure!(exit == Some(8) && status["health"] == refused, "{exit:?}: {status}");
                unchanged(site)
            });
        }
        Judge::Seal => {
            narrator.check("`autonomy wal status`, which knows no seal, says nothing", || {
                let (exit, status) = wal(&["status"], &site.dir())?;
                ensure!(exit == Some(0) && status["health"] == "ok", "{exit:?}: {status}");
                Ok(())
            });
            narrator.check("`autonomy wal verify` ends with exit code 8 and the code", || {
                let (exit, told) = site.verify()?;
                ensure!(exit == Some(8) && told["code"] == code, "{exit:?}: {told}");
                unchanged(site)
            });
        }
        Judge::Lock => {
            narrator.check(
                "a second start ends with exit code 75, the code and the holder",
                || {
                    let (exit, output) = site.start_in_vain()?;
                    let holder = site.runtime.as_ref().context("no runtime")?.id();
                    let named = output.contains(code) && output.contains(&format!("pid {holder} "));
                    ensure!(exit == Some(75) && named, "{exit:?}: {output}");
                    unchanged(site)
                },
            );
            narrator.check("a reader needs no lock", || {
                let (exit, status) = wal(&["status"], &site.dir())?;
                ensure!(exit == Some(0) && status["health"] == "ok", "{exit:?}: {status}");
                Ok(())
            });
        }
        Judge::Phantom => {
            narrator.check("`autonomy wal status` says what the next start will cut", || {
                let (exit, status) = wal(&["status"], &site.dir())?;
                ensure!(exit == Some(0) && status["log"]["phantoms"] == 1, "{exit:?}: {status}");
                unchanged(site)
            });
        }
    }
}

fn unchanged(site: &Site) -> Result<()> {
    ensure!(log::files(&site.dir())? == log::files(&site.evidence())?, "a file was changed");
    Ok(())
}

/// Takes one way out, and sees that it is one.
fn healed(remedy: &Remedy, site: &mut Site, narrator: &mut Narrator) {
    let Remedy { name, take, env, warns, kept } = remedy;
    narrator.check(&format!("remedy: {name}"), || take(site));
    narrator.check("the runtime starts, and says what was accepted", || {
        site.start(env)?;
        let mut runtime = site.runtime()?;
        match warns {
            Some(code) => {
                let line = runtime.wait_for(&format!(r#""msg":"{code}""#))?;
                ensure!(line.contains(r#""level":"WARN""#), "{line}");
            }
            None => ensure!(!runtime.output().contains(r#""msg":"WAL_"#), "{}", runtime.output()),
        }
        site.runtime = Some(runtime);
        Ok(())
    });
    let mut since = BTreeMap::new();
    narrator.check("new calls are decided, also after one more start without variables", || {
        let first = site.calls()?.recorded;
        site.runtime()?.stop()?;
        site.start(&[])?;
        since = site.calls()?.recorded;
        since.extend(first);
        site.runtime()?.stop()
    });
    narrator.check("what it promises to keep is there", || {
        kept(site, &since)?;
        let (exit, status) = wal(&["status"], &site.dir())?;
        ensure!(exit == Some(0) && status["health"] == "ok", "{}: {status}", text(&site.dir())?);
        Ok(())
    });
}
