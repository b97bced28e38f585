//! One bot token, one agent: two agents that poll with the same token take each other's messages. Tokens are
//! compared by their keyed hashes, over all tenants, and another tenant's agent is never named.

use std::collections::BTreeMap;

use creel_core::world::{AgentRecord, Change, Decision, SecretRecord, TenantRecord, World};

use crate::refusal::Refusal;
use crate::upstream;

/// The World as one change would make it, without a copy of it: a World of ten thousand agents is large.
struct After<'a> {
    world: &'a World,
    change: Option<&'a Change>,
}

impl<'a> After<'a> {
    fn agents(&self) -> impl Iterator<Item = &'a AgentRecord> {
        let (uid, changed) = match self.change {
            Some(Change::Agent(uid, record)) => (Some(uid), record.as_deref()),
            _ => (None, None),
        };
        let others = self.world.agents.values().filter(move |agent| Some(&agent.uid) != uid);
        others.chain(changed).filter(|agent| agent.deleted.is_none())
    }

    fn tenant(&self, name: &str) -> Option<&'a TenantRecord> {
        match self.change {
            Some(Change::Tenant(changed, record)) if changed == name => record.as_ref(),
            _ => self.world.tenants.get(name),
        }
    }

    fn secret(&self, tenant: &str, name: &str) -> Option<&'a SecretRecord> {
        let key = (tenant.to_owned(), name.to_owned());
        match self.change {
            Some(Change::Secret(changed, record)) if *changed == key => record.as_ref(),
            _ => self.world.secrets.get(&key),
        }
    }

    /// Path -> name of the secrets that the agent uses, its tenant's defaults included.
    fn secrets(&self, agent: &AgentRecord) -> BTreeMap<String, String> {
        let defaults = self.tenant(&agent.tenant).map(|tenant| &tenant.spec.defaults.secrets);
        let all = defaults.into_iter().flatten().chain(&agent.spec.secrets);
        all.map(|(path, name)| (path.clone(), name.clone())).collect()
    }

    /// (hash, path) of each identity that the agent uses and that has a value.
    fn identities(&self, agent: &AgentRecord) -> Vec<(&'a str, String)> {
        let secrets = self.secrets(agent);
        let known = |path: String| {
            let secret = self.secret(&agent.tenant, secrets.get(&path)?)?;
            Some((secret.hash.as_str(), path))
        };
        upstream::identities(&secrets).into_iter().filter_map(known).collect()
    }
}

/// Path -> name of the secrets that the agent uses, its tenant's defaults included.
pub(crate) fn secrets(world: &World, agent: &AgentRecord) -> BTreeMap<String, String> {
    After { world, change: None }.secrets(agent)
}

/// An identity as an agent uses it.
struct Use<'a> {
    agent: &'a AgentRecord,
    path: String,
}

/// Refuses a decision after which an agent of this tenant would share an identity with any other agent.
pub(crate) fn check(world: &World, decision: &Decision, tenant: &str) -> Result<(), Refusal> {
    let after = After { world, change: Some(&decision.change) };
    let mut uses: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
    for agent in after.agents() {
        for (hash, path) in after.identities(agent) {
            uses.entry(hash).or_default().push(Use { agent, path });
        }
    }
    uses.values().try_for_each(|uses| check_one(uses, tenant))
}

fn check_one(uses: &[Use<'_>], tenant: &str) -> Result<(), Refusal> {
    let Some(ours) = uses.iter().find(|one| one.agent.tenant == tenant) else { return Ok(()) };
    let mut others = uses.iter().filter(|one| one.agent.uid != ours.agent.uid);
    let Some(first) = others.clone().next() else { return Ok(()) };
    let other = others.find(|one| one.agent.tenant == tenant);
    let whose = other.map_or_else(
        || "an agent of another tenant".to_owned(),
        |other| format!("the agent {}", other.agent.key()),
    );
    let path = if other.is_some() { &ours.path } else { &first.path };
    let detail = format!(
        "the secret at `{path}` of the agent {} is the same bot token that {whose} uses; two gateways with one bot token take each other's messages",
        ours.agent.key()
    );
    Err(Refusal::conflict(detail).hint("give each agent a bot of its own, or delete the other agent first"))
}
