//! The keeper: parent of one agent's gateways, one after the other. It does what wardens ask, and keeps what only a
//! parent can know.
//!
//! Invariants: it never starts anything by itself; no second gateway before the exit of the first was acknowledged;
//! the claim names a start's generation before the start; only a quit ends it (or SIGKILL, which is the agent's
//! crash). A wake carries no meaning: each turn does all that can be done.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use creel_api::keeper::{Exit, KeeperAsk, KeeperState, PROTOCOL, Run, Start};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::Signal;
use std::os::fd::{AsFd, OwnedFd};

use crate::claim::{Claim, Generation};
use crate::folder::{self, Folder};
use crate::gateway::{Ending, Gateway};
use crate::wardens::Wardens;
use crate::{birth, complain, process};

/// What a keeper says to the spawner when it listens; anything else is the reason why it does not.
pub(crate) const READY: &str = "ready";

/// What a keeper is deaf to.
const IGNORED: [NixSignal; 7] = [
    NixSignal::SIGHUP,
    NixSignal::SIGINT,
    NixSignal::SIGTERM,
    NixSignal::SIGQUIT,
    NixSignal::SIGUSR1,
    NixSignal::SIGUSR2,
    NixSignal::SIGALRM,
];

/// Why a keeper could not come to life, or could not go on.
#[derive(Debug)]
pub enum KeeperError {
    /// The command line is not the spawner's.
    Usage(String),
    /// A call failed.
    Call {
        /// What it was for.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl fmt::Display for KeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(word) => write!(f, "wrong usage near {word:?}; keepers are started by the spawner"),
            Self::Call { doing, source } => write!(f, "could not {doing}: {source}"),
        }
    }
}

impl std::error::Error for KeeperError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Call { source, .. } => Some(source),
            Self::Usage(_) => None,
        }
    }
}

/// What the spawner tells a keeper.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The agent's uid.
    pub agent: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The generation that claimed it.
    pub generation: Generation,
    /// The number of the claim's descriptor.
    pub claim_fd: i32,
    /// The number of the descriptor to say on that it listens, or why it does not.
    pub ready_fd: Option<i32>,
    /// The files by which its gateways enter their cgroups.
    pub cgroup_procs: Vec<PathBuf>,
}

/// `keeper --agent UID --folder F --epoch E --generation G --claim-fd N [--ready-fd N] [--cgroup-procs FILE]…`
pub fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let ended = parse(words).and_then(|options| {
        let ready = options.ready_fd.map(birth::inherited).transpose();
        live(options, call("take over the spawner's pipe", ready)?)
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Tells the spawner that the keeper listens, or why it does not. A spawner that died meanwhile is no reason to
/// end: the next warden finds us by our socket.
fn live(options: Options, ready: Option<OwnedFd>) -> Result<(), KeeperError> {
    let keeper = Keeper::new(options);
    if let Some(ready) = ready {
        let word = keeper.as_ref().err().map_or_else(|| READY.to_owned(), ToString::to_string);
        let _ = rustix::io::write(&ready, word.as_bytes());
    }
    keeper?.run()
}

/// Reads the command line; the inverse is the spawner's.
pub fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Options, KeeperError> {
    let mut options = Options { claim_fd: -1, ..Options::default() };
    while let Some(name) = words.next() {
        let wrong = || KeeperError::Usage(name.to_string_lossy().into_owned());
        let value = words.next().ok_or_else(wrong)?;
        let text = value.to_str();
        match name.to_str() {
            Some("--agent") => options.agent = text.ok_or_else(wrong)?.to_owned(),
            Some("--folder") => options.folder = PathBuf::from(value),
            Some("--epoch") => options.generation.epoch = number(text).ok_or_else(wrong)?,
            Some("--generation") => options.generation.number = number(text).ok_or_else(wrong)?,
            Some("--claim-fd") => options.claim_fd = number(text).ok_or_else(wrong)?,
            Some("--ready-fd") => options.ready_fd = Some(number(text).ok_or_else(wrong)?),
            Some("--cgroup-procs") => options.cgroup_procs.push(PathBuf::from(value)),
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

fn number<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

struct Keeper {
    folder: Folder,
    claim: Claim,
    cgroup_procs: Vec<PathBuf>,
    /// The cgroups that hold the gateway's tree.
    leaves: Vec<PathBuf>,
    state: KeeperState,
    /// Raised with each change of the state.
    version: u64,
    last_run: u64,
    gateway: Option<Gateway>,
    deaths: SignalFd,
    wardens: Wardens,
    quitting: bool,
}

impl Keeper {
    fn new(options: Options) -> Result<Self, KeeperError> {
        let claim = call("take over the claim", birth::inherited(options.claim_fd))?;
        call("close what is not ours", birth::pass_nothing_on())?;
        let deaths = call("prepare the signals", prepare_signals())?;
        call("adopt orphans", rustix::process::set_child_subreaper(Some(rustix::process::getpid())))?;
        // Only for people who look at a list of processes.
        let _ = rustix::thread::set_name(c"creel-keeper");
        let folder = call("open the agent's folder", Folder::open(&options.folder))?;
        let listener = call("listen on the agent's socket", folder.listen())?;
        let own = call("name this process", process::own_name())?;
        let state = KeeperState {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            agent: options.agent,
            keeper: own,
            epoch: options.generation.epoch,
            generation: options.generation.number,
            run: None,
            refused: None,
        };
        let leaves =
            options.cgroup_procs.iter().filter_map(|file| file.parent().map(Path::to_owned)).collect();
        Ok(Self {
            folder,
            claim: Claim::inherited(claim),
            cgroup_procs: options.cgroup_procs,
            leaves,
            state,
            version: 0,
            last_run: 0,
            gateway: None,
            deaths,
            wardens: Wardens::new(listener),
            quitting: false,
        })
    }

    fn run(mut self) -> Result<(), KeeperError> {
        while !self.quitting {
            call("wait", self.wait())?;
            self.turn();
        }
        call("remove the socket", folder::remove_if_there(&self.folder.at(folder::SOCKET)))
    }

    fn wait(&self) -> io::Result<()> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.deaths.as_fd(), PollFlags::IN)];
        fds.extend(self.wardens.poll_fds());
        fds.extend(self.gateway.iter().flat_map(Gateway::poll_fds));
        let longest = self.gateway.as_ref().and_then(Gateway::look_again_ms).map(timespec);
        match rustix::event::poll(&mut fds, longest.as_ref()) {
            Err(rustix::io::Errno::INTR) => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }

    fn turn(&mut self) {
        while let Ok(Some(_)) = self.deaths.read_signal() {}
        self.tend();
        self.wardens.accept(self.version);
        while let Some((number, line)) = self.wardens.next_ask() {
            let refused = self.carry_out(&line).err();
            let state = KeeperState { refused, ..self.state.clone() };
            self.wardens.answer(number, &state, self.version);
        }
        self.tend();
        self.wardens.push(&self.state, self.version);
    }

    /// Brings what we know of the gateway up to date.
    fn tend(&mut self) {
        let Some(gateway) = &mut self.gateway else { return };
        gateway.listen();
        let is_over = gateway.is_over();
        let ending = gateway.tend(&self.leaves);
        let name = gateway.name().cloned();
        let Some(run) = &mut self.state.run else { return };
        if run.gateway != name {
            run.gateway = name;
            self.version += 1;
        }
        // Told before the tree is cleared away, which takes as long as the kernel needs for its memory.
        if is_over && !run.ending {
            run.ending = true;
            self.version += 1;
        }
        if let Some(ending) = ending {
            run.exit = Some(exit_of(ending));
            self.version += 1;
            self.gateway = None;
        }
    }

    fn carry_out(&mut self, line: &[u8]) -> Result<(), String> {
        let ask = serde_json::from_slice(line)
            .map_err(|error| format!("not an ask of protocol {PROTOCOL}: {error}"))?;
        match ask {
            KeeperAsk::State => Ok(()),
            KeeperAsk::Start(start) => self.start(&start),
            KeeperAsk::Signal { run, signal } => self.signal(run, signal),
            KeeperAsk::Kill { run } => {
                self.gateway_of(run).map(Gateway::kill);
                Ok(())
            }
            KeeperAsk::Acknowledge { run } => self.acknowledge(run),
            KeeperAsk::Quit => self.quit(),
        }
    }

    fn start(&mut self, start: &Start) -> Result<(), String> {
        self.check(start)?;
        let wanted = Generation { epoch: start.epoch, number: start.generation };
        self.claim.advance(wanted).map_err(|error| format!("could not write the claim: {error}"))?;
        self.version += 1;
        self.last_run = start.run;
        self.state.epoch = start.epoch;
        self.state.generation = start.generation;
        let begun = self.claim.share().and_then(|claim| Gateway::start(start, claim, &self.cgroup_procs));
        let (gateway, exit) = match begun {
            Ok(gateway) => (Some(gateway), None),
            Err(error) => (None, Some(exit_of(Ending::NeverStarted(None, error.to_string())))),
        };
        self.gateway = gateway;
        self.state.run = Some(Run { exit, ..run_of(start) });
        Ok(())
    }

    fn check(&self, start: &Start) -> Result<(), String> {
        if let Some(run) = &self.state.run {
            let lives = run.exit.is_none();
            let why = if lives { "has not ended yet" } else { "ended, but nobody acknowledged its exit" };
            return Err(format!("run {} {why}", run.run));
        }
        if start.run <= self.last_run {
            return Err(format!("run {} is not newer than run {}, which is over", start.run, self.last_run));
        }
        let newest = self.claim.generation().map_err(|error| format!("could not read the claim: {error}"))?;
        if (Generation { epoch: start.epoch, number: start.generation }) < newest {
            let Generation { epoch, number } = newest;
            return Err(format!("the state was claimed by the newer generation {epoch}.{number}"));
        }
        Ok(())
    }

    fn gateway_of(&mut self, run: u64) -> Option<&mut Gateway> {
        let same = self.state.run.as_ref().is_some_and(|present| present.run == run);
        self.gateway.as_mut().filter(|_| same)
    }

    fn signal(&mut self, run: u64, signal: i32) -> Result<(), String> {
        let known = Signal::from_named_raw(signal).ok_or_else(|| format!("{signal} is not a signal"))?;
        let Some(gateway) = self.gateway_of(run) else { return Ok(()) };
        gateway.signal(known).map_err(|error| format!("could not send signal {signal}: {error}"))
    }

    fn acknowledge(&mut self, run: u64) -> Result<(), String> {
        match &self.state.run {
            Some(present) if present.run == run && present.exit.is_none() => {
                Err(format!("run {run} has not ended yet"))
            }
            Some(present) if present.run == run => {
                self.state.run = None;
                self.version += 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn quit(&mut self) -> Result<(), String> {
        if self.gateway.is_some() {
            return Err("a gateway runs: kill it first".to_owned());
        }
        self.quitting = true;
        Ok(())
    }
}

fn prepare_signals() -> io::Result<SignalFd> {
    birth::ignore(&IGNORED)?;
    let mask = SigSet::from(NixSignal::SIGCHLD);
    mask.thread_set_mask()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

fn call<T, E: Into<io::Error>>(doing: &'static str, outcome: Result<T, E>) -> Result<T, KeeperError> {
    outcome.map_err(|error| KeeperError::Call { doing, source: error.into() })
}

fn run_of(start: &Start) -> Run {
    Run {
        run: start.run,
        revision: start.revision,
        restart: start.restart,
        release: start.release.clone(),
        port: start.port,
        started_us: now_us(),
        gateway: None,
        ending: false,
        exit: None,
    }
}

fn exit_of(ending: Ending) -> Exit {
    let at_us = now_us();
    match ending {
        Ending::Code(code) => Exit { code: Some(code), at_us, ..Exit::default() },
        Ending::Signal(signal) => Exit { signal: Some(signal), at_us, ..Exit::default() },
        Ending::NeverStarted(code, why) => Exit { code, at_us, never_started: Some(why), ..Exit::default() },
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

pub(crate) fn timespec(milliseconds: u64) -> Timespec {
    let nanoseconds = (milliseconds % 1000) * 1_000_000;
    Timespec { tv_sec: (milliseconds / 1000).cast_signed(), tv_nsec: nanoseconds.cast_signed() }
}
