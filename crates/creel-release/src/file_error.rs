//! One failed operation on one path: what was being done, where, and why it failed.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An operation on a file or folder that failed.
#[derive(Debug, Error)]
#[error("could not {doing} {}", path.display())]
pub struct FileError {
    /// A verb and its complement: `unpack into`.
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl FileError {
    /// Whether it failed for want of room, on the disk or in the user's quota.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// For `map_err`: says what was being done, and where.
pub(crate) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { doing, path, source }
}
