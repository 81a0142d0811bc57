//! The tables and the file.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::{
    machine::Machine,
    options::Options,
    rounds::{Outcome, Role, Standing},
    sample::Sample,
    targets::{Against, Bound, Figure, Verdict, targets},
};

/// All there is to say about a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(skip)]
    bench: &'static str,
    command: String,
    machine: Machine,
    rounds: usize,
    seconds_a_round: f64,
    log_gib: f64,
    entries: u64,
    cases: Vec<CaseReport>,
    targets: Vec<TargetReport>,
}

#[derive(Debug, Serialize)]
struct CaseReport {
    case: String,
    rate_unit: &'static str,
    /// Which part of the processors others used meanwhile.
    used_by_others: Option<f64>,
    contestants: Vec<ContestantReport>,
}

#[derive(Debug, Serialize)]
struct ContestantReport {
    name: &'static str,
    role: Role,
    #[serde(flatten)]
    medians: Sample,
    rounds: Vec<Sample>,
    /// For ours: by whom, the median ratio of a round.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratios: BTreeMap<&'static str, Ratios>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Ratios {
    p50: f64,
    p99: f64,
    rate: f64,
}

#[derive(Debug, Serialize)]
struct TargetReport {
    case: &'static str,
    ours: &'static str,
    figure: &'static str,
    against: String,
    bound: String,
    /// `null` when it was not measured.
    value: Option<f64>,
    met: Option<bool>,
}

impl Report {
    pub(crate) fn new(bench: &'static str, options: &Options, data: &Path) -> Result<Self> {
        let machine = Machine::here(data);
        anyhow::ensure!(
            !["tmpfs", "ramfs"].contains(&machine.filesystem.as_str()),
            "a sync costs nothing on {}: choose another --dir",
            machine.filesystem
        );
        let command = format!("cargo xtask bench {bench} {}", options.given.join(" "));
        Ok(Self {
            bench,
            command: command.trim_end().to_owned(),
            machine,
            rounds: options.rounds,
            seconds_a_round: options.round.as_secs_f64(),
            log_gib: options.gib,
            entries: options.entries,
            cases: Vec::new(),
            // Whatever is left out of a run on purpose is no target of it.
            targets: if options.wants_all() {
                targets(bench).map(|it| TargetReport::unmeasured(*it)).collect()
            } else {
                Vec::new()
            },
        })
    }

    pub(crate) fn heading(&self) -> String {
        let Machine { cores, cpu, memory_gib, kernel, filesystem, commit } = &self.machine;
        format!(
            "# {}\n\n{cores} cores ({cpu}), {memory_gib} GiB, Linux {kernel}, {filesystem}, commit \
             {commit}; medians of {} rounds of {} s\n",
            self.command, self.rounds, self.seconds_a_round
        )
    }

    /// Takes in a case and returns its table.
    pub(crate) fn add(&mut self, outcome: Outcome) -> String {
        let mut table = table(&outcome);
        if let Some(part) = outcome.used_by_others {
            writeln!(table, "\nothers used {:.0} % of the processors meanwhile", part * 100.0).ok();
        }
        for target in targets(self.bench).filter(|it| it.case == outcome.case) {
            if let Some(verdict) = target.judge(&outcome) {
                let report = TargetReport::measured(verdict);
                let place = self.targets.iter_mut().find(|it| it.is_same(&report));
                match place {
                    Some(place) => *place = report,
                    None => self.targets.push(report),
                }
            }
        }
        let contestants = outcome.results.iter().map(|it| contestant(it, &outcome)).collect();
        self.cases.push(CaseReport {
            case: outcome.case,
            rate_unit: outcome.unit,
            used_by_others: outcome.used_by_others,
            contestants,
        });
        table
    }

    pub(crate) fn targets_table(&self) -> String {
        let mut rows =
            vec![row(&["case", "ours", "figure", "against", "target", "measured", "met"])];
        for it in &self.targets {
            let value = it.value.map_or("–".to_owned(), |it| format!("{it:.2}"));
            let met = match it.met {
                Some(true) => "yes",
                Some(false) => "no",
                None => "not measured",
            };
            rows.push(row(&[it.case, it.ours, it.figure, &it.against, &it.bound, &value, met]));
        }
        aligned("Targets", &rows)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
    }
}

impl TargetReport {
    fn unmeasured(target: crate::targets::Target) -> Self {
        Self {
            case: target.case,
            ours: target.ours,
            figure: match target.figure {
                Figure::P50 => "p50",
                Figure::P99 => "p99",
                Figure::Rate => "rate",
                Figure::P99OverP50 => "p99 / p50",
            },
            against: match target.against {
                Against::Named(name) => name.to_owned(),
                Against::BestPeer => "best peer".to_owned(),
                Against::BestOfOurs => "fastest".to_owned(),
                Against::Itself => "itself".to_owned(),
            },
            bound: match target.bound {
                Bound::AtLeast(bound) => format!("≥ {bound:.2}"),
                Bound::AtMost(bound) => format!("≤ {bound:.2}"),
            },
            value: None,
            met: None,
        }
    }

    fn measured(verdict: Verdict) -> Self {
        let mut res = Self::unmeasured(verdict.target);
        if matches!(verdict.target.against, Against::BestPeer | Against::BestOfOurs) {
            write!(res.against, " ({})", verdict.against).ok();
        }
        Self { value: Some(verdict.value), met: Some(verdict.met), ..res }
    }

    /// Whether both speak of one line of the table.
    fn is_same(&self, other: &Self) -> bool {
        (self.case, self.ours, self.figure, &self.bound)
            == (other.case, other.ours, other.figure, &other.bound)
            && (other.against == self.against
                || other.against.starts_with(&format!("{} (", self.against)))
    }
}

fn contestant(standing: &Standing, outcome: &Outcome) -> ContestantReport {
    let others = outcome.results.iter().filter(|it| it.role != Role::Ours);
    let ratios = |other: &Standing| Ratios {
        p50: standing.ratio_to(other, |it| it.p50_us),
        p99: standing.ratio_to(other, |it| it.p99_us),
        rate: standing.ratio_to(other, |it| it.rate),
    };
    ContestantReport {
        name: standing.name,
        role: standing.role,
        medians: standing.medians(),
        rounds: standing.rounds.clone(),
        ratios: match standing.role {
            Role::Ours => others.map(|it| (it.name, ratios(it))).collect(),
            Role::Floor | Role::Peer | Role::Aside => BTreeMap::new(),
        },
    }
}

/// One line a contestant: its figures, and how many times its rate each of ours has.
fn table(outcome: &Outcome) -> String {
    let ours: Vec<&Standing> = outcome.results.iter().filter(|it| it.role == Role::Ours).collect();
    let letters = ["A", "B", "C", "D", "E", "F"];
    let mut heading = row(&["", "role", "p50 µs", "p99 µs", outcome.unit]);
    heading.extend(ours.iter().zip(letters).map(|(_, letter)| format!("{letter} / this")));
    let mut rows = vec![heading];
    let mut sorted: Vec<&Standing> = outcome.results.iter().collect();
    // Stable: ours, then floors, then peers, each in their order.
    sorted.sort_by_key(|it| it.role as u8);
    for standing in sorted {
        let medians = standing.medians();
        let letter = ours.iter().zip(letters).find(|(it, _)| it.name == standing.name);
        let name =
            letter.map_or(standing.name.to_owned(), |(_, it)| format!("{it}: {}", standing.name));
        let role = format!("{:?}", standing.role).to_lowercase();
        let mut cells = vec![name, role];
        cells.extend([medians.p50_us, medians.p99_us, medians.rate].map(figure));
        cells.extend(ours.iter().zip(letters).map(|(own, _)| {
            let ratio = own.ratio_to(standing, |it| it.rate);
            if own.name == standing.name { "1".to_owned() } else { format!("{ratio:.2}") }
        }));
        rows.push(cells);
    }
    aligned(&outcome.case, &rows)
}

fn figure(value: f64) -> String {
    match value {
        it if it.is_nan() => "–".to_owned(),
        it if it >= 100.0 => format!("{it:.0}"),
        it => format!("{it:.2}"),
    }
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|it| (*it).to_owned()).collect()
}

/// A Markdown table that is also readable on a terminal.
fn aligned(title: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|it| it.get(column));
        cells.map(|it| it.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = format!("## {title}\n\n");
    for (number, cells) in rows.iter().enumerate() {
        for (cell, width) in cells.iter().zip(&widths) {
            write!(out, "| {cell:<width$} ").ok();
        }
        out.push_str("|\n");
        if number == 0 {
            for width in &widths {
                write!(out, "|{}", "-".repeat(width + 2)).ok();
            }
            out.push_str("|\n");
        }
    }
    out
}
