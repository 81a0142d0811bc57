//! `autonomy config`: settings in a file.

use std::path::PathBuf;

use api::exit::Exit;
use serde::Serialize;

use crate::{
    args::{Config, ConfigKey, ConfigLook, ConfigSet},
    commands::{tell, write_pairs},
    context::Context,
    failure::Failure,
    settings::{Settings, SettingsError, keys, variable},
};

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        let (exit, hint) = match &error {
            SettingsError::Io { .. } => (Exit::Failed, "check owner and mode of the file"),
            SettingsError::Bad { .. } => (
                Exit::Usage,
                "mend the file (autonomy config path says where it is): a line is KEY = \"VALUE\"",
            ),
            SettingsError::UnknownKey { .. } => (Exit::Usage, "autonomy config list names them"),
            SettingsError::BadValue { .. } | SettingsError::NotKept { .. } => {
                (Exit::Usage, "nothing was written")
            }
            SettingsError::NoPlace => (Exit::Usage, "set AUTONOMY_CONFIG to a file"),
        };
        Self::of(exit, error.code(), &error).hint(hint)
    }
}

/// What counts for a setting.
#[derive(Debug, Serialize)]
struct Told {
    key: String,
    variable: &'static str,
    value: Option<String>,
    /// `environment`, `file`, or nobody.
    source: Option<&'static str>,
}

pub(crate) fn run(command: &Config, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Config::Set(args) => set(args, context),
        Config::Unset(args) => unset(args, context),
        Config::Get(args) => get(args, context),
        Config::List(args) => list(args, context),
        Config::Path(args) => path(args, context),
    }
}

fn read(context: Context<'_>) -> Result<(PathBuf, Settings), Failure> {
    let path = context.settings_path()?;
    let settings = Settings::read(&path)?;
    Ok((path, settings))
}

fn told(key: &str, settings: &Settings, context: Context<'_>) -> Result<Told, Failure> {
    let variable = variable(key)?;
    let (value, source) = match (context.environment(variable), settings.get(variable)) {
        (Some(value), _) => (Some(value), Some("environment")),
        (None, Some(value)) => (Some(value.to_owned()), Some("file")),
        (None, None) => (None, None),
    };
    Ok(Told { key: key.to_owned(), variable, value, source })
}

fn set(args: &ConfigSet, context: Context<'_>) -> Result<Exit, Failure> {
    let path = context.settings_path()?;
    let ((), settings) = Settings::change(&path, |it| Ok((it.set(&args.key, &args.value)?, true)))?;
    let now = told(&args.key, &settings, context)?;
    if now.source == Some("environment") {
        super::note(&format!("{} is set in the environment, and wins", now.variable));
    }
    tell(&now, args.output.output, |it, out| {
        writeln!(out, "{} is set in {}", it.key, path.display())
    })?;
    Ok(Exit::Done)
}

fn unset(args: &ConfigKey, context: Context<'_>) -> Result<Exit, Failure> {
    let path = context.settings_path()?;
    let (was, settings) = Settings::change(&path, |it| {
        let was = it.unset(&args.key)?;
        Ok((was, was))
    })?;
    let now = told(&args.key, &settings, context)?;
    tell(&now, args.output.output, |it, out| {
        let done = if was { "is not set any more" } else { "was not set" };
        writeln!(out, "{} {done} in {}", it.key, path.display())
    })?;
    Ok(Exit::Done)
}

fn get(args: &ConfigKey, context: Context<'_>) -> Result<Exit, Failure> {
    let (_, settings) = read(context)?;
    let now = told(&args.key, &settings, context)?;
    if now.value.is_none() {
        let message = format!("nothing says what {} is", now.key);
        return Err(Failure::new(Exit::NotFound, "CONFIG_NOT_SET", message)
            .hint(format!("autonomy config set {} VALUE, or {}=VALUE", now.key, now.variable)));
    }
    tell(&now, args.output.output, |it, out| {
        writeln!(out, "{}", it.value.as_deref().unwrap_or_default())
    })?;
    Ok(Exit::Done)
}

fn list(args: &ConfigLook, context: Context<'_>) -> Result<Exit, Failure> {
    let (path, settings) = read(context)?;
    let all: Result<Vec<Told>, Failure> = keys().map(|it| told(it, &settings, context)).collect();
    let all = all?;
    let value = serde_json::json!({ "path": path, "settings": all });
    tell(&value, args.output.output, |_, out| {
        let shown = |it: &Told| match (&it.value, it.source) {
            (Some(value), Some(source)) => format!("{value}  ({source})"),
            _ => "-".to_owned(),
        };
        let pairs: Vec<(&str, String)> = all.iter().map(|it| (&*it.key, shown(it))).collect();
        write_pairs(out, &pairs)
    })?;
    Ok(Exit::Done)
}

fn path(args: &ConfigLook, context: Context<'_>) -> Result<Exit, Failure> {
    let path = context.settings_path()?;
    let there = path.exists();
    let value = serde_json::json!({ "path": path, "exists": there });
    tell(&value, args.output.output, |_, out| writeln!(out, "{}", path.display()))?;
    Ok(Exit::Done)
}
