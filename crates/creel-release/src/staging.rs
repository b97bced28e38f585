//! Folders of work in progress, and who may work on a version.
//!
//! A staging folder belongs to the process that holds the lock on it. The kernel lets go of that lock when the process
//! ends, however it ends, so a folder without one is nobody's and is swept.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::file_error::{FileError, at};
use crate::tree;

const PREFIX: &str = ".staging-";
/// The folder of locks and of resolved dependencies under the releases' root.
pub(crate) const LOCKS: &str = ".locks";

/// A folder to work in. Dropped, it is gone, and all that was not moved out of it.
pub(crate) struct Staging {
    pub(crate) path: PathBuf,
    _held: File,
}

impl Staging {
    /// A new folder under the root.
    pub(crate) fn make(root: &Path) -> Result<Self, FileError> {
        let _gate = gate(root)?;
        let path =
            tempfile::Builder::new().prefix(PREFIX).tempdir_in(root).map_err(at("make a folder in", root))?;
        let held = File::open(path.path()).map_err(at("open", path.path()))?;
        held.lock().map_err(at("lock", path.path()))?;
        Ok(Self { path: path.keep(), _held: held })
    }

    /// A folder inside.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, FileError> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).map_err(at("make", &path))?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = tree::remove(&self.path) {
            tracing::warn!(%error, source = %error.source, "an unfinished release stays until the next install");
        }
    }
}

/// Removes the staging folders whose owner is gone. What cannot be removed now is left for the next time.
pub(crate) fn sweep(root: &Path) -> Result<(), FileError> {
    for (folder, _held) in abandoned(root)? {
        if let Err(error) = tree::remove(&folder) {
            tracing::warn!(%error, source = %error.source, "an abandoned install cannot be swept yet");
        }
    }
    Ok(())
}

fn abandoned(root: &Path) -> Result<Vec<(PathBuf, File)>, FileError> {
    let _gate = gate(root)?;
    let entries = fs::read_dir(root).map_err(at("list", root))?.flatten();
    let staged = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    let ours =
        |path: PathBuf| File::open(&path).ok().filter(|f| f.try_lock().is_ok()).map(|held| (path, held));
    Ok(staged.filter_map(|entry| ours(entry.path())).collect())
}

/// Held for a moment between making a folder and locking it, so that no sweep comes between.
fn gate(root: &Path) -> Result<File, FileError> {
    let file = open(root, "staging.lock")?;
    file.lock().map_err(at("lock", root))?;
    Ok(file)
}

/// Takes a version for this process, if no other has it.
pub(crate) fn take(root: &Path, version: &str) -> Result<Option<File>, FileError> {
    let file = open(root, &format!("{version}.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(at("lock", root)(error)),
    }
}

fn open(root: &Path, name: &str) -> Result<File, FileError> {
    let folder = root.join(LOCKS);
    fs::create_dir_all(&folder).map_err(at("make", &folder))?;
    let path = folder.join(name);
    let options = File::options().create(true).append(true).open(&path);
    options.map_err(at("open", &path))
}
