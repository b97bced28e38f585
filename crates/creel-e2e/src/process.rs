//! Processes of a test, found by the scratch folder that they name in their command line, environment or cgroup, or
//! by being a descendant of one that does: a program that went into the background can't be found by its parents, and
//! one in a sandbox does not know the folder.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;

/// A process that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its command line, for messages.
    pub command: String,
}

/// All processes that name this folder and what descends from them, except the caller's own.
pub fn processes_of(folder: &Path) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let own = std::process::id();
    let all: Vec<(u32, u32)> =
        pids.filter(|pid| *pid != own).filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let mut found: BTreeSet<u32> =
        all.iter().map(|(pid, _)| *pid).filter(|pid| names(*pid, folder)).collect();
    while let Some((pid, _)) = all.iter().find(|(pid, parent)| found.contains(parent) && !found.contains(pid))
    {
        found.insert(*pid);
    }
    found.into_iter().filter_map(process).collect()
}

fn process(pid: u32) -> Option<Process> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(Process { pid, command: String::from_utf8_lossy(&command).replace('\0', " ") })
}

/// The parent of a process that runs; one that only waits to be reaped is no process any more.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    fields.next()?.parse().ok().filter(|_| !matches!(state, "Z" | "X"))
}

/// Whether a process runs.
pub fn runs(pid: u32) -> bool {
    parent_of(pid).is_some()
}

fn names(pid: u32, folder: &Path) -> bool {
    let name = folder.as_os_str().as_bytes();
    // The environment of another user's process is not to be read, and not to be killed either.
    let has = |file: &str, name: &[u8]| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.windows(name.len()).any(|part| part == name)
    };
    has("cmdline", name) || has("environ", name) || has("cgroup", plain(folder).as_bytes())
}

/// The folder's path as creel makes it part of a cgroup's name.
fn plain(folder: &Path) -> String {
    let path = folder.to_string_lossy();
    path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Sends a signal; a process that is already gone is no error.
pub fn kill(pid: u32, signal: Signal) -> nix::Result<()> {
    let pid = i32::try_from(pid).map_err(|_| Errno::EINVAL)?;
    match send(Pid::from_raw(pid), signal) {
        Err(Errno::ESRCH) => Ok(()),
        result => result,
    }
}
