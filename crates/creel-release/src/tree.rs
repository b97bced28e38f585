//! Folder trees that may be read-only: walked without following links, sealed, removed.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::file_error::{FileError, at};

/// The time npm itself gives to the files it packs (1985-10-26 08:15 UTC). One fixed time makes equal files of two
/// releases equal in everything, and the gateway's compile cache, whose key has it, good for every machine.
const FILE_TIME_UNIX_S: i64 = 499_162_500;

/// Every regular file and every folder below a root.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) size_bytes: u64,
}

impl Tree {
    /// Walks a root, which is itself the first of the folders.
    pub(crate) fn walk(root: &Path) -> Result<Self, FileError> {
        let mut tree = Self { folders: vec![root.to_owned()], ..Self::default() };
        let mut next = 0;
        while let Some(folder) = tree.folders.get(next).cloned() {
            tree.list(&folder).map_err(at("list", &folder))?;
            next += 1;
        }
        Ok(tree)
    }

    fn list(&mut self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                self.folders.push(entry.path());
            } else if metadata.is_file() {
                self.size_bytes += metadata.size();
                self.files.push(entry.path());
            }
        }
        Ok(())
    }

    /// Makes every file read-only and gives it the one fixed time.
    pub(crate) fn settle_files(&self) -> Result<(), FileError> {
        self.files.iter().try_for_each(|file| settle(file).map_err(at("make read-only", file)))
    }

    /// Makes every folder read-only, innermost first.
    pub(crate) fn seal_folders(&self) -> Result<(), FileError> {
        let seal = |folder: &PathBuf| fs::set_permissions(folder, Permissions::from_mode(0o555));
        self.folders.iter().rev().try_for_each(|folder| seal(folder).map_err(at("make read-only", folder)))
    }
}

fn settle(file: &Path) -> io::Result<()> {
    let executable = fs::symlink_metadata(file)?.mode() & 0o111 != 0;
    let time = Timespec { tv_sec: FILE_TIME_UNIX_S, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    fs::set_permissions(file, Permissions::from_mode(if executable { 0o555 } else { 0o444 }))
}

/// Removes a tree, also a read-only one; one that is not there is removed already.
pub(crate) fn remove(root: &Path) -> Result<(), FileError> {
    if !root.exists() {
        return Ok(());
    }
    Tree::walk(root)?.folders.iter().try_for_each(|folder| unseal(folder))?;
    fs::remove_dir_all(root).map_err(at("remove", root))
}

/// Makes one folder writable for its owner.
pub(crate) fn unseal(folder: &Path) -> Result<(), FileError> {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(at("make writable", folder))
}
