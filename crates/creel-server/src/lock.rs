//! One server per data folder: a lock on a file that the kernel frees when the server ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Why the lock was not had.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Another server has it; its pid, if it can be read.
    Held(Option<u32>),
    /// The file can't be had.
    File(io::Error),
}

impl From<io::Error> for NotLocked {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl Lock {
    /// Takes the lock and writes this process's pid into its file.
    pub(crate) fn take(path: &Path) -> Result<Self, NotLocked> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(NotLocked::Held(pid_in(&mut file))),
            Err(error) => return Err(NotLocked::File(error.into())),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_and_told_who_has_it_until_that_one_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server.lock");
        let first = Lock::take(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err();
        assert!(matches!(refused, NotLocked::Held(Some(pid)) if pid == std::process::id()), "{refused:?}");
        drop(first);
        Lock::take(&path).unwrap();
    }
}
