//! What is to be done for the whole fleet: from the World and what is seen of it to decisions and waitings. All
//! decisions of one plan are meant for one commit, and a plan applied leaves nothing to decide.

use std::collections::BTreeMap;

use creel_api::agent::AgentSpec;
use creel_api::node::{AgentReport, Assignment, Hold, Intent, Revision, SecretUse};
use jiff::Timestamp;

use crate::limits::REVISIONS_KEPT;
use crate::waiting::Waiting;
use crate::world::{AgentRecord, AgentUid, Change, Decision, Seen, World};
use crate::{place, spec};

pub use crate::status::status;

/// What is to be committed, and what has to wait.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// To be committed together; empty when there is nothing to decide.
    pub decisions: Vec<Decision>,
    /// For each agent that something wanted is not so yet of.
    pub waiting: BTreeMap<AgentUid, Vec<Waiting>>,
}

/// The channels whose version the release wishes of this World need.
pub const CHANNELS: [&str; 3] = ["stable", "daily", "beta"];

/// Decides for every agent.
pub fn plan(world: &World, seen: &Seen, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    for agent in world.agents.values() {
        let (decision, waiting) = plan_agent(world, seen, agent, now);
        plan.decisions.extend(decision);
        if !waiting.is_empty() {
            plan.waiting.insert(agent.uid.clone(), waiting);
        }
    }
    plan
}

/// Decides for one agent; [`plan`] is this for each.
pub(crate) fn plan_agent(
    world: &World,
    seen: &Seen,
    agent: &AgentRecord,
    now: Timestamp,
) -> (Option<Decision>, Vec<Waiting>) {
    let report = seen.agents.get(&agent.uid);
    match &agent.deleted {
        Some(deletion) if now >= deletion.until => forget(world, agent, report),
        Some(deletion) => (
            end(world, agent, Intent::Stop, "it was deleted"),
            vec![Waiting::StateKept { until: deletion.until }],
        ),
        None => run(world, seen, agent, now),
    }
}

/// A deleted agent whose time is over: its state goes first, then the record.
fn forget(
    world: &World,
    agent: &AgentRecord,
    report: Option<&AgentReport>,
) -> (Option<Decision>, Vec<Waiting>) {
    let gone = agent.assignment.as_ref().is_none_or(|assignment| is_gone(assignment, report));
    if gone {
        let why = format!("{} was deleted and nothing of it is left", agent.key());
        return (Some(Decision { change: Change::Agent(agent.uid.clone(), None), why }), vec![]);
    }
    (
        end(world, agent, Intent::Remove, "the time to take its deletion back is over"),
        vec![Waiting::StateToRemove],
    )
}

/// Only an answer to the order itself counts: the state may be gone in an older report, and come back since.
fn is_gone(assignment: &Assignment, report: Option<&AgentReport>) -> bool {
    let answered = report.filter(|report| report.generation == Some(assignment.generation));
    assignment.intent == Intent::Remove && answered.is_some_and(|report| report.hold == Hold::Gone)
}

fn end(world: &World, agent: &AgentRecord, intent: Intent, because: &str) -> Option<Decision> {
    let told = agent.assignment.as_ref()?;
    let wanted = Assignment { intent, ..told.clone() };
    assign(world, agent, agent.revisions.clone(), wanted, because)
}

/// An agent that is wanted: its revision, its node, its assignment.
fn run(world: &World, seen: &Seen, agent: &AgentRecord, now: Timestamp) -> (Option<Decision>, Vec<Waiting>) {
    let effective = effective(world, agent);
    let mut revisions = agent.revisions.clone();
    let mut waiting = match next_revision(world, agent, &effective, now) {
        Ok(new) => {
            revisions.extend(new);
            vec![]
        }
        Err(waiting) => waiting,
    };
    let Some(revision) = revisions.last().cloned() else { return (None, waiting) };
    let node = match node_of(world, seen, agent, now) {
        Ok(node) => node,
        Err(no_node) => {
            waiting.push(no_node);
            return (None, waiting);
        }
    };
    if !place::is_heard(seen, &node, now) {
        waiting.push(Waiting::NodeSilent { node: node.clone() });
    }
    let because = format!("revision {} is wanted on {node}", revision.number);
    let wanted = Assignment {
        agent: agent.uid.clone(),
        tenant: agent.tenant.clone(),
        name: agent.name.clone(),
        generation: world.next_generation(),
        node,
        intent: Intent::Run,
        restart: agent.restart,
        priority: effective.priority.unwrap_or_default(),
        revision,
    };
    (assign(world, agent, revisions, wanted, &because), waiting)
}

fn effective(world: &World, agent: &AgentRecord) -> AgentSpec {
    let tenant = world.tenants.get(&agent.tenant).map(|tenant| tenant.spec.defaults.clone());
    spec::effective(&tenant.unwrap_or_default(), &agent.spec)
}

fn node_of(world: &World, seen: &Seen, agent: &AgentRecord, now: Timestamp) -> Result<String, Waiting> {
    match &agent.assignment {
        Some(told) => Ok(told.node.clone()),
        None => place::pick(world, seen, now),
    }
}

/// A decision to tell the node this, unless it was told so already.
fn assign(
    world: &World,
    agent: &AgentRecord,
    mut revisions: Vec<Revision>,
    wanted: Assignment,
    because: &str,
) -> Option<Decision> {
    let generation = agent.assignment.as_ref().map_or(wanted.generation, |told| told.generation);
    if agent.assignment.as_ref() == Some(&Assignment { generation, ..wanted.clone() }) {
        return None;
    }
    revisions.drain(..revisions.len().saturating_sub(REVISIONS_KEPT));
    let assignment = Some(Assignment { generation: world.next_generation(), ..wanted });
    let record = AgentRecord { revisions, assignment, ..agent.clone() };
    let why = format!("{}: {because}", agent.key());
    Some(Decision { change: Change::Agent(agent.uid.clone(), Some(Box::new(record))), why })
}

/// The revision that the spec asks for, if it is not the last one already.
fn next_revision(
    world: &World,
    agent: &AgentRecord,
    spec: &AgentSpec,
    now: Timestamp,
) -> Result<Option<Revision>, Vec<Waiting>> {
    let last = agent.revisions.last();
    let release = release_of(world, last, spec);
    let secrets = secrets_of(world, agent, spec);
    let (release, secrets) = match (release, secrets) {
        (Ok(release), Ok(secrets)) => (release, secrets),
        (release, secrets) => {
            return Err(release.err().into_iter().chain(secrets.err().into_iter().flatten()).collect());
        }
    };
    let wanted = Revision {
        number: last.map_or(0, |last| last.number) + 1,
        at: now,
        release_wish: spec.release.clone().unwrap_or_default(),
        release,
        config: spec.config.clone(),
        env: spec.env.clone(),
        secrets,
        resources: spec.resources.clone(),
        agent_may_edit: spec.agent_may_edit.unwrap_or(true),
    };
    let same =
        last.is_some_and(|last| *last == Revision { number: last.number, at: last.at, ..wanted.clone() });
    Ok((!same).then_some(wanted))
}

/// The exact version. An agent that follows a channel keeps the version it has: moving a fleet to a new release is
/// a rollout, not a side effect of the registry's news.
fn release_of(world: &World, last: Option<&Revision>, spec: &AgentSpec) -> Result<String, Waiting> {
    let wish = spec.release.clone().unwrap_or_default();
    if let Some(last) = last.filter(|last| last.release_wish == wish) {
        return Ok(last.release.clone());
    }
    if !CHANNELS.contains(&wish.as_str()) {
        return Ok(wish);
    }
    let resolved = world.channels.get(&wish).map(|channel| channel.version.clone());
    resolved.ok_or(Waiting::ChannelUnresolved { channel: wish })
}

fn secrets_of(
    world: &World,
    agent: &AgentRecord,
    spec: &AgentSpec,
) -> Result<BTreeMap<String, SecretUse>, Vec<Waiting>> {
    let mut uses = BTreeMap::new();
    let mut missing = Vec::new();
    for (path, name) in &spec.secrets {
        match world.secrets.get(&(agent.tenant.clone(), name.clone())) {
            Some(secret) => {
                uses.insert(path.clone(), SecretUse { name: name.clone(), version: secret.version });
            }
            None => missing.push(Waiting::SecretMissing { secret: name.clone(), path: path.clone() }),
        }
    }
    if missing.is_empty() { Ok(uses) } else { Err(missing) }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
