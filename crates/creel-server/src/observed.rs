//! What is observed: the newest report of each agent and of each node. An older report never replaces a newer one,
//! a node speaks only of agents that are assigned to it, and what was stored by an earlier server is shown but
//! never believed to hold still.

use std::collections::BTreeMap;

use creel_api::agent::Condition;
use creel_api::event::Changed;
use creel_api::node::{AgentReport, Capacity, Hold, NodeReport, WardenInfo};
use creel_api::release::ReleaseOnNode;
use creel_core::world::{Seen, World};
use creel_store::is_newer;
use jiff::Timestamp;

use crate::events::changed;

/// Everything observed since the server started, and what was stored before.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) seen: Seen,
    pub(crate) nodes: BTreeMap<String, NodeView>,
}

/// What a node's warden said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeView {
    pub(crate) warden: WardenInfo,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) releases: Vec<ReleaseOnNode>,
    /// Whether this warden told everything once: from then on a part is enough.
    pub(crate) complete: bool,
}

/// What a report changed.
#[derive(Debug, Default)]
pub(crate) struct Noticed {
    /// What a watcher would notice.
    pub(crate) changed: Vec<Changed>,
    /// What is worth keeping.
    pub(crate) accepted: Vec<AgentReport>,
    /// What the node has, if the World knows it otherwise.
    pub(crate) capacity: Option<Capacity>,
    /// Whether the next report has to be complete.
    pub(crate) complete_wanted: bool,
}

impl Observed {
    /// What an earlier server stored. Nobody was heard yet, and whether anything still holds is unknown.
    pub(crate) fn remembered(reports: Vec<AgentReport>) -> Self {
        let unknown = |report: AgentReport| AgentReport { hold: Hold::Unknown, ..report };
        let agents = reports.into_iter().map(|report| (report.agent.clone(), unknown(report))).collect();
        Self { seen: Seen { agents, heard_at: BTreeMap::new() }, nodes: BTreeMap::new() }
    }

    /// Takes in what the warden of `node` says.
    pub(crate) fn hear(&mut self, world: &World, node: &str, report: NodeReport, now: Timestamp) -> Noticed {
        let mut noticed = Noticed::default();
        self.seen.heard_at.insert(node.to_owned(), now);
        let known = world.nodes.get(node).map(|record| &record.capacity);
        noticed.capacity = (known != Some(&report.capacity)).then_some(report.capacity);
        if report.complete {
            self.forget_absent(node, &report.agents);
        }
        for mut one in report.agents {
            node.clone_into(&mut one.node);
            self.hear_agent(world, one, &mut noticed);
        }
        let view = NodeView {
            warden: report.warden,
            conditions: report.conditions,
            releases: report.releases.into_iter().map(|r| ReleaseOnNode { node: node.into(), ..r }).collect(),
            complete: report.complete,
        };
        self.see_node(node, view, &mut noticed);
        noticed
    }

    fn hear_agent(&mut self, world: &World, report: AgentReport, noticed: &mut Noticed) {
        let Some(agent) = world.agents.get(&report.agent) else { return };
        if agent.assignment.as_ref().is_some_and(|told| told.node != report.node) {
            return;
        }
        let old = self.seen.agents.get(&report.agent);
        if old.is_some_and(|old| !replaces(&report, old)) {
            return;
        }
        if old.is_none_or(|old| is_noticeable(old, &report)) {
            noticed.changed.push(changed("Agent", agent.key()));
        }
        noticed.accepted.push(report.clone());
        self.seen.agents.insert(report.agent.clone(), report);
    }

    /// A complete report says of every agent that is not in it that it is not there.
    fn forget_absent(&mut self, node: &str, present: &[AgentReport]) {
        let is_present = |uid: &str| present.iter().any(|report| report.agent == uid);
        self.seen.agents.retain(|uid, report| report.node != node || is_present(uid));
    }

    fn see_node(&mut self, node: &str, mut view: NodeView, noticed: &mut Noticed) {
        let old = self.nodes.get(node);
        let same_warden = old.is_some_and(|old| old.warden == view.warden);
        view.complete |= same_warden && old.is_some_and(|old| old.complete);
        noticed.complete_wanted = !view.complete;
        if !same_warden || old.is_some_and(|old| old.conditions != view.conditions) {
            noticed.changed.push(changed("Node", node));
        }
        let before = old.map(|old| old.releases.as_slice()).unwrap_or_default();
        let news = view.releases.iter().filter(|release| !before.contains(release));
        let gone = before.iter().filter(|old| !view.releases.iter().any(|new| new.version == old.version));
        noticed.changed.extend(news.chain(gone).map(|release| changed("Release", &release.version)));
        self.nodes.insert(node.to_owned(), view);
    }
}

/// The same report again counts: after a server's start it is the first that is known to be true now.
fn replaces(new: &AgentReport, old: &AgentReport) -> bool {
    is_newer(new, old) || new.seq == old.seq
}

/// Whether a person would notice: everything but when it was said and how much memory it is at the moment.
fn is_noticeable(old: &AgentReport, new: &AgentReport) -> bool {
    let like_new = AgentReport { seq: new.seq, at: new.at, memory_bytes: new.memory_bytes, ..old.clone() };
    like_new != *new
}

#[cfg(test)]
mod tests {
    use creel_api::agent::Phase;
    use jiff::SignedDuration;

    use super::*;
    use crate::tests::{agent_record, agent_report};

    fn world() -> World {
        let mut world = World::empty();
        world.agents.insert("u1".into(), agent_record("u1", "default", "first"));
        world
    }

    fn said(agents: Vec<AgentReport>, complete: bool) -> NodeReport {
        NodeReport { agents, complete, ..NodeReport::default() }
    }

    fn hear(observed: &mut Observed, report: NodeReport) -> Noticed {
        observed.hear(&world(), "n1", report, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_older_report_changes_nothing_and_the_same_again_is_no_news() {
        let mut observed = Observed::default();
        let first = hear(&mut observed, said(vec![agent_report("u1", 2, Phase::Running)], true));
        assert!(first.changed.contains(&changed("Agent", "default/first")));
        let older = hear(&mut observed, said(vec![agent_report("u1", 1, Phase::Failed)], false));
        assert_eq!((older.accepted.len(), observed.seen.agents["u1"].phase), (0, Phase::Running));
        let again = hear(&mut observed, said(vec![agent_report("u1", 2, Phase::Running)], false));
        assert_eq!(again.changed, []);
    }

    #[test]
    fn more_memory_is_kept_and_is_no_news() {
        let mut observed = Observed::default();
        hear(&mut observed, said(vec![agent_report("u1", 1, Phase::Running)], true));
        let more = AgentReport { memory_bytes: Some(5), ..agent_report("u1", 2, Phase::Running) };
        let noticed = hear(&mut observed, said(vec![more], false));
        assert_eq!((noticed.changed.len(), noticed.accepted.len()), (0, 1));
    }

    #[test]
    fn what_was_stored_is_shown_but_its_hold_is_unknown_until_it_is_said_again() {
        let stored = agent_report("u1", 5, Phase::Running);
        let mut observed = Observed::remembered(vec![stored.clone()]);
        assert_eq!(observed.seen.agents["u1"].hold, Hold::Unknown);
        assert_eq!(observed.seen.agents["u1"].phase, Phase::Running);
        hear(&mut observed, said(vec![stored], true));
        assert_eq!(observed.seen.agents["u1"].hold, Hold::Held);
    }

    #[test]
    fn a_part_is_enough_only_after_the_same_warden_told_everything() {
        let mut observed = Observed::default();
        assert!(hear(&mut observed, said(vec![], false)).complete_wanted);
        assert!(!hear(&mut observed, said(vec![], true)).complete_wanted);
        assert!(!hear(&mut observed, said(vec![], false)).complete_wanted);
        let warden = WardenInfo { pid: 9, started_at: Some(Timestamp::UNIX_EPOCH), ..WardenInfo::default() };
        let next = NodeReport { warden, ..said(vec![], false) };
        assert!(hear(&mut observed, next).complete_wanted);
    }

    #[test]
    fn an_agent_that_is_not_in_a_complete_report_is_not_there() {
        let mut observed = Observed::default();
        hear(&mut observed, said(vec![agent_report("u1", 1, Phase::Running)], true));
        hear(&mut observed, said(vec![], false));
        assert_eq!(observed.seen.agents.len(), 1);
        hear(&mut observed, said(vec![], true));
        assert_eq!(observed.seen.agents.len(), 0);
    }

    #[test]
    fn nobody_speaks_of_agents_that_are_unknown() {
        let mut observed = Observed::default();
        let later = AgentReport {
            at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1),
            ..agent_report("u2", 9, Phase::Running)
        };
        assert_eq!(hear(&mut observed, said(vec![later], true)).accepted, []);
        assert_eq!(observed.seen.agents.len(), 0);
    }
}
