//! What a process logs, as whoever collects its stderr sees it: one JSON object a line, the same keys everywhere.
//!
//! `cargo run -p logging --example json_lines`
//!
//! The program starts itself as a child, which logs as a service does, and reads what it said.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{
    env,
    error::Error,
    process::{Command, Output},
};

use logging::Format;
use serde_json::Value;

/// The keys that runbooks and alerts rely on, in their order.
const KEYS: [&str; 4] = ["time", "level", "msg", "target"];

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(format) = env::args().nth(1) {
        return serve(format.parse()?, &env::args().nth(2).unwrap_or_default());
    }
    let service = child("json", "info")?;
    if !service.stdout.is_empty() {
        return Err("a log line on stdout".into());
    }
    let text = String::from_utf8(service.stderr)?;
    for line in text.lines() {
        let seen: Value = serde_json::from_str(line)?;
        let text = |key: &str| seen.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
        if let Some(missing) = KEYS.iter().find(|it| seen.get(**it).is_none()) {
            return Err(format!("{missing} is missing in {line}").into());
        }
        println!(
            "{:<5} {} cause={} dir={}",
            text("level"),
            text("msg"),
            text("cause"),
            text("dir")
        );
    }
    println!("{} lines of JSON, although a name had a line feed in it", text.lines().count());

    let quiet = child("json", "error")?;
    println!("with the filter `error`: {} line", String::from_utf8(quiet.stderr)?.lines().count());
    let people = child("text", "warn")?;
    println!("for people: {}", String::from_utf8(people.stderr)?.lines().next().unwrap_or("-"));
    let wrong = child("json", "a=b=c")?;
    println!("with a filter that is none: {}", String::from_utf8(wrong.stderr)?.trim_end());
    if wrong.status.success() {
        return Err("a filter that is none was taken".into());
    }
    // What a program does when nobody chose: text where somebody looks, without colours where they are not wanted.
    println!(
        "on a terminal: {:?}, in a pipe: {:?}",
        Format::detect(true, true),
        Format::detect(false, true)
    );
    Ok(())
}

fn child(format: &str, filter: &str) -> Result<Output, Box<dyn Error>> {
    Ok(Command::new(env::current_exe()?).args([format, filter]).output()?)
}

/// What a service says in its life.
fn serve(format: Format, filter: &str) -> Result<(), Box<dyn Error>> {
    logging::init(format, filter)?;
    tracing::debug!("nobody asked for this");
    tracing::info!(dir = "/var/lib/robot", "started");
    tracing::warn!(path = "a \"name\"\nof others", "odd file left alone");
    tracing::error!(cause = "SEQ_GAP", dir = "/var/lib/robot", "WAL_RECOVERY_FAIL_HARD");
    Ok(())
}
