//! One gateway from its birth until nothing of its tree is left.
//!
//! Invariants: nothing here waits, each step does what can be done now; the end is told only when every process
//! that the gateway left behind is dead and everything it wrote has been read.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use creel_api::keeper::{ProcessName, Start};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus};

use crate::birth::{self, Birth};
use crate::log::Log;
use crate::words::{self, CLAIM_FD, Heard, WORDS_FD, Word};
use crate::{cgroup, process};

/// How much output is read at once.
const READ_AT_ONCE: usize = 4096;

/// How many reads before somebody else gets a turn.
const READS_PER_TURN: u32 = 16;

/// How many reads after all writers are dead: more than a pipe can hold.
const LAST_READS: u32 = 1024;

/// The first and the longest time between two looks for what is left of a tree.
const LOOK_AGAIN_MS: (u64, u64) = (5, 1000);

/// How a gateway ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It exited.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It was never there; the code, if the sandbox had one, and why.
    NeverStarted(Option<i32>, String),
}

/// A gateway that lives, or whose tree is being ended.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// The process that we started: the sandbox, or init.
    child: Pid,
    /// Both are given up at their end: to wait for a pipe without a writer never waits.
    words: Option<OwnedFd>,
    output: Option<OwnedFd>,
    log: Log,
    process: Option<(ProcessName, Option<OwnedFd>)>,
    executing: bool,
    /// What init said about the end.
    told: Option<Ending>,
    /// How our own child ended, as a fallback.
    status: Option<WaitStatus>,
    killed: bool,
    looks: u32,
}

impl Gateway {
    /// Starts it. The claim's descriptor goes with it, so that the lock is held while anything of the tree lives.
    pub(crate) fn start(start: &Start, claim: OwnedFd, procs_files: &[PathBuf]) -> io::Result<Self> {
        let (program, arguments) =
            start.argv.split_first().ok_or_else(|| io::Error::other("the command is empty"))?;
        let (ours, theirs) = words::pair()?;
        let (output, input) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // Only our end: a gateway that gets "try again" from a log would lose lines.
        rustix::fs::fcntl_setfl(&output, OFlags::NONBLOCK)?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&start.env).current_dir(&start.cwd);
        command.env(WORDS_FD, theirs.as_raw_fd().to_string()).env(CLAIM_FD, claim.as_raw_fd().to_string());
        command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
        let cgroups = cgroup::open_procs(procs_files)?;
        let keep = vec![theirs, claim];
        let birth = Birth { session: true, dies_with_parent: true, cgroups, keep, ..Birth::default() };
        let child = birth::spawn(&mut command, birth)
            .map_err(|error| io::Error::new(error.kind(), format!("could not execute {program}: {error}")))?;
        let child = Pid::from_raw(child.id().cast_signed())
            .ok_or_else(|| io::Error::other("a child without a pid"))?;
        Ok(Self {
            child,
            words: Some(ours),
            output: Some(output),
            log: Log::open(&start.log),
            process: None,
            executing: false,
            told: None,
            status: None,
            killed: false,
            looks: 0,
        })
    }

    /// What to wait for; once it is over, the dead and the clock are enough.
    pub(crate) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        let both = [self.words.as_ref(), self.output.as_ref()];
        let waiting = both.into_iter().flatten().filter(|_| !self.is_over());
        waiting.map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))
    }

    /// How long to wait at most before the next turn.
    pub(crate) fn look_again_ms(&self) -> Option<u64> {
        let (first, longest) = LOOK_AGAIN_MS;
        self.is_over().then(|| (first << self.looks.min(10)).min(longest))
    }

    /// Its main process, as this pid namespace sees it.
    pub(crate) fn name(&self) -> Option<&ProcessName> {
        self.process.as_ref().map(|(name, _)| name)
    }

    /// Sends a signal to the main process; to one that is gone it goes nowhere.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some((name, pidfd)) = &self.process else {
            return Err(io::Error::other("the gateway has not been executed yet"));
        };
        let sent = match pidfd {
            Some(pidfd) => rustix::process::pidfd_send_signal(pidfd, signal),
            None if process::start_ticks(name.pid).ok() != Some(name.start_ticks) => Ok(()),
            None => Pid::from_raw(name.pid).map_or(Ok(()), |pid| rustix::process::kill_process(pid, signal)),
        };
        match sent {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => other.map_err(io::Error::from),
        }
    }

    /// From now on the whole tree is being ended.
    pub(crate) fn kill(&mut self) {
        self.killed = true;
    }

    /// Takes in what was said and written.
    pub(crate) fn listen(&mut self) {
        while let Some(words) = &self.words {
            match words::hear(words) {
                Heard::Word(word, sender) => self.note(word, sender),
                Heard::Nothing => break,
                Heard::Ended => self.words = None,
            }
        }
        self.read_output(READS_PER_TURN);
    }

    fn note(&mut self, word: Word, sender: i32) {
        match word {
            Word::Began => (),
            Word::Executing => {
                self.executing = true;
                self.process = identify(sender);
            }
            Word::Missing(why) => {
                self.process = None;
                self.told = Some(Ending::NeverStarted(None, why));
            }
            Word::Code(code) => self.told = Some(Ending::Code(code)),
            Word::Signal(signal) => self.told = Some(Ending::Signal(signal)),
        }
    }

    /// Takes note of the dead, kills the tree if its time has come, and tells the end once nothing is left.
    pub(crate) fn tend(&mut self, leaves: &[PathBuf]) -> Option<Ending> {
        let mut none_left = self.reap();
        if !self.is_over() {
            return None;
        }
        kill_tree(leaves);
        none_left = none_left || self.reap();
        self.looks += 1;
        let empty = leaves.iter().all(|leaf| cgroup::members(leaf).is_empty());
        if !(none_left && empty) {
            return None;
        }
        // The last words may have come after this turn's listening.
        self.listen();
        self.read_output(LAST_READS);
        Some(self.ending())
    }

    /// Whether its main process has ended, or the whole was killed.
    pub(crate) fn is_over(&self) -> bool {
        self.killed || self.told.is_some() || self.status.is_some()
    }

    /// Whether no child is left; everything that the tree orphans becomes our child.
    fn reap(&mut self) -> bool {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.child => self.status = Some(status),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => (),
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    fn read_output(&mut self, reads: u32) {
        let mut bytes = [0; READ_AT_ONCE];
        for _ in 0..reads {
            let Some(output) = &self.output else { return };
            match rustix::io::read(output, &mut bytes) {
                Ok(0) => self.output = None,
                Ok(count) => self.log.write(&bytes[..count]),
                Err(_) => return,
            }
        }
    }

    /// Init's word counts most. Without one, init itself was killed, or the sandbox never came to it; a sandbox
    /// says 128 plus the signal for what a signal ended.
    fn ending(&self) -> Ending {
        if let Some(told) = &self.told {
            return told.clone();
        }
        let signal = self.status.and_then(WaitStatus::terminating_signal);
        let code = self.status.and_then(WaitStatus::exit_status);
        match (signal, code) {
            (Some(signal), _) if self.executing || self.killed => Ending::Signal(signal),
            (_, Some(code)) if self.executing && code > 128 => Ending::Signal(code - 128),
            (_, Some(code)) if self.executing => Ending::Code(code),
            _ => Ending::NeverStarted(code, self.why_never(signal, code)),
        }
    }

    fn why_never(&self, signal: Option<i32>, code: Option<i32>) -> String {
        let how = match (signal, code) {
            (Some(signal), _) => format!("signal {signal}"),
            (None, code) => format!("code {}", code.unwrap_or_default()),
        };
        format!("the sandbox ended with {how} before the gateway was executed: {}", self.log.last_line())
    }
}

/// The pidfd is opened before the start time is read, and asked after: if it is alive then, both are of one process.
fn identify(pid: i32) -> Option<(ProcessName, Option<OwnedFd>)> {
    let pidfd = rustix::process::pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok();
    let name = process::name_of(pid).ok()?;
    Some((name, pidfd))
}

fn kill_tree(leaves: &[PathBuf]) {
    leaves.iter().for_each(|leaf: &PathBuf| cgroup::kill(Path::new(leaf)));
    process::descendants_of(process::own_pid()).into_iter().for_each(|pid| drop(process::kill(pid)));
}
