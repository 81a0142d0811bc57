//! What a command may use of the world: environment, defaults, streams.

use std::path::PathBuf;

use api::{env, exit::Exit};
use jiff::Timestamp;

use crate::{failure::Failure, settings::Settings};

/// Looks up an environment variable.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment, as far as commands use it.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    lookup: Lookup<'a>,
    settings: Option<&'a Settings>,
    /// Whether stderr is a terminal.
    pub(crate) terminal: bool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(lookup: Lookup<'a>, terminal: bool) -> Self {
        Self { lookup, settings: None, terminal }
    }

    /// The same, with settings for what the environment does not say.
    pub(crate) fn with(self, settings: &'a Settings) -> Self {
        Self { settings: Some(settings), ..self }
    }

    /// Returns a variable, else what the file of settings says in its place; an empty one counts as not set.
    pub(crate) fn var(&self, name: &str) -> Option<String> {
        self.environment(name).or_else(|| self.settings?.get(name).map(str::to_owned))
    }

    /// Returns a variable of the environment.
    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|it| !it.is_empty())
    }

    /// Where the file of settings is.
    pub(crate) fn settings_path(&self) -> Result<PathBuf, Failure> {
        Ok(crate::settings::path(self.lookup)?)
    }

    /// Whether a switch is on: `1` and nothing else. Anything but `0` and `1` is refused, since a
    /// switch that was meant to be on must not be read as off.
    pub(crate) fn switch(&self, name: &str) -> Result<bool, Failure> {
        match self.var(name).as_deref() {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => {
                // Whoever set it has to find it: the file of settings speaks where the environment is silent.
                let place = match (self.environment(name), self.settings_path()) {
                    (None, Ok(path)) => format!("{} says that {name}", path.display()),
                    _ => name.to_owned(),
                };
                let message = format!("{place} is `{other}` (1 or 0)");
                Err(Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message))
            }
        }
    }

    /// Default directory of the log.
    pub(crate) fn wal_dir(&self) -> Result<PathBuf, Failure> {
        self.base(env::XDG_STATE_HOME, ".local/state", "--wal-dir")
            .map(|it| it.join("autonomyops/telemetry"))
    }

    /// Default directory of the step logs.
    pub(crate) fn steps_dir(&self) -> Result<PathBuf, Failure> {
        self.base(env::XDG_STATE_HOME, ".local/state", "--wal-dir")
            .map(|it| it.join("autonomyops/steps"))
    }

    /// Default directory of the control plane's databases.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        self.base(env::XDG_CACHE_HOME, ".cache", "--data-dir")
            .map(|it| it.join("autonomyops/orchestrator"))
    }

    /// Default directory of the policy slots.
    pub(crate) fn policy_dir(&self) -> Result<PathBuf, Failure> {
        self.base(env::XDG_CACHE_HOME, ".cache", "--policy-dir")
            .map(|it| it.join("autonomyops/policy/managed"))
    }

    /// Default directory of the audit trail.
    pub(crate) fn audit_dir(&self) -> Result<PathBuf, Failure> {
        self.base(env::XDG_STATE_HOME, ".local/state", "--audit-dir")
            .map(|it| it.join("autonomyops/audit"))
    }

    /// File that remembers which registries list referrers; `None` without a home.
    pub(crate) fn registry_capabilities(&self) -> Option<PathBuf> {
        let base = self.base(env::XDG_CACHE_HOME, ".cache", "").ok()?;
        Some(base.join("autonomyops/registry_caps.json"))
    }

    /// Password of private keys.
    pub(crate) fn key_password(&self) -> Option<String> {
        self.var(env::KEY_PASSWORD).or_else(|| self.var(env::COSIGN_PASSWORD))
    }

    /// Whether times are signed and looked at. What is neither yes nor no is refused, since a time
    /// that was meant to count must not be left out.
    pub(crate) fn trusts_time(&self) -> Result<bool, Failure> {
        match self.var(env::TRUST_TIME).as_deref() {
            None | Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => {
                let message = format!("{} is `{other}` (true or false)", env::TRUST_TIME);
                Err(Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message))
            }
        }
    }

    /// The time that `SOURCE_DATE_EPOCH` names, for files that are the same whenever they are made.
    pub(crate) fn source_date_epoch(&self) -> Result<Option<Timestamp>, Failure> {
        let Some(text) = self.var(env::SOURCE_DATE_EPOCH) else { return Ok(None) };
        let time = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map(Some).ok_or_else(|| {
            let message = format!("{} is `{text}` (seconds since 1970)", env::SOURCE_DATE_EPOCH);
            Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message)
        })
    }

    fn base(&self, name: &str, below_home: &str, flag: &str) -> Result<PathBuf, Failure> {
        if let Some(base) = self.var(name) {
            return Ok(base.into());
        }
        let home = self.var(env::HOME).ok_or_else(|| {
            let message = format!("no default directory: neither {name} nor {} is set", env::HOME);
            Failure::new(Exit::Usage, "NO_DEFAULT_DIRECTORY", message).hint(format!("pass {flag}"))
        })?;
        Ok(PathBuf::from(home).join(below_home))
    }

    /// How log lines look when the command line does not say.
    pub(crate) fn log_format(&self) -> logging::Format {
        let plain = self.var(env::NO_COLOR).is_some() || self.is_dumb();
        logging::Format::detect(self.terminal, plain)
    }

    /// Whether something may be drawn on stderr that is drawn over later.
    pub(crate) fn draws(&self) -> bool {
        self.terminal && !self.is_dumb()
    }

    fn is_dumb(&self) -> bool {
        self.var(env::TERM).as_deref() == Some(env::TERM_DUMB)
    }

    /// Which log lines are wanted.
    pub(crate) fn log_filter(&self) -> String {
        self.var(env::RUST_LOG).unwrap_or_else(|| logging::FILTER_DEFAULT.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(vars: &[(&str, &str)], read: impl Fn(Context<'_>) -> T) -> T {
        let lookup = |name: &str| vars.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        read(Context::new(&lookup, false))
    }

    #[test]
    fn defaults_follow_the_base_directories_and_then_the_home() {
        let dir = |vars: &[(&str, &str)]| with(vars, |it| it.wal_dir());
        assert_eq!(
            dir(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]).unwrap(),
            PathBuf::from("/s/autonomyops/telemetry")
        );
        assert_eq!(
            dir(&[("XDG_STATE_HOME", ""), ("HOME", "/h")]).unwrap(),
            PathBuf::from("/h/.local/state/autonomyops/telemetry")
        );
        assert_eq!(dir(&[]).unwrap_err().exit, Exit::Usage);
        assert_eq!(
            with(&[("HOME", "/h")], |it| it.policy_dir()).unwrap(),
            PathBuf::from("/h/.cache/autonomyops/policy/managed")
        );
    }

    #[test]
    fn a_switch_that_is_neither_on_nor_off_is_refused() {
        for (value, want) in
            [("1", Some(true)), ("0", Some(false)), ("", Some(false)), ("true", None)]
        {
            assert_eq!(with(&[("X", value)], |it| it.switch("X")).ok(), want, "{value}");
        }
        assert_eq!(with(&[], |it| it.switch("X")).ok(), Some(false));
    }
}
