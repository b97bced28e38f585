//! The World in a database: load, compare-and-swap, history, and the newest report of each agent. A commit moves
//! the World's revision by one and is on disk when it is acknowledged; a report never touches the revision.
//!
//! The SQL is written so that PostgreSQL takes it too: `$n` parameters; TEXT, BIGINT (times in unix microseconds)
//! and JSON as TEXT for columns. All writes go through one connection that begins its transactions with
//! `BEGIN IMMEDIATE`, since a transaction that reads first and writes later fails at once when another wrote in
//! between; readers have read-only connections of their own.

mod commit;
mod error;
mod history;
mod load;
mod object;
mod report;
mod schema;

use std::path::{Path, PathBuf};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, MutexGuard};

pub use commit::CommitError;
pub use error::{Fault, OpenError};
pub use history::Filter;
pub use report::{ReportWriter, is_newer};

/// An open store.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    writer: Mutex<SqliteConnection>,
    readers: SqlitePool,
}

impl Store {
    /// Opens the store at `path`; makes it, and its folder, if it is not there; brings an older one up to this
    /// creel's schema after keeping a copy of it beside it (`creel.db.before-2`).
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        schema::open(path, &schema::migrations()).await
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The writer, with no transaction open. After some failures (a full disk is one) SQLite has ended the transaction
    /// by itself, and sqlx, not knowing it, would refuse every later one on that connection: a fresh one takes its
    /// place.
    pub(crate) async fn sound_writer(&self) -> Result<MutexGuard<'_, SqliteConnection>, Fault> {
        let mut writer = self.writer.lock().await;
        // A rollback that a dropped transaction has asked for is done before this is answered.
        writer.ping().await?;
        if writer.is_in_transaction() {
            *writer = SqliteConnection::connect_with(&schema::options(&self.path)).await?;
        }
        Ok(writer)
    }

    /// Closes every connection, so that the write-ahead log is folded into the file. A store that is only dropped
    /// loses nothing either.
    pub async fn close(self) -> Result<(), Fault> {
        self.readers.close().await;
        self.writer.into_inner().close().await.map_err(Fault::from)
    }
}
