//! A repository with a goal, and commands in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::harness::{Bin, Finished, program, run_to_end};

/// A directory that counts as a repository.
#[derive(Debug)]
pub struct Lab {
    root: PathBuf,
}

impl Lab {
    /// Begins one without a goal.
    ///
    /// # Errors
    ///
    /// When a directory cannot be made.
    pub fn new(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir.join(".git"))?;
        Ok(Self { root: dir.to_owned() })
    }

    /// Begins one with a goal.
    ///
    /// # Errors
    ///
    /// When the goal cannot be begun.
    pub fn with_goal(dir: &Path, options: &[&str]) -> Result<Self> {
        let lab = Self::new(dir)?;
        lab.done(&[&["goal", "init", "--title", "Ship v2"], options].concat())?;
        Ok(lab)
    }

    /// A path of the state.
    pub fn state(&self, name: &str) -> PathBuf {
        self.root.join(".octogent").join(name)
    }

    /// The root of the repository.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A command that is not started yet.
    ///
    /// # Errors
    ///
    /// When the programs cannot be built.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = program(Bin::Autonomy)?;
        command.args(words).current_dir(&self.root).env("HOME", &self.root);
        command.env_remove("XDG_STATE_HOME");
        Ok(command)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run(&self, words: &[&str]) -> Result<Finished> {
        run_to_end(&mut self.command(words)?)
    }

    /// Runs a command that has to end with 0.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn done(&self, words: &[&str]) -> Result<String> {
        let ended = self.run(words)?;
        ensure!(ended.code() == Some(0), "{words:?}: {ended:?}");
        Ok(ended.stdout)
    }

    /// Runs a command that has to end with 1, and returns what it said on stderr.
    ///
    /// # Errors
    ///
    /// When it ends otherwise.
    pub fn refused(&self, words: &[&str]) -> Result<String> {
        let ended = self.run(words)?;
        ensure!(ended.code() == Some(1), "{words:?}: {ended:?}");
        Ok(ended.stderr)
    }

    /// The JSON of a command that has to end with 0.
    ///
    /// # Errors
    ///
    /// When it does not, or prints anything else.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let text = self.done(&[words, &["--format", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{words:?}: {text}"))
    }

    /// `goal.json` as it is.
    ///
    /// # Errors
    ///
    /// When it is no JSON.
    pub fn goal(&self) -> Result<Value> {
        let bytes = fs::read(self.state("goal.json"))?;
        serde_json::from_slice(&bytes).context("goal.json")
    }

    /// A key of `goal.json` as text.
    ///
    /// # Errors
    ///
    /// When there is no goal.
    pub fn text(&self, key: &str) -> Result<String> {
        Ok(self.goal()?.get(key).and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The iteration.
    ///
    /// # Errors
    ///
    /// When there is no goal.
    pub fn iteration(&self) -> Result<u64> {
        Ok(self.goal()?.get("iteration").and_then(Value::as_u64).unwrap_or_default())
    }

    /// The entries of a history, oldest first: those that were moved to the file beside the goal, and those in
    /// `goal.json`.
    ///
    /// # Errors
    ///
    /// When there is no goal, or the file is not what the goal says.
    pub fn history(&self, key: &str) -> Result<Vec<Value>> {
        let goal = self.goal()?;
        let mut entries = Vec::new();
        if let Some(part) = goal.get("history_moved").and_then(|it| it.get(key)) {
            let name = part.get("file").and_then(Value::as_str).context("a file")?;
            let counted = part.get("bytes").and_then(Value::as_u64).context("bytes")?;
            let bytes = fs::read(self.state(name))?;
            let lines = bytes.get(..usize::try_from(counted)?).context("fewer bytes than count")?;
            for line in lines.split_inclusive(|it| *it == b'\n') {
                entries.push(serde_json::from_slice(line).context("a line of the history")?);
            }
            ensure!(part.get("entries") == Some(&entries.len().into()), "{part}");
        }
        entries.extend(goal.get(key).and_then(Value::as_array).into_iter().flatten().cloned());
        Ok(entries)
    }

    /// How many entries a history has.
    ///
    /// # Errors
    ///
    /// As [`Self::history`].
    pub fn count(&self, key: &str) -> Result<usize> {
        Ok(self.history(key)?.len())
    }

    /// Makes a tentacle and links it.
    ///
    /// # Errors
    ///
    /// When it cannot be done.
    pub fn linked(&self, name: &str) -> Result<()> {
        self.done(&["tentacle", "create", name])?;
        self.done(&["goal", "link", name])?;
        Ok(())
    }

    /// Makes a tentacle, links it, and ends it.
    ///
    /// # Errors
    ///
    /// When it cannot be done.
    pub fn worked(&self, name: &str, status: &str) -> Result<()> {
        self.linked(name)?;
        self.done(&["tentacle", "handoff", name, "said", "--status", status])?;
        self.done(&["tentacle", "complete", name])?;
        Ok(())
    }

    /// `meta.json` of a tentacle.
    ///
    /// # Errors
    ///
    /// When it is no JSON.
    pub fn meta(&self, name: &str) -> Result<Value> {
        let bytes = fs::read(self.state("tentacles").join(name).join("meta.json"))?;
        serde_json::from_slice(&bytes).context("meta.json")
    }

    /// A number of a process that is dead.
    ///
    /// # Errors
    ///
    /// When no process can be started.
    pub fn dead_pid() -> Result<u32> {
        let mut child = Command::new("true").spawn()?;
        let pid = child.id();
        child.wait()?;
        Ok(pid)
    }
}
