//! How an agent is, in the words of its user: what its warden reported last, set against what is wanted now.

use creel_api::agent::{AgentStatus, Phase, WaitingView};
use creel_api::node::{AgentReport, Hold, Intent};
use jiff::Timestamp;

use crate::fleet::plan_agent;
use crate::waiting::Waiting;
use crate::world::{AgentRecord, Seen, World};

/// The agent's status. A report of an older assignment never passes for the present one.
pub fn status(world: &World, seen: &Seen, agent: &AgentRecord, now: Timestamp) -> AgentStatus {
    let (_, mut waiting) = plan_agent(world, seen, agent, now);
    let report = seen.agents.get(&agent.uid).filter(|_| agent.assignment.is_some());
    let mut status = report.map_or_else(|| unseen(agent), |report| reported(agent, report));
    if report.is_none() && waiting.is_empty() {
        waiting.push(Waiting::ToBeSeen);
    }
    let mut views: Vec<WaitingView> = waiting.iter().map(Waiting::view).collect();
    views.append(&mut status.waiting);
    explain_from(&mut status, views.first());
    if agent.deleted.is_some() {
        terminating(&mut status, report, &views);
    }
    AgentStatus { waiting: views, ..status }
}

/// Nobody has said anything of it yet.
fn unseen(agent: &AgentRecord) -> AgentStatus {
    let assignment = agent.assignment.as_ref();
    AgentStatus {
        phase: Phase::Pending,
        since: Some(agent.created_at),
        node: assignment.map(|told| told.node.clone()),
        generation: assignment.map(|told| told.generation),
        release: agent.revisions.last().map(|revision| revision.release.clone()),
        ..AgentStatus::default()
    }
}

fn reported(agent: &AgentRecord, report: &AgentReport) -> AgentStatus {
    let told = agent.assignment.as_ref();
    let acted_on = report.generation == told.map(|told| told.generation);
    let wanted = agent.revisions.last().map(|revision| revision.release.clone());
    let mut status = AgentStatus {
        phase: report.phase,
        reason: report.reason.clone(),
        message: report.message.clone(),
        since: Some(report.since),
        deadline: report.deadline,
        node: told.map(|told| told.node.clone()),
        generation: told.map(|told| told.generation),
        release: report.release.clone().or(wanted),
        revision: report.revision,
        pid: report.pid,
        restarts: report.restarts,
        memory_bytes: report.memory_bytes,
        ready_at: report.ready_at,
        last_exit: report.last_exit.clone(),
        waiting: report.waiting.clone(),
        conditions: report.conditions.clone(),
    };
    let runs_by_order = told.is_some_and(|told| told.intent == Intent::Run);
    if agent.deleted.is_none() && !(acted_on && runs_by_order) {
        status.phase = if report.revision.is_some() { Phase::Updating } else { Phase::Pending };
        status.reason = "Assigned".into();
        status.message = "its warden has not acted on the last change yet".into();
    }
    status
}

/// Whatever has no reason of its own yet takes that of the first thing it waits for.
fn explain_from(status: &mut AgentStatus, first: Option<&WaitingView>) {
    if let Some(first) = first.filter(|_| status.reason.is_empty()) {
        status.reason.clone_from(&first.reason);
        status.message.clone_from(&first.message);
    }
}

fn terminating(status: &mut AgentStatus, report: Option<&AgentReport>, views: &[WaitingView]) {
    status.phase = Phase::Terminating;
    status.since = status.since.or(report.map(|report| report.since));
    if report.is_some_and(|report| matches!(report.hold, Hold::Free | Hold::Gone)) {
        status.reason.clear();
    }
    explain_from(status, views.first());
}
