//! Removing a release: it is gone in one step, its files after that.

use std::path::Path;

use thiserror::Error;

use crate::file_error::FileError;
use crate::record;
use crate::share;
use crate::staging::{self, Staging};

/// Why a release was not removed.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// There is none of this version.
    #[error("release {0} is not installed")]
    NotInstalled(String),
    /// Another process installs or removes it.
    #[error("release {0} is being installed or removed just now: try again when that is done")]
    Busy(String),
    /// Its files cannot be removed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Removes a release, and every file of the store that no other release holds. Whether agents still use it is for
/// the caller to know: those that run keep their open files, but cannot start again.
pub fn remove(root: &Path, version: &str) -> Result<(), RemoveError> {
    let found = record::find(root, version).ok_or_else(|| RemoveError::NotInstalled(version.to_owned()))?;
    let held = staging::take(root, version)?.ok_or_else(|| RemoveError::Busy(version.to_owned()))?;
    put_away(root, &found.folder)?;
    drop(held);
    Ok(share::collect(&root.join(share::FOLDER))?)
}

/// Moves a folder into a staging folder, and so removes it: a crash on the way leaves it to the next sweep.
pub(crate) fn put_away(root: &Path, folder: &Path) -> Result<(), FileError> {
    let staging = Staging::make(root)?;
    // A folder can be moved to another parent only by who may write its `..`.
    crate::tree::unseal(folder)?;
    let inside = staging.path.join("removed");
    std::fs::rename(folder, &inside).map_err(crate::file_error::at("remove", folder))
}
