//! The benchmarks of the log, the drain, the policy, the runtime, the supply chain, the control plane, goals and the step log:
//! beside floors and beside peers.
//!
//! `cargo xtask bench` with one or more of their names starts them. The README says what each case means.
//!
//! | module     | what it does                                                        |
//! |------------|---------------------------------------------------------------------|
//! | `options`  | the command line                                                    |
//! | `sample`   | latencies of single calls, percentiles, medians                     |
//! | `callers`  | one thread, many threads, many tasks                                |
//! | `rounds`   | contestants in turn, round after round                              |
//! | `targets`  | what is to be reached: the one table                                |
//! | `ours`     | the log, and the count that proves that no answer was a lie         |
//! | `space`    | a file that grows, or space that is there already                   |
//! | `floors`   | one durable write, in every pattern worth comparing                 |
//! | `plain`    | a group writer without a format                                     |
//! | `peers`    | other logs                                                          |
//! | `append`   | the cases of durable appends                                        |
//! | `corpus`   | large logs, written fast                                            |
//! | `open`     | the cases of opening and verifying them                             |
//! | `memory`   | how much memory that takes                                          |
//! | `decisions` | the cases of the policy                                            |
//! | `drains`   | the cases of the drain                                              |
//! | `calls`    | the cases of tool calls                                             |
//! | `supplies` | the cases of the supply chain                                       |
//! | `planes`   | the cases of the control plane                                      |
//! | `goals`    | the cases of goals                                                  |
//! | `steps`    | the case of the step log                                            |
//! | `machine`  | where the figures were made                                         |
//! | `report`   | the tables and the file                                             |

mod append;
mod callers;
mod calls;
mod corpus;
mod decisions;
mod drains;
mod floors;
mod goals;
mod machine;
mod memory;
mod open;
mod options;
mod ours;
mod peers;
mod plain;
mod planes;
mod report;
mod rounds;
mod sample;
mod space;
mod steps;
mod supplies;
mod targets;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use mimalloc::MiMalloc;

use crate::{
    options::{HELP, Options},
    report::Report,
    rounds::{Case, run_case},
};

/// That of the product, and for everybody who is compared with it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let names = words.iter().take_while(|it| bench(it).is_some()).count();
    let (names, rest) = words.split_at_checked(names).unwrap_or((&words, &[]));
    let asks = |it: &&str| matches!(*it, "--help" | "-h");
    let done = match rest {
        ["help" | "--help" | "-h"] => {
            print_help();
            Ok(())
        }
        _ if !names.is_empty() && rest.iter().any(asks) => {
            print_help();
            Ok(())
        }
        _ if !names.is_empty() => match Options::parse(rest) {
            Ok(options) => {
                names.iter().filter_map(|it| bench(it)).try_for_each(|it| run(it, &options))
            }
            Err(error) => {
                eprintln!("{error}\n\n{HELP}");
                return ExitCode::from(2);
            }
        },
        // A process of its own, so that its peak is that of one operation.
        [memory::COMMAND, what, dir] => memory::measure(what, dir.as_ref()),
        [drains::MEASURE, dir, url, entries] => drains::measure_memory(dir.as_ref(), url, entries),
        [supplies::MEASURE, dir] => supplies::measure(dir.as_ref()),
        [drains::SINK] => drains::serve(),
        [calls::SERVER, who, dir] => calls::serve(who, dir.as_ref()),
        [planes::SERVER, dir] => planes::serve(dir.as_ref()),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

type Measure = fn(&Options, &Path, &mut Report) -> Result<()>;

/// A benchmark, by its name.
#[derive(Clone, Copy)]
struct Bench {
    name: &'static str,
    measure: Measure,
}

fn bench(name: &str) -> Option<Bench> {
    let all = [
        Bench { name: "wal", measure: wal },
        Bench { name: drains::BENCH, measure: drain },
        Bench { name: decisions::BENCH, measure: decide },
        Bench { name: calls::BENCH, measure: runtime },
        Bench { name: supplies::BENCH, measure: supply },
        Bench { name: planes::BENCH, measure: plane },
        Bench { name: goals::BENCH, measure: goal },
        Bench { name: steps::BENCH, measure: step },
    ];
    all.into_iter().find(|it| it.name == name)
}

fn print_help() {
    print!("{HELP}");
}

fn run(bench: Bench, options: &Options) -> Result<()> {
    let out = &options.out;
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let data = options.data_dir()?;
    let mut report = Report::new(bench.name, options, &data)?;
    println!("{}", report.heading());
    let done = (bench.measure)(options, &data, &mut report);
    fs::remove_dir_all(&data).with_context(|| format!("remove {}", data.display()))?;
    done?;
    println!("{}", report.targets_table());
    let path = out.join(format!("report-{}.json", bench.name));
    report.write(&path)?;
    println!("written: {}", path.display());
    Ok(())
}

fn drain(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(drains::cases(data, options.entries)?, options, data, report)
}

fn runtime(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(calls::cases(), options, data, report)
}

fn supply(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(supplies::cases(data, options.log_bytes())?, options, data, report)
}

fn plane(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(planes::cases(data, options.rows), options, data, report)
}

fn goal(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(goals::cases(options.program.as_deref())?, options, data, report)
}

fn step(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(steps::cases(steps::FILES)?, options, data, report)
}

fn decide(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(decisions::cases()?, options, data, report)
}

fn wal(options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    run_cases(append::cases(), options, data, report)?;
    if open::CASES.iter().any(|it| options.wants(it)) {
        // Only now: nobody before needs gigabytes in memory beside them.
        run_cases(open::cases(data, options.log_bytes())?, options, data, report)?;
    }
    Ok(())
}

fn run_cases(cases: Vec<Case>, options: &Options, data: &Path, report: &mut Report) -> Result<()> {
    for mut case in cases.into_iter().filter(|it| options.wants(&it.name)) {
        let outcome =
            run_case(&mut case, options, data).with_context(|| format!("case `{}`", case.name))?;
        println!("{}", report.add(outcome));
    }
    Ok(())
}
