//! What the warden says to spawner and keeper, and what they answer: one JSON object a line, over a Unix stream
//! socket.
//!
//! Both protocols speak in levels, not in edges: every answer is the whole state, so that a warden that missed
//! something needs no repair. A running agent keeps the keeper it started with, so a warden must speak every
//! [`PROTOCOL`] ever released; new fields are optional, and unknown ones are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The protocol that this keeper speaks. Raised when a field changes its meaning.
pub const PROTOCOL: u32 = 1;

/// What a warden asks of a keeper. The keeper answers each with its [`KeeperState`], and also sends it unasked to
/// every connected warden whenever it changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum KeeperAsk {
    /// Tell your state.
    State,
    /// Start the gateway, if none runs and the last exit was acknowledged; refused for an older generation.
    Start(Box<Start>),
    /// Send this signal to the gateway's main process (not to the tree).
    Signal {
        /// The run it is meant for: a signal for a run that is over goes nowhere.
        run: u64,
        /// A signal number.
        signal: i32,
    },
    /// Kill the gateway's whole process tree.
    Kill {
        /// The run it is meant for.
        run: u64,
    },
    /// The exit of this run has been taken note of and may be forgotten.
    Acknowledge {
        /// The run that ended.
        run: u64,
    },
    /// End. Refused while a gateway runs.
    Quit,
}

/// Everything that is needed to start a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Names this run; greater than every earlier one of this agent.
    pub run: u64,
    /// The generation that orders it; written to the claim before anything else happens.
    pub epoch: u64,
    /// See `epoch`.
    pub generation: u64,
    /// The revision it runs; kept by the keeper for the next warden.
    pub revision: u64,
    /// The restart request it fulfils; kept by the keeper for the next warden.
    #[serde(default)]
    pub restart: u64,
    /// The OpenClaw version it runs; kept by the keeper for the next warden.
    pub release: String,
    /// The port it listens on, on the shared network; kept by the keeper for the next warden.
    #[serde(default)]
    pub port: u16,
    /// The whole command: with a sandbox `bwrap … -- /creel-keeper init -- node …`, without one `creel-keeper init -- node …`.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// The folder to start in, as the keeper sees it.
    pub cwd: String,
    /// Where its output goes.
    pub log: LogFile,
}

/// A bounded log: `path`, then `path.1` and so on, the oldest removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogFile {
    /// The newest file.
    pub path: String,
    /// The most that all files may have together.
    pub max_bytes: u64,
    /// How many files.
    pub files: u32,
}

/// All that a keeper knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeeperState {
    /// The protocol it speaks.
    pub protocol: u32,
    /// Its version of creel.
    pub version: String,
    /// The agent it belongs to.
    pub agent: String,
    /// Its own process.
    pub keeper: ProcessName,
    /// The generation of the claim.
    pub epoch: u64,
    /// See `epoch`.
    pub generation: u64,
    /// The present or last run; absent before the first and after its exit was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Why the last ask was refused, in the answer to that ask only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// One gateway from its start to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// The number given at its start.
    pub run: u64,
    /// What it runs.
    pub revision: u64,
    /// The restart request it fulfilled.
    #[serde(default)]
    pub restart: u64,
    /// The OpenClaw version.
    pub release: String,
    /// The port it listens on.
    #[serde(default)]
    pub port: u16,
    /// When it was started, in microseconds since 1970.
    pub started_us: i64,
    /// The gateway's main process as the node sees it; absent until it has been executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<ProcessName>,
    /// Whether its main process has ended, and what it left behind is being cleared away.
    #[serde(default)]
    pub ending: bool,
    /// How it ended; absent while anything of it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
}

/// A process named so that a reused pid can't be taken for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessName {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The process id.
    pub pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

/// How a gateway ended: by itself, or by a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// The exit code, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal, if one ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When the keeper learned of it, in microseconds since 1970.
    pub at_us: i64,
    /// Why it could not even be started, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_started: Option<String>,
}

/// What a warden asks of its spawner; each is answered by one [`SpawnerAnswer`] with the same `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpawnerAsk {
    /// Returned in the answer.
    pub id: u64,
    /// What.
    pub ask: SpawnerVerb,
}

/// See [`SpawnerAsk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "camelCase")]
pub enum SpawnerVerb {
    /// Say what this machine allows.
    Probe,
    /// Claim the agent's state for this generation, make its cgroups and start its keeper. Refused if somebody
    /// holds it, or if an equal agent was claimed by a newer generation.
    Launch(Box<Launch>),
    /// End whatever is in the agent's cgroups, or holds its lock, and remove the cgroups. Not for an agent with a
    /// keeper that answers: tell that one instead.
    Sweep {
        /// The agent's uid.
        agent: String,
        /// Its folder.
        folder: String,
        /// The cgroups of this installation; see [`Launch::cgroup_root`].
        cgroup_root: String,
    },
}

/// What a keeper needs to come to life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Launch {
    /// The agent's uid.
    pub agent: String,
    /// The agent's folder: has `claim` (the generation file, also the lock) and gets `keeper.sock` and `keeper.log`.
    pub folder: String,
    /// The generation that claims it.
    pub epoch: u64,
    /// See `epoch`.
    pub generation: u64,
    /// The name that this installation's cgroups stand under, for example `creel-1a2b3c4d`.
    pub cgroup_root: String,
    /// The most memory its processes may have together; 0 for no limit.
    pub memory_bytes: u64,
    /// The most processes and threads; 0 for no limit.
    pub pids: u32,
}

/// See [`SpawnerAsk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpawnerAnswer {
    /// Of the ask.
    pub id: u64,
    /// What came of it.
    pub answer: SpawnerOutcome,
}

/// See [`SpawnerAsk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum SpawnerOutcome {
    /// To `Probe`: each part of the machine that agents need, tried by doing.
    Probed {
        /// What was tried, in a fixed order.
        parts: Vec<ProbedPart>,
    },
    /// To `Launch`: the keeper listens.
    Launched {
        /// The keeper's process.
        keeper: ProcessName,
    },
    /// To `Sweep`: nothing is left.
    Swept {
        /// How many processes had to be killed.
        killed: u32,
    },
    /// Somebody holds the agent's state.
    Held {
        /// Who, as far as can be seen.
        holder: String,
    },
    /// The claim is of a newer generation.
    Older {
        /// The claim's epoch.
        epoch: u64,
        /// The claim's generation.
        generation: u64,
    },
    /// It could not be done.
    Failed {
        /// The cause.
        message: String,
    },
}

/// A part of the machine that agents need, tried by doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbedPart {
    /// `userNamespace`, `mountProc`, `bubblewrap`, `netRule`, `cgroupKill`, `memoryLimit`, `pidsLimit`, `pidfd`.
    pub part: String,
    /// Whether it works here.
    pub works: bool,
    /// How it was tried, or why it failed.
    pub detail: String,
    /// What is lost without it.
    pub cost: String,
    /// The command that mends it; empty if none does.
    pub cure: String,
}
