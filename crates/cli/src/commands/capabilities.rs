//! `autonomy capabilities`: what this program can do, for programs that call it.

mod effect;

use api::{env, exit::Exit};
use clap::{Arg, ArgAction, Command};
use serde::Serialize;

use self::effect::{Effect, effect_of};
use crate::{
    args::{Capabilities, command},
    commands::{explain::explained_codes, tell, write_pairs},
    failure::Failure,
};

/// Version of the form of the answer.
const FORM: u32 = 1;
/// Names of the options that choose how results are printed.
const FORMATS: [&str; 2] = ["output", "format"];

#[derive(Debug, Serialize)]
struct Told {
    form: u32,
    program: &'static str,
    version: &'static str,
    commands: Vec<Leaf>,
    exit_codes: Vec<Code>,
    /// Stable codes of errors and events; `autonomy explain CODE` has a page about each.
    codes: Vec<&'static str>,
    environment: Vec<Variable>,
}

#[derive(Debug, Serialize)]
struct Leaf {
    command: String,
    about: String,
    effect: Effect,
    /// Whether it changes something, or lets others do so.
    mutates: bool,
    /// The option that makes it print JSON; absent where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<String>,
    arguments: Vec<Argument>,
}

#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own in JSON")]
struct Argument {
    /// The long option, or the name of a positional argument.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<char>,
    positional: bool,
    takes_value: bool,
    required: bool,
    repeats: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    help: String,
}

#[derive(Debug, Serialize)]
struct Code {
    code: u8,
    meaning: &'static str,
}

#[derive(Debug, Serialize)]
struct Variable {
    name: &'static str,
    help: &'static str,
}

pub(crate) fn run(args: &Capabilities) -> Result<Exit, Failure> {
    let told = Told {
        form: FORM,
        program: "autonomy",
        version: env!("CARGO_PKG_VERSION"),
        commands: leaves().iter().map(|(name, command)| leaf(name, command)).collect(),
        exit_codes: Exit::ALL
            .iter()
            .map(|it| Code { code: it.code(), meaning: it.meaning() })
            .collect(),
        codes: explained_codes().collect(),
        environment: env::ALL.iter().map(|it| Variable { name: it.name, help: it.doc }).collect(),
    };
    tell(&told, args.output.output, |told, out| {
        let line = |it: &Leaf| {
            let effect = match it.effect {
                Effect::Reads => "reads ",
                Effect::Writes => "writes",
                Effect::Runs => "runs  ",
            };
            format!("{effect}  {}", it.about)
        };
        let pairs: Vec<_> = told.commands.iter().map(|it| (&*it.command, line(it))).collect();
        write_pairs(out, &pairs)
    })?;
    Ok(Exit::Done)
}

/// Every command that can be run, with its words, in the order of the help.
pub(crate) fn leaves() -> Vec<(String, Command)> {
    let (mut found, mut root) = (Vec::new(), command());
    root.build();
    collect(&root, "", &mut found);
    found
}

fn collect(command: &Command, words: &str, found: &mut Vec<(String, Command)>) {
    for it in command.get_subcommands().filter(|it| it.get_name() != "help") {
        let words = format!("{words} {}", it.get_name()).trim().to_owned();
        if it.has_subcommands() {
            collect(it, &words, found);
        } else {
            found.push((words, it.clone()));
        }
    }
}

fn leaf(name: &str, command: &Command) -> Leaf {
    let shown =
        |it: &&Arg| !it.is_hide_set() && !["help", "version"].contains(&it.get_id().as_str());
    let arguments: Vec<Argument> = command.get_arguments().filter(shown).map(argument).collect();
    let json = FORMATS.into_iter().find(|it| arguments.iter().any(|arg| arg.name == **it));
    let effect = effect_of(name);
    Leaf {
        command: name.to_owned(),
        about: command.get_about().map(ToString::to_string).unwrap_or_default(),
        effect,
        mutates: effect != Effect::Reads,
        json: json.map(|it| format!("--{it} json")),
        arguments,
    }
}

fn argument(arg: &Arg) -> Argument {
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let default: Vec<_> = arg.get_default_values().iter().map(|it| it.to_string_lossy()).collect();
    Argument {
        name: arg.get_long().unwrap_or(arg.get_id().as_str()).to_owned(),
        short: arg.get_short(),
        positional: arg.is_positional(),
        takes_value,
        required: arg.is_required_set(),
        repeats: matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
            || arg.get_num_args().is_some_and(|it| it.max_values() > 1),
        values: arg.get_possible_values().iter().map(|it| it.get_name().to_owned()).collect(),
        default: (takes_value && !default.is_empty()).then(|| default.join(" ")),
        help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
    }
}
