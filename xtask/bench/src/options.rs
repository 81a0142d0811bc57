//! The command line.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
cargo xtask bench [wal] [drain] [policy] [runtime] [supply-chain] [control-plane] [goal]
                  [steps] [options]

  --quick        three rounds of 0.3 s and small logs: does it run, roughly where are we
  --dir D        where the data goes; a directory on the disk to be measured (default target/bench)
  --rounds N     rounds over all contestants (default 5)
  --seconds S    length of a round of one contestant (default 2)
  --gib G        wal, supply-chain: size of the log, and of the image (default 1)
  --entries N    drain: entries that are delivered; the largest backlog has five times as many
                 (default 1000000)
  --rows N       control-plane: the largest store of the cases about growth (default 100000)
  --program P    goal: the program `autonomy`, built with --release; without it the process is skipped
  --case TEXT    only cases whose name contains TEXT; may be given again
  --only TEXT    only contestants whose name contains TEXT; may be given again

Prints the tables and writes target/bench/report-<name>.json.
";

/// What was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    pub(crate) gib: f64,
    pub(crate) entries: u64,
    pub(crate) rows: u64,
    /// The program `autonomy`.
    pub(crate) program: Option<PathBuf>,
    pub(crate) out: PathBuf,
    dir: Option<PathBuf>,
    cases: Vec<String>,
    only: Vec<String>,
    /// The arguments as given, for the report; without the directory.
    pub(crate) given: Vec<String>,
}

impl Options {
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut res = Self {
            rounds: 5,
            round: Duration::from_secs(2),
            gib: 1.0,
            entries: 1_000_000,
            rows: 100_000,
            program: None,
            out: PathBuf::from("target/bench"),
            dir: None,
            cases: Vec::new(),
            only: Vec::new(),
            given: Vec::new(),
        };
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let mut value =
                || rest.next().copied().with_context(|| format!("{word} takes a value"));
            match *word {
                "--quick" => {
                    res.rounds = 3;
                    res.round = Duration::from_millis(300);
                    res.gib = 1.0 / 16.0;
                    res.entries = 50_000;
                }
                "--dir" | "--program" => {
                    // A path is nobody's business but that of the machine.
                    res.set(word, value()?)?;
                    res.given.extend([word, "…"].map(str::to_owned));
                    continue;
                }
                "--rounds" | "--seconds" | "--gib" | "--entries" | "--rows" | "--case"
                | "--only" => {
                    let value = value()?;
                    res.set(word, value)?;
                    res.given.extend([(*word).to_owned(), quoted(value)]);
                    continue;
                }
                other => bail!("unknown option {other}"),
            }
            res.given.push((*word).to_owned());
        }
        if res.rounds == 0 || res.round.is_zero() || !(res.gib > 0.0 && res.gib <= 1024.0) {
            bail!("--rounds, --seconds and --gib are more than nothing");
        }
        if res.entries < 1_000 {
            bail!("--entries is at least 1000");
        }
        Ok(res)
    }

    fn set(&mut self, option: &str, value: &str) -> Result<()> {
        match option {
            "--rounds" => self.rounds = parse(option, value)?,
            "--seconds" => self.round = Duration::try_from_secs_f64(parse(option, value)?)?,
            "--entries" => self.entries = parse(option, value)?,
            "--rows" => self.rows = parse(option, value)?,
            "--gib" => self.gib = parse(option, value)?,
            "--dir" => self.dir = Some(value.into()),
            "--program" => self.program = Some(value.into()),
            "--case" => self.cases.push(value.to_owned()),
            _ => self.only.push(value.to_owned()),
        }
        Ok(())
    }

    /// Whether a case was asked for.
    pub(crate) fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|it| case.contains(it.as_str()))
    }

    /// Whether a contestant was asked for.
    pub(crate) fn wants_contestant(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| name.contains(it.as_str()))
    }

    /// Whether every case and every contestant was asked for.
    pub(crate) fn wants_all(&self) -> bool {
        self.cases.is_empty() && self.only.is_empty()
    }

    /// Makes the directory of this run; nobody else uses it.
    pub(crate) fn data_dir(&self) -> Result<PathBuf> {
        let above: &Path = self.dir.as_deref().unwrap_or(&self.out);
        let dir = above.join(format!("data-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        dir.canonicalize().with_context(|| format!("find {}", dir.display()))
    }

    /// Size of the logs that are opened.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be at most 1024 GiB")]
    #[expect(clippy::cast_sign_loss, reason = "checked to be positive")]
    pub(crate) fn log_bytes(&self) -> u64 {
        (self.gib * f64::from(1 << 30)) as u64
    }
}

fn quoted(value: &str) -> String {
    if value.contains(' ') { format!("\"{value}\"") } else { value.to_owned() }
}

fn parse<T: std::str::FromStr>(word: &str, text: &str) -> Result<T> {
    text.parse().ok().with_context(|| format!("{word} takes a number, not `{text}`"))
}
