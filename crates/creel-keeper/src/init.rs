//! The init inside a sandbox: parent of the gateway, reaper of its orphans, and witness of how it ended.
//!
//! Invariants: it ends when the gateway ends, takes everything that remains with it, and tells the keeper the exact
//! wait status first. Neither its socket nor (as pid 1) the claim's descriptor reaches the gateway: who has the
//! latter could unlock it.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, WaitOptions, WaitStatus};

use crate::birth::{self, Birth};
use crate::words::{self, CLAIM_FD, WORDS_FD, Word};
use crate::{complain, process};

/// The status of an init that could not execute the gateway, as shells have it.
const NOT_FOUND: u8 = 127;

/// Signals that the gateway gets through init.
const FORWARDED: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGUSR2];

/// How many times the rest of the tree is looked for; each look kills what it finds.
const LOOKS_MAX: u32 = 1000;

/// `init -- argv…`
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let argv: Vec<OsString> = words.skip_while(|word| word == "--").collect();
    let Some((program, arguments)) = argv.split_first() else {
        complain("init needs a command: creel-keeper init -- node …");
        return ExitCode::from(2);
    };
    match run(program, arguments) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("init could not begin: {error}"));
            ExitCode::from(NOT_FOUND)
        }
    }
}

fn run(program: &OsString, arguments: &[OsString]) -> io::Result<ExitCode> {
    let alone = process::own_pid() == 1;
    let socket = handed_down(WORDS_FD)?;
    let claim = handed_down(CLAIM_FD)?;
    let signals = block_signals()?;
    if !alone {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    }
    tell(socket.as_ref(), &Word::Began);
    let passed_on = if alone { None } else { claim.as_ref() };
    let child = match start(program, arguments, socket.as_ref(), passed_on) {
        Ok(child) => child,
        Err(error) => {
            let why = format!("could not execute {}: {error}", program.to_string_lossy());
            complain(&why);
            tell(socket.as_ref(), &Word::Missing(why));
            return Ok(ExitCode::from(NOT_FOUND));
        }
    };
    let status = watch(child, &signals)?;
    tell(socket.as_ref(), &ending(status));
    end_the_rest(alone);
    Ok(ExitCode::from(code_of(status)))
}

fn handed_down(variable: &str) -> io::Result<Option<OwnedFd>> {
    let Some(number) = std::env::var(variable).ok().and_then(|text| text.parse().ok()) else {
        return Ok(None);
    };
    birth::inherited(number).map(Some)
}

fn tell(socket: Option<&OwnedFd>, word: &Word) {
    if let Some(socket) = socket {
        words::say(socket, word);
    }
}

/// A hang-up is blocked too, and so never ends init: OpenClaw would die of it without any shutdown.
fn block_signals() -> io::Result<SigSet> {
    let mut signals: SigSet = FORWARDED.into_iter().collect();
    signals.add(Signal::SIGCHLD);
    signals.add(Signal::SIGHUP);
    signals.thread_block()?;
    Ok(signals)
}

fn start(
    program: &OsString,
    arguments: &[OsString],
    socket: Option<&OwnedFd>,
    claim: Option<&OwnedFd>,
) -> io::Result<Pid> {
    let last_word =
        socket.map(|fd| Ok::<_, io::Error>((fd.try_clone()?, Word::Executing.to_text()))).transpose()?;
    let keep = claim.map(OwnedFd::try_clone).transpose()?.into_iter().collect();
    let mut command = Command::new(program);
    command.args(arguments).env_remove(WORDS_FD).env_remove(CLAIM_FD);
    let child =
        birth::spawn(&mut command, Birth { dies_with_parent: true, keep, last_word, ..Birth::default() })?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a child without a pid"))
}

fn watch(child: Pid, signals: &SigSet) -> io::Result<WaitStatus> {
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(status) = reap(child) {
                    return Ok(status);
                }
            }
            signal if FORWARDED.contains(&signal) => forward(child, signal),
            _ => (),
        }
    }
}

/// That the child is gone by now is told by the next SIGCHLD.
fn forward(child: Pid, signal: Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.as_raw_pid()), signal);
}

/// Takes note of every dead child; the status if the gateway is among them.
fn reap(child: Pid) -> Option<WaitStatus> {
    let mut found = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == child {
            found = Some(status);
        }
    }
    found
}

/// As pid 1 one call reaches all there is. Otherwise orphans come to us one generation after the other.
fn end_the_rest(alone: bool) {
    if alone {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), Signal::SIGKILL);
        return;
    }
    for _ in 0..LOOKS_MAX {
        let left = process::descendants_of(process::own_pid());
        if left.iter().all(|pid| process::kill(*pid).is_err()) {
            return;
        }
        let _ = rustix::process::wait(WaitOptions::empty());
    }
}

fn ending(status: WaitStatus) -> Word {
    match status.terminating_signal() {
        Some(signal) => Word::Signal(signal),
        None => Word::Code(status.exit_status().unwrap_or_default()),
    }
}

fn code_of(status: WaitStatus) -> u8 {
    let code = status.terminating_signal().map_or_else(|| status.exit_status(), |signal| Some(128 + signal));
    u8::try_from(code.unwrap_or_default()).unwrap_or(u8::MAX)
}
