//! The content store: releases hold hard links to one copy of each file.
//!
//! A file's name in the store is its sha256 and its mode, since links share both. Content enters the store only after
//! it reached the disk, so that a power cut cannot leave a name without its content.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::file_error::{FileError, at};
use crate::tree::Tree;

/// The store's folder under the releases' root.
pub(crate) const FOLDER: &str = ".files";
const TRIES: usize = 3;

/// Replaces every file of a settled tree by a link to the store's copy, or puts it there.
pub(crate) fn share(tree: &Tree, store: &Path) -> Result<(), FileError> {
    fs::create_dir_all(store).map_err(at("make", store))?;
    flush(store).map_err(at("write", store))?;
    for file in &tree.files {
        let entry = store.join(name_of(file).map_err(at("read", file))?);
        link(file, &entry).map_err(at("share", file))?;
    }
    Ok(())
}

/// Waits until all that was written to this file system is on the disk.
pub(crate) fn flush(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

fn name_of(file: &Path) -> io::Result<String> {
    let mut open = File::open(file)?;
    let mode = open.metadata()?.mode() & 0o777;
    let mut hash = Sha256(Context::new(&SHA256));
    io::copy(&mut open, &mut hash)?;
    let hex: String = hash.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}/{hex}-{mode:o}", &hex[..2]))
}

struct Sha256(Context);

impl io::Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the file and the store's entry one. Another installer or collector may come between two steps: then the
/// loop looks again. A file system that cannot link, or not so often, leaves the file its own copy.
fn link(file: &Path, entry: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match adopt(file, entry) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return unless_unlinkable(other),
        }
        fs::create_dir_all(entry.parent().unwrap_or(entry))?;
        match fs::hard_link(file, entry) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return unless_unlinkable(other),
        }
    }
    Ok(())
}

fn unless_unlinkable(result: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    match result {
        Err(e) if matches!(e.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported) => {
            Ok(())
        }
        other => other,
    }
}

/// Puts the store's copy in the file's place. An entry of another size is damaged, and makes room.
fn adopt(file: &Path, entry: &Path) -> io::Result<()> {
    if fs::symlink_metadata(entry)?.len() != fs::symlink_metadata(file)?.len() {
        fs::remove_file(entry)?;
        return Err(io::ErrorKind::NotFound.into());
    }
    let beside = with_suffix(file);
    fs::hard_link(entry, &beside)?;
    fs::rename(&beside, file)?;
    // A rename onto another name of the same file does nothing, and leaves both names.
    fs::remove_file(&beside).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

fn with_suffix(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".creel-link");
    name.into()
}

/// Removes what no release holds any more.
pub(crate) fn collect(store: &Path) -> Result<(), FileError> {
    if !store.exists() {
        return Ok(());
    }
    for file in Tree::walk(store)?.files {
        match fs::symlink_metadata(&file) {
            Ok(metadata) if metadata.nlink() == 1 => fs::remove_file(&file).map_err(at("remove", &file))?,
            _ => {}
        }
    }
    Ok(())
}
