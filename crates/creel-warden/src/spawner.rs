//! The spawner, from the warden's side: a fresh execution of `creel-keeper` that takes one short typed request at a
//! time. When it dies the next request starts another one; no agent notices.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use creel_api::keeper::{ProbedPart, SpawnerAnswer, SpawnerAsk, SpawnerOutcome, SpawnerVerb};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

/// The longest a request may take: ending a tree that resists may take some seconds.
const ANSWER: Duration = Duration::from_secs(30);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpawnerError {
    #[error("the spawner {} could not be started", .program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("the spawner's connection broke")]
    Broken(#[source] io::Error),
    #[error("the spawner answered something else than was asked")]
    Confused,
    #[error("the spawner did not answer within {} s", ANSWER.as_secs())]
    Silent,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Spawner {
    program: PathBuf,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    _child: Child,
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    asked: u64,
}

impl Spawner {
    /// A spawner that runs `program`; it is started when it is first needed.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program, process: Mutex::new(None) }
    }

    /// The program that keepers and spawners are.
    pub(crate) fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Asks, and starts a new spawner once if the old one turns out to be dead.
    pub(crate) async fn ask(&self, verb: SpawnerVerb) -> Result<SpawnerOutcome, SpawnerError> {
        let mut process = self.process.lock().await;
        if let Some(old) = process.as_mut()
            && let Ok(outcome) = old.ask(verb.clone()).await
        {
            return Ok(outcome);
        }
        *process = None;
        let fresh = process.insert(self.start()?);
        let outcome = fresh.ask(verb).await;
        if outcome.is_err() {
            *process = None;
        }
        outcome
    }

    /// What this machine allows.
    pub(crate) async fn probe(&self) -> Result<Vec<ProbedPart>, SpawnerError> {
        match self.ask(SpawnerVerb::Probe).await? {
            SpawnerOutcome::Probed { parts } => Ok(parts),
            _ => Err(SpawnerError::Confused),
        }
    }

    fn start(&self) -> Result<Process, SpawnerError> {
        let failed = |source| SpawnerError::Start { program: self.program.clone(), source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let theirs = theirs.into_std().map_err(failed)?;
        theirs.set_nonblocking(false).map_err(failed)?;
        let child = Command::new(&self.program)
            .arg("spawner")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (read, write) = ours.into_split();
        Ok(Process { _child: child, read: BufReader::new(read), write, asked: 0 })
    }
}

impl Process {
    async fn ask(&mut self, verb: SpawnerVerb) -> Result<SpawnerOutcome, SpawnerError> {
        self.asked += 1;
        let ask = SpawnerAsk { id: self.asked, ask: verb };
        let answer = tokio::time::timeout(ANSWER, self.exchange(&ask)).await;
        let answer = answer.map_err(|_| SpawnerError::Silent)?.map_err(SpawnerError::Broken)?;
        if answer.id == ask.id { Ok(answer.answer) } else { Err(SpawnerError::Confused) }
    }

    async fn exchange(&mut self, ask: &SpawnerAsk) -> io::Result<SpawnerAnswer> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        self.write.write_all(&line).await?;
        let mut answer = String::new();
        if self.read.read_line(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&answer)?)
    }
}
