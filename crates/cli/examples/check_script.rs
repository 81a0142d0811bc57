//! Reads a script of commands before anybody runs it: which lines are no commands, and which would change something.
//!
//! `cargo run -p cli --example check_script [-- FILE]` checks a script of its own, or yours.
//!
//! The definition of the command line comes from [`cli::command`]; what a command does to the world says the command
//! `capabilities`, which the program asks itself for: started with `--as-autonomy` it is `autonomy`.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    ffi::OsString,
    fs,
    process::{Command, ExitCode},
};

use serde_json::Value;

/// First argument of the program when it stands in for `autonomy`.
const AS_AUTONOMY: &str = "--as-autonomy";
/// What somebody wrote into a runbook.
const SCRIPT: &str = "\
autonomy wal verify --dir ./wal
autonomy wal archive --dir ./wal --keep-age 90d
autonomy telemetry drian --endpoint http://127.0.0.1:4318
autonomy rollout gate approve arm-1.2.0 canary manual --reason seen
autonomy audit query --limit many
autonomy explain SEQ_GAP
";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    if let Some((_, rest)) = args.split_first().filter(|it| it.0 == AS_AUTONOMY) {
        // Without an environment: nothing of this machine is looked at.
        let line = [OsString::from("autonomy")].into_iter().chain(rest.iter().cloned());
        return Ok(ExitCode::from(cli::run(line, |_| None)));
    }
    let script = args.first().map_or_else(|| Ok(SCRIPT.to_owned()), fs::read_to_string)?;
    let mutates = mutating()?;
    println!(
        "{} commands, {} of them change something",
        mutates.len(),
        mutates.values().filter(|it| **it).count()
    );
    let (mut bad, mut changing) = (0, 0);
    for line in script.lines() {
        match words(line) {
            Ok(name) if *mutates.get(&name).ok_or("a command that nobody knows")? => {
                changing += 1;
                println!("changes  {line}");
            }
            Ok(_) => println!("reads    {line}"),
            Err(why) => {
                bad += 1;
                println!("WRONG    {line}\n         {why}");
            }
        }
    }
    println!("{bad} lines are wrong, {changing} change something; nothing was run");

    // Exit codes and stable codes are the interface of scripts.
    let unknown = autonomy(&["explain", "SEQ_GAB", "--output", "json"])?;
    let said: Value = serde_json::from_slice(&unknown.1)?;
    println!(
        "exit {} for a code that is none: {}",
        unknown.0,
        said.pointer("/error/hint").unwrap_or(&Value::Null)
    );
    println!("{} codes have a page", cli::explained_codes().count());
    Ok(ExitCode::SUCCESS)
}

/// The name of the command in a line that parses. Nothing is run.
fn words(line: &str) -> std::result::Result<String, String> {
    let parsed = cli::command().try_get_matches_from(line.split_whitespace());
    let parsed =
        parsed.map_err(|it| it.to_string().lines().next().unwrap_or_default().to_owned())?;
    let (mut at, mut names) = (&parsed, Vec::new());
    while let Some((name, below)) = at.subcommand() {
        names.push(name);
        at = below;
    }
    Ok(names.join(" "))
}

/// Every command, and whether it changes something.
fn mutating() -> Result<BTreeMap<String, bool>> {
    let (_, stdout) = autonomy(&["capabilities", "--output", "json"])?;
    let told: Value = serde_json::from_slice(&stdout)?;
    let commands = told.get("commands").and_then(Value::as_array).ok_or("no commands")?;
    let one =
        |it: &Value| Some((it.get("command")?.as_str()?.to_owned(), it.get("mutates")?.as_bool()?));
    commands.iter().map(|it| one(it).ok_or_else(|| "a command without a name".into())).collect()
}

/// Runs a command, and returns its exit code and what it printed.
fn autonomy(args: &[&str]) -> Result<(i32, Vec<u8>)> {
    let output = Command::new(env::current_exe()?).arg(AS_AUTONOMY).args(args).output()?;
    Ok((output.status.code().ok_or("it was killed")?, output.stdout))
}
