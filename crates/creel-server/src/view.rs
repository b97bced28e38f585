//! Objects as the API answers them, made from the World and what is observed.

use std::collections::{BTreeMap, BTreeSet};

use creel_api::API_VERSION;
use creel_api::agent::{Agent, Phase};
use creel_api::meta::Metadata;
use creel_api::node::{Node, NodeStatus};
use creel_api::release::{Channel, Release, ReleaseOnNode, ReleaseStatus, Releases};
use creel_api::secret::{Secret, SecretStatus};
use creel_api::tenant::{Tenant, TenantStatus};
use creel_core::fleet;
use creel_core::place::is_heard;
use creel_core::world::{AgentRecord, NodeRecord, SecretRecord, TenantRecord, World};
use jiff::Timestamp;

use crate::channels::followed;
use crate::identity;
use crate::observed::Observed;
use crate::upstream;

/// What is looked at, and when.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) world: &'a World,
    pub(crate) observed: &'a Observed,
    pub(crate) now: Timestamp,
}

impl View<'_> {
    pub(crate) fn agent(&self, record: &AgentRecord) -> Agent {
        Agent {
            api_version: API_VERSION.into(),
            kind: "Agent".into(),
            metadata: Metadata {
                name: record.name.clone(),
                tenant: Some(record.tenant.clone()),
                labels: record.labels.clone(),
                uid: Some(record.uid.clone()),
                revision: Some(record.revision),
                created_at: Some(record.created_at),
                deleted_at: record.deleted.as_ref().map(|deletion| deletion.at),
            },
            spec: record.spec.clone(),
            status: Some(fleet::status(self.world, &self.observed.seen, record, self.now)),
        }
    }

    pub(crate) fn tenant(&self, record: &TenantRecord) -> Tenant {
        let live = |agent: &&AgentRecord| agent.tenant == record.name && agent.deleted.is_none();
        let agents: Vec<&AgentRecord> = self.world.agents.values().filter(live).collect();
        let is_running = |agent: &&&AgentRecord| {
            fleet::status(self.world, &self.observed.seen, agent, self.now).phase == Phase::Running
        };
        let running = agents.iter().filter(is_running).count() as u64;
        Tenant {
            api_version: API_VERSION.into(),
            kind: "Tenant".into(),
            metadata: Metadata {
                name: record.name.clone(),
                labels: record.labels.clone(),
                uid: Some(record.uid.clone()),
                revision: Some(record.revision),
                created_at: Some(record.created_at),
                ..Metadata::default()
            },
            spec: record.spec.clone(),
            status: Some(TenantStatus { agents: agents.len() as u64, running }),
        }
    }

    pub(crate) fn secret(&self, record: &SecretRecord) -> Secret {
        Secret {
            api_version: API_VERSION.into(),
            kind: "Secret".into(),
            metadata: Metadata {
                name: record.name.clone(),
                tenant: Some(record.tenant.clone()),
                uid: Some(record.uid.clone()),
                ..Metadata::default()
            },
            status: SecretStatus {
                version: record.version,
                set_at: record.set_at,
                used_by: secret_users(self.world, &record.tenant, &record.name),
            },
        }
    }

    pub(crate) fn node(&self, record: &NodeRecord) -> Node {
        let said = self.observed.nodes.get(&record.name);
        let assigned = self.world.agents.values().filter_map(|agent| agent.assignment.as_ref());
        Node {
            api_version: API_VERSION.into(),
            kind: "Node".into(),
            metadata: Metadata {
                name: record.name.clone(),
                created_at: Some(record.joined_at),
                ..Metadata::default()
            },
            status: NodeStatus {
                ready: is_heard(&self.observed.seen, &record.name, self.now),
                heard_at: self.observed.seen.heard_at.get(&record.name).copied(),
                agents: assigned.filter(|told| told.node == record.name).count() as u64,
                capacity: record.capacity.clone(),
                warden: said.map(|said| said.warden.clone()),
                conditions: said.map(|said| said.conditions.clone()).unwrap_or_default(),
            },
        }
    }

    /// Every release that is wanted, used, or on a node. `fault` is how asking the registry went.
    pub(crate) fn releases(&self, fault: Option<&String>) -> Releases {
        let mut versions: Vec<String> = self.versions().into_iter().collect();
        upstream::newest_first(&mut versions);
        let mut names: BTreeSet<String> = self.world.channels.keys().cloned().collect();
        names.extend(followed(self.world));
        Releases {
            api_version: API_VERSION.into(),
            kind: "List".into(),
            items: versions.iter().map(|version| self.release(version)).collect(),
            channels: names.into_iter().map(|name| self.channel(name, fault)).collect(),
        }
    }

    fn channel(&self, name: String, fault: Option<&String>) -> Channel {
        let known = self.world.channels.get(&name);
        let version = known.map(|channel| channel.version.clone());
        Channel {
            version,
            resolved_at: known.map(|channel| channel.resolved_at),
            fault: fault.cloned(),
            name,
        }
    }

    /// One release; what nobody has or wants is empty.
    pub(crate) fn release(&self, version: &str) -> Release {
        let wanted = self.world.releases.get(version).filter(|record| !record.unwanted);
        let channels = self.world.channels.values().filter(|channel| channel.version == version);
        Release {
            api_version: API_VERSION.into(),
            kind: "Release".into(),
            metadata: Metadata {
                name: version.to_owned(),
                created_at: wanted.map(|record| record.wanted_at),
                ..Metadata::default()
            },
            status: ReleaseStatus {
                channels: channels.map(|channel| channel.name.clone()).collect(),
                wanted: wanted.is_some(),
                used_by: release_users(self.world).remove(version).unwrap_or_default(),
                nodes: self.on_nodes(version),
            },
        }
    }

    fn on_nodes(&self, version: &str) -> Vec<ReleaseOnNode> {
        let said = self.observed.nodes.values().flat_map(|node| &node.releases);
        said.filter(|release| release.version == version).cloned().collect()
    }

    fn versions(&self) -> BTreeSet<String> {
        let wanted = self.world.releases.values().filter(|record| !record.unwanted);
        let wanted = wanted.map(|record| record.version.clone());
        let channels = self.world.channels.values().map(|channel| channel.version.clone());
        let used = release_users(self.world).into_keys();
        let there = self.observed.nodes.values().flat_map(|node| &node.releases);
        wanted.chain(channels).chain(used).chain(there.map(|release| release.version.clone())).collect()
    }
}

/// Version -> agents (`tenant/name`) that run it or are about to, or are kept and would run it again.
pub(crate) fn release_users(world: &World) -> BTreeMap<String, Vec<String>> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for agent in world.agents.values() {
        if let Some(revision) = agent.revisions.last() {
            users.entry(revision.release.clone()).or_default().push(agent.key());
        }
    }
    users
}

/// The live agents of the tenant that use this secret, by name.
pub(crate) fn secret_users(world: &World, tenant: &str, name: &str) -> Vec<String> {
    let live = world.agents.values().filter(|agent| agent.tenant == tenant && agent.deleted.is_none());
    let users = live.filter(|agent| identity::secrets(world, agent).values().any(|used| used == name));
    users.map(|agent| agent.name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}
