//! Which node an agent goes to. The score is a struct in order of importance, so that the same world always gives
//! the same answer.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::limits::NODE_LEASE_MS;
use crate::waiting::Waiting;
use crate::world::{Seen, World};

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Score<'a> {
    agents: usize,
    node: &'a str, // the last field makes it deterministic
}

/// The node that has the fewest agents among those that were heard within their lease.
pub fn pick(world: &World, seen: &Seen, now: Timestamp) -> Result<String, Waiting> {
    let loads = loads(world);
    let heard = world.nodes.keys().filter(|node| is_heard(seen, node, now));
    let scored = heard.map(|node| Score { agents: loads.get(node.as_str()).copied().unwrap_or(0), node });
    let best = scored.min().map(|score| score.node.to_owned());
    best.ok_or(Waiting::NodeNeeded { silent: world.nodes.len() })
}

/// Whether the node's warden was heard within its lease.
pub fn is_heard(seen: &Seen, node: &str, now: Timestamp) -> bool {
    seen.heard_at.get(node).is_some_and(|at| now.as_millisecond() - at.as_millisecond() < NODE_LEASE_MS)
}

fn loads(world: &World) -> BTreeMap<&str, usize> {
    let mut loads = BTreeMap::new();
    for assignment in world.agents.values().filter_map(|agent| agent.assignment.as_ref()) {
        *loads.entry(assignment.node.as_str()).or_insert(0) += 1;
    }
    loads
}
