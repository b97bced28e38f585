//! One task per agent: observe, plan, carry out one step, look again. It holds what this warden has seen of the
//! agent; everything that must outlive the warden is in the record or with the keeper.

use std::sync::Arc;
use std::time::Duration;

use creel_api::agent::{LastExit, Phase};
use creel_api::keeper::Run;
use creel_api::node::{AgentReport, Assignment, Hold, Refused, Revision};
use creel_api::release::ReleaseState;
use creel_core::unit::{self, Keeper, Release, Running, Step, Stopping, Trouble, Unit, UnitPlan, Verdict};
use creel_core::waiting::Waiting;
use creel_openclaw::chat::MAIN;
use creel_openclaw::health::{Health, Probe};
use creel_openclaw::version::OpenClawVersion;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::folder::AgentFolder;
use crate::link::KeeperLink;
use crate::node::{Contact, Node};
use crate::record::Record;
use crate::{probe, usage};

/// How often a gateway that starts is asked whether it has: about 1 % of the fastest start there is.
const PROBE_EVERY: Duration = Duration::from_millis(100);

/// How often the memory of a gateway that runs is looked at.
const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// What the server wants of one agent, as far as this warden has heard.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) heard: bool,
    pub(crate) assignment: Option<Assignment>,
    pub(crate) drain: bool,
}

/// What this warden found when it looked who holds the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    NotYet,
    Absent,
    Foreign(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) node: Arc<Node>,
    pub(crate) uid: String,
    pub(crate) folder: AgentFolder,
    pub(crate) told: watch::Receiver<Told>,
    pub(crate) wake: Arc<Notify>,
    pub(crate) link: Option<KeeperLink>,
    pub(crate) looked: Looked,
    pub(crate) record: Record,
    pub(crate) verdict: Verdict,
    /// The config that its release took last.
    pub(crate) accepted: Option<Value>,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) trouble: Option<Trouble>,
    releases: watch::Receiver<()>,
    phase: Phase,
    since: Timestamp,
}

impl Agent {
    pub(crate) fn new(node: Arc<Node>, uid: String, told: watch::Receiver<Told>) -> Self {
        let folder = node.folder.agent(&uid);
        let releases = node.releases.subscribe();
        Self {
            record: Record::read(&folder),
            node,
            uid,
            folder,
            told,
            wake: Arc::default(),
            link: None,
            looked: Looked::NotYet,
            verdict: Verdict::Unasked,
            accepted: None,
            stopping: None,
            trouble: None,
            releases,
            phase: Phase::Pending,
            since: Timestamp::now(),
        }
    }

    /// Lives until nothing of the agent is left and nobody wants it.
    pub(crate) async fn live(mut self) {
        loop {
            let unit = self.observe();
            let plan = unit::plan(&unit, Timestamp::now());
            self.publish(&unit, &plan);
            match plan.step {
                Some(step) => self.take(step).await,
                None if is_over(&unit) => break,
                None => self.wait(&unit, plan.look_at).await,
            }
        }
        self.node.forget(&self.uid);
    }

    async fn take(&mut self, step: Step) {
        tracing::info!(agent = %self.uid, ?step, "next step");
        self.trouble = None;
        if let Err(trouble) = self.carry_out(step).await {
            tracing::warn!(agent = %self.uid, message = %trouble.message, "the step failed");
            self.trouble = Some(trouble);
        }
    }

    /// The assignment, unless it is older than one that was acted on already.
    pub(crate) fn assignment(&self) -> Option<Assignment> {
        let told = self.told.borrow();
        let newest = self.record.generation;
        told.assignment.clone().filter(|told| newest.is_none_or(|newest| told.generation >= newest))
    }

    /// The revision of this number, if it is the assigned one or the one that ran last.
    pub(crate) fn revision(&self, number: u64) -> Option<Revision> {
        let assigned = self.assignment().map(|told| told.revision);
        [assigned, self.record.previous.clone()]
            .into_iter()
            .flatten()
            .find(|revision| revision.number == number)
    }

    /// What the keeper says runs, or ran.
    pub(crate) fn run(&self) -> Option<Run> {
        self.link.as_ref()?.state()?.run
    }

    fn observe(&mut self) -> Unit {
        let (heard, drain) = {
            let told = self.told.borrow_and_update();
            (told.heard, told.drain)
        };
        self.releases.mark_unchanged();
        let assignment = self.assignment();
        let release = assignment.as_ref().map(|told| self.release(&told.revision.release));
        let keeper = self.keeper();
        Unit {
            heard,
            assignment,
            drain,
            has_state: self.folder.has_state(),
            release: release.unwrap_or(Release::Absent),
            verdict: self.verdict.clone(),
            previous: self.record.previous.as_ref().map(|revision| revision.number),
            ready_at: self.ready_at(&keeper),
            keeper,
            stopping: self.stopping,
            story: self.record.story.story(),
            trouble: self.trouble.clone(),
        }
    }

    fn keeper(&self) -> Keeper {
        let state = self.link.as_ref().map(KeeperLink::state);
        match (state, &self.looked) {
            (Some(None), _) | (None, Looked::NotYet) => Keeper::Unknown,
            (None, Looked::Absent) => Keeper::Absent,
            (None, Looked::Foreign(holder)) => Keeper::Foreign { holder: holder.clone() },
            (Some(Some(state)), _) => match state.run {
                None => Keeper::Idle,
                Some(run) if run.exit.is_some() => Keeper::Ended(running(&run)),
                Some(run) if run.ending => Keeper::Ending(running(&run)),
                Some(run) => Keeper::Running(Running { revision: self.runs(&run), ..running(&run) }),
            },
        }
    }

    /// The number of the revision that runs: the assigned one's if that is the same thing under a newer number.
    fn runs(&self, run: &Run) -> u64 {
        let started = self.record.previous.as_ref().filter(|previous| previous.number == run.revision);
        let assigned = self.assignment().map(|told| told.revision);
        let same = started.zip(assigned).filter(|(started, assigned)| unit::is_same(started, assigned));
        same.map_or(run.revision, |(_, assigned)| assigned.number)
    }

    fn ready_at(&self, keeper: &Keeper) -> Option<Timestamp> {
        let (Keeper::Running(now) | Keeper::Ending(now) | Keeper::Ended(now)) = keeper else { return None };
        self.record.running.as_ref().filter(|record| record.run == now.run)?.ready_at
    }

    fn release(&self, version: &str) -> Release {
        match self.node.releases.state(version) {
            ReleaseState::Absent => Release::Absent,
            ReleaseState::Installing { step, permille } => Release::Installing { step, permille },
            ReleaseState::Installed { .. } => Release::Installed,
            ReleaseState::Failed { message, retry_at } => {
                Release::Failed { message, retry_at: retry_at.unwrap_or(Timestamp::MAX) }
            }
        }
    }

    /// Waits for anything that could change the plan.
    async fn wait(&mut self, unit: &Unit, look_at: Option<Timestamp>) {
        let starting = matches!(unit.keeper, Keeper::Running(_)) && unit.ready_at.is_none();
        let pause = if starting { PROBE_EVERY } else { until(look_at) };
        let wake = Arc::clone(&self.wake);
        tokio::select! {
            () = wake.notified() => return,
            changed = self.told.changed() => {
                // The sender is the node itself; it ends only with the warden.
                drop(changed);
                return;
            }
            _ = self.releases.changed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        if starting {
            self.look_whether_ready().await;
        }
    }

    async fn look_whether_ready(&mut self) {
        let Some(run) = self.run().filter(|run| run.gateway.is_some() && run.exit.is_none()) else { return };
        let Ok(version) = run.release.parse::<OpenClawVersion>() else { return };
        let answer = probe::ask(run.port, Probe::Startup.path(&version)).await;
        if answer.as_ref().is_some_and(Health::has_started) {
            self.note_ready(run.run);
        }
    }

    fn note_ready(&mut self, run: u64) {
        if let Some(record) = self.record.running.as_mut().filter(|record| record.run == run) {
            record.ready_at = Some(Timestamp::now());
            self.save();
        }
    }

    /// Writes the record where a failure changes nothing but what a later warden knows.
    pub(crate) fn save(&self) {
        if let Err(error) = self.record.write(&self.folder) {
            tracing::warn!(agent = %self.uid, %error, "the agent's record could not be written");
        }
    }

    fn publish(&mut self, unit: &Unit, plan: &UnitPlan) {
        let now = Timestamp::now();
        if plan.phase != self.phase {
            (self.phase, self.since) = (plan.phase, now);
        }
        let run = self.run().filter(|run| run.exit.is_none() && !run.ending);
        let pid = run.as_ref().and_then(|run| run.gateway.as_ref()).map(|gateway| gateway.pid);
        let contact = run.as_ref().zip(unit.ready_at).map(|(run, ready_at)| Contact {
            port: run.port,
            token: self.record.token.clone(),
            owner: self.record.owner.clone().unwrap_or_else(|| MAIN.into()),
            ready_at,
        });
        let report = AgentReport {
            agent: self.uid.clone(),
            node: self.node.name.clone(),
            seq: 0,
            at: now,
            hold: hold(unit),
            generation: unit.assignment.as_ref().map(|told| told.generation),
            phase: plan.phase,
            reason: plan.reason.into(),
            message: plan.message.clone(),
            since: self.since,
            deadline: plan.look_at,
            revision: run.as_ref().map(|run| self.runs(run)),
            release: run.as_ref().map(|run| run.release.clone()),
            refused: refused(plan, &unit.verdict),
            pid: pid.and_then(|pid| u32::try_from(pid).ok()),
            restarts: unit.story.restarts,
            memory_bytes: pid.and_then(usage::memory_bytes),
            ready_at: unit.ready_at,
            last_exit: self.last_exit(),
            waiting: plan.waiting.iter().map(Waiting::view).collect(),
            conditions: self.node.agent_conditions(),
        };
        self.node.publish(report, contact);
    }

    fn last_exit(&self) -> Option<LastExit> {
        let story = self.record.story.story();
        let exit = self.record.story.exit.clone()?;
        Some(LastExit { code: exit.code, signal: exit.signal, at: story.last_end?.at })
    }
}

fn is_over(unit: &Unit) -> bool {
    unit.heard && unit.assignment.is_none() && !unit.has_state && unit.keeper == Keeper::Absent
}

fn hold(unit: &Unit) -> Hold {
    match &unit.keeper {
        Keeper::Unknown => Hold::Unknown,
        Keeper::Absent if unit.has_state => Hold::Free,
        Keeper::Absent => Hold::Gone,
        Keeper::Foreign { .. } | Keeper::Idle | Keeper::Running(_) | Keeper::Ending(_) | Keeper::Ended(_) => {
            Hold::Held
        }
    }
}

fn refused(plan: &UnitPlan, verdict: &Verdict) -> Option<Refused> {
    let shown = plan.waiting.iter().any(|waiting| matches!(waiting, Waiting::ConfigRefused { .. }));
    match verdict {
        Verdict::Refused { revision, issues } if shown => {
            Some(Refused { revision: *revision, issues: issues.clone() })
        }
        _ => None,
    }
}

pub(crate) fn running(run: &Run) -> Running {
    Running {
        run: run.run,
        revision: run.revision,
        release: run.release.clone(),
        restart: run.restart,
        started_at: Timestamp::from_microsecond(run.started_us).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// How long to wait at most: until the plan's own time, and never so long that the memory shown is old.
fn until(look_at: Option<Timestamp>) -> Duration {
    let left = look_at.map(|at| Timestamp::now().duration_until(at));
    let left = left.map(|left| Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1));
    left.map_or(MEASURE_EVERY, |left| left.min(MEASURE_EVERY))
}
