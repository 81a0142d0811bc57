//! Appends records until it is stopped, and says the number of each that is durable. Tests start several of
//! it on one trail and kill them.
//!
//! `append <dir> <writer> <appends> <records per append> <segment length>`

use std::{
    error::Error,
    fmt::Write as _,
    io::{Write as _, stdout},
    path::Path,
    sync::Arc,
};

use audit::{Category, NewRecord, Outcome, Settings, Source, Trail};
use jiff::Timestamp;
use vfs::OsVfs;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, writer, appends, batch, segment_len] = args.as_slice() else {
        return Err("usage: append <dir> <writer> <appends> <records> <segment length>".into());
    };
    let (appends, batch): (u64, u64) = (appends.parse()?, batch.parse()?);
    let holder = format!("writer {writer}");
    let settings =
        Settings { segment_len_max: segment_len.parse()?, ..Settings::new(Source::Cli, &holder) };
    let mut trail = Trail::open(Arc::new(OsVfs), Path::new(dir), settings)?;
    for append in 0..appends {
        let now = Timestamp::now();
        let record = |index| {
            let kind = (Category::System, "append");
            NewRecord::new("test.appended", kind, Outcome::Success, Source::Cli, now)
                .by(writer)
                .with("id", append * batch + index)
        };
        let records: Vec<_> = (0..batch).map(record).collect();
        let receipts = trail.append(&records, now)?;
        // One write: a line that a kill cuts short is an answer that nobody got.
        let mut lines = String::new();
        for (id, receipt) in (append * batch..).zip(receipts) {
            writeln!(lines, "{id} {}", receipt.seq)?;
        }
        stdout().write_all(lines.as_bytes())?;
        stdout().flush()?;
    }
    Ok(())
}
