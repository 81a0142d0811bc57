//! Two writers share a trail, somebody asks it, and somebody improves the past: in a line, by cutting off the end, and
//! by putting an older copy back.
//!
//! `cargo run -p audit --example forger`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{error::Error, fs, path::Path, sync::Arc};

use audit::{
    Category, Filter, NewRecord, Outcome, Settings, Source, Trail, Verdict, export::export_csv,
    query, records, verify,
};
use jiff::Timestamp;
use vfs::{OsVfs, Vfs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (trail, copy) = (dir.path().join("trail"), dir.path().join("copy"));
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs);

    // Two programs of one machine, in turn. Each continues the chain from what is on the disk.
    for (who, what) in [("ann", "create"), ("promoter", "promote"), ("ann", "approve")] {
        say(&vfs, &trail, who, what)?;
    }
    copy_files(&trail, &copy)?;
    say(&vfs, &trail, "bob", "delete")?;
    let Verdict::Whole(whole) = verify(&vfs, &trail)? else { return Err("it is damaged".into()) };
    println!("whole: {} records", whole.records);

    let by_ann = Filter { actor: Some("ann".to_owned()), ..Filter::default() };
    for it in query(&vfs, &trail, &by_ann, 100)? {
        println!("  {}: ann did {}", it.seq, it.event.action);
    }
    let mut csv = Vec::new();
    let rows = export_csv(records(&vfs, &trail, &Filter::default())?, &mut csv)?;
    println!("for a spreadsheet: {rows} rows, {} bytes", csv.len());

    // Bob would rather have been ann.
    let file = trail.join(audit::OPEN);
    let honest = fs::read_to_string(&file)?;
    fs::write(&file, honest.replace("\"bob\"", "\"ann\""))?;
    println!("a line is edited:    {}", found(&vfs, &trail)?);
    // Or not there at all.
    let kept: Vec<_> = honest.lines().take(3).collect();
    fs::write(&file, kept.join("\n") + "\n")?;
    println!("the end is cut off:  {}", found(&vfs, &trail)?);
    // A whole older trail is whole. Only who kept number and hash of the end elsewhere can tell.
    copy_files(&copy, &trail)?;
    match verify(&vfs, &trail)? {
        Verdict::Whole(old) if old.head != whole.head => {
            println!("an older copy:       whole, and not the one that was kept in mind");
        }
        other => return Err(format!("the anchor does not tell: {other:?}").into()),
    }
    Ok(())
}

/// Appends a record: durable, and chained, when this returns.
fn say(vfs: &Arc<dyn Vfs>, dir: &Path, who: &str, what: &str) -> Result<()> {
    let now = Timestamp::now();
    let mut trail = Trail::open(Arc::clone(vfs), dir, Settings::new(Source::Cli, who))?;
    let kind = (Category::Rollout, what);
    let it = NewRecord::new("rollout.plan.changed", kind, Outcome::Success, Source::Cli, now);
    trail.append(&[it.by(who).on("rollout_plan", "arm-7")], now)?;
    Ok(())
}

fn found(vfs: &Arc<dyn Vfs>, dir: &Path) -> Result<String> {
    match verify(vfs, dir)? {
        Verdict::Damaged(it) => Ok(format!("record {}, line {}, {:?}", it.seq, it.line, it.kind)),
        Verdict::Whole(whole) => Err(format!("nobody noticed: {whole:?}").into()),
    }
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
