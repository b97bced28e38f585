//! What can go wrong with the store, each with its cause and cure.

use std::io;
use std::path::PathBuf;

/// The database refused a read or a write.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No room.
    #[error("the disk that holds the store is full; make room, nothing that was acknowledged is lost")]
    Full(#[source] sqlx::Error),
    /// Written by someone else for longer than we wait.
    #[error("the store is locked by another program; end it, then try again")]
    Locked(#[source] sqlx::Error),
    /// The files may not be written.
    #[error(
        "the store can't be written; mount its disk read-write or give this user the right to write there"
    )]
    ReadOnly(#[source] sqlx::Error),
    /// A row that this creel can't read.
    #[error("the {kind} `{key}` in the store can't be read")]
    Unreadable {
        /// Which kind of object.
        kind: String,
        /// Its key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Anything else.
    #[error("the store's database failed")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match primary_code(&error) {
            Some(FULL) => Self::Full(error),
            Some(BUSY | LOCKED) => Self::Locked(error),
            Some(READONLY | PERMISSION) => Self::ReadOnly(error),
            _ => Self::Database(error),
        }
    }
}

/// The store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder can't be made.
    #[error(
        "could not make the folder {path} for the store; choose another data folder (`--data`) or mend its rights"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder or the file may not be written.
    #[error(
        "could not write the store {path}: the folder is read-only for this user; mount it read-write, mend its rights, or choose another data folder (`--data`)"
    )]
    ReadOnly {
        /// The store.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// No room.
    #[error("could not write the store {path}: the disk is full; make room and start again, nothing is lost")]
    Full {
        /// The store.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Not a database, or another program's.
    #[error("{path} is not a store of creel; move it away, or choose another data folder (`--data`)")]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// Why, if the database says so.
        source: Option<sqlx::Error>,
    },
    /// A newer creel wrote it.
    #[error("the store {path} has schema {found}, and this creel knows up to {known}: a newer creel wrote it; use that one, or put back the copy it kept ({path}.before-{next})", next = known + 1)]
    Newer {
        /// The store.
        path: PathBuf,
        /// The schema it has.
        found: i64,
        /// The newest schema this creel knows.
        known: i64,
    },
    /// Another program has it.
    #[error("the store {path} is locked by another program; end it (`creel down`), then start again")]
    Locked {
        /// The store.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The copy before a migration could not be kept, so nothing was migrated.
    #[error(
        "could not keep a copy of the store as {path} before bringing it up to date; nothing was changed"
    )]
    Copy {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The schema could not be brought up to date.
    #[error(
        "could not bring the store {path} up to this creel's schema; the copy beside it is as it was before"
    )]
    Migrate {
        /// The store.
        path: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
    /// Anything else.
    #[error("could not open the store {path}")]
    Database {
        /// The store.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
}

impl OpenError {
    pub(crate) fn of(path: PathBuf, source: sqlx::Error) -> Self {
        match primary_code(&source) {
            Some(FULL) => Self::Full { path, source },
            Some(BUSY | LOCKED) => Self::Locked { path, source },
            Some(READONLY | PERMISSION | CANNOT_OPEN) => Self::ReadOnly { path, source },
            Some(NOT_A_DATABASE) => Self::NotAStore { path, source: Some(source) },
            _ => Self::Database { path, source },
        }
    }
}

// SQLite's primary result codes; the upper bits of a code only refine it.
const PERMISSION: u32 = 3;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READONLY: u32 = 8;
const FULL: u32 = 13;
const CANNOT_OPEN: u32 = 14;
const NOT_A_DATABASE: u32 = 26;

fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}
