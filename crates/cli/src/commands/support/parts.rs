//! What is collected: mostly what other commands say, each asked in a process of its own.

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use api::env;
use serde_json::{Value, json};

use super::redact::Redactor;
use crate::{args::SupportGenerate, commands::drained::drained, context::Context};

/// Most bytes of one part.
const PART_LEN_MAX: u64 = 8 << 20;
/// How often a command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Commands, and the files that their answers make.
const ASKED: [(&str, &str); 11] = [
    ("doctor.json", "doctor --output json"),
    ("status.json", "status --output json"),
    ("config.json", "config list --output json"),
    ("wal-status.json", "wal status --output json"),
    ("open-intents.json", "tool open-intents --output json"),
    ("deadletters.json", "telemetry deadletter list --output json"),
    ("policy-status.json", "policy status --output json"),
    ("steps.json", "wal steps status --output json"),
    ("db-status.json", "db status --output json"),
    ("audit-failures.json", "audit query --outcome failure --limit 100 --output json"),
    ("goal.json", "goal resilience-status --format json"),
];
/// Commands of these that take the directory of the log.
const OF_LOG: [&str; 4] =
    ["doctor.json", "wal-status.json", "open-intents.json", "deadletters.json"];
/// Files of the system that say what machine this is.
const SYSTEM: [(&str, &str); 4] = [
    ("os-release.txt", "/etc/os-release"),
    ("kernel.txt", "/proc/version"),
    ("memory.txt", "/proc/meminfo"),
    ("mounts.txt", "/proc/self/mounts"),
];

/// A part of the archive.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) file: String,
    pub(super) source: String,
    pub(super) bytes: Vec<u8>,
    /// Why it is no good answer.
    pub(super) problem: Option<String>,
    /// Whether nobody answered at all.
    pub(super) failed: bool,
}

impl Part {
    /// S2
    pub(super) fn without_secrets(self, redactor: &Redactor) -> Self {
        let text = String::from_utf8_lossy(&self.bytes);
        let documents: Result<Vec<Value>, _> =
            serde_json::Deserializer::from_str(&text).into_iter().collect();
        let clean = match documents {
            Ok(all) if Path::new(&self.file).extension().is_some_and(|it| it == "json") => {
                let lines = all.into_iter().map(|it| format!("{:#}\n", redactor.json(it)));
                lines.collect()
            }
            _ => redactor.text(&text),
        };
        let problem = self.problem.map(|it| redactor.text(&it));
        let source = redactor.text(&self.source);
        Self { bytes: clean.into_bytes(), problem, source, ..self }
    }
}

pub(super) fn collect(args: &SupportGenerate, context: Context<'_>) -> Vec<Part> {
    let limit = Duration::from_secs(args.timeout.into());
    let mut parts: Vec<Part> = ASKED
        .iter()
        .map(|(file, words)| {
            let mut words: Vec<&str> = words.split(' ').collect();
            let dir = args.wal_dir.as_deref().and_then(Path::to_str);
            if let Some(dir) = dir.filter(|_| OF_LOG.contains(file)) {
                words.extend(["--wal-dir", dir]);
            }
            asked(file, &words, limit)
        })
        .collect();
    parts.push(environment(context));
    parts.extend(super::machine::collect(args, context));
    parts.extend(SYSTEM.iter().map(|(file, path)| system(file, path)));
    parts
}

/// Which variables are set; the values of all but secrets, which the redactor knows.
fn environment(context: Context<'_>) -> Part {
    let set =
        env::ALL.iter().filter_map(|it| Some((it.name.to_owned(), context.environment(it.name)?)));
    let set: serde_json::Map<String, Value> =
        set.map(|(name, value)| (name, json!(value))).collect();
    Part {
        file: "environment.json".to_owned(),
        source: "environment".to_owned(),
        bytes: Value::Object(set).to_string().into_bytes(),
        problem: None,
        failed: false,
    }
}

fn system(file: &str, path: &str) -> Part {
    let read = std::fs::File::open(path).and_then(|it| {
        let mut bytes = Vec::new();
        it.take(PART_LEN_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    let (bytes, problem) = match read {
        Ok(bytes) => (bytes, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let failed = problem.is_some();
    Part { file: file.to_owned(), source: path.to_owned(), bytes, problem, failed }
}

/// Asks a command of this program. Whatever it says is the part; one that does not end is ended.
fn asked(file: &str, words: &[&str], limit: Duration) -> Part {
    let source = format!("autonomy {}", words.join(" "));
    let spawned = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    });
    let (bytes, problem) = match spawned {
        Ok(child) => answered(child, limit),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    // What a command says with another exit code is an answer, too.
    let failed = problem.is_some() && bytes.is_empty();
    Part { file: file.to_owned(), source, bytes, problem, failed }
}

fn answered(mut child: Child, limit: Duration) -> (Vec<u8>, Option<String>) {
    let (out, err) =
        (drained(child.stdout.take(), PART_LEN_MAX), drained(child.stderr.take(), PART_LEN_MAX));
    let until = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < until => thread::sleep(LOOK_EVERY),
            Ok(None) => break Err(format!("no answer in {} s", limit.as_secs())),
            Err(error) => break Err(error.to_string()),
        }
    };
    if status.is_err() {
        // One that is gone needs no end.
        child.kill().ok();
        child.wait().ok();
    }
    let bytes = out.recv_timeout(LOOK_EVERY * 50).unwrap_or_default();
    let said = err.recv_timeout(LOOK_EVERY * 50).unwrap_or_default();
    let problem = match status {
        Err(why) => Some(why),
        Ok(status) if status.success() => None,
        Ok(status) => {
            let said = String::from_utf8_lossy(&said);
            let line = said.lines().next().unwrap_or("its answer says why");
            Some(format!("{status}: {line}"))
        }
    };
    (bytes, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S2
    #[test]
    fn a_part_has_no_secret_in_its_bytes_its_source_or_its_problem() {
        let lookup =
            |name: &str| (name == env::DISPATCH_CMD).then(|| "agent --key SECRET".to_owned());
        let redactor = Redactor::new(Context::new(&lookup, false));
        for bytes in
            [r#"{"set": "agent --key SECRET", "n": 1}"#, r#"{"set": "agent --key SECRET", "n"#]
        {
            let part = Part {
                file: "config.json".to_owned(),
                source: "autonomy wal status --wal-dir /x/token=SECRET".to_owned(),
                bytes: bytes.as_bytes().to_vec(),
                problem: Some("cannot run agent --key SECRET".to_owned()),
                failed: false,
            };
            let clean = part.without_secrets(&redactor);
            assert!(!format!("{clean:?}").contains("SECRET"), "{clean:?}");
            let text = String::from_utf8(clean.bytes).unwrap();
            assert!(!text.contains("SECRET") && text.contains("agent [redacted]"), "{text}");
        }
    }
}
