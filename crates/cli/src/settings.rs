//! Settings in a file: what a variable of the environment says when it is not set.
//!
//! ```toml
//! orchestrator_url = "https://control.example:8888"
//! operator = "ada"
//! ```
//!
//! A key is the name of a variable without `AUTONOMY_`, in lower case; a value is a string.
//!
//! * **K1** A file that cannot be read, or holds a key or a value that nobody knows, is an error and not an absent one: what was
//!   meant to be on is never taken for off.
//! * **K2** No secret is kept here, and no switch that is for one moment: those keys are refused.
//! * **K3** Comments and the order of a file stay as they are when a key is set.
//! * **K4** Whoever changes a file has the lock beside it from the reading to the writing: two changes at once are both there.
//! * **K5** A file that others than its owner may write, or that belongs to somebody else, is not taken for ours; nor is a name for
//!   a file that is not there, when a variable names it or a link has it.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use api::env;
use toml_edit::{DocumentMut, value};
use vfs::{LockError, OsVfs, read_whole, replace_private};

use crate::beside;

use crate::control::unusable_url;

/// Longest file of settings, in bytes.
const SETTINGS_LEN_MAX: u64 = 1 << 20;
/// What a variable begins with that has a key.
const PREFIX: &str = "AUTONOMY_";
/// Variables that have a key (K2).
const KEPT: [&str; 13] = [
    env::AUDIT_DIR,
    env::CA_FILE,
    env::CLIENT_CERTIFICATE,
    env::CLIENT_KEY,
    env::COSIGN_PUBKEY,
    env::DISPATCH_CMD,
    env::OPERATOR,
    env::ORCHESTRATOR_URL,
    env::RUN_WAL_DIR,
    env::RUNTIME_URL,
    env::STATE_DIR,
    env::STRICT_MODE,
    env::TRUST_TIME,
];

/// Why a file of settings is none, or was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    /// It is no TOML.
    #[error("{} is no file of settings: {why}", .path.display())]
    Bad { path: PathBuf, why: String },
    /// A key has no meaning.
    #[error("there is no setting `{key}`")]
    UnknownKey { key: String },
    /// A key is one of a secret, or of one moment.
    #[error("`{key}` is not kept in a file: {why}")]
    NotKept { key: String, why: &'static str },
    /// A value that would be refused when it counts.
    #[error("`{value}` is no value of `{key}`: {why}")]
    BadValue { key: String, value: String, why: &'static str },
    /// There is no place for a file.
    #[error(
        "no file of settings: neither {} nor {} nor {} is set",
        env::CONFIG,
        env::XDG_CONFIG_HOME,
        env::HOME
    )]
    NoPlace,
}

impl SettingsError {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "CONFIG_IO",
            Self::Bad { .. } => "CONFIG_BAD",
            Self::UnknownKey { .. } => "CONFIG_UNKNOWN_KEY",
            Self::NotKept { .. } => "CONFIG_NOT_KEPT",
            Self::BadValue { .. } => "CONFIG_BAD_VALUE",
            Self::NoPlace => "NO_DEFAULT_DIRECTORY",
        }
    }
}

/// Every key, in order.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    static KEYS: LazyLock<Vec<String>> = LazyLock::new(|| KEPT.into_iter().map(key_of).collect());
    KEYS.iter().map(String::as_str)
}

fn key_of(variable: &str) -> String {
    variable.strip_prefix(PREFIX).unwrap_or(variable).to_ascii_lowercase()
}

/// The variable that a key stands for (K2).
pub(crate) fn variable(key: &str) -> Result<&'static str, SettingsError> {
    if let Some(found) = KEPT.into_iter().find(|it| key_of(it) == key) {
        return Ok(found);
    }
    // Other texts of this program name the variable.
    if let Some(found) = KEPT.into_iter().find(|it| *it == key) {
        return Ok(found);
    }
    let key = key.to_owned();
    let secret = [env::TOKEN, env::KEY_PASSWORD, env::REGISTRY_PASSWORD];
    if secret.into_iter().any(|it| key_of(it) == key) {
        let why = "it is a secret; pass it as a variable of the environment";
        return Err(SettingsError::NotKept { key, why });
    }
    if key_of(env::RBAC_BREAK_GLASS) == key {
        let why = "it is for one start; pass it as a variable of the environment";
        return Err(SettingsError::NotKept { key, why });
    }
    Err(SettingsError::UnknownKey { key })
}

/// Why a value would be refused when it counts; what only names a file is found out then.
fn wrong(variable: &str, value: &str) -> Option<&'static str> {
    match variable {
        _ if value.trim().is_empty() => Some("an empty value counts as not set; use config unset"),
        env::STRICT_MODE if !["0", "1"].contains(&value) => Some("1 or 0"),
        env::TRUST_TIME if !["true", "false"].contains(&value) => Some("true or false"),
        env::ORCHESTRATOR_URL | env::RUNTIME_URL => unusable_url(value),
        _ => None,
    }
}

/// A value that was refused, fit for a message: a URL may have a password in it.
fn shown(variable: &str, value: &str) -> String {
    match variable {
        env::ORCHESTRATOR_URL | env::RUNTIME_URL => api::url::without_secrets(value),
        _ => value.to_owned(),
    }
}

/// What a parser says, without its picture of the place: in one line that says nothing.
fn said(error: &toml_edit::TomlError) -> String {
    let text = error.to_string();
    let is_picture =
        |it: &&str| it.trim_start().starts_with(|it: char| it == '|' || it.is_ascii_digit());
    let lines: Vec<&str> = text.lines().filter(|it| !is_picture(it)).map(str::trim).collect();
    lines.join(": ")
}

/// Where the file is, whether or not it is there.
pub(crate) fn path(lookup: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, SettingsError> {
    let var = |name: &str| lookup(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    if let Some(named) = var(env::CONFIG) {
        return Ok(named);
    }
    let base = var(env::XDG_CONFIG_HOME).or_else(|| var(env::HOME).map(|it| it.join(".config")));
    Ok(base.ok_or(SettingsError::NoPlace)?.join("autonomyops/config.toml"))
}

/// A file of settings.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    document: DocumentMut,
    /// Values by variable.
    values: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Reads a file (K1); an absent one has no settings.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        own(path)?;
        let bytes = read_whole(&OsVfs, path, SETTINGS_LEN_MAX).map_err(|source| {
            SettingsError::Io { action: "read", path: path.to_owned(), source }
        })?;
        let bad = |why: String| SettingsError::Bad { path: path.to_owned(), why };
        let text = String::from_utf8(bytes.unwrap_or_default());
        Self::parse(&text.map_err(|it| bad(it.to_string()))?).map_err(|error| match error {
            SettingsError::Bad { why, .. } => bad(why),
            other => bad(other.to_string()),
        })
    }

    /// Reads the file that a variable names: it has to be there (K5).
    pub(crate) fn read_named(path: &Path) -> Result<Self, SettingsError> {
        let found = std::fs::metadata(path);
        found.map_err(|source| SettingsError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::read(path)
    }

    fn parse(text: &str) -> Result<Self, SettingsError> {
        let bad = |why: String| SettingsError::Bad { path: PathBuf::new(), why };
        let document: DocumentMut =
            text.parse().map_err(|it: toml_edit::TomlError| bad(said(&it)))?;
        let mut values = BTreeMap::new();
        for (key, item) in document.as_table() {
            let text = item.as_str().ok_or_else(|| bad(format!("`{key}` is no string")))?;
            values.insert(variable(key)?, text.to_owned());
        }
        Ok(Self { document, values })
    }

    /// What the file says about a variable; an empty value counts as not set.
    pub(crate) fn get(&self, variable: &str) -> Option<&str> {
        self.values.get(variable).map(String::as_str).filter(|it| !it.is_empty())
    }

    /// Sets a key (K3).
    pub(crate) fn set(&mut self, key: &str, text: &str) -> Result<(), SettingsError> {
        let variable = variable(key)?;
        if let Some(why) = wrong(variable, text) {
            let (key, value) = (key_of(variable), shown(variable, text));
            return Err(SettingsError::BadValue { key, value, why });
        }
        self.document.insert(&key_of(variable), value(text));
        self.values.insert(variable, text.to_owned());
        Ok(())
    }

    /// Removes a key; `false` when it was not set.
    pub(crate) fn unset(&mut self, key: &str) -> Result<bool, SettingsError> {
        let variable = variable(key)?;
        self.values.remove(variable);
        Ok(self.document.remove(&key_of(variable)).is_some())
    }

    /// Changes the file under its lock (K4): whole, durable, for nobody else. What `change` returns goes to the caller;
    /// `false` beside it leaves the file as it is.
    pub(crate) fn change<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<(T, bool), SettingsError>,
    ) -> Result<(T, Self), SettingsError> {
        let failed =
            |action| move |source| SettingsError::Io { action, path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(failed("make the directory of"))?;
        }
        let held = beside::lock(path).map_err(|error| match error {
            LockError::Io(source) => failed("lock")(source),
            held @ LockError::Held { .. } => failed("lock")(io::Error::other(held.to_string())),
        })?;
        let mut settings = Self::read(path)?;
        let (said, changed) = change(&mut settings)?;
        if changed {
            settings.write(path)?;
        }
        drop(held);
        Ok((said, settings))
    }

    fn write(&self, path: &Path) -> Result<(), SettingsError> {
        let failed =
            |action| move |source| SettingsError::Io { action, path: path.to_owned(), source };
        // A link stays one: what it leads to is replaced.
        let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        replace_private(&OsVfs, path, self.document.to_string().as_bytes()).map_err(failed("write"))
    }
}

/// K5
fn own(path: &Path) -> Result<(), SettingsError> {
    let failed = |source| SettingsError::Io { action: "read", path: path.to_owned(), source };
    if std::fs::symlink_metadata(path).is_err_and(|it| it.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let found = std::fs::metadata(path).map_err(failed)?;
    let (owner, me) = (found.uid(), rustix::process::geteuid().as_raw());
    let why = if owner != me && owner != 0 {
        format!("it belongs to user {owner}, and this is user {me}")
    } else if found.mode() & 0o002 != 0 {
        format!("everybody may write it (mode {:o}); chmod o-w", found.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(SettingsError::Bad { path: path.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_one_of_a_documented_variable_and_no_secret() {
        for variable in KEPT {
            assert!(env::ALL.iter().any(|it| it.name == variable), "{variable}");
            assert!(variable.starts_with(PREFIX), "{variable}");
            assert!(!["TOKEN", "PASSWORD", "GLASS"].iter().any(|it| variable.contains(it)));
        }
        assert_eq!(variable("operator").unwrap(), env::OPERATOR);
        assert_eq!(variable("token").unwrap_err().code(), "CONFIG_NOT_KEPT");
        assert_eq!(variable("rbac_break_glass").unwrap_err().code(), "CONFIG_NOT_KEPT");
        assert_eq!(variable("AUTONOMY_OPERATOR").unwrap(), env::OPERATOR);
        assert_eq!(variable("OPERATOR").unwrap_err().code(), "CONFIG_UNKNOWN_KEY");
    }

    /// K1
    #[test]
    fn a_file_that_does_not_say_what_it_means_is_an_error_with_its_place() {
        for (text, part) in [
            ("operator = ", "line 1"),
            ("strict_mode = true", "`strict_mode` is no string"),
            ("strikt_mode = \"1\"", "there is no setting `strikt_mode`"),
            ("[a]\nb = \"1\"", "`a` is no string"),
            ("operator = \"a\"\noperator = \"b\"", "duplicate key"),
        ] {
            let error = Settings::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(Settings::parse("").unwrap().values.is_empty());
    }

    /// K4
    #[test]
    fn changes_at_once_are_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let values = ["operator", "state_dir", "dispatch_cmd", "ca_file"];
        let set = |key: &str| {
            for _ in 0..20 {
                Settings::change(&path, |it| Ok((it.set(key, "x")?, true))).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for key in values {
                scope.spawn(move || set(key));
            }
        });
        let read = Settings::read(&path).unwrap();
        assert_eq!(read.values.len(), values.len(), "{}", read.document);
    }

    /// K5
    #[test]
    fn a_file_that_anybody_may_write_and_a_link_to_nowhere_are_not_taken() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, "strict_mode = \"1\"\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(Settings::read(&path).unwrap_err().code(), "CONFIG_BAD");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(Settings::read(&path).unwrap().get(env::STRICT_MODE), Some("1"));

        let link = dir.path().join("link.toml");
        symlink(&path, &link).unwrap();
        Settings::change(&link, |it| Ok((it.set("operator", "ada")?, true))).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Settings::read(&path).unwrap().get(env::OPERATOR), Some("ada"));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Settings::read(&link).unwrap_err().code(), "CONFIG_IO");
        assert!(Settings::read(&path).unwrap().values.is_empty());
    }

    /// K3
    #[test]
    fn what_others_wrote_into_the_file_stays_when_a_key_is_set() {
        let text = "# ours\noperator = \"ada\" # who\n\nstate_dir = \"/s\"\n";
        let mut it = Settings::parse(text).unwrap();
        it.set("orchestrator_url", "http://c:8888").unwrap();
        it.set("state_dir", "/t \"quoted\"").unwrap();
        let written = it.document.to_string();
        assert!(written.starts_with("# ours\noperator = \"ada\" # who\n"), "{written}");
        let again = Settings::parse(&written).unwrap();
        assert_eq!(again.get(env::STATE_DIR), Some("/t \"quoted\""));
        assert_eq!(again.get(env::ORCHESTRATOR_URL), Some("http://c:8888"));
        assert!(it.unset("operator").unwrap() && !it.unset("operator").unwrap());
        assert_eq!(it.get(env::OPERATOR), None);
    }

    #[test]
    fn a_value_that_would_be_refused_later_is_refused_now() {
        let mut it = Settings::default();
        for (key, value) in [
            ("strict_mode", "maybe"),
            ("orchestrator_url", "ftp://x"),
            ("runtime_url", "http://[::1"),
            ("runtime_url", "http://u:SECRET@h"),
            ("runtime_url", "http://h?token=SECRET"),
            ("orchestrator_url", "https://u:SECRET@h"),
            ("orchestrator_url", "https://h/#SECRET"),
            ("orchestrator_url", "https://h/v1"),
            ("operator", " "),
            ("trust_time", "1"),
        ] {
            let error = it.set(key, value).unwrap_err();
            assert_eq!(error.code(), "CONFIG_BAD_VALUE", "{key}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
        it.set("AUTONOMY_STRICT_MODE", "1").unwrap();
        assert_eq!(it.document.to_string(), "strict_mode = \"1\"\n");
    }

    #[test]
    fn the_file_is_where_a_variable_says_or_the_base_directories() {
        let with = |vars: &'static [(&str, &str)]| {
            path(&|name| vars.iter().find(|it| it.0 == name).map(|it| it.1.to_owned()))
        };
        assert_eq!(with(&[("AUTONOMY_CONFIG", "/x")]).unwrap(), PathBuf::from("/x"));
        let home = with(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "")]).unwrap();
        assert_eq!(home, PathBuf::from("/h/.config/autonomyops/config.toml"));
        assert!(with(&[]).is_err());
    }
}
