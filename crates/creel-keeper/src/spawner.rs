//! The spawner: the only part of creel that may have privileges. It takes short typed requests from its warden over
//! the socket that is its standard input, one at a time, and ends when that does.
//!
//! Invariant: a keeper is started only by the one who took the claim, and gets the lock with its first breath; the
//! spawner keeps no descriptor of it, so its own death changes nothing for any agent.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use creel_api::keeper::{Launch, ProcessName, SpawnerAnswer, SpawnerAsk, SpawnerOutcome, SpawnerVerb};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, WaitOptions};

use crate::birth::{self, Birth};
use crate::cgroup::{self, AgentCgroups, Limits};
use crate::claim::{Claim, Generation, TakeError};
use crate::folder::Folder;
use crate::keeper::{READY, timespec};
use crate::lines::Lines;
use crate::sweep::sweep;
use crate::{complain, probe, process};

/// This very program, even if its file was replaced by a newer one meanwhile.
pub const SELF: &str = "/proc/self/exe";

/// How long a keeper may take until it listens.
const LAUNCH_MS: u64 = 10_000;

/// The keeper's own log starts anew beyond this; it has a line only when something went wrong.
const KEEPER_LOG_MAX: u64 = 64 << 10;

/// `spawner`
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("the spawner could not go on: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    birth::pass_nothing_on()?;
    let _ = rustix::thread::set_name(c"creel-spawner");
    let mask = SigSet::from(Signal::SIGCHLD);
    mask.thread_block()?;
    let deaths = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let mut warden = Lines::new(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))?;
    let mut keepers = Vec::new();
    while !warden.ended() {
        wait(&deaths, &warden)?;
        reap(&deaths, &mut keepers);
        warden.flush();
        while let Some(line) = warden.next_line() {
            let answer = answer(&line, &mut keepers);
            warden.send(&answer);
        }
    }
    Ok(())
}

fn wait(deaths: &SignalFd, warden: &Lines) -> io::Result<()> {
    let flags = if warden.is_owing() { PollFlags::OUT } else { PollFlags::IN };
    let mut fds = [
        PollFd::from_borrowed_fd(deaths.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(warden.stream.as_fd(), flags),
    ];
    match rustix::event::poll(&mut fds, None) {
        Err(rustix::io::Errno::INTR) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Only keepers are waited for here: a probe waits for its own children.
fn reap(deaths: &SignalFd, keepers: &mut Vec<Pid>) {
    while let Ok(Some(_)) = deaths.read_signal() {}
    keepers.retain(|keeper| matches!(rustix::process::waitpid(Some(*keeper), WaitOptions::NOHANG), Ok(None)));
}

fn answer(line: &[u8], keepers: &mut Vec<Pid>) -> SpawnerAnswer {
    match serde_json::from_slice::<SpawnerAsk>(line) {
        Ok(ask) => SpawnerAnswer { id: ask.id, answer: carry_out(ask.ask, keepers) },
        Err(error) => SpawnerAnswer { id: id_of(line), answer: failed(format!("not an ask: {error}")) },
    }
}

/// An ask of a newer warden may be unknown and still be answered under its number.
fn id_of(line: &[u8]) -> u64 {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    value.and_then(|value| value.get("id")?.as_u64()).unwrap_or_default()
}

fn carry_out(verb: SpawnerVerb, keepers: &mut Vec<Pid>) -> SpawnerOutcome {
    match verb {
        SpawnerVerb::Probe => SpawnerOutcome::Probed { parts: probe::all() },
        SpawnerVerb::Launch(wanted) => match launch(&wanted, keepers) {
            Ok(keeper) => SpawnerOutcome::Launched { keeper },
            Err(LaunchError::Claim(TakeError::Held { holder })) => SpawnerOutcome::Held { holder },
            Err(LaunchError::Claim(TakeError::Older(newest))) => {
                SpawnerOutcome::Older { epoch: newest.epoch, generation: newest.number }
            }
            Err(LaunchError::Claim(TakeError::File(error))) => {
                failed(format!("could not claim the state: {error}"))
            }
            Err(LaunchError::Keeper(message)) => failed(message),
        },
        SpawnerVerb::Sweep { agent, folder, cgroup_root } => match sweep(&folder, &cgroup_root, &agent) {
            Ok(killed) => SpawnerOutcome::Swept { killed },
            Err(error) => failed(error.to_string()),
        },
    }
}

fn failed(message: String) -> SpawnerOutcome {
    SpawnerOutcome::Failed { message }
}

enum LaunchError {
    Claim(TakeError),
    Keeper(String),
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> Self {
        Self::Keeper(format!("could not start the keeper: {error}"))
    }
}

fn launch(wanted: &Launch, keepers: &mut Vec<Pid>) -> Result<ProcessName, LaunchError> {
    let cgroups = AgentCgroups::new(cgroup::trees(), &wanted.cgroup_root, &wanted.agent)?;
    let folder = Folder::open(Path::new(&wanted.folder))
        .map_err(|error| LaunchError::Keeper(format!("could not open {}: {error}", wanted.folder)))?;
    let generation = Generation { epoch: wanted.epoch, number: wanted.generation };
    let claim = Claim::take(&folder, generation).map_err(LaunchError::Claim)?;
    let mut log = open_log(&folder)?;
    for sentence in cgroups.make(Limits { memory_bytes: wanted.memory_bytes, pids: wanted.pids }) {
        // What is not limited is told to whom looks; it keeps no agent from running.
        let _ = writeln!(log, "creel-keeper: {sentence}");
    }
    let (ready, theirs) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
    let pid = start(wanted, &cgroups, log, claim, theirs)?;
    keepers.push(pid);
    let word = first_word(&ready)?;
    if word == READY {
        return Ok(process::name_of(pid.as_raw_pid())?);
    }
    let _ = process::kill(pid.as_raw_pid());
    let why = if word.is_empty() { last_words(&folder) } else { word };
    Err(LaunchError::Keeper(format!("the keeper did not come to life: {why}")))
}

fn start(
    wanted: &Launch,
    cgroups: &AgentCgroups,
    log: File,
    claim: Claim,
    ready: OwnedFd,
) -> io::Result<Pid> {
    let claim = claim.into_fd();
    let mut command = Command::new(SELF);
    command.arg0("creel-keeper").arg("keeper").args(["--agent", &wanted.agent, "--folder", &wanted.folder]);
    command.args(["--epoch", &wanted.epoch.to_string(), "--generation", &wanted.generation.to_string()]);
    command.args([
        "--claim-fd",
        &claim.as_raw_fd().to_string(),
        "--ready-fd",
        &ready.as_raw_fd().to_string(),
    ]);
    for file in cgroups.procs_files("run") {
        command.arg("--cgroup-procs").arg(file);
    }
    command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let own: Vec<PathBuf> = cgroups.procs_files("keeper");
    let birth = Birth {
        session: true,
        cgroups: cgroup::open_procs(&own)?,
        keep: vec![claim, ready],
        ..Birth::default()
    };
    let child = birth::spawn(&mut command, birth)?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a child without a pid"))
}

/// What the keeper says first; nothing if it ended without a word, or the deadline passed.
fn first_word(pipe: &OwnedFd) -> io::Result<String> {
    let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
    if rustix::event::poll(&mut fds, Some(&timespec(LAUNCH_MS)))? == 0 {
        return Ok(String::new());
    }
    let mut bytes = [0; 512];
    let length = rustix::io::read(pipe, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn open_log(folder: &Folder) -> io::Result<File> {
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.at("keeper.log"))?;
    if log.metadata()?.len() > KEEPER_LOG_MAX {
        log.set_len(0)?;
    }
    Ok(log)
}

fn last_words(folder: &Folder) -> String {
    let text = std::fs::read(folder.at("keeper.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next_back().unwrap_or("it said nothing").to_owned()
}
