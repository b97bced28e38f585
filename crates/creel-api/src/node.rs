//! What the server and a warden say to each other. The warden asks for what is desired of its node and reports
//! what it observes; the server calls a warden only to pass data (chat, logs).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::agent::{Condition, LastExit, Phase, Resources, WaitingView};
use crate::meta::{Generation, Metadata};
use crate::problem::Issue;
use crate::release::ReleaseOnNode;

/// A machine that agents run on, as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Always `creel.dev/v1`.
    pub api_version: String,
    /// Always `Node`.
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// How it is.
    pub status: NodeStatus,
}

/// How a node is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Whether its warden was heard within its lease.
    pub ready: bool,
    /// When its warden was last heard, if it was since this server started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Timestamp>,
    /// Agents assigned to it.
    pub agents: u64,
    /// What it has.
    pub capacity: Capacity,
    /// The warden that speaks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warden: Option<WardenInfo>,
    /// What is missing on it, each with its cost and cure.
    pub conditions: Vec<Condition>,
}

/// What a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// All its memory.
    pub memory_bytes: u64,
    /// Processors.
    pub cores: u32,
}

/// The warden that speaks for a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WardenInfo {
    /// Its process.
    pub pid: u32,
    /// Its version of creel.
    pub version: String,
    /// When it started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// Where the server reaches it to pass data: the path of a Unix socket on the same machine.
    pub socket: String,
}

/// What is to be on a node. Complete each time: what is not in it is not to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    /// The store's epoch and revision that this was read at; ask again with it to wait for something newer.
    #[schema(value_type = String)]
    pub at: Generation,
    /// Every agent assigned to the node.
    pub assignments: Vec<Assignment>,
    /// Releases to have besides those the assignments name.
    pub releases: Vec<String>,
    /// Releases to remove, unless an agent here still needs one. Every other release stays: fetching one takes minutes.
    #[serde(default)]
    pub unwanted: Vec<String>,
}

/// The only thing a node acts on: this agent, this revision, run or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// The agent's uid.
    pub agent: String,
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// When this was decided.
    #[schema(value_type = String)]
    pub generation: Generation,
    /// The node it is for.
    pub node: String,
    /// Run it, stop it, or remove its state.
    pub intent: Intent,
    /// Counts the restarts that were asked for: a higher number than the one that runs means "start again once".
    #[serde(default)]
    pub restart: u64,
    /// 0 to 1000.
    pub priority: u16,
    /// What to run.
    pub revision: Revision,
}

/// What is to become of an agent on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Intent {
    /// Its gateway runs.
    Run,
    /// Its gateway does not run; its state stays.
    Stop,
    /// Its gateway does not run and its state is gone for good.
    Remove,
}

/// Immutable: what an agent runs. A rollback is a new revision equal to an old one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// 1 for the agent's first.
    pub number: u64,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The release as written (`stable`) that `release` was resolved from.
    pub release_wish: String,
    /// The exact OpenClaw version.
    pub release: String,
    /// The config overlay: tenant defaults and spec, merged.
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Path in the config -> secret and its version.
    pub secrets: BTreeMap<String, SecretUse>,
    /// Limits, all filled in.
    pub resources: Resources,
    /// Whether the config may be changed at run time.
    pub agent_may_edit: bool,
}

/// A secret at one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretUse {
    /// Its name within the tenant.
    pub name: String,
    /// Its version.
    pub version: u64,
}

/// What a warden says of its node. Complete each time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// Who speaks.
    pub warden: WardenInfo,
    /// What the node has.
    pub capacity: Capacity,
    /// What is missing on it.
    pub conditions: Vec<Condition>,
    /// Agents that changed since the last acknowledged report; all of them when `complete`.
    pub agents: Vec<AgentReport>,
    /// Whether `agents` has every agent that has a folder on this node: one that is not in it is not there.
    pub complete: bool,
    /// Every release on the node, or on its way to it.
    pub releases: Vec<ReleaseOnNode>,
}

/// The answer to a [`NodeReport`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Heard {
    /// Whether the next report has to be complete: this server has not heard a complete one of this warden yet.
    pub complete_wanted: bool,
}

/// What a warden says of one agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    /// The agent's uid.
    pub agent: String,
    /// The node that speaks; filled in by the server.
    #[serde(default)]
    pub node: String,
    /// Grows with each report of this warden; an older one never replaces a newer one.
    pub seq: u64,
    /// When this was observed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether the agent's state is held by a keeper on this node.
    pub hold: Hold,
    /// The generation last acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub generation: Option<Generation>,
    /// In one word.
    pub phase: Phase,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When the warden will stop waiting, if the phase ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// The revision that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The release that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The revision that the release refuses, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The gateway's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Starts again after the gateway had ended by itself.
    pub restarts: u64,
    /// What the agent's processes have of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// When the gateway that runs was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<Timestamp>,
    /// How it ended the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// What is wanted and not so yet.
    pub waiting: Vec<WaitingView>,
    /// What is missing around the agent.
    pub conditions: Vec<Condition>,
}

/// Whether an agent's state is held on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Hold {
    /// Not known yet: the warden has not looked, or could not.
    #[default]
    Unknown,
    /// A keeper or a gateway holds it.
    Held,
    /// The state is there and nobody holds it.
    Free,
    /// There is no state of this agent here.
    Gone,
}

/// A revision that never reaches a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// Its number.
    pub revision: u64,
    /// Each key that the release refuses, and why.
    pub issues: Vec<Issue>,
}

/// The values of an agent's secrets, by name. It has no readable debug form, so that no log can hold it.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SecretValues(pub BTreeMap<String, String>);

impl std::fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretValues({} of them)", self.0.len())
    }
}
