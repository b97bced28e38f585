//! Whether a gateway that exited with 0 wants to be started anew: under a supervisor it leaves a row behind that says
//! so, and exits.
//!
//! The state belongs to an agent that may be steered by strangers, and to a program that may still be alive. So the
//! database is opened beneath the state's folder only, without following links, and read from a private copy.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

/// OpenClaw's database, beneath its state folder.
const DATABASE: &str = "state/openclaw.sqlite";
/// What SQLite keeps beside it.
const WAL: &str = "state/openclaw.sqlite-wal";

/// A database larger than this is not copied only to look at one row (it has 1.6 MB when new).
const SIZE_MOST: u64 = 1 << 30;

/// Why it can't be known whether a gateway wants to be started anew.
#[derive(Debug, thiserror::Error)]
pub enum HandoffError {
    /// The database could not be copied.
    #[error("could not copy {path} to look for a restart request")]
    Copy {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The copy could not be read.
    #[error("could not read the restart request in a copy of {path}")]
    Read {
        /// The file that was copied.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
}

/// Whether the gateway of this state asked, at `since_us` (microseconds since 1970) or later, to be started anew.
/// Give the time at which that gateway was started. False where there is no database, or one of a release that has
/// no such request.
pub async fn restart_requested(state_dir: &Path, since_us: i64) -> Result<bool, HandoffError> {
    let state = state_dir.to_owned();
    let copying = tokio::task::spawn_blocking(move || copy(&state));
    let copied =
        copying.await.map_err(|gone| failed(&state_dir.join(DATABASE), io::Error::other(gone)))??;
    let Some(folder) = copied else { return Ok(false) };
    let read = look(&folder.path().join("copy.sqlite"), since_us).await;
    read.map_err(|source| HandoffError::Read { path: state_dir.join(DATABASE), source })
}

/// A private folder with a copy of the database, if there is one. It goes when it is dropped.
fn copy(state_dir: &Path) -> Result<Option<tempfile::TempDir>, HandoffError> {
    let folder = tempfile::tempdir().map_err(|source| failed(&state_dir.join(DATABASE), source))?;
    for (name, to) in [(DATABASE, "copy.sqlite"), (WAL, "copy.sqlite-wal")] {
        let copied = copy_file(state_dir, name, &folder.path().join(to));
        let copied = copied.map_err(|source| failed(&state_dir.join(name), source))?;
        if !copied && name == DATABASE {
            return Ok(None);
        }
    }
    Ok(Some(folder))
}

fn failed(path: &Path, source: io::Error) -> HandoffError {
    HandoffError::Copy { path: path.to_owned(), source }
}

/// Copies a file beneath `root`; false if it is not there.
fn copy_file(root: &Path, name: &str, to: &Path) -> io::Result<bool> {
    let Some(from) = open_beneath(root, name)? else { return Ok(false) };
    let from = File::from(from);
    if !from.metadata()?.is_file() {
        return Err(io::Error::other("this is not a regular file"));
    }
    let copied = io::copy(&mut from.take(SIZE_MOST + 1), &mut File::create_new(to)?)?;
    if copied > SIZE_MOST { Err(io::Error::other("this is larger than 1 GiB")) } else { Ok(true) }
}

/// Opens for reading, without following links and without waiting for the other end of a pipe.
fn open_beneath(root: &Path, name: &str) -> io::Result<Option<OwnedFd>> {
    let missing = |error: rustix::io::Errno| {
        if error == rustix::io::Errno::NOENT { Ok(None) } else { Err(error.into()) }
    };
    let folder = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = match rustix::fs::openat(CWD, root, folder, Mode::empty()) {
        Ok(root) => root,
        Err(error) => return missing(error),
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let read = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat2(root, name, read, Mode::empty(), resolve).map(Some).or_else(missing)
}

async fn look(database: &Path, since_us: i64) -> Result<bool, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(database).disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let found = asked(&mut connection, since_us.div_euclid(1000)).await;
    connection.close().await?;
    found
}

async fn asked(connection: &mut SqliteConnection, since_ms: i64) -> Result<bool, sqlx::Error> {
    let table =
        "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'gateway_restart_handoff'";
    let tables: i64 = sqlx::query_scalar(table).fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(false);
    }
    let rows = "SELECT COUNT(*) FROM gateway_restart_handoff
                WHERE kind = 'gateway-supervisor-restart-handoff' AND created_at >= $1";
    let rows: i64 = sqlx::query_scalar(rows).bind(since_ms).fetch_one(connection).await?;
    Ok(rows > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::sqlite::SqliteJournalMode;

    const TABLE: &str = "CREATE TABLE gateway_restart_handoff (
        handoff_key TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, version INTEGER NOT NULL,
        intent_id TEXT NOT NULL, pid INTEGER NOT NULL, process_instance_id TEXT, created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL, reason TEXT, restart_trace_started_at INTEGER,
        restart_trace_last_at INTEGER, source TEXT NOT NULL, restart_kind TEXT NOT NULL,
        supervisor_mode TEXT NOT NULL, updated_at_ms INTEGER NOT NULL) STRICT";

    const ROW: &str =
        "INSERT INTO gateway_restart_handoff (handoff_key, kind, version, intent_id, pid, created_at,
        expires_at, reason, source, restart_kind, supervisor_mode, updated_at_ms) VALUES ('current',
        'gateway-supervisor-restart-handoff', 1, 'i', 2, 5000, 65000, 'SIGUSR2', 'signal', 'full-process',
        'external', 5001)";

    /// A state whose database was made by these statements and is still open, its rows in the WAL alone.
    async fn state(statements: &[&'static str]) -> (tempfile::TempDir, SqliteConnection) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("state")).expect("a folder");
        let options = SqliteConnectOptions::new().filename(folder.path().join(DATABASE));
        let options = options.create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
        for statement in statements {
            sqlx::query(*statement).execute(&mut connection).await.expect("the statement");
        }
        (folder, connection)
    }

    #[tokio::test]
    async fn a_request_since_the_gateway_started_counts_and_an_older_one_does_not() {
        let (folder, _open) = state(&[TABLE, ROW]).await;
        assert!(restart_requested(folder.path(), 4_999_999).await.expect("read"));
        assert!(restart_requested(folder.path(), 5_000_999).await.expect("read"));
        assert!(!restart_requested(folder.path(), 5_001_000).await.expect("read"));
    }

    #[tokio::test]
    async fn no_row_no_table_and_no_database_are_no_request() {
        let (without_row, _open) = state(&[TABLE]).await;
        let (without_table, _open) = state(&["CREATE TABLE other (x INTEGER)"]).await;
        let without_database = tempfile::tempdir().expect("a folder");
        for folder in [&without_row, &without_table, &without_database] {
            assert!(!restart_requested(folder.path(), 0).await.expect("read"));
        }
        assert!(!restart_requested(Path::new("/nonexistent"), 0).await.expect("read"));
    }

    #[tokio::test]
    async fn looking_leaves_the_agents_files_as_they_are() {
        let (folder, _open) = state(&[TABLE, ROW]).await;
        let files = |folder: &Path| {
            let list = std::fs::read_dir(folder.join("state")).expect("a folder").map(|f| f.expect("a file"));
            let mut list: Vec<_> =
                list.map(|f| (f.file_name(), std::fs::read(f.path()).expect("readable"))).collect();
            list.sort();
            list
        };
        let before = files(folder.path());
        assert!(restart_requested(folder.path(), 0).await.expect("read"));
        assert_eq!(before, files(folder.path()));
    }

    #[tokio::test]
    async fn a_link_or_a_pipe_in_the_databases_place_is_refused() {
        let (elsewhere, _open) = state(&[TABLE, ROW]).await;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("state")).expect("a folder");
        let place = folder.path().join(DATABASE);
        std::os::unix::fs::symlink(elsewhere.path().join(DATABASE), &place).expect("a link");
        assert!(restart_requested(folder.path(), 0).await.is_err());
        std::fs::remove_file(&place).expect("removed");
        rustix::fs::mknodat(CWD, &place, rustix::fs::FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        assert!(restart_requested(folder.path(), 0).await.is_err());
    }

    #[tokio::test]
    async fn a_broken_database_is_an_error_and_not_a_no() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("state")).expect("a folder");
        std::fs::write(folder.path().join(DATABASE), vec![b'x'; 8192]).expect("written");
        assert!(matches!(restart_requested(folder.path(), 0).await, Err(HandoffError::Read { .. })));
    }
}
