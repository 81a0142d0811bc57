//! Databases with a table `schema_version(version PRIMARY KEY, migrated_at, name)`, and the files that migrate them.
//!
//! | column        | content                                   |
//! |---------------|-------------------------------------------|
//! | `version`     | a whole number from 1                     |
//! | `migrated_at` | when it was reached, RFC 3339 (UTC)       |
//! | `name`        | of the migration                          |
//!
//! A migration is a file `NNNN_name.sql`. Numbers may be left out.
//!
//! * **V1** A migration and its row are one transaction: both are there or neither.
//! * **V2** A migration says nothing that ends its transaction or reaches beyond the file. That is refused while
//!   the statement is compiled, before it has an effect.
//! * **V3** A migration below the version that was never applied is a gap. Nothing is applied on top of one.
//! * **V4** A migration is run to its last byte or not at all, and it is the file itself: what `SQLite` would leave out
//!   without a word is refused, as is a symbolic link, before anything of the directory is applied.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use jiff::Timestamp;
use rusqlite::{
    Connection, Error, TransactionBehavior,
    hooks::{AuthAction, AuthContext, Authorization},
};
use vfs::{OsVfs, Vfs as _};

use super::DatabaseError;

mod text;

/// Longest file of a migration, in bytes.
const MIGRATION_LEN_MAX: u64 = 16 << 20;
/// Most migrations in a directory.
const MIGRATIONS_MAX: usize = 10_000;
/// Largest version; what is larger is a time or a mistake.
const VERSION_MAX: u32 = 999_999_999;
/// Most gaps that are listed.
const GAPS_MAX: usize = 100;
/// Settings that a migration may use: none of them ends a transaction or outlives it unseen.
const PRAGMAS: [&str; 6] = [
    "defer_foreign_keys",
    "foreign_key_check",
    "index_info",
    "index_list",
    "table_info",
    "user_version",
];

/// What the table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    /// The largest version; 0 without any.
    pub(super) version: u32,
    /// Numbers below it without a row, [`GAPS_MAX`] at most.
    pub(super) gaps: Vec<u32>,
    versions: BTreeSet<u32>,
}

/// Reads the table; `None` when there is none with these columns.
pub(super) fn read(conn: &Connection) -> Result<Option<Applied>, Error> {
    let sql = "SELECT count(*) FROM pragma_table_info('schema_version')
               WHERE name IN ('version', 'migrated_at', 'name')";
    if conn.query_row(sql, [], |row| row.get::<_, i64>(0))? != 3 {
        return Ok(None);
    }
    let mut statement = conn.prepare("SELECT version FROM schema_version ORDER BY version")?;
    let versions: BTreeSet<u32> =
        statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let version = versions.last().copied().unwrap_or_default();
    // Bounded: what was found is skipped, and at most so many are kept.
    let gaps = (1..version).filter(|it| !versions.contains(it)).take(GAPS_MAX).collect();
    Ok(Some(Applied { version, gaps, versions }))
}

/// One file of a directory of migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The version that it reaches.
    pub version: u32,
    /// Its name, without number and extension.
    pub name: String,
    /// What it says.
    pub sql: String,
}

/// Reads a directory of migrations, in their order. Files that are not called `*.sql` are left alone.
///
/// # Errors
///
/// [`DatabaseError::Migrations`] for a name or content that is none of a migration, and for a number that stands twice.
pub fn migrations(dir: &Path) -> Result<Vec<Migration>, DatabaseError> {
    let bad =
        |path: &Path, reason: String| DatabaseError::Migrations { path: path.to_owned(), reason };
    let names = OsVfs.list(dir).map_err(|error| bad(dir, format!("cannot be read: {error}")))?;
    let names: Vec<_> = names.iter().filter(|it| is_migration(it)).collect();
    if names.len() > MIGRATIONS_MAX {
        return Err(bad(dir, format!("{} migrations, at most {MIGRATIONS_MAX}", names.len())));
    }
    let mut found: Vec<Migration> = Vec::new();
    for file in names {
        let path = dir.join(file);
        let (version, name) = parse_name(file).ok_or_else(|| {
            bad(&path, format!("is not called NNNN_name.sql with a number from 1 to {VERSION_MAX}"))
        })?;
        let bytes = vfs::read_whole_own(&OsVfs, &path, MIGRATION_LEN_MAX)
            .map_err(|error| bad(&path, format!("cannot be read: {error}")))?
            .unwrap_or_default();
        let sql = String::from_utf8(bytes).map_err(|error| bad(&path, error.to_string()))?;
        if let Some(why) = text::left_out(&sql) {
            return Err(bad(&path, why));
        }
        found.push(Migration { version, name: name.to_owned(), sql });
    }
    found.sort_by_key(|it| it.version);
    let twice = found.windows(2).find_map(|it| match it {
        [a, b] if a.version == b.version => Some(a.version),
        _ => None,
    });
    match twice {
        Some(version) => Err(bad(dir, format!("version {version} stands twice"))),
        None => Ok(found),
    }
}

fn is_migration(file: &str) -> bool {
    file.strip_suffix(".sql").is_some()
}

fn parse_name(file: &str) -> Option<(u32, &str)> {
    let (number, name) = file.strip_suffix(".sql")?.split_once('_')?;
    let digits = !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit());
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"_-.".contains(&it);
    let version = number.parse().ok().filter(|it| (1..=VERSION_MAX).contains(it))?;
    (digits && !name.is_empty() && name.bytes().all(plain)).then_some((version, name))
}

/// Applies every migration above the version of the file, each in its own transaction (V1), and stops at the first
/// that fails. Returns those that were applied.
pub(super) fn apply(
    conn: &mut Connection,
    path: &Path,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<Vec<(u32, String)>, DatabaseError> {
    let failed = |error| DatabaseError::sqlite(path, error);
    let before = read(conn).map_err(failed)?;
    if let Some(before) = &before {
        // V3
        let skipped =
            |it: &&Migration| it.version < before.version && !before.versions.contains(&it.version);
        if let Some(missing) = migrations.iter().find(skipped).map(|it| it.version) {
            return Err(DatabaseError::Gap {
                path: path.to_owned(),
                version: before.version,
                missing,
            });
        }
    }
    let mut reached = before.map_or(0, |it| it.version);
    let guard = Guard::install(conn).map_err(failed)?;
    let mut applied = Vec::new();
    for migration in migrations.iter().filter(|it| it.version > reached).collect::<Vec<_>>() {
        match apply_one(conn, &guard, migration, now) {
            Ok(false) => {}
            Ok(true) => applied.push((migration.version, migration.name.clone())),
            Err(why) => return Err(why.of(path, migration, reached)),
        }
        reached = migration.version;
    }
    Ok(applied)
}

/// Why a migration was taken back.
#[derive(Debug)]
enum NotApplied {
    Failed(Error),
    Refused(String),
}

impl From<Error> for NotApplied {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl NotApplied {
    fn of(self, path: &Path, migration: &Migration, reached: u32) -> DatabaseError {
        let (path, version, name) = (path.to_owned(), migration.version, migration.name.clone());
        match self {
            Self::Refused(statement) => {
                DatabaseError::Refused { path, version, name, statement, reached }
            }
            Self::Failed(error) => match DatabaseError::sqlite(&path, error) {
                DatabaseError::Sqlite { source, .. } => DatabaseError::Migration {
                    path,
                    version,
                    name,
                    reason: source.to_string(),
                    reached,
                },
                // Busy, full, damaged: not the fault of the migration.
                other => other,
            },
        }
    }
}

/// Whether it was applied; not, when somebody else did meanwhile.
fn apply_one(
    conn: &mut Connection,
    guard: &Guard,
    migration: &Migration,
    now: Timestamp,
) -> Result<bool, NotApplied> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version
         (version INTEGER PRIMARY KEY, migrated_at TEXT NOT NULL, name TEXT NOT NULL)",
    )?;
    // Somebody else may have come first.
    if read(&transaction)?.is_some_and(|it| it.versions.contains(&migration.version)) {
        return Ok(false);
    }
    guard.run(&transaction, &migration.sql)?;
    transaction.execute(
        "INSERT INTO schema_version (version, migrated_at, name) VALUES (?1, ?2, ?3)",
        (migration.version, format!("{now:.3}"), &migration.name),
    )?;
    transaction.commit()?;
    Ok(true)
}

/// Stands between a migration and `SQLite` (V2).
#[derive(Debug, Default)]
struct Guard {
    /// Whether what is compiled now is a migration's.
    armed: AtomicBool,
    refused: Mutex<Option<String>>,
}

impl Guard {
    fn install(conn: &mut Connection) -> Result<Arc<Self>, Error> {
        let guard = Arc::new(Self::default());
        let asked = Arc::clone(&guard);
        conn.authorizer(Some(move |context: AuthContext<'_>| asked.judge(context.action)))?;
        Ok(guard)
    }

    fn judge(&self, action: AuthAction<'_>) -> Authorization {
        match forbidden(action).filter(|_| self.armed.load(Ordering::SeqCst)) {
            None => Authorization::Allow,
            Some(statement) => {
                self.refused
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(statement);
                Authorization::Deny
            }
        }
    }

    fn run(&self, transaction: &Connection, sql: &str) -> Result<(), NotApplied> {
        self.armed.store(true, Ordering::SeqCst);
        let done = transaction.execute_batch(sql);
        self.armed.store(false, Ordering::SeqCst);
        match self.refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(statement) => Err(NotApplied::Refused(statement)),
            None if done.is_ok() && transaction.is_autocommit() => {
                Err(NotApplied::Refused("what ends its transaction".to_owned()))
            }
            None => Ok(done?),
        }
    }
}

/// What a migration may not say, as it would be written.
fn forbidden(action: AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Transaction { .. } => Some("BEGIN, COMMIT or ROLLBACK".to_owned()),
        AuthAction::Attach { .. } => Some("ATTACH".to_owned()),
        AuthAction::Detach { .. } => Some("DETACH".to_owned()),
        AuthAction::Pragma { pragma_name, .. } => {
            let known = PRAGMAS.iter().any(|it| pragma_name.eq_ignore_ascii_case(it));
            (!known).then(|| format!("PRAGMA {pragma_name}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn migration(version: u32, sql: &str) -> Migration {
        Migration { version, name: format!("m{version}"), sql: sql.to_owned() }
    }

    fn applied(conn: &mut Connection, all: &[Migration]) -> Result<Vec<u32>, DatabaseError> {
        apply(conn, Path::new("x.db"), all, NOW).map(|it| it.into_iter().map(|it| it.0).collect())
    }

    #[test]
    fn a_migration_that_fails_is_taken_back_and_later_ones_are_not_tried() {
        let mut conn = Connection::open_in_memory().unwrap();
        let all = [
            migration(1, "CREATE TABLE a (x);"),
            migration(2, "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);"),
            migration(3, "CREATE TABLE c (x);"),
        ];
        let error = applied(&mut conn, &all).unwrap_err();
        assert_eq!(error.code(), "DB_MIGRATION_FAILED");
        assert!(error.to_string().contains("no such table: nowhere"), "{error}");
        assert!(error.to_string().contains("stays at version 1"), "{error}");
        assert_eq!(read(&conn).unwrap().unwrap().version, 1);
        let there = |name| conn.table_exists(None, name).unwrap();
        assert_eq!((there("a"), there("b"), there("c")), (true, false, false));
        // Mended, it goes on where it stopped.
        let mended = [all[0].clone(), migration(2, "CREATE TABLE b (x)"), all[2].clone()];
        assert_eq!(applied(&mut conn, &mended).unwrap(), [2, 3]);
        assert_eq!(applied(&mut conn, &mended).unwrap(), [0_u32; 0]);
        let row = conn.query_row(
            "SELECT migrated_at || name FROM schema_version WHERE version = 2",
            [],
            |row| row.get::<_, String>(0),
        );
        assert_eq!(row.unwrap(), "1970-01-01T00:00:00.000Zm2");
    }

    #[test]
    fn nothing_that_ends_its_transaction_or_leaves_the_file_is_run() {
        for (sql, what) in [
            ("COMMIT", "BEGIN, COMMIT or ROLLBACK"),
            ("END", "BEGIN, COMMIT or ROLLBACK"),
            ("ROLLBACK", "BEGIN, COMMIT or ROLLBACK"),
            ("BEGIN", "BEGIN, COMMIT or ROLLBACK"),
            ("/* c */ cOmMiT; BEGIN", "BEGIN, COMMIT or ROLLBACK"),
            ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode"),
            ("PRAGMA Foreign_Keys = OFF", "PRAGMA foreign_keys"),
            ("PRAGMA application_id = 7", "PRAGMA application_id"),
            ("PRAGMA writable_schema = 1", "PRAGMA writable_schema"),
            ("ATTACH ':memory:' AS other", "ATTACH"),
        ] {
            let mut conn = Connection::open_in_memory().unwrap();
            let all = [migration(1, &format!("CREATE TABLE a (x); {sql}; CREATE TABLE b (x);"))];
            let error = applied(&mut conn, &all).unwrap_err();
            assert_eq!(error.code(), "DB_MIGRATION_REFUSED", "{sql}: {error}");
            assert!(
                error.to_string().to_lowercase().contains(&what.to_lowercase()),
                "{sql}: {error}"
            );
            assert!(!conn.table_exists(None, "a").unwrap(), "{sql}");
            assert!(conn.is_autocommit(), "{sql}");
        }
    }

    #[test]
    fn a_conflict_that_rolls_back_by_itself_is_a_migration_that_failed() {
        let mut conn = Connection::open_in_memory().unwrap();
        let sql = "CREATE TABLE a (x UNIQUE); INSERT INTO a VALUES (1); INSERT OR ROLLBACK INTO a VALUES (1);";
        let error = applied(&mut conn, &[migration(1, sql), migration(2, "")]).unwrap_err();
        assert_eq!(error.code(), "DB_MIGRATION_FAILED");
        assert!(!conn.table_exists(None, "a").unwrap());
        assert!(!conn.table_exists(None, "schema_version").unwrap());
    }

    #[test]
    fn savepoints_and_plain_settings_are_allowed() {
        let mut conn = Connection::open_in_memory().unwrap();
        let sql = "PRAGMA defer_foreign_keys = 1; PRAGMA user_version = 4; SAVEPOINT s; CREATE TABLE a (x); RELEASE s;";
        assert_eq!(applied(&mut conn, &[migration(1, sql)]).unwrap(), [1]);
    }

    #[test]
    fn nothing_is_applied_on_top_of_a_migration_that_was_skipped() {
        let mut conn = Connection::open_in_memory().unwrap();
        let all = [1, 2, 3, 4].map(|it| migration(it, ""));
        applied(&mut conn, &[all[0].clone(), all[2].clone()]).unwrap();
        assert_eq!(read(&conn).unwrap().unwrap().gaps, [2]);
        let error = applied(&mut conn, &all).unwrap_err();
        assert_eq!(error.code(), "DB_SCHEMA_GAP", "{error}");
        assert_eq!(read(&conn).unwrap().unwrap().version, 3);
        // A number that no file has is no migration that was skipped.
        assert_eq!(
            applied(&mut conn, &[all[0].clone(), all[2].clone(), all[3].clone()]).unwrap(),
            [4]
        );
    }

    #[test]
    fn names_of_migrations_are_a_number_and_a_word() {
        for (name, want) in [
            ("0001_first.sql", Some((1, "first"))),
            ("12_add-column_2.sql", Some((12, "add-column_2"))),
            ("0000_zero.sql", None),
            ("+1_x.sql", None),
            ("_x.sql", None),
            ("0001.sql", None),
            ("0001_.sql", None),
            ("0001_a b.sql", None),
            ("9999999999_x.sql", None),
        ] {
            assert_eq!(parse_name(name), want, "{name}");
        }
    }

    #[test]
    fn a_directory_is_read_in_order_and_refused_when_it_is_not_clear() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(dir.path().join(name), text).unwrap();
        write("0010_b.sql", b"SELECT 2");
        write("9_a.sql", b"SELECT 1");
        write("README.md", b"");
        let found: Vec<_> = migrations(dir.path()).unwrap().iter().map(|it| it.version).collect();
        assert_eq!(found, [9, 10]);
        for (name, text) in [
            ("009_c.sql", &b""[..]),
            ("first.sql", b""),
            ("0011_c.sql", b"\xff"),
            ("0011_c.sql", b"CREATE TABLE a (x);\0CREATE TABLE b (x);"),
            ("0011_c.sql", b"CREATE TABLE a (x); /* CREATE TABLE b (x);"),
        ] {
            write(name, text);
            assert_eq!(
                migrations(dir.path()).unwrap_err().code(),
                "DB_MIGRATIONS_INVALID",
                "{name}"
            );
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        assert_eq!(
            migrations(&dir.path().join("none")).unwrap_err().code(),
            "DB_MIGRATIONS_INVALID"
        );
    }

    /// V4
    #[test]
    fn a_migration_behind_a_symbolic_link_is_refused_and_nothing_of_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "password").unwrap();
        std::os::unix::fs::symlink("secret", dir.path().join("1_a.sql")).unwrap();
        let error = migrations(dir.path()).unwrap_err();
        assert_eq!(error.code(), "DB_MIGRATIONS_INVALID");
        let text = error.to_string();
        assert!(text.ends_with("a symbolic link, not the file itself"), "{text}");
    }

    #[test]
    fn half_a_statement_at_the_end_is_a_migration_that_failed() {
        for end in ["CREATE TAB", "CREATE TABLE b (x", "SELECT 'a"] {
            let mut conn = Connection::open_in_memory().unwrap();
            let all = [migration(1, &format!("CREATE TABLE a (x); {end}"))];
            let error = applied(&mut conn, &all).unwrap_err();
            assert_eq!(error.code(), "DB_MIGRATION_FAILED", "{end}: {error}");
            assert!(!conn.table_exists(None, "a").unwrap(), "{end}");
        }
    }
}
