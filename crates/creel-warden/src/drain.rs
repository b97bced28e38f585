//! Stopping every agent of this machine, as `creel down` does: each drains, and its state stays. No server is needed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use creel_api::agent::Phase;
use creel_api::node::{AgentReport, Desired, Hold};

use crate::agent::Told;
use crate::node::Node;
use crate::{WardenError, start_task};

/// How often the reports are looked at; the agents' own tasks are not waited for in any other way.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs until nobody holds the state of any agent on this machine.
pub(crate) async fn run(node: &Arc<Node>, last: Option<&Desired>) -> Result<(), WardenError> {
    let names = names(last);
    for uid in node.folder.agents_there() {
        let assignment =
            last.and_then(|desired| desired.assignments.iter().find(|told| told.agent == uid)).cloned();
        let told = Told { heard: true, assignment, drain: true };
        if let Some(receiver) = node.tell(&uid, told) {
            start_task(node, uid, receiver);
        }
    }
    let mut said = BTreeMap::new();
    loop {
        let known = node.known();
        let reports: Vec<AgentReport> = known.iter().filter_map(|uid| node.report(uid)).collect();
        reports.iter().for_each(|report| say(&names, &mut said, report));
        if reports.len() == known.len() && reports.iter().all(is_at_rest) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_at_rest(report: &AgentReport) -> bool {
    matches!(report.hold, Hold::Free | Hold::Gone)
}

fn names(last: Option<&Desired>) -> BTreeMap<String, String> {
    let assignments = last.into_iter().flat_map(|desired| &desired.assignments);
    assignments.map(|told| (told.agent.clone(), format!("{}/{}", told.tenant, told.name))).collect()
}

/// One line per agent and change; nobody reads it twice.
fn say(names: &BTreeMap<String, String>, said: &mut BTreeMap<String, &'static str>, report: &AgentReport) {
    let word = match (report.hold, report.phase) {
        (Hold::Unknown, _) => return,
        (Hold::Free | Hold::Gone, _) => "stopped",
        (Hold::Held, Phase::Suspended | Phase::Terminating) => "stopping",
        (Hold::Held, _) => return,
    };
    if said.get(&report.agent) == Some(&word) {
        return;
    }
    let first = said.insert(report.agent.clone(), word).is_none();
    // An agent that did not run at all is nothing to speak of.
    if first && word == "stopped" {
        return;
    }
    let name = names.get(&report.agent).unwrap_or(&report.agent);
    drop(writeln!(io::stdout(), "agent/{name} {word}"));
}
