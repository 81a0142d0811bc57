//! `autonomy support-bundle`: one archive for whoever helps.
//!
//! * **S1** Each part may fail alone: the archive says which, and why.
//! * **S2** No secret leaves: values of secret variables, and what looks like one, are taken out of every part (`redact`).
//! * **S3** Nothing is sent, and nothing is written over.

mod machine;
mod parts;
mod redact;

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use api::exit::Exit;
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use serde::Serialize;
use tar::{Builder, Header};

use self::{parts::Part, redact::Redactor};
use crate::{
    args::{SupportBundle, SupportGenerate},
    commands::tell,
    context::Context,
    failure::Failure,
};

/// Mode of the archive: for nobody else.
const MODE: u32 = 0o600;

#[derive(Debug, Serialize)]
struct Manifest {
    program: &'static str,
    version: &'static str,
    at: String,
    parts: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    file: String,
    /// What was asked.
    source: String,
    bytes: usize,
    /// Why it is not whole; absent when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub(crate) fn run(command: &SupportBundle, context: Context<'_>) -> Result<Exit, Failure> {
    let SupportBundle::Generate(args) = command;
    generate(args, context)
}

fn generate(args: &SupportGenerate, context: Context<'_>) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let out = args.out.clone().unwrap_or_else(|| default_name(now));
    // Before anything is collected: a name that is taken costs no time.
    let file = create(&out)?;
    let redactor = Redactor::new(context);
    let parts: Vec<Part> =
        parts::collect(args, context).into_iter().map(|it| it.without_secrets(&redactor)).collect();
    let listed = |it: &Part| Listed {
        file: it.file.clone(),
        source: it.source.clone(),
        bytes: it.bytes.len(),
        problem: it.problem.clone(),
    };
    let manifest = Manifest {
        program: "autonomy",
        version: env!("CARGO_PKG_VERSION"),
        at: format!("{now:.3}"),
        parts: parts.iter().map(listed).collect(),
    };
    if let Err(error) = archive(file, &manifest, &parts, now) {
        // The error that led here is the one to report.
        std::fs::remove_file(&out).ok();
        return Err(Failure::file("write", &out, &error));
    }
    let failed = parts.iter().filter(|it| it.failed).count();
    let value = serde_json::json!({ "archive": out, "failed": failed, "parts": manifest.parts });
    tell(&value, args.output.output, |_, text| {
        for it in &manifest.parts {
            let problem =
                it.problem.as_deref().map_or_else(String::new, |why| format!("  ({why})"));
            writeln!(text, "{}{}", it.file, crate::printable::printable(&problem))?;
        }
        writeln!(text, "{}: look into it before you send it", out.display())
    })?;
    Ok(if failed == 0 { Exit::Done } else { Exit::Partial })
}

fn default_name(now: Timestamp) -> PathBuf {
    let time: String = format!("{now:.0}").chars().filter(char::is_ascii_alphanumeric).collect();
    PathBuf::from(format!("autonomy-support-{time}.tar.gz"))
}

fn create(out: &Path) -> Result<File, Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(MODE).open(out);
    made.map_err(|error| {
        let failure = Failure::file("create", out, &error);
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure { exit: Exit::Conflict, ..failure }
                .hint("choose another name: --out FILE; nothing is written over"),
            _ => failure,
        }
    })
}

fn archive(file: File, manifest: &Manifest, parts: &[Part], now: Timestamp) -> io::Result<()> {
    let mut tar = Builder::new(GzEncoder::new(file, Compression::default()));
    let manifest = serde_json::to_vec_pretty(manifest)?;
    put(&mut tar, "manifest.json", &manifest, now)?;
    for part in parts {
        put(&mut tar, &part.file, &part.bytes, now)?;
    }
    let file = tar.into_inner()?.finish()?;
    file.sync_all()
}

fn put(
    tar: &mut Builder<GzEncoder<File>>,
    name: &str,
    bytes: &[u8],
    now: Timestamp,
) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(MODE);
    header.set_mtime(u64::try_from(now.as_second()).unwrap_or_default());
    header.set_cksum();
    tar.append_data(&mut header, format!("autonomy-support/{name}"), bytes)
}
