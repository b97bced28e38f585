//! What the tests of keeper and spawner share: a node with its spawner, an agent on it, and a warden's connection.
#![allow(dead_code, reason = "each test program uses its part of it")]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use creel_api::keeper::{
    Exit, KeeperAsk, KeeperState, Launch, LogFile, SpawnerAnswer, SpawnerAsk, SpawnerOutcome, SpawnerVerb,
    Start,
};
use creel_keeper::folder::Folder;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_creel-keeper");
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Waits for a level.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub(crate) fn signal(pid: i32, signal: &str) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// The number in a file that somebody writes.
pub(crate) fn pid_in(path: &Path) -> i32 {
    let mut found = None;
    eventually(&format!("{} names a process", path.display()), || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        found = text.strip_suffix('\n').and_then(|text| text.parse().ok());
        found.is_some()
    });
    found.unwrap()
}

/// A spawner and the warden's end of its socket.
pub(crate) struct Node {
    pub(crate) spawner: Child,
    socket: BufReader<UnixStream>,
    asked: u64,
}

impl Node {
    pub(crate) fn start() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(DEADLINE)).unwrap();
        let spawner = Command::new(PROGRAM).arg("spawner").stdin(OwnedFd::from(theirs)).spawn().unwrap();
        Self { spawner, socket: BufReader::new(ours), asked: 0 }
    }

    pub(crate) fn ask(&mut self, ask: SpawnerVerb) -> SpawnerOutcome {
        self.asked += 1;
        let line = serde_json::to_string(&SpawnerAsk { id: self.asked, ask }).unwrap();
        let answer: SpawnerAnswer = serde_json::from_str(&self.ask_line(&line)).unwrap();
        assert_eq!(answer.id, self.asked);
        answer.answer
    }

    pub(crate) fn ask_line(&mut self, line: &str) -> String {
        writeln!(self.socket.get_mut(), "{line}").unwrap();
        let mut answer = String::new();
        self.socket.read_line(&mut answer).unwrap();
        answer
    }

    /// Closes the socket, which ends the spawner.
    pub(crate) fn end(mut self) -> std::process::ExitStatus {
        self.socket.get_mut().shutdown(std::net::Shutdown::Both).unwrap();
        self.spawner.wait().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.spawner.kill();
        let _ = self.spawner.wait();
    }
}

/// An agent's folder and names, swept at the end.
pub(crate) struct Agent {
    pub(crate) node: Node,
    pub(crate) scratch: tempfile::TempDir,
    pub(crate) folder: PathBuf,
    pub(crate) launch: Launch,
}

impl Agent {
    pub(crate) fn new() -> Self {
        Self::below("agent")
    }

    /// One whose folder is deeper.
    pub(crate) fn below(name: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let launch = Launch {
            agent: format!("agent-{number}"),
            folder: folder.to_str().unwrap().to_owned(),
            epoch: 1,
            generation: 1,
            cgroup_root: format!("creel-test-{}-{number}", std::process::id()),
            memory_bytes: 1 << 30,
            pids: 200,
        };
        Self { node: Node::start(), scratch, folder, launch }
    }

    /// With a keeper that listens.
    pub(crate) fn alive() -> Self {
        let mut agent = Self::new();
        agent.wake();
        agent
    }

    pub(crate) fn wake(&mut self) -> i32 {
        match self.launch(1) {
            SpawnerOutcome::Launched { keeper } => keeper.pid,
            other => panic!("not launched: {other:?}"),
        }
    }

    pub(crate) fn launch(&mut self, generation: u64) -> SpawnerOutcome {
        let wanted = Launch { generation, ..self.launch.clone() };
        self.node.ask(SpawnerVerb::Launch(Box::new(wanted)))
    }

    pub(crate) fn sweep(&mut self) -> SpawnerOutcome {
        self.node.ask(self.sweep_ask())
    }

    pub(crate) fn sweep_ask(&self) -> SpawnerVerb {
        let Launch { agent, folder, cgroup_root, .. } = self.launch.clone();
        SpawnerVerb::Sweep { agent, folder, cgroup_root }
    }

    pub(crate) fn connect(&self) -> Warden {
        let stream = Folder::open(&self.folder).unwrap().connect().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Warden { stream: BufReader::new(stream) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A start of this command, without a sandbox.
    pub(crate) fn start(&self, run: u64, argv: &[&str]) -> Start {
        let init = [PROGRAM, "init", "--"];
        Start {
            run,
            epoch: 1,
            generation: 1,
            revision: 7,
            release: "2026.9.6".to_owned(),
            argv: init.iter().chain(argv).map(|word| (*word).to_owned()).collect(),
            env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            cwd: self.launch.folder.clone(),
            log: LogFile {
                path: self.path("log").to_str().unwrap().to_owned(),
                max_bytes: 100_000,
                files: 2,
            },
            ..Start::default()
        }
    }

    pub(crate) fn script(&self, run: u64, script: &str) -> Start {
        self.start(run, &["sh", "-c", script])
    }

    /// The same in a sandbox of its own.
    pub(crate) fn sandboxed(&self, run: u64, script: &str) -> Start {
        let mut start = self.script(run, script);
        let sandbox = [
            "bwrap",
            "--unshare-user",
            "--unshare-pid",
            "--as-pid-1",
            "--die-with-parent",
            "--dev-bind",
            "/",
            "/",
            "--proc",
            "/proc",
            "--",
        ];
        start.argv.splice(0..0, sandbox.map(str::to_owned));
        start
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let outcome = Node::start().ask(self.sweep_ask());
        if !std::thread::panicking() {
            assert!(matches!(outcome, SpawnerOutcome::Swept { .. }), "{outcome:?}");
        }
    }
}

/// A warden's connection to a keeper.
pub(crate) struct Warden {
    stream: BufReader<UnixStream>,
}

impl Warden {
    pub(crate) fn send(&mut self, ask: &KeeperAsk) {
        self.send_line(&serde_json::to_string(ask).unwrap());
    }

    pub(crate) fn send_line(&mut self, line: &str) {
        writeln!(self.stream.get_mut(), "{line}").unwrap();
    }

    pub(crate) fn next(&mut self) -> KeeperState {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a state within the deadline");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    /// Reads states until one is as wished.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&KeeperState) -> bool) -> KeeperState {
        let until = Instant::now() + DEADLINE;
        loop {
            let state = self.next();
            if is_so(&state) {
                return state;
            }
            assert!(Instant::now() < until, "waited in vain: {what}; last {state:?}");
        }
    }

    pub(crate) fn state(&mut self) -> KeeperState {
        self.send(&KeeperAsk::State);
        self.next()
    }

    pub(crate) fn refusal(&mut self, ask: &KeeperAsk) -> String {
        self.send(ask);
        self.until("a refusal", |state| state.refused.is_some()).refused.unwrap()
    }

    /// Starts it and waits for its main process.
    pub(crate) fn start(&mut self, start: Start) -> i32 {
        let run = start.run;
        self.send(&KeeperAsk::Start(Box::new(start)));
        let state = self.until("the gateway is executed", |state| {
            state.run.as_ref().is_some_and(|r| r.run == run && (r.gateway.is_some() || r.exit.is_some()))
        });
        let run = state.run.unwrap();
        run.gateway.unwrap_or_else(|| panic!("it ended: {:?}", run.exit)).pid
    }

    /// Starts it and waits for its end, which is then acknowledged.
    pub(crate) fn run(&mut self, start: Start) -> Exit {
        let run = start.run;
        self.send(&KeeperAsk::Start(Box::new(start)));
        let exit = self.exit(run);
        self.send(&KeeperAsk::Acknowledge { run });
        self.until("the exit is forgotten", |state| state.run.is_none());
        exit
    }

    pub(crate) fn exit(&mut self, run: u64) -> Exit {
        let ended =
            |state: &KeeperState| state.run.as_ref().is_some_and(|r| r.run == run && r.exit.is_some());
        self.until("the gateway ends", ended).run.unwrap().exit.unwrap()
    }

    /// Whether the keeper closed it.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut line = String::new();
        while self.stream.read_line(&mut line).unwrap_or(0) > 0 {}
        true
    }
}
