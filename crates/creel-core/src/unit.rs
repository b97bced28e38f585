//! One agent as its warden sees it: from what is assigned and what is observed to the next steps. The warden
//! carries them out and looks again; it decides nothing by itself.
//!
//! The order of knowledge is fixed: first who holds the state, then whether the revision may run at all, and only
//! then whether something has to start or stop. One step at a time: the next is decided when the last is done.

use creel_api::agent::Phase;
use creel_api::node::{Assignment, Intent, Revision};
use creel_api::problem::Issue;
use jiff::{SignedDuration, Timestamp};

use crate::limits::{
    BACKOFF_FIRST_MS, BACKOFF_MOST_MS, REFUSALS_IN_A_ROW, SETTLE_MS, START_MS, STARTS_IN_A_ROW, STOP_MS,
};
use crate::waiting::Waiting;

/// One agent as its warden sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// Whether the server's wishes are known at all; until then nothing is touched.
    pub heard: bool,
    /// What the server wants of it; none if the server does not (or no longer) know it.
    pub assignment: Option<Assignment>,
    /// Whether this machine's agents are all to be stopped now (`creel down`), whatever is assigned.
    pub drain: bool,
    /// Who holds its state.
    pub keeper: Keeper,
    /// Whether there is a state folder at all.
    pub has_state: bool,
    /// The assigned revision's release on this node.
    pub release: Release,
    /// What the release says of the assigned revision's config.
    pub verdict: Verdict,
    /// The revision that ran last: what is started again while the assigned one may not run.
    pub previous: Option<u64>,
    /// When the gateway that runs showed that it had started; none while it has not.
    pub ready_at: Option<Timestamp>,
    /// Set when the gateway that runs was told to end.
    pub stopping: Option<Stopping>,
    /// What happened to its gateways so far.
    pub story: Story,
    /// The last step that failed for a reason outside the agent.
    pub trouble: Option<Trouble>,
}

/// Who holds an agent's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// Nobody has looked yet.
    Unknown,
    /// Nobody.
    Absent,
    /// Somebody, but no keeper answers.
    Foreign {
        /// Who, as far as can be seen.
        holder: String,
    },
    /// A keeper without a gateway.
    Idle,
    /// A keeper whose gateway runs.
    Running(Running),
    /// A keeper whose gateway ended; what it left behind is being cleared away.
    Ending(Running),
    /// A keeper whose gateway ended; its exit is not acknowledged yet.
    Ended(Running),
}

/// A gateway that runs, or ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its number.
    pub run: u64,
    /// What it runs.
    pub revision: u64,
    /// The release it runs.
    pub release: String,
    /// The restart request it fulfilled.
    pub restart: u64,
    /// When it was started.
    pub started_at: Timestamp,
}

/// The assigned revision's release on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Not there.
    Absent,
    /// On its way.
    Installing {
        /// What is being done.
        step: String,
        /// 0 to 1000.
        permille: u16,
    },
    /// There.
    Installed,
    /// It could not be installed.
    Failed {
        /// Cause and cure.
        message: String,
        /// When to try again.
        retry_at: Timestamp,
    },
}

/// What the release says of the assigned revision's config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was not asked yet.
    Unasked,
    /// It takes this revision.
    Good {
        /// The revision's number.
        revision: u64,
    },
    /// It refuses this revision.
    Refused {
        /// The revision's number.
        revision: u64,
        /// Each key that it refuses, and why.
        issues: Vec<Issue>,
    },
    /// The config could not even be made.
    Impossible {
        /// The revision's number.
        revision: u64,
        /// Cause and cure.
        message: String,
        /// When to try again: the cause may lie outside the spec.
        retry_at: Timestamp,
    },
}

/// A gateway that was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// The run.
    pub run: u64,
    /// When it is killed.
    pub kill_at: Timestamp,
    /// Whether it was killed already.
    pub killed: bool,
}

/// What happened to an agent's gateways so far; kept on disk by the warden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Whether a gateway of this agent was ever ready.
    pub was_ready: bool,
    /// How the last gateway ended; none before the first end.
    pub last_end: Option<End>,
    /// Bad ends in a row: before the gateway was ready, or soon after.
    pub bad_ends: u32,
    /// Starts again after a gateway had ended by itself.
    pub restarts: u64,
    /// The highest restart request that was fulfilled.
    pub restart: u64,
    /// The revision that the last gateway ran.
    pub revision: u64,
}

/// How a gateway ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub kind: EndKind,
    /// In a few words: `signal 9`, `exit 78: …`.
    pub words: String,
}

/// Why a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// creel told it to.
    Asked,
    /// It asked to be started again (OpenClaw's restart hand-off).
    HandOff,
    /// By itself, or by somebody else's signal.
    Crash,
    /// It refused its config or its state: starting it again as it is can't help.
    Refused,
}

/// A step that failed for a reason outside the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Cause and cure.
    pub message: String,
    /// When to try again.
    pub retry_at: Timestamp,
}

/// The next thing to do for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look who holds the state.
    Look,
    /// Install the release.
    Install {
        /// The OpenClaw version.
        release: String,
    },
    /// Render the revision's config and ask its release what it says.
    Check {
        /// The revision's number.
        revision: u64,
    },
    /// Claim the state and start a keeper.
    Launch,
    /// Start the gateway.
    Start {
        /// The assigned revision's number, or that of the previous one.
        revision: u64,
    },
    /// Tell the gateway to drain and end.
    Stop {
        /// The run.
        run: u64,
        /// When to lose patience.
        kill_at: Timestamp,
    },
    /// Kill the gateway's whole tree.
    Kill {
        /// The run.
        run: u64,
    },
    /// Write the end into the story and let the keeper forget it.
    Note {
        /// The run.
        run: u64,
    },
    /// End the keeper.
    Retire,
    /// End whatever else holds the state, or is left of it.
    Sweep,
    /// Remove the state for good.
    Remove,
}

/// What comes next, and how to say it.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitPlan {
    /// The next step, if there is one now.
    pub step: Option<Step>,
    /// What is wanted and not so yet.
    pub waiting: Vec<Waiting>,
    /// In one word.
    pub phase: Phase,
    /// Why, in one CamelCase word.
    pub reason: &'static str,
    /// Why, in a sentence.
    pub message: String,
    /// When to look again even if nothing happens; also the deadline of the phase.
    pub look_at: Option<Timestamp>,
}

/// Decides the next step for one agent.
pub fn plan(unit: &Unit, now: Timestamp) -> UnitPlan {
    let course = course(unit, now);
    let look_at = course.waiting.iter().filter_map(Waiting::until).min();
    let (phase, reason, message) = view(unit, &course.waiting);
    UnitPlan { step: course.step, waiting: course.waiting, phase, reason, message, look_at }
}

/// A step, or reasons why there is none, or both (a step that takes a while says what it is waited for).
#[derive(Default)]
struct Course {
    step: Option<Step>,
    waiting: Vec<Waiting>,
}

impl Course {
    fn take(step: Step) -> Self {
        Self { step: Some(step), waiting: vec![] }
    }

    fn wait(waiting: Waiting) -> Self {
        Self { step: None, waiting: vec![waiting] }
    }

    fn saying(self, waiting: Waiting) -> Self {
        Self { waiting: self.waiting.into_iter().chain([waiting]).collect(), ..self }
    }
}

fn course(unit: &Unit, now: Timestamp) -> Course {
    if unit.keeper == Keeper::Unknown {
        return Course::take(Step::Look).saying(Waiting::ToBeSeen);
    }
    if !unit.heard && !unit.drain {
        return Course::wait(Waiting::ServerToBeHeard);
    }
    if let Some(trouble) = unit.trouble.as_ref().filter(|trouble| now < trouble.retry_at) {
        return Course::wait(Waiting::NodeTrouble {
            message: trouble.message.clone(),
            until: trouble.retry_at,
        });
    }
    match wanted(unit) {
        Some(assignment) => toward_run(unit, assignment, now),
        None => toward_rest(unit, now),
    }
}

/// The assignment, if it says run and the machine is not being drained.
fn wanted(unit: &Unit) -> Option<&Assignment> {
    unit.assignment.as_ref().filter(|told| told.intent == Intent::Run && !unit.drain)
}

/// Stopped, its keeper gone, and its state too if so ordered.
fn toward_rest(unit: &Unit, now: Timestamp) -> Course {
    match &unit.keeper {
        Keeper::Running(running) => stop(unit, running, now),
        Keeper::Ending(_) => Course::wait(Waiting::TreeToClear),
        Keeper::Ended(ended) => Course::take(Step::Note { run: ended.run }),
        Keeper::Idle => Course::take(Step::Retire),
        Keeper::Foreign { .. } => Course::take(Step::Sweep),
        Keeper::Unknown | Keeper::Absent => remove_if_ordered(unit),
    }
}

fn remove_if_ordered(unit: &Unit) -> Course {
    let ordered = unit.assignment.as_ref().is_some_and(|told| told.intent == Intent::Remove);
    if ordered && unit.has_state {
        return Course::take(Step::Remove).saying(Waiting::StateToRemove);
    }
    Course::default()
}

fn stop(unit: &Unit, running: &Running, now: Timestamp) -> Course {
    match unit.stopping.filter(|stopping| stopping.run == running.run) {
        None => {
            let kill_at = now + SignedDuration::from_millis(STOP_MS);
            Course::take(Step::Stop { run: running.run, kill_at })
        }
        Some(stopping) if stopping.killed => Course::wait(Waiting::GatewayToDie),
        Some(stopping) if now >= stopping.kill_at => Course::take(Step::Kill { run: running.run }),
        Some(stopping) => Course::wait(Waiting::GatewayToStop { until: stopping.kill_at }),
    }
}

fn toward_run(unit: &Unit, told: &Assignment, now: Timestamp) -> Course {
    match &unit.keeper {
        Keeper::Ended(ended) => Course::take(Step::Note { run: ended.run }),
        Keeper::Ending(_) => Course::wait(Waiting::TreeToClear),
        Keeper::Running(running) => while_running(unit, told, running, now),
        Keeper::Foreign { holder } => {
            Course::take(Step::Sweep).saying(Waiting::HolderToLetGo { holder: holder.clone() })
        }
        Keeper::Unknown | Keeper::Absent | Keeper::Idle => start(unit, told, now),
    }
}

/// What runs goes on until what is to replace it is known to be able to run.
fn while_running(unit: &Unit, told: &Assignment, running: &Running, now: Timestamp) -> Course {
    let stopping = unit.stopping.is_some_and(|stopping| stopping.run == running.run);
    if stopping {
        return stop(unit, running, now);
    }
    if running.revision != told.revision.number {
        let may = may_run(unit, told, now);
        return may
            .map_or_else(|| stop(unit, running, now), |not_yet| during_start(unit, running, now, not_yet));
    }
    if running.restart < told.restart {
        return stop(unit, running, now);
    }
    during_start(unit, running, now, Course::default())
}

/// A start that shows nothing for too long is ended; it counts as a bad end.
fn during_start(unit: &Unit, running: &Running, now: Timestamp, otherwise: Course) -> Course {
    let until = running.started_at + SignedDuration::from_millis(START_MS);
    match unit.ready_at {
        Some(_) => otherwise,
        None if now >= until => Course::take(Step::Kill { run: running.run }),
        None => otherwise.saying(Waiting::GatewayToStart { until }),
    }
}

/// Starts the assigned revision, or while that may not run the one that ran last: an agent is never down because
/// of a change that can't be made.
fn start(unit: &Unit, told: &Assignment, now: Timestamp) -> Course {
    let wanted = told.revision.number;
    match (may_run(unit, told, now), unit.previous.filter(|previous| *previous != wanted)) {
        (None, _) => bring_up(unit, told, wanted, now),
        (Some(not_yet), Some(previous)) if not_yet.step.is_none() => {
            let course = bring_up(unit, told, previous, now);
            Course { waiting: not_yet.waiting.into_iter().chain(course.waiting).collect(), ..course }
        }
        (Some(not_yet), _) => not_yet,
    }
}

fn bring_up(unit: &Unit, told: &Assignment, revision: u64, now: Timestamp) -> Course {
    if let Some(hold) = hold_off(&unit.story, told, revision, now) {
        return Course::wait(hold);
    }
    if unit.keeper == Keeper::Absent {
        return Course::take(Step::Launch).saying(Waiting::KeeperToLaunch);
    }
    let until = now + SignedDuration::from_millis(START_MS);
    Course::take(Step::Start { revision }).saying(Waiting::GatewayToStart { until })
}

/// None if the assigned revision may run; else what has to come first.
fn may_run(unit: &Unit, told: &Assignment, now: Timestamp) -> Option<Course> {
    release_there(unit, told, now).or_else(|| config_taken(unit, told, now))
}

fn release_there(unit: &Unit, told: &Assignment, now: Timestamp) -> Option<Course> {
    let release = told.revision.release.clone();
    let install = Step::Install { release: release.clone() };
    let waiting = |step: &str, permille| Waiting::ReleaseToInstall {
        release: release.clone(),
        step: step.into(),
        permille,
    };
    match &unit.release {
        Release::Installed => None,
        Release::Absent => Some(Course::take(install).saying(waiting("about to begin", 0))),
        Release::Installing { step, permille } => Some(Course::wait(waiting(step, *permille))),
        Release::Failed { retry_at, .. } if now >= *retry_at => {
            Some(Course::take(install).saying(waiting("trying again", 0)))
        }
        Release::Failed { message, retry_at } => Some(Course::wait(Waiting::ReleaseFailed {
            release: release.clone(),
            message: message.clone(),
            until: *retry_at,
        })),
    }
}

fn config_taken(unit: &Unit, told: &Assignment, now: Timestamp) -> Option<Course> {
    let wanted = told.revision.number;
    let check =
        Course::take(Step::Check { revision: wanted }).saying(Waiting::ConfigToCheck { revision: wanted });
    match &unit.verdict {
        Verdict::Good { revision } if *revision == wanted => None,
        Verdict::Refused { revision, issues } if *revision == wanted => {
            Some(Course::wait(Waiting::ConfigRefused {
                revision: wanted,
                release: told.revision.release.clone(),
                issues: issues.clone(),
            }))
        }
        Verdict::Impossible { revision, message, retry_at } if *revision == wanted && now < *retry_at => {
            Some(Course::wait(Waiting::ConfigImpossible {
                revision: wanted,
                message: message.clone(),
                until: *retry_at,
            }))
        }
        _ => Some(check),
    }
}

/// Why the next start has to wait, if it has. A new revision or a restart that was asked for begins a new count.
fn hold_off(story: &Story, told: &Assignment, revision: u64, now: Timestamp) -> Option<Waiting> {
    let anew = told.restart > story.restart || revision != story.revision;
    let end = story.last_end.as_ref().filter(|_| !anew)?;
    let most = if end.kind == EndKind::Refused { REFUSALS_IN_A_ROW } else { STARTS_IN_A_ROW };
    if story.bad_ends >= most {
        return Some(Waiting::GivenUp { ends: story.bad_ends, last: end.words.clone() });
    }
    let until = end.at + SignedDuration::from_millis(backoff_ms(story.bad_ends));
    (now < until).then_some(Waiting::BackOff { ends: story.bad_ends, until })
}

/// The first bad end is answered at once; then the pause doubles from one second.
fn backoff_ms(bad_ends: u32) -> i64 {
    match bad_ends {
        0 | 1 => 0,
        more => (BACKOFF_FIRST_MS << (more - 2).min(20)).min(BACKOFF_MOST_MS),
    }
}

/// The story after a gateway has ended.
pub fn noted(story: &Story, run: &Running, ready_at: Option<Timestamp>, end: End) -> Story {
    let settled = ready_at.is_some_and(|ready| end.at.as_millisecond() - ready.as_millisecond() >= SETTLE_MS);
    let asked = end.kind == EndKind::Asked;
    let same = run.revision == story.revision && run.restart == story.restart;
    let before = if same && !settled { story.bad_ends } else { 0 };
    Story {
        was_ready: story.was_ready || ready_at.is_some(),
        bad_ends: if asked || settled { 0 } else { before + 1 },
        restarts: story.restarts + u64::from(matches!(end.kind, EndKind::Crash | EndKind::Refused)),
        restart: run.restart,
        revision: run.revision,
        last_end: Some(end),
    }
}

/// Whether two revisions run the same thing. Going back to what still runs is no reason to restart it.
pub fn is_same(one: &Revision, other: &Revision) -> bool {
    *one == Revision {
        number: one.number,
        at: one.at,
        release_wish: one.release_wish.clone(),
        ..other.clone()
    }
}

fn view(unit: &Unit, waiting: &[Waiting]) -> (Phase, &'static str, String) {
    let first = waiting.first();
    let said = |fallback: &str| first.map_or_else(|| fallback.to_owned(), Waiting::sentence);
    let reason = first.map_or("Stopped", Waiting::reason);
    let unheard = !unit.heard && !unit.drain;
    if unheard {
        return (Phase::Pending, reason, said(""));
    }
    let Some(told) = wanted(unit) else {
        return (rest_phase(unit), rest_reason(unit), said("its gateway does not run"));
    };
    if let (Keeper::Running(running), Some(_)) = (&unit.keeper, unit.ready_at) {
        return while_ready(unit, told, running, first);
    }
    if waiting.iter().any(|waiting| matches!(waiting, Waiting::GivenUp { .. })) {
        return (Phase::Failed, reason, said(""));
    }
    let reason = if first.is_some() { reason } else { "Working" };
    (coming_phase(unit, told), reason, said("it is being brought up"))
}

fn while_ready(
    unit: &Unit,
    told: &Assignment,
    running: &Running,
    first: Option<&Waiting>,
) -> (Phase, &'static str, String) {
    let stopping = unit.stopping.is_some_and(|stopping| stopping.run == running.run);
    let other = running.revision != told.revision.number || running.restart < told.restart;
    let refused = matches!(first, Some(Waiting::ConfigRefused { .. } | Waiting::ConfigImpossible { .. }));
    let said = first.map_or_else(|| "the gateway answers".to_owned(), Waiting::sentence);
    let reason = first.map_or("GatewayStarted", Waiting::reason);
    if refused {
        return (Phase::Degraded, reason, format!("revision {} goes on: {said}", running.revision));
    }
    let phase = if stopping || other { Phase::Updating } else { Phase::Running };
    (phase, if phase == Phase::Updating && first.is_none() { "Restarting" } else { reason }, said)
}

fn rest_phase(unit: &Unit) -> Phase {
    match unit.assignment.as_ref().map(|told| told.intent) {
        Some(Intent::Run) => Phase::Suspended,
        _ => Phase::Terminating,
    }
}

fn rest_reason(unit: &Unit) -> &'static str {
    match (&unit.keeper, unit.assignment.as_ref()) {
        (Keeper::Running(_) | Keeper::Ending(_) | Keeper::Ended(_) | Keeper::Idle, _) => "Stopping",
        (_, None) => "NotAssigned",
        (_, Some(told)) if told.intent == Intent::Remove && unit.has_state => "StateToRemove",
        _ => "Stopped",
    }
}

/// Before it was ever ready it is being provisioned; after an end that nobody asked for it is recovering.
fn coming_phase(unit: &Unit, told: &Assignment) -> Phase {
    let crashed =
        unit.story.last_end.as_ref().is_some_and(|end| matches!(end.kind, EndKind::Crash | EndKind::Refused));
    match (&unit.keeper, unit.story.was_ready) {
        (Keeper::Unknown, _) => Phase::Pending,
        (Keeper::Ending(_) | Keeper::Ended(_), true) if unit.stopping.is_none() => Phase::Recovering,
        (_, true) if told.revision.number != unit.story.revision || told.restart > unit.story.restart => {
            Phase::Updating
        }
        (_, true) if crashed => Phase::Recovering,
        (_, true) => Phase::Updating,
        (_, false) if crashed => Phase::Recovering,
        (_, false) => Phase::Provisioning,
    }
}

#[cfg(test)]
#[path = "unit_tests.rs"]
mod tests;
