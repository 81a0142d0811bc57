//! Measures appending, asking and verifying as a trail grows.
//!
//! `long_trail <records> <records per append>`

use std::{
    error::Error,
    io::{Write as _, stdout},
    sync::Arc,
    time::Instant,
};

use audit::{
    Category, Filter, NewRecord, Outcome, Settings, Source, Trail, newest, query, records, verify,
};
use jiff::Timestamp;
use vfs::{OsVfs, Vfs};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [count, batch] = args.as_slice() else {
        return Err("usage: long_trail <records> <records per append>".into());
    };
    let (count, batch): (u64, u64) = (count.parse()?, batch.parse()?);
    let dir = tempfile::tempdir_in(".")?;
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs);
    let mut trail = Trail::open(vfs.clone(), dir.path(), Settings::new(Source::Cli, "long_trail"))?;
    let mut out = stdout();

    let begun = Instant::now();
    for first in (0..count).step_by(usize::try_from(batch)?) {
        let event = |id| {
            let now = Timestamp::from_second(1_767_323_045 + i64::try_from(id).unwrap_or(0))?;
            let kind = (Category::Rollout, "create");
            let it = NewRecord::new("trail.tried", kind, Outcome::Success, Source::Cli, now);
            Ok::<_, jiff::Error>(it.by("ann").on("plan", "arm-7").with("id", id))
        };
        let all = (first..first + batch).map(event).collect::<Result<Vec<_>, _>>()?;
        let now = all.last().map_or(Timestamp::UNIX_EPOCH, |it| it.timestamp);
        trail.append(&all, now)?;
    }
    let each = begun.elapsed() / u32::try_from(count / batch)?;
    writeln!(out, "{count} records, {batch} an append: {each:?} an append")?;

    let begun = Instant::now();
    Trail::open(vfs.clone(), dir.path(), Settings::new(Source::Cli, "long_trail"))?;
    writeln!(out, "open: {:?}", begun.elapsed())?;
    let begun = Instant::now();
    let found = query(&vfs, dir.path(), &Filter::default(), 100)?;
    writeln!(out, "newest {}: {:?}", found.len(), begun.elapsed())?;
    let begun = Instant::now();
    let seen = newest(&vfs, dir.path(), &Filter::default())?.take_while(Result::is_ok).count();
    writeln!(out, "all {seen} backwards: {:?}", begun.elapsed())?;
    let begun = Instant::now();
    let seen = records(&vfs, dir.path(), &Filter::default())?.take_while(Result::is_ok).count();
    writeln!(out, "all {seen} forwards: {:?}", begun.elapsed())?;
    let middle = Timestamp::from_second(1_767_323_045 + i64::try_from(count / 2)?)?;
    let filter = Filter { start_time: Some(middle), end_time: Some(middle), ..Filter::default() };
    let begun = Instant::now();
    let found = query(&vfs, dir.path(), &filter, 0)?;
    writeln!(out, "{} of one second in the middle: {:?}", found.len(), begun.elapsed())?;
    let begun = Instant::now();
    let verdict = verify(&vfs, dir.path())?;
    writeln!(out, "verify: {:?}\n{verdict:?}", begun.elapsed())?;
    Ok(())
}
