//! Packs of drills: every scenario of one mechanism, each a drill of its own.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    harness::NO_SKIP,
    stories::{
        Narrator, Verdicts, causes, databases,
        drill::{Drill, Ended, Fault},
        goals, steps,
    },
};

/// Fewest checks of a drill: the proof of its fault, what it believes, and that nothing is left.
const CHECKS_MIN: usize = 3;

/// Drills that are run together under one name.
#[derive(Clone, Copy, Debug)]
pub struct Pack {
    /// Name on the command line.
    pub name: &'static str,
    /// In the order of their names.
    pub drills: &'static [Drill],
}

/// Every pack.
pub const ALL: &[Pack] = &[
    Pack { name: "db", drills: databases::DRILLS },
    Pack { name: "fm", drills: goals::DRILLS },
    Pack { name: "sw", drills: steps::ALL },
    Pack { name: "wal", drills: causes::DRILLS },
];

/// Drills that this name means: those of a pack, or the one drill.
pub fn named(name: &str) -> impl Iterator<Item = &'static Drill> {
    let packed = ALL.iter().flat_map(move |pack| {
        pack.drills.iter().filter(move |it| pack.name == name || it.name == name)
    });
    crate::stories::drill::ALL.iter().filter(move |it| it.name == name).chain(packed)
}

/// Every drill, in a pack or alone.
pub fn every_drill() -> impl Iterator<Item = &'static Drill> {
    crate::stories::drill::ALL.iter().chain(ALL.iter().flat_map(|it| it.drills))
}

/// Holds a drill to its word: with its fault it passes, without it fails, and at the proof. One that the machine does
/// not let us tell is skipped aloud.
///
/// # Errors
///
/// When the drill does not hold, or is skipped where nothing may be.
pub fn holds(name: &str) -> Result<()> {
    let drill = named(name).next().with_context(|| format!("there is no drill {name}"))?;
    let verdicts = match drill.run(Fault::Injected, Narrator::quiet())? {
        Ended::Told(verdicts) => verdicts,
        Ended::Skipped(why) => return skipped(name, &why),
    };
    let enough = verdicts.failed() || verdicts.passed() >= CHECKS_MIN;
    ensure!(enough, "{name} checks too little:\n{}", verdicts.table());
    verdicts.into_result().with_context(|| name.to_owned())?;
    let Ended::Told(verdicts) = drill.run(Fault::LeftOut, Narrator::quiet())? else {
        bail!("{name} was told a moment ago")
    };
    unproved(name, &verdicts)
}

/// A drill without its fault has failed, and at the proof.
fn unproved(name: &str, verdicts: &Verdicts) -> Result<()> {
    let failure = verdicts.first_failure().unwrap_or_default();
    ensure!(failure.starts_with("proof: "), "{name} without its fault: `{failure}`");
    Ok(())
}

fn skipped(name: &str, why: &str) -> Result<()> {
    ensure!(std::env::var_os(NO_SKIP).is_none(), "{name} may not be skipped here: {why}");
    // Not `eprintln`: that is captured, and a skip must be seen.
    Ok(writeln!(std::io::stderr(), "skipped {name}: {why}")?)
}

/// Checks that the tests in `source` hold each of these drills.
///
/// # Errors
///
/// The first drill that no test holds, or when there is none at all.
pub fn all_are_held(drills: impl IntoIterator<Item = &'static Drill>, source: &str) -> Result<()> {
    let mut drills = drills.into_iter().map(|it| it.name).peekable();
    ensure!(drills.peek().is_some(), "there are no such drills");
    let missing = drills.find(|it| !source.contains(&format!("holds(\"{it}\").unwrap();")));
    ensure!(missing.is_none(), "no test holds {missing:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_drill_that_fails_at_its_proof_notices_a_missing_fault() {
        let told = |check: &str, holds: bool| {
            let mut narrator = Narrator::quiet();
            narrator.check(check, || {
                ensure!(holds, "it is not so");
                Ok(())
            });
            unproved("x", &narrator.finish())
        };
        told("proof: it is there", false).unwrap();
        told("proof: it is there", true).unwrap_err();
        told("something else", false).unwrap_err();
    }

    #[test]
    fn a_drill_that_no_test_holds_is_named() {
        all_are_held(named("DB-1"), r#"holds("DB-1").unwrap();"#).unwrap();
        all_are_held(named("db"), r#"holds("DB-1").unwrap();"#).unwrap_err();
        all_are_held(named("no such pack"), "").unwrap_err();
        holds("no such drill").unwrap_err();
    }

    #[test]
    fn every_name_means_one_drill_or_one_pack() {
        let names = every_drill().map(|it| it.name).chain(ALL.iter().map(|it| it.name));
        let mut names: Vec<_> = names.collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
