//! `autonomy db`: databases are backed up, migrated, restored, looked at and kept small.
//!
//! Without a name the control plane's databases that are there are meant, one after the other. In JSON everything but
//! `restore` prints `{"databases":[…]}`; when one fails, those before it stand in the report.

mod failed;
mod shown;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use api::exit::Exit;
use jiff::Timestamp;
use rollout_store::database::{
    self, BackupOrder, Check, DatabaseError, MaintainOrder, Maintained, Migration, OURS, Pages,
    RestoreOrder, UpdateOrder,
};
use serde_json::{Value, json};

use crate::{
    args::{
        Db, DbBackup, DbCheck, DbCommon, DbMaintain, DbMigrate, DbPlace, DbRestore, DbStatus,
        Output,
    },
    commands::{print_json, print_pairs},
    context::Context,
    failure::Failure,
};
use failed::failure;

pub(crate) fn run(command: Db, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Db::Backup(args) => backup(&args, context),
        Db::Migrate(args) => migrate(&args, context),
        Db::Restore(args) => restore(&args, context),
        Db::Status(args) => status(&args, context),
        Db::Maintain(args) => maintain(&args, context),
    }
}

/// What is said about one database.
struct Shown {
    json: Value,
    lines: Vec<(&'static str, String)>,
    exit: Exit,
}

impl Shown {
    fn done(json: Value, lines: Vec<(&'static str, String)>) -> Self {
        Self { json, lines, exit: Exit::Done }
    }
}

fn backup(args: &DbBackup, context: Context<'_>) -> Result<Exit, Failure> {
    let paths = stores(&args.place, context)?;
    back_up(&paths, args.backup_path.as_deref(), args.force, &args.common)
}

fn back_up(
    paths: &[PathBuf],
    to: Option<&Path>,
    force: bool,
    common: &DbCommon,
) -> Result<Exit, Failure> {
    one_name(paths, to)?;
    each(paths, common, |path| {
        let done = copied(path, to, force, common)?;
        Ok(Shown::done(shown::backup_json(&done), shown::backup(&done)))
    })
}

fn copied(
    path: &Path,
    to: Option<&Path>,
    replace: bool,
    common: &DbCommon,
) -> Result<database::BackedUp, DatabaseError> {
    let default = database::default_backup(path, Timestamp::now());
    let destination = to.unwrap_or(&default);
    database::backup(&BackupOrder { source: path, destination, replace, wait: common.wait })
}

fn migrate(args: &DbMigrate, context: Context<'_>) -> Result<Exit, Failure> {
    let DbMigrate { backup_path, force, common, .. } = args;
    let to = backup_path.as_deref();
    // A database that is named may be made; the control plane makes its own.
    let paths = match &args.place.database {
        Some(path) => vec![path.clone()],
        None => stores(&args.place, context)?,
    };
    if args.backup_only {
        return back_up(&paths, to, *force, common);
    }
    one_name(&paths, to)?;
    let read = args.migrations.as_deref().map(database::migrations).transpose();
    let migrations = read.map_err(|it| failure(&it, common.strict_exit))?;
    each(&paths, common, |path| {
        let backup = to.map(|to| copied(path, Some(to), *force, common)).transpose()?;
        let done = updated(path, migrations.as_deref(), common.wait)?;
        let mut json = shown::migration_json(&done);
        let mut lines = Vec::new();
        if let (Some(made), Value::Object(fields)) = (&backup, &mut json) {
            fields.insert("backup".to_owned(), shown::backup_json(made));
            lines.push(("backup", made.destination.display().to_string()));
        }
        lines.extend(shown::migration(&done));
        Ok(Shown::done(json, lines))
    })
}

fn updated(
    path: &Path,
    migrations: Option<&[Migration]>,
    wait: Duration,
) -> Result<database::Updated, DatabaseError> {
    database::update(&UpdateOrder { database: path, migrations, now: Timestamp::now(), wait })
}

fn restore(args: &DbRestore, context: Context<'_>) -> Result<Exit, Failure> {
    let DbRestore { place, from, common } = args;
    let failed = |error: DatabaseError| failure(&error, common.strict_exit);
    let database = match &place.database {
        Some(path) => path.clone(),
        None => match database::layout_of(from).map_err(failed)? {
            Some(layout) => data_dir(place, context)?.join(layout.file),
            None => {
                return Err(ambiguous(&format!(
                    "{} is no backup of the control plane",
                    from.display()
                )));
            }
        },
    };
    let (now, wait) = (Timestamp::now(), common.wait);
    let done = database::restore(&RestoreOrder { database: &database, from, now, wait })
        .map_err(failed)?;
    match common.output {
        Output::Json => print_json(&shown::restored_json(&done))?,
        Output::Text => print_pairs(&shown::restored(&done))?,
    }
    Ok(Exit::Done)
}

fn status(args: &DbStatus, context: Context<'_>) -> Result<Exit, Failure> {
    let check = args.check.map(|it| match it {
        DbCheck::Quick => Check::Quick,
        DbCheck::Full => Check::Full,
    });
    each(&stores(&args.place, context)?, &args.common, |path| {
        let found = database::status(path, check, args.common.wait)?;
        let exit = match found.pages {
            Pages::Damaged(_) => Exit::Integrity,
            // Who asked for a check got none.
            Pages::Unfinished(_) if check.is_some() => Exit::Integrity,
            _ => Exit::Done,
        };
        Ok(Shown { json: shown::status_json(&found), lines: shown::status(&found), exit })
    })
}

fn maintain(args: &DbMaintain, context: Context<'_>) -> Result<Exit, Failure> {
    let every = args.every.map(Duration::from_secs);
    each(&stores(&args.place, context)?, &args.common, |path| {
        let (now, wait) = (Timestamp::now(), args.common.wait);
        let done = database::maintain(&MaintainOrder { database: path, every, now, wait })?;
        let busy = matches!(done, Maintained::Busy { .. });
        let exit = if busy && args.common.strict_exit { Exit::Busy } else { Exit::Done };
        let json = shown::maintained_json(path, &done);
        Ok(Shown { json, lines: shown::maintained(path, &done), exit })
    })
}

/// Does it to each database in turn. The first failure ends it; the first exit code that is not 0 counts.
fn each(
    paths: &[PathBuf],
    common: &DbCommon,
    mut act: impl FnMut(&Path) -> Result<Shown, DatabaseError>,
) -> Result<Exit, Failure> {
    let (mut told, mut exit) = (Vec::new(), Exit::Done);
    for path in paths {
        let shown = act(path).map_err(|error| {
            let mut failure = failure(&error, common.strict_exit);
            if common.output == Output::Json && !told.is_empty() {
                let report = failure.report.take().map_or_else(|| json!({}), |it| *it);
                failure.report = Some(Box::new(beside(report, &told)));
            }
            failure
        })?;
        if exit == Exit::Done {
            exit = shown.exit;
        }
        if common.output == Output::Text {
            if !told.is_empty() {
                writeln!(io::stdout().lock())?;
            }
            print_pairs(&shown.lines)?;
        }
        told.push(shown.json);
    }
    if common.output == Output::Json {
        print_json(&json!({ "databases": told }))?;
    }
    Ok(exit)
}

/// A report with the databases that were done before.
fn beside(mut report: Value, told: &[Value]) -> Value {
    if let Value::Object(fields) = &mut report {
        fields.insert("databases".to_owned(), Value::from(told.to_vec()));
    }
    report
}

/// The database that is named, or those of the control plane that are there.
fn stores(place: &DbPlace, context: Context<'_>) -> Result<Vec<PathBuf>, Failure> {
    if let Some(path) = &place.database {
        return Ok(vec![path.clone()]);
    }
    let dir = data_dir(place, context)?;
    let there =
        OURS.map(|it| dir.join(it.file)).into_iter().filter(|it| it.symlink_metadata().is_ok());
    let there: Vec<_> = there.collect();
    if there.is_empty() {
        let message = format!("{} holds no database of the control plane", dir.display());
        return Err(Failure::new(Exit::NotFound, "DB_NOT_FOUND", message)
            .hint("name the file, or pass --data-dir"));
    }
    Ok(there)
}

fn data_dir(place: &DbPlace, context: Context<'_>) -> Result<PathBuf, Failure> {
    place.data_dir.clone().map_or_else(|| context.data_dir(), Ok)
}

/// One name is enough for one backup only.
fn one_name(paths: &[PathBuf], to: Option<&Path>) -> Result<(), Failure> {
    match to {
        Some(_) if paths.len() > 1 => Err(ambiguous("one name is not enough for several backups")),
        _ => Ok(()),
    }
}

fn ambiguous(message: &str) -> Failure {
    Failure::new(Exit::Usage, "DB_AMBIGUOUS", message).hint("name the database file")
}
