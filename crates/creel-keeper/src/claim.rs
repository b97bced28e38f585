//! The claim of an agent's state: a file that names the newest generation that may touch it, and a lock on that file.
//!
//! Invariants: the generation in the file never goes back; whoever was given the open file holds the lock, and so
//! does everything that inherited it, so the lock is free only when all of them are gone.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use rustix::fs::FlockOperation;

use crate::folder::Folder;
use crate::process;

/// The claim's name in an agent's folder.
pub const CLAIM: &str = "claim";

/// The longest text of a claim: two numbers of 20 digits.
const TEXT_MAX: usize = 64;

/// Epoch, then number: ordered like the decisions of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation {
    /// How many times the store went back in time, plus one.
    pub epoch: u64,
    /// The store's revision at which something was decided.
    pub number: u64,
}

/// Why a claim could not be taken.
#[derive(Debug)]
pub enum TakeError {
    /// Somebody has the lock.
    Held {
        /// Who, as far as can be seen.
        holder: String,
    },
    /// The file names a newer generation.
    Older(Generation),
    /// The file could not be used.
    File(io::Error),
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { holder } => write!(f, "the state is held by {holder}"),
            Self::Older(newest) => {
                write!(f, "the state was claimed by the newer generation {}.{}", newest.epoch, newest.number)
            }
            Self::File(_) => {
                write!(f, "could not use the claim of the state; are disk and owner of its folder right?")
            }
        }
    }
}

impl std::error::Error for TakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(source) => Some(source),
            Self::Held { .. } | Self::Older(_) => None,
        }
    }
}

impl From<io::Error> for TakeError {
    fn from(source: io::Error) -> Self {
        Self::File(source)
    }
}

/// A claim whose lock we hold.
#[derive(Debug)]
pub struct Claim {
    file: File,
}

impl Claim {
    /// Locks the claim in this folder and writes the generation to it, on the disk before this returns.
    pub fn take(folder: &Folder, generation: Generation) -> Result<Self, TakeError> {
        let claim = Self { file: open(folder)? };
        match rustix::fs::flock(&claim.file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(TakeError::Held { holder: holder_text(folder) });
            }
            other => other.map_err(io::Error::from)?,
        }
        let newest = claim.generation()?;
        if newest > generation {
            return Err(TakeError::Older(newest));
        }
        claim.advance(generation)?;
        folder.sync()?;
        Ok(claim)
    }

    /// The claim that a parent took and handed down.
    pub fn inherited(fd: OwnedFd) -> Self {
        Self { file: File::from(fd) }
    }

    /// The newest generation that claimed the state; the zeroth if none did.
    pub fn generation(&self) -> io::Result<Generation> {
        let mut bytes = [0; TEXT_MAX];
        let length = self.file.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        parse(&text).ok_or_else(|| io::Error::other(format!("the claim is damaged: it says {text:?}")))
    }

    /// Writes a generation that is not older, and waits for the disk.
    pub fn advance(&self, generation: Generation) -> io::Result<()> {
        if self.generation()? == generation && generation != Generation::default() {
            return Ok(());
        }
        let text = format!("{} {}\n", generation.epoch, generation.number);
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_all()
    }

    /// Another descriptor of the same lock.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// The descriptor itself; the lock lives as long as it.
    pub fn into_fd(self) -> OwnedFd {
        self.file.into()
    }
}

/// Every process that has the claim's lock by an open descriptor; one that only reads the file is none.
pub fn holders(folder: &Folder) -> io::Result<BTreeSet<i32>> {
    let claim = match fs::metadata(folder.at(CLAIM)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        other => other?,
    };
    Ok(process::all().into_iter().filter(|pid| has_lock(*pid, claim.dev(), claim.ino())).collect())
}

/// Whether nobody has the lock.
pub fn is_free(folder: &Folder) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).open(folder.at(CLAIM)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        other => other?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

fn open(folder: &Folder) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.at(CLAIM))
}

fn holder_text(folder: &Folder) -> String {
    let found = holders(folder).unwrap_or_default();
    if found.is_empty() {
        return "a process that this user may not see".to_owned();
    }
    let named = found.iter().take(5).map(|pid| format!("process {pid} ({})", process::command_of(*pid)));
    named.collect::<Vec<_>>().join(", ")
}

/// The link's name is compared first: to look at a descriptor's file may hang when that is on a dead network disk.
fn has_lock(pid: i32, dev: u64, ino: u64) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| {
        let named = fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().contains("/claim"));
        let same =
            named && fs::metadata(entry.path()).is_ok_and(|meta| meta.dev() == dev && meta.ino() == ino);
        same && says_locked(pid, &entry.file_name().to_string_lossy())
    })
}

fn says_locked(pid: i32, fd: &str) -> bool {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
    info.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
}

fn parse(text: &str) -> Option<Generation> {
    if text.is_empty() {
        return Some(Generation::default());
    }
    let (epoch, number) = text.strip_suffix('\n')?.split_once(' ')?;
    Some(Generation { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn generation(epoch: u64, number: u64) -> Generation {
        Generation { epoch, number }
    }

    #[test]
    fn a_claim_never_goes_back() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        drop(Claim::take(&folder, generation(2, 3)).unwrap());
        assert!(
            matches!(Claim::take(&folder, generation(1, 900)), Err(TakeError::Older(g)) if g == generation(2, 3))
        );
        let claim = Claim::take(&folder, generation(2, 3)).unwrap();
        assert_eq!(fs::read_to_string(scratch.path().join(CLAIM)).unwrap(), "2 3\n");
        claim.advance(generation(10, 4)).unwrap();
        assert_eq!(claim.generation().unwrap(), generation(10, 4));
    }

    #[test]
    fn a_held_claim_names_its_holder() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        let claim = Claim::take(&folder, generation(1, 1)).unwrap();
        let Err(TakeError::Held { holder }) = Claim::take(&folder, generation(1, 2)) else {
            panic!("it was taken")
        };
        assert!(holder.contains(&format!("process {} ", process::own_pid())), "{holder}");
        assert!(!is_free(&folder).unwrap());
        drop(claim);
        assert!(is_free(&folder).unwrap());
        assert_eq!(holders(&folder).unwrap(), BTreeSet::new());
    }

    #[test]
    fn a_reader_of_the_claim_is_no_holder() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        drop(Claim::take(&folder, generation(1, 1)).unwrap());
        let _reader = File::open(scratch.path().join(CLAIM)).unwrap();
        assert_eq!(holders(&folder).unwrap(), BTreeSet::new());
    }

    #[test]
    fn a_damaged_claim_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join(CLAIM), "seven\n").unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        assert!(matches!(Claim::take(&folder, generation(1, 1)), Err(TakeError::File(_))));
    }
}
