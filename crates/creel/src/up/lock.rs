//! Only one `creel up` runs on a data folder: it holds a lock, and its pid stands in the locked file.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::data::Data;
use crate::failure::{Failure, While};

/// The lock, held until it is let go or the process ends.
pub(super) struct Lock {
    file: File,
    data: Data,
}

/// Takes the lock, or says who has it.
pub(super) fn take(data: &Data) -> Result<Lock, Failure> {
    let path = data.up_lock();
    let doing = || format!("could not use {}", path.display());
    let mut file =
        File::options().create(true).truncate(false).read(true).write(true).open(&path).during(doing())?;
    if !is_taken(&file) {
        let who = pid_in(&mut file).map_or(String::new(), |pid| format!(" (pid {pid})"));
        return Err(Failure::refused(format!("creel is already up{who} on {}", data.path().display()))
            .cure("use it as it is, end it with `creel down`, or choose another folder with --data"));
    }
    let pid = std::process::id();
    file.set_len(0).and_then(|()| write!(file, "{pid}")).during(doing())?;
    fs::write(data.up_file(), json!({"pid": pid}).to_string()).during(doing())?;
    Ok(Lock { file, data: data.clone() })
}

impl Lock {
    /// Lets go, leaving no trace that could be taken for a running one.
    pub(super) fn let_go(self) {
        // Whatever is left behind if this fails is checked against the lock by its readers.
        let _ = fs::remove_file(self.data.up_file()).and_then(|()| self.file.set_len(0));
    }
}

/// Tries for a moment: who only looks whether somebody has the lock ([`holder`]) has it for an instant.
fn is_taken(file: &File) -> bool {
    (0..5).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
    })
}

/// The process that holds the lock of this folder, if one does.
pub(super) fn holder(data: &Data) -> Option<i32> {
    let path = data.up_lock();
    let mut file = File::options().read(true).open(&path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    pid_in(&mut file).filter(|pid| has_open(*pid, &path))
}

fn pid_in(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok().filter(|pid| *pid > 1)
}

/// Whether this process really has the lock file open: a pid left behind by a killed one may be a stranger's now.
fn has_open(pid: i32, path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|open| open == path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_with_the_pid_of_the_first_until_that_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data(folder.path().join("ä b"));
        fs::create_dir_all(data.run()).unwrap();
        assert_eq!(holder(&data), None);
        let lock = take(&data).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(holder(&data), Some(own));
        assert!(take(&data).err().unwrap().text().contains(&format!("already up (pid {own})")));
        lock.let_go();
        assert_eq!(holder(&data), None);
        assert!(!data.up_file().exists());
    }

    #[test]
    fn a_pid_left_behind_by_a_killed_one_is_not_taken_for_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data(folder.path().into());
        fs::create_dir_all(data.run()).unwrap();
        fs::write(data.up_lock(), "4242").unwrap();
        assert_eq!(holder(&data), None);
    }
}
