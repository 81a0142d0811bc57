//! The panel on stderr: where things are.

use std::{
    ffi::OsString,
    io::{self, Write as _},
};

use clap::CommandFactory as _;

use crate::{
    args::{Cli, Governing},
    commands::own_runtime::Place,
    printable::printable,
};

pub(in crate::commands) struct Panel<'a> {
    pub(in crate::commands) url: &'a str,
    pub(in crate::commands) policy: &'a str,
    pub(in crate::commands) strict: bool,
    pub(in crate::commands) place: &'a Place,
    pub(in crate::commands) governing: &'a Governing,
    pub(in crate::commands) command: &'a [OsString],
}

impl Panel<'_> {
    pub(in crate::commands) fn show(&self) {
        let mut stderr = io::stderr().lock();
        for line in self.lines() {
            // Who closed stderr does not want to know.
            writeln!(stderr, "{}", printable(&line)).ok();
        }
    }

    fn lines(&self) -> Vec<String> {
        let command: Vec<_> = self.command.iter().map(|it| it.to_string_lossy()).collect();
        let policy = if self.strict {
            "none counts: AUTONOMY_STRICT_MODE denies every call"
        } else {
            self.policy
        };
        let reaches = if self.governing.allowed_domains == runtime::AllowList::default() {
            "nothing (--allowed-domains is empty)"
        } else {
            "what --allowed-domains lists"
        };
        let mut lines = vec![
            "System footprint".to_owned(),
            format!("  runtime   {} (in this process)", self.url),
            format!("  policy    {policy}"),
            format!("  http_get  reaches {reaches}"),
            format!("  wal       {} ({})", self.place.dir().display(), self.place.fate()),
            format!("  command   {}", command.join(" ")),
        ];
        lines.extend(misplaced(&command).into_iter().map(|flag| {
            format!("  note      {flag} went to the command; options of autonomy go before `--`")
        }));
        lines
    }
}

/// Options of `autonomy run` among the arguments of the command: most likely a mistake.
fn misplaced(command: &[impl AsRef<str>]) -> Vec<&str> {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").into_iter().flat_map(clap::Command::get_arguments);
    let own: Vec<_> = run.filter_map(clap::Arg::get_long).collect();
    let flag = |it: &&str| {
        let name = it.strip_prefix("--").map(|it| it.split('=').next().unwrap_or(it));
        name.is_some_and(|name| own.contains(&name))
    };
    let arguments = command.iter().map(AsRef::as_ref);
    // The command may use `--` itself; behind that there are no options of anybody.
    arguments.take_while(|it| *it != "--").filter(flag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_ours_behind_the_command_are_noticed_and_those_of_others_are_not() {
        let noticed = |text: &str| {
            let words: Vec<_> = text.split(' ').collect();
            misplaced(&words).join(" ")
        };
        assert_eq!(noticed("agent --keep --policy=x --verbose"), "--keep --policy=x");
        assert_eq!(noticed("--dir"), "--dir", "it may even be the first word");
        assert_eq!(noticed("agent --kept -k keep --help --version"), "");
        assert_eq!(noticed("sh -c x -- --keep"), "");
    }
}
