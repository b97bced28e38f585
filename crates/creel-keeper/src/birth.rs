//! What a new process gets between fork and exec, and the other few calls that the compiler can't check.
//!
//! Unsafe code is allowed here and nowhere else in this crate: every caller is single-threaded, so that code after
//! a fork may do what any code may.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::sys::signal::{SigHandler, SigSet, Signal as NixSignal};
use rustix::io::FdFlags;
use rustix::net::SendFlags;
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

/// What a child is to do before it becomes the new program. In every case its signals are the system's defaults.
#[derive(Debug, Default)]
pub(crate) struct Birth {
    /// Lead a session of its own.
    pub(crate) session: bool,
    /// Be killed when its parent ends, however that ends.
    pub(crate) dies_with_parent: bool,
    /// Open `cgroup.procs` files of the cgroups to enter.
    pub(crate) cgroups: Vec<OwnedFd>,
    /// Descriptors that the program keeps, under the same numbers.
    pub(crate) keep: Vec<OwnedFd>,
    /// A socket and what to say on it, as the very last thing.
    pub(crate) last_word: Option<(OwnedFd, String)>,
}

/// Starts the command; the descriptors of `birth` are closed here, whatever came of it.
pub(crate) fn spawn(command: &mut Command, birth: Birth) -> io::Result<Child> {
    let parent = rustix::process::getpid();
    // SAFETY: this program has one thread, so no lock can be held by a thread that the child does not have.
    unsafe { command.pre_exec(move || be_born(&birth, parent)) };
    command.spawn()
}

fn be_born(birth: &Birth, parent: Pid) -> io::Result<()> {
    reset_signals();
    if birth.session {
        rustix::process::setsid()?;
    }
    if birth.dies_with_parent {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::other("the parent ended meanwhile"));
        }
    }
    for procs in &birth.cgroups {
        rustix::io::write(procs, b"0")?;
    }
    for fd in &birth.keep {
        rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
    }
    if let Some((socket, word)) = &birth.last_word {
        // A keeper that is gone can't be told; the program is started all the same and dies of its parent's death.
        let _ = rustix::net::send(socket, word.as_bytes(), SendFlags::NOSIGNAL);
    }
    Ok(())
}

fn reset_signals() {
    for signal in NixSignal::iterator().filter(|s| !matches!(s, NixSignal::SIGKILL | NixSignal::SIGSTOP)) {
        // SAFETY: the default disposition runs no code of ours.
        let _ = unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) };
    }
    let _ = SigSet::empty().thread_set_mask();
}

/// Makes this process deaf to the signals.
pub(crate) fn ignore(signals: &[NixSignal]) -> io::Result<()> {
    for signal in signals {
        // SAFETY: an ignored signal runs no code of ours.
        unsafe { nix::sys::signal::signal(*signal, SigHandler::SigIgn) }?;
    }
    Ok(())
}

/// Enters new namespaces of these kinds.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only CLONE_FILES could take descriptors from under somebody, and no caller asks for it.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Takes over a descriptor whose number came from the parent; it is not passed on by chance.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::other(format!("descriptor {number} is not one that a parent hands over")));
    }
    // SAFETY: borrowed for one call, which fails if nothing is open under that number.
    rustix::io::fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, the parent opened it for this process, and nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Keeps whatever else the parent left open from reaching our own children.
pub(crate) fn pass_nothing_on() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")?.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if number > 2 {
            // SAFETY: borrowed for one call; that the listing's own descriptor is closed by then is an error we ignore.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
        }
    }
    Ok(())
}
