//! An agent's folder, and the Unix socket in it. Every path goes through an open descriptor, because a socket's
//! address may have 107 bytes only and a data folder may be deeper than that.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The name of the keeper's socket in an agent's folder.
pub const SOCKET: &str = "keeper.sock";

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    file: File,
}

impl Folder {
    /// Opens it; it must exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        Ok(Self { file })
    }

    /// A short path to something in it, valid in this process for as long as the folder is open.
    pub fn at(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.file.as_raw_fd()))
    }

    /// Waits until names made or removed in it are on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Listens on its keeper's socket, readable by this user only. A socket that is there already is taken for a
    /// dead keeper's: only the holder of the claim may call this.
    pub fn listen(&self) -> io::Result<UnixListener> {
        let path = self.at(SOCKET);
        remove_if_there(&path)?;
        let usual = rustix::process::umask(Mode::from_raw_mode(0o177));
        let listener = UnixListener::bind(&path);
        rustix::process::umask(usual);
        let listener = listener?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Connects to its keeper.
    pub fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.at(SOCKET))
    }
}

/// Removes a file that may be gone already.
pub fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
