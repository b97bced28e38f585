//! The World: everything that is wished and decided, at one revision. What is observed stands apart ([`Seen`]),
//! because a report is not a decision and never moves the World's revision.
//!
//! A World changes only by [`World::apply`] of [`Change`]s that were committed to the store at its revision.

use std::collections::BTreeMap;

use creel_api::agent::AgentSpec;
use creel_api::meta::Generation;
use creel_api::node::{AgentReport, Assignment, Capacity, Revision};
use creel_api::tenant::TenantSpec;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An agent's uid: given at creation, never reused.
pub type AgentUid = String;

/// Tenant and name of a secret.
pub type SecretKey = (String, String);

/// Everything wished and decided, at one revision of the store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// How many times the store went back in time, plus one.
    pub epoch: u64,
    /// The store's revision; each commit that changes something adds one.
    pub revision: u64,
    /// By name.
    pub tenants: BTreeMap<String, TenantRecord>,
    /// By uid.
    pub agents: BTreeMap<AgentUid, AgentRecord>,
    /// By tenant and name; never their values.
    pub secrets: BTreeMap<SecretKey, SecretRecord>,
    /// Releases that someone asked for by hand, by version.
    pub releases: BTreeMap<String, ReleaseRecord>,
    /// What each channel (`stable`, `daily`, `beta`) resolves to.
    pub channels: BTreeMap<String, ChannelRecord>,
    /// By name.
    pub nodes: BTreeMap<String, NodeRecord>,
}

/// A tenant as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TenantRecord {
    /// Its name.
    pub name: String,
    /// Given at creation.
    pub uid: String,
    /// Words to select by.
    pub labels: BTreeMap<String, String>,
    /// As written.
    pub spec: TenantSpec,
    /// When it was created.
    pub created_at: Timestamp,
    /// The World's revision of its last change by a user.
    pub revision: u64,
}

/// An agent as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentRecord {
    /// Given at creation.
    pub uid: AgentUid,
    /// Unique among the tenant's agents that are not deleted.
    pub name: String,
    /// Its tenant's name.
    pub tenant: String,
    /// Words to select by.
    pub labels: BTreeMap<String, String>,
    /// As written.
    pub spec: AgentSpec,
    /// When it was created.
    pub created_at: Timestamp,
    /// The World's revision of its last change by a user.
    pub revision: u64,
    /// Set when it was deleted; its state is kept until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Deletion>,
    /// Counts the restarts that were asked for.
    #[serde(default)]
    pub restart: u64,
    /// What it was to run, oldest first; the last is what it is to run. At most [`crate::limits::REVISIONS_KEPT`].
    #[serde(default)]
    pub revisions: Vec<Revision>,
    /// What its node was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment: Option<Assignment>,
}

impl AgentRecord {
    /// `tenant/name`, as people write it.
    pub fn key(&self) -> String {
        format!("{}/{}", self.tenant, self.name)
    }
}

/// A deletion that can still be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// When it was asked for.
    pub at: Timestamp,
    /// When its state goes for good; equal to `at` for a purge.
    pub until: Timestamp,
}

/// A secret as stored in the World: everything but its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretRecord {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Given at creation.
    pub uid: String,
    /// 1 for its first value.
    pub version: u64,
    /// When that was set.
    pub set_at: Timestamp,
    /// Keyed hash of the value (hex), to tell equal secrets without knowing them.
    pub hash: String,
}

/// A release that someone asked for by hand, or asked to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRecord {
    /// The OpenClaw version.
    pub version: String,
    /// When it was asked for, or asked to go.
    pub wanted_at: Timestamp,
    /// Whether it was asked to go: nodes remove it unless an agent needs it.
    #[serde(default)]
    pub unwanted: bool,
}

/// What a channel resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelRecord {
    /// `stable`, `daily` or `beta`.
    pub name: String,
    /// The OpenClaw version.
    pub version: String,
    /// When the registry said so.
    pub resolved_at: Timestamp,
}

/// A machine, as it introduced itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// What it has.
    pub capacity: Capacity,
    /// When it was first heard.
    pub joined_at: Timestamp,
}

/// One object as it is to be: `None` removes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A tenant, by name.
    Tenant(String, Option<TenantRecord>),
    /// An agent, by uid.
    Agent(AgentUid, Option<Box<AgentRecord>>),
    /// A secret, by tenant and name.
    Secret(SecretKey, Option<SecretRecord>),
    /// A release asked for by hand, by version.
    Release(String, Option<ReleaseRecord>),
    /// A channel, by name.
    Channel(String, Option<ChannelRecord>),
    /// A node, by name.
    Node(String, Option<NodeRecord>),
}

/// A change and why it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What.
    pub change: Change,
    /// Why, in a sentence for the history.
    pub why: String,
}

impl World {
    /// The World before anything was ever written: the default tenant comes with the store's first commit.
    pub fn empty() -> Self {
        Self { epoch: 1, ..Self::default() }
    }

    /// The next generation: that of a commit on top of this World.
    pub fn next_generation(&self) -> Generation {
        Generation { epoch: self.epoch, number: self.revision + 1 }
    }

    /// The World after these changes were committed at `revision`.
    pub fn apply<'a>(&mut self, revision: u64, changes: impl IntoIterator<Item = &'a Change>) {
        for change in changes {
            self.set(change);
        }
        self.revision = revision;
    }

    fn set(&mut self, change: &Change) {
        match change {
            Change::Tenant(key, record) => put(&mut self.tenants, key, record.clone()),
            Change::Agent(key, record) => put(&mut self.agents, key, record.as_deref().cloned()),
            Change::Secret(key, record) => put(&mut self.secrets, key, record.clone()),
            Change::Release(key, record) => put(&mut self.releases, key, record.clone()),
            Change::Channel(key, record) => put(&mut self.channels, key, record.clone()),
            Change::Node(key, record) => put(&mut self.nodes, key, record.clone()),
        }
    }

    /// The agent of this tenant and name that is not deleted.
    pub fn agent(&self, tenant: &str, name: &str) -> Option<&AgentRecord> {
        self.agents.values().find(|a| a.tenant == tenant && a.name == name && a.deleted.is_none())
    }

    /// The agent of this tenant and name that was deleted last and whose state is still there.
    pub fn deleted_agent(&self, tenant: &str, name: &str) -> Option<&AgentRecord> {
        let named = self.agents.values().filter(|a| a.tenant == tenant && a.name == name);
        named.filter(|a| a.deleted.is_some()).max_by_key(|a| a.deleted.as_ref().map(|d| d.at))
    }
}

fn put<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>, key: &K, record: Option<V>) {
    match record {
        Some(record) => drop(map.insert(key.clone(), record)),
        None => drop(map.remove(key)),
    }
}

/// What is observed: the newest report of each agent and when each node was heard. Absent means unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// By uid.
    pub agents: BTreeMap<AgentUid, AgentReport>,
    /// By node name.
    pub heard_at: BTreeMap<String, Timestamp>,
}
