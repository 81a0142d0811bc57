//! Contestants in turn, round after round: what the machine does meanwhile, it does to all of them.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    machine::Ticks,
    options::Options,
    sample::{Sample, Window, median},
};

/// On whose side somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// The log of this repository.
    Ours,
    /// What the device or the processor allows.
    Floor,
    /// Another log.
    Peer,
    /// Shown, but not compared with: it does not do the same.
    Aside,
}

type Run = Box<dyn FnMut(&Path, Window) -> Result<Sample>>;

/// Somebody who runs once a round, in an empty directory.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    run: Run,
}

impl Contestant {
    pub(crate) fn new(
        name: &'static str,
        role: Role,
        run: impl FnMut(&Path, Window) -> Result<Sample> + 'static,
    ) -> Self {
        Self { name, role, run: Box::new(run) }
    }
}

/// Contestants that do the same work.
pub(crate) struct Case {
    pub(crate) name: String,
    /// What [`Sample::rate`] counts.
    pub(crate) unit: &'static str,
    pub(crate) contestants: Vec<Contestant>,
}

/// What they did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) case: String,
    pub(crate) unit: &'static str,
    pub(crate) results: Vec<Standing>,
    /// Which part of the processors others used meanwhile; some of it is the kernel, at work for us.
    pub(crate) used_by_others: Option<f64>,
}

/// What one of them did, round by round.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) rounds: Vec<Sample>,
}

impl Standing {
    /// The median over the rounds, of each figure.
    pub(crate) fn medians(&self) -> Sample {
        let of = |figure: fn(&Sample) -> f64| median(self.rounds.iter().map(figure));
        Sample {
            p50_us: of(|it| it.p50_us),
            p99_us: of(|it| it.p99_us),
            rate: of(|it| it.rate),
            calls: self.rounds.iter().map(|it| it.calls).sum(),
        }
    }

    /// The median of the ratios of each round: the two ran moments apart, which is what makes them
    /// comparable.
    pub(crate) fn ratio_to(&self, other: &Self, figure: fn(&Sample) -> f64) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(own, other)| figure(own) / figure(other)))
    }
}

/// Runs all rounds of a case. Every other round goes backwards, so that nobody always follows the
/// same predecessor.
pub(crate) fn run_case(case: &mut Case, options: &Options, data: &Path) -> Result<Outcome> {
    let mut contestants: Vec<(&mut Contestant, Vec<Sample>)> = case
        .contestants
        .iter_mut()
        .filter(|it| options.wants_contestant(it.name))
        .map(|it| (it, Vec::new()))
        .collect();
    let before = Ticks::now();
    for round in 0..options.rounds {
        eprintln!("{}: round {} of {}", case.name, round + 1, options.rounds);
        for (contestant, samples) in &mut contestants {
            let sample = in_a_directory(data, |dir| {
                (contestant.run)(dir, Window::of(options.round))
                    .with_context(|| format!("`{}`", contestant.name))
            });
            samples.push(sample?);
        }
        contestants.reverse();
    }
    if options.rounds % 2 == 1 {
        contestants.reverse();
    }
    let standing = |(it, rounds): (&mut Contestant, Vec<Sample>)| Standing {
        name: it.name,
        role: it.role,
        rounds,
    };
    let results = contestants.into_iter().map(standing).collect();
    let used_by_others =
        before.zip(Ticks::now()).map(|(before, now)| now.used_by_others_since(before));
    Ok(Outcome { case: case.name.clone(), unit: case.unit, results, used_by_others })
}

/// Gives `run` an empty directory. What it leaves behind is removed, and the removal synced, before
/// the next one starts its clock.
fn in_a_directory(data: &Path, run: impl FnOnce(&Path) -> Result<Sample>) -> Result<Sample> {
    let dir = data.join("run");
    fs::create_dir(&dir)?;
    File::open(data)?.sync_all()?;
    let sample = run(&dir);
    fs::remove_dir_all(&dir)?;
    File::open(data)?.sync_all()?;
    sample
}

/// Ours, a floor, a peer, ours, …; whoever has more left comes last.
pub(crate) fn interleaved(contestants: Vec<Contestant>) -> Vec<Contestant> {
    let mut lanes: [Vec<Contestant>; 3] = Default::default();
    for contestant in contestants {
        let [ours, floors, peers] = &mut lanes;
        match contestant.role {
            Role::Ours => ours.push(contestant),
            Role::Floor => floors.push(contestant),
            Role::Peer | Role::Aside => peers.push(contestant),
        }
    }
    let mut lanes = lanes.map(Vec::into_iter);
    let mut res = Vec::new();
    loop {
        let before = res.len();
        res.extend(lanes.iter_mut().filter_map(Iterator::next));
        if res.len() == before {
            return res;
        }
    }
}
