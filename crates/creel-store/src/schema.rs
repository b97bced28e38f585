//! Opening a store and bringing it up to this creel's schema. Migrations only go forward, each in one transaction,
//! and a store that holds anything is copied before the first of them runs.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};
use tokio::sync::Mutex;

use crate::{OpenError, Store};

/// Where sqlx notes the migrations that were applied. A name of our own, so that another program's database is
/// not taken for a store.
const APPLIED: &str = "creel_schema";

/// How long to wait for another program's transaction before calling the store locked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Readers at once; a reader is done within milliseconds.
const READERS: u32 = 2;

/// All migrations, oldest first. One that was ever released is never edited: its checksum is in every store.
pub(crate) fn migrations() -> Vec<Migration> {
    vec![migration(1, "world", include_str!("../migrations/sqlite/0001_world.sql"))]
}

fn migration(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
}

pub(crate) async fn open(path: &Path, migrations: &[Migration]) -> Result<Store, OpenError> {
    make_folder(path)?;
    let failed = |error| OpenError::of(path.to_owned(), error);
    let mut writer = SqliteConnection::connect_with(&options(path)).await.map_err(failed)?;
    bring_up_to_date(&mut writer, path, migrations).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .connect_with(options(path).read_only(true).create_if_missing(false))
        .await
        .map_err(failed)?;
    Ok(Store { path: path.to_owned(), writer: Mutex::new(writer), readers })
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|source| OpenError::Folder { path: folder.to_owned(), source })
}

pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(PATIENCE)
}

async fn bring_up_to_date(
    writer: &mut SqliteConnection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
    match found(writer, path).await? {
        Some(found) if found > known => {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        }
        Some(found) if found == known => return Ok(()),
        Some(found) => keep_copy(writer, path, found + 1).await?,
        None => {}
    }
    let mut migrator = Migrator::with_migrations(migrations.to_vec());
    migrator.dangerous_set_table_name(APPLIED);
    let migrated = migrator.run_direct(None, writer, false).await;
    migrated.map_err(|source| OpenError::Migrate { path: path.to_owned(), source })
}

/// The newest migration that the store has; None for a database with nothing in it.
async fn found(writer: &mut SqliteConnection, path: &Path) -> Result<Option<i64>, OpenError> {
    let failed = |error| OpenError::of(path.to_owned(), error);
    let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table'")
        .fetch_all(&mut *writer)
        .await
        .map_err(failed)?;
    if tables.is_empty() {
        return Ok(None);
    }
    if !tables.iter().any(|table| table == APPLIED) {
        return Err(OpenError::NotAStore { path: path.to_owned(), source: None });
    }
    let newest = AssertSqlSafe(format!("SELECT COALESCE(MAX(version), 0) FROM {APPLIED}"));
    sqlx::query_scalar(newest).fetch_one(writer).await.map(Some).map_err(failed)
}

/// Keeps the store as it is, as `NAME.before-VERSION`. It gets its name only when all of it is on disk.
async fn keep_copy(writer: &mut SqliteConnection, path: &Path, version: i64) -> Result<(), OpenError> {
    let copy = beside(path, &format!(".before-{version}"));
    let part = beside(path, &format!(".before-{version}.part"));
    let failed = |source| OpenError::Copy { path: copy.clone(), source };
    remove_if_there(&part).map_err(failed)?;
    sqlx::query("VACUUM INTO $1")
        .bind(part.to_string_lossy().into_owned())
        .execute(writer)
        .await
        .map_err(|error| failed(io::Error::other(error)))?;
    make_permanent(&part, &copy).map_err(failed)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make_permanent(part: &Path, copy: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    std::fs::rename(part, copy)?;
    File::open(copy.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use creel_core::world::{Change, Decision, ReleaseRecord};
    use jiff::Timestamp;

    use super::*;

    fn with_one_more() -> Vec<Migration> {
        let more = migration(2, "more", "ALTER TABLE report ADD COLUMN more TEXT");
        migrations().into_iter().chain([more]).collect()
    }

    async fn commit_one(store: &Store) -> u64 {
        let record =
            ReleaseRecord { version: "2026.9.6".into(), wanted_at: Timestamp::UNIX_EPOCH, unwanted: false };
        let change = Change::Release("2026.9.6".into(), Some(record));
        let decision = Decision { change, why: "for a test".into() };
        store.commit(0, "admin", &[decision], Timestamp::UNIX_EPOCH).await.unwrap()
    }

    #[tokio::test]
    async fn a_migration_keeps_a_copy_of_the_store_and_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creel.db");
        let store = Store::open(&path).await.unwrap();
        commit_one(&store).await;
        drop(store);

        let migrated = open(&path, &with_one_more()).await.unwrap();
        assert_eq!(migrated.load().await.unwrap().revision, 1);
        let copy = Store::open(&folder.path().join("creel.db.before-2")).await.unwrap();
        assert_eq!(copy.load().await.unwrap(), migrated.load().await.unwrap());
    }

    #[tokio::test]
    async fn an_interrupted_copy_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creel.db");
        commit_one(&Store::open(&path).await.unwrap()).await;
        std::fs::write(folder.path().join("creel.db.before-2.part"), "half of it").unwrap();
        open(&path, &with_one_more()).await.unwrap();
        let copy = Store::open(&folder.path().join("creel.db.before-2")).await.unwrap();
        assert_eq!(copy.load().await.unwrap().revision, 1);
    }

    #[tokio::test]
    async fn a_store_of_version_zero_is_migrated_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creel.db");
        open(&path, &[]).await.unwrap();
        assert_eq!(Store::open(&path).await.unwrap().load().await.unwrap().revision, 0);
        assert!(folder.path().join("creel.db.before-1").exists());
    }

    #[tokio::test]
    async fn a_fresh_store_has_nothing_to_copy() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(&folder.path().join("creel.db")).await.unwrap());
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names.into_iter().any(|name| name.to_string_lossy().contains("before")));
    }

    #[tokio::test]
    async fn a_store_of_a_newer_creel_is_refused_and_both_schemas_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("creel.db");
        drop(open(&path, &with_one_more()).await.unwrap());
        let refused = Store::open(&path).await.unwrap_err();
        assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }), "{refused}");
        assert!(refused.to_string().contains("schema 2") && refused.to_string().contains("up to 1"));
    }
}
