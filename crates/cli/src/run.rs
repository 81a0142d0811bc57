//! From arguments to an exit code.

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _},
};

use api::{env, exit::Exit};
use clap::{Parser as _, error::ErrorKind};

use crate::{
    args::{Cli, Command, Output},
    commands,
    context::Context,
    failure::{BROKEN_PIPE, Failure},
    settings::{self, Settings},
};

/// Runs a command line with an environment and returns the exit code of the process: one of [`Exit`], or that of
/// a program that the command ran.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    lookup: impl Fn(&str) -> Option<String>,
) -> u8 {
    let args = without_alias(args);
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error, &args),
    };
    let output = cli.command.output();
    let named = cli.command.log_dir().map(std::path::Path::to_owned);
    let settings = match readable(&lookup).and_then(|()| settings(&cli.command, &lookup)) {
        Ok(settings) => settings,
        Err(failure) => return report(&failure, output).code(),
    };
    let context = Context::new(&lookup, std::io::stderr().is_terminal()).with(&settings);
    match dispatch(cli.command, context) {
        Ok(code) => code,
        Err(failure) if failure.code == BROKEN_PIPE => Exit::Done.code(),
        Err(failure) => {
            let dir = named.map_or_else(|| context.wal_dir().ok(), Some);
            let failure = match dir {
                Some(dir) => failure.of_log(&dir),
                None => failure,
            };
            report(&failure, output).code()
        }
    }
}

/// A variable that is no UTF-8 says something that nobody can read: it must not count as not set.
fn readable(lookup: &dyn Fn(&str) -> Option<String>) -> Result<(), Failure> {
    let unread = |name: &&str| lookup(name).is_some_and(|it| it.contains('\u{fffd}'));
    let names: Vec<&str> = env::ALL.iter().map(|it| it.name).collect();
    let Some(name) = names.iter().find(|it| unread(it)) else { return Ok(()) };
    let message = format!("{name} is no UTF-8");
    Err(Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message).hint("set it anew, or unset it"))
}

/// The settings of the file. Commands about the file read it themselves, and a session is never stopped by it.
fn settings(
    command: &Command,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Settings, Failure> {
    let reads_no_setting = matches!(
        command,
        Command::Config(_)
            | Command::Explain(_)
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Capabilities(_)
    );
    if reads_no_setting {
        return Ok(Settings::default());
    }
    let named = lookup(env::CONFIG).is_some_and(|it| !it.is_empty());
    let read = match settings::path(lookup) {
        Ok(path) if named => Settings::read_named(&path),
        Ok(path) => Settings::read(&path),
        Err(_) => Ok(Settings::default()),
    };
    // The doctor names it among its findings.
    if matches!(command, Command::Doctor(_)) {
        return Ok(read.unwrap_or_default());
    }
    match read {
        Err(error) if matches!(command, Command::Session(_) | Command::SupportBundle(_)) => {
            commands::note(&format!("{error} ({})", error.code()));
            Ok(Settings::default())
        }
        other => other.map_err(Failure::from),
    }
}

/// Says why a command line is none, or prints the help that it asks for.
fn not_parsed(error: &clap::Error, args: &[OsString]) -> u8 {
    let helped = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if !helped && asks_for_json(args) {
        let text = error.render().to_string();
        let said = text.strip_prefix("error: ").unwrap_or(&text);
        let (message, rest) = said.split_once("\n\n").unwrap_or((said, ""));
        let line = |it: &str| it.split_whitespace().collect::<Vec<_>>().join(" ");
        let hint = rest.split("\n\n").map(line).filter(|it| !it.is_empty());
        let hint = hint.collect::<Vec<_>>().join("; ");
        let failure = Failure::new(Exit::Usage, "USAGE", message.trim()).hint(hint);
        return report(&failure, Output::Json).code();
    }
    // Help goes to stdout and ends well; everything else goes to stderr. A terminal that is gone cannot be told that it
    // is gone.
    error.print().ok();
    if helped { Exit::Done.code() } else { Exit::Usage.code() }
}

/// Whether a command line that is none asks for JSON all the same.
fn asks_for_json(args: &[OsString]) -> bool {
    let words: Vec<&str> = args.iter().filter_map(|it| it.to_str()).collect();
    let own = words.split(|it| *it == "--").next().unwrap_or_default();
    let apart = own.windows(2).any(|it| matches!(it, ["--output" | "--format", "json"]));
    apart || own.iter().any(|it| matches!(*it, "--output=json" | "--format=json"))
}

/// `autonomy tentacle goal …` is `autonomy goal …`.
fn without_alias(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let words = (args.get(1).and_then(|it| it.to_str()), args.get(2).and_then(|it| it.to_str()));
    if words == (Some("tentacle"), Some("goal")) {
        args.remove(1);
    }
    args
}

fn dispatch(command: Command, context: Context<'_>) -> Result<u8, Failure> {
    let exit = match command {
        Command::Runtime(command) => commands::runtime::run(command, context),
        Command::Run(args) => return commands::run::run(&args, context),
        Command::Ros2(command) => return commands::ros2::run(&command, context),
        Command::Telemetry(command) => commands::telemetry::run(command, context),
        Command::Wal(command) => commands::wal::run(command, context),
        Command::Daemon(command) => commands::daemon::run(command, context),
        Command::Policy(command) => commands::policy::run(command, context),
        Command::Keys(command) => commands::keys::run(&command, context),
        Command::Lock(command) => commands::lock::run(&command, context),
        Command::Sign(args) => commands::sign::run(&args, context),
        Command::Verify(args) => commands::verify::run(&args, context),
        Command::Oci(command) => commands::oci::run(&command, context),
        Command::Bundle(command) => commands::bundle::run(&command, context),
        Command::Tool(command) => commands::tool::run(command, context),
        Command::Goal(command) => return commands::goal::run(command, context),
        Command::Tentacle(command) => commands::tentacle::run(command, context),
        Command::Session(command) => Ok(commands::session::run(&command, context)),
        Command::Demo(command) => commands::demo::run(&command, context),
        Command::Doctor(args) => commands::doctor::run(&args, context),
        Command::SupportBundle(command) => commands::support::run(&command, context),
        Command::Config(command) => commands::config::run(&command, context),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Completions(args) => commands::shell::completions(&args),
        Command::Man(args) => commands::shell::man(&args),
        Command::Capabilities(args) => commands::capabilities::run(&args),
        Command::Rollout(command) => commands::rollout::run(command, context),
        Command::Rollback(command) => commands::rollback::run(command, context),
        Command::Fleet(command) => commands::fleet::run(command, context),
        Command::Ha(command) => commands::ha::run(&command, context),
        Command::Logs(args) => commands::logs::run(&args, context),
        Command::Status(args) => commands::status::run(&args, context),
        Command::Audit(command) => commands::audit::run(&command, context),
        Command::Db(command) => commands::db::run(command, context),
        Command::Rbac(command) => commands::rbac::run(command, context),
    };
    exit.map(Exit::code)
}

fn report(failure: &Failure, output: Output) -> Exit {
    if failure.report(output).and_then(|()| std::io::stdout().flush()).is_err() {
        // Whoever should read it there is gone; somebody may look at stderr.
        commands::note(&format!("{} ({})", failure.message, failure.code));
        return failure.exit;
    }
    failure.exit
}

#[cfg(test)]
mod tests;
