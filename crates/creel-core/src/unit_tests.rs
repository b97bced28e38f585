//! Text fixtures of one agent's decisions. A model of a world in which every step succeeds carries the steps out;
//! `check` also asserts that this comes to an end with nothing left to decide.

use std::collections::BTreeMap;

use creel_api::agent::Resources;
use creel_api::meta::Generation;
use creel_api::node::Revision;
use proptest::prelude::*;
use serde_json::Map;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn told(intent: Intent, revision: u64, restart: u64) -> Assignment {
    Assignment {
        agent: "u".into(),
        tenant: "t".into(),
        name: "a".into(),
        generation: Generation { epoch: 1, number: 5 },
        node: "n".into(),
        intent,
        restart,
        priority: 100,
        revision: Revision {
            number: revision,
            at: at(-100),
            release_wish: "stable".into(),
            release: "2026.9.6".into(),
            config: Map::new(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            resources: Resources::default(),
            agent_may_edit: true,
        },
    }
}

fn running(revision: u64, since: i64) -> Running {
    Running { run: 1, revision, release: "2026.9.6".into(), restart: 0, started_at: at(-since) }
}

/// Reads a unit, words in any order: `run|stop|remove|unassigned`, `revision N`, `restart N`, `drain`; `keeper
/// unknown|absent|foreign|idle`, `running N since S [ending]`, `ended N since S`, `ready S` (seconds ago), `stopping S` (kill in S),
/// `killed`; `release absent|installing|failed`; `unasked|refused|impossible`; `previous N`; `crashed N` (bad ends, the last just now); `trouble`;
/// `stateless`; `unheard`.
fn read(text: &str) -> Unit {
    let words: Vec<&str> = text.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    let word = |key: &str| words.iter().position(|word| *word == key).map(|at| words[at + 1]);
    let number = |key: &str| word(key).map(|n| n.parse::<i64>().unwrap());
    let revision = number("revision").map_or(1, |n| n as u64);
    let intent = if has("stop") {
        Intent::Stop
    } else if has("remove") {
        Intent::Remove
    } else {
        Intent::Run
    };
    let since = number("since").unwrap_or(30);
    let keeper = match (number("running"), number("ended"), word("keeper")) {
        (Some(n), ..) if has("ending") => Keeper::Ending(running(n as u64, since)),
        (Some(n), ..) => Keeper::Running(running(n as u64, since)),
        (_, Some(n), _) => Keeper::Ended(running(n as u64, since)),
        (.., Some("unknown")) => Keeper::Unknown,
        (.., Some("foreign")) => Keeper::Foreign { holder: "pid 7".into() },
        (.., Some("idle")) => Keeper::Idle,
        _ => Keeper::Absent,
    };
    let bad_ends = number("crashed").map(|n| n as u32);
    let end = End { at: at(0), kind: EndKind::Crash, words: "signal 9".into() };
    Unit {
        heard: !has("unheard"),
        assignment: (!has("unassigned"))
            .then(|| told(intent, revision, number("restart").map_or(0, |n| n as u64))),
        drain: has("drain"),
        keeper,
        has_state: !has("stateless"),
        release: match word("release") {
            Some("absent") => Release::Absent,
            Some("installing") => Release::Installing { step: "downloading".into(), permille: 500 },
            Some("failed") => Release::Failed { message: "no network".into(), retry_at: at(60) },
            _ => Release::Installed,
        },
        verdict: if has("unasked") {
            Verdict::Unasked
        } else if has("refused") {
            let issues = vec![Issue { path: "gateway.portt".into(), message: "unknown key".into() }];
            Verdict::Refused { revision, issues }
        } else if has("impossible") {
            Verdict::Impossible { revision, message: "no practice model".into(), retry_at: at(30) }
        } else {
            Verdict::Good { revision }
        },
        previous: number("previous").map(|n| n as u64),
        ready_at: number("ready").map(|ago| at(-ago)),
        stopping: number("stopping").map(|s| Stopping { run: 1, kill_at: at(s), killed: has("killed") }),
        story: Story {
            was_ready: bad_ends.is_some() || number("ready").is_some(),
            last_end: bad_ends.map(|_| end),
            bad_ends: bad_ends.unwrap_or(0),
            revision: if bad_ends.is_some() { 1 } else { 0 },
            ..Story::default()
        },
        trouble: has("trouble").then(|| Trouble { message: "no fork".into(), retry_at: at(5) }),
    }
}

/// The unit after this step went well.
fn carried_out(unit: &Unit, step: &Step, now: Timestamp) -> Unit {
    let mut next = unit.clone();
    match step {
        Step::Look => next.keeper = Keeper::Absent,
        Step::Install { .. } => next.release = Release::Installed,
        Step::Check { revision } => next.verdict = Verdict::Good { revision: *revision },
        Step::Launch => next.keeper = Keeper::Idle,
        Step::Start { revision } => {
            let told = unit.assignment.as_ref().unwrap();
            let run = Running { restart: told.restart, started_at: now, ..running(*revision, 0) };
            next.keeper = Keeper::Running(run);
            next.ready_at = Some(now);
        }
        Step::Stop { .. } | Step::Kill { .. } => {
            let Keeper::Running(run) = &unit.keeper else { panic!("{step:?} without a run") };
            next.keeper = Keeper::Ended(run.clone());
        }
        Step::Note { .. } => {
            let Keeper::Ended(run) = &unit.keeper else { panic!("nothing to note") };
            let end = End { at: now, kind: EndKind::Asked, words: "exit 0".into() };
            next.story = noted(&unit.story, run, unit.ready_at, end);
            (next.keeper, next.ready_at, next.stopping) = (Keeper::Idle, None, None);
        }
        Step::Retire | Step::Sweep => next.keeper = Keeper::Absent,
        Step::Remove => next.has_state = false,
    }
    next
}

/// Asserts that steps that go well come to an end.
fn settle(mut unit: Unit, now: Timestamp) -> (Unit, Vec<Step>) {
    let mut steps = Vec::new();
    while let Some(step) = plan(&unit, now).step {
        unit = carried_out(&unit, &step, now);
        steps.push(step);
        assert!(steps.len() < 12, "no end: {steps:?}");
    }
    (unit, steps)
}

fn check(unit: &str, expected: &str) {
    let unit = read(unit);
    let plan = plan(&unit, at(0));
    let step = plan.step.as_ref().map_or("nothing".into(), |step| format!("{step:?}"));
    let step = step.split([' ', '{']).next().unwrap_or_default().to_owned();
    let waiting: Vec<&str> = plan.waiting.iter().map(Waiting::reason).collect();
    assert_eq!(format!("{step} {:?} [{}]", plan.phase, waiting.join(" ")), expected);
    settle(unit, at(0));
}

#[test]
fn first_it_is_seen_who_holds_the_state() {
    check("run keeper unknown", "Look Pending [ToBeSeen]");
}

#[test]
fn a_warden_that_has_not_heard_the_servers_wishes_touches_nothing() {
    check("unassigned unheard running 1 ready 9", "nothing Pending [ServerToBeHeard]");
    check("unassigned unheard keeper unknown", "Look Pending [ToBeSeen]");
    check("unassigned unheard drain running 1 ready 9", "Stop Terminating []");
}

#[test]
fn a_new_agent_is_brought_up_step_by_step() {
    check("run release absent unasked", "Install Provisioning [ReleaseToInstall]");
    check("run release installing unasked", "nothing Provisioning [ReleaseToInstall]");
    check("run unasked", "Check Provisioning [ConfigToCheck]");
    check("run", "Launch Provisioning [KeeperToLaunch]");
    check("run keeper idle", "Start Provisioning [GatewayToStart]");
    check("run running 1 since 3", "nothing Provisioning [GatewayToStart]");
    check("run running 1 ready 2", "nothing Running []");
    let (_, steps) = settle(read("run keeper unknown release absent unasked"), at(0));
    assert_eq!(steps.len(), 5);
}

#[test]
fn a_release_that_failed_is_tried_again_in_its_time() {
    check("run release failed", "nothing Provisioning [ReleaseFailed]");
    assert!(matches!(plan(&read("run release failed"), at(61)).step, Some(Step::Install { .. })));
}

#[test]
fn a_refused_config_never_reaches_a_start_and_what_runs_goes_on() {
    check("run refused", "nothing Provisioning [ConfigRefused]");
    check("run revision 2 refused running 1 ready 9", "nothing Degraded [ConfigRefused]");
    check("run revision 2 impossible running 1 ready 9", "nothing Degraded [ConfigImpossible]");
}

#[test]
fn while_the_assigned_revision_may_not_run_the_previous_one_is_started_again() {
    check(
        "run revision 2 refused previous 1 keeper idle crashed 1",
        "Start Updating [ConfigRefused GatewayToStart]",
    );
    check(
        "run revision 2 release failed previous 1 crashed 1",
        "Launch Updating [ReleaseFailed KeeperToLaunch]",
    );
    check(
        "run revision 2 refused previous 1 keeper idle crashed 3",
        "nothing Updating [ConfigRefused BackOff]",
    );
    check(
        "run revision 2 refused previous 1 keeper idle crashed 8",
        "nothing Failed [ConfigRefused GivenUp]",
    );
    check("run revision 2 refused previous 2 keeper idle", "nothing Provisioning [ConfigRefused]");
}

#[test]
fn a_new_revision_is_checked_while_the_old_one_runs_and_then_replaces_it() {
    check("run revision 2 unasked running 1 ready 9", "Check Updating [ConfigToCheck]");
    check("run revision 2 release absent unasked running 1 ready 9", "Install Updating [ReleaseToInstall]");
    check("run revision 2 running 1 ready 9", "Stop Updating []");
    check("run revision 2 running 1 ready 9 stopping 20", "nothing Updating [GatewayToStop]");
    check("run revision 2 running 1 ready 9 stopping 0", "Kill Updating []");
    check("run revision 2 running 1 ready 9 stopping 0 killed", "nothing Updating [GatewayToDie]");
}

#[test]
fn a_revision_that_runs_the_same_thing_is_the_same_whatever_its_number() {
    let [one, other] = [1, 2].map(|number| told(Intent::Run, number, 0).revision);
    let renamed = Revision { release_wish: "daily".into(), at: at(0), ..other.clone() };
    assert!(is_same(&one, &other) && is_same(&one, &renamed));
    assert!(!is_same(&one, &Revision { release: "2026.9.7".into(), ..other }));
}

#[test]
fn a_restart_that_was_asked_for_happens_once() {
    check("run restart 1 running 1 ready 9", "Stop Updating []");
    let (unit, _) = settle(read("run restart 1 running 1 ready 9"), at(0));
    assert_eq!(plan(&unit, at(0)).phase, Phase::Running);
}

#[test]
fn a_gateway_that_died_is_started_again_at_once_and_then_with_growing_pauses() {
    check("run running 1 ready 90 ending", "nothing Recovering [TreeToClear]");
    check("run ended 1 ready 90", "Note Recovering []");
    check("run keeper idle crashed 1", "Start Recovering [GatewayToStart]");
    check("run keeper idle crashed 2", "nothing Recovering [BackOff]");
    check("run keeper idle crashed 8", "nothing Failed [GivenUp]");
    let pauses: Vec<i64> = (1..=12).map(backoff_ms).collect();
    assert_eq!(pauses[..5], [0, 1_000, 2_000, 4_000, 8_000]);
    assert_eq!(pauses[11], BACKOFF_MOST_MS);
}

#[test]
fn a_gateway_that_refuses_what_it_is_given_is_not_started_over_and_over() {
    let mut unit = read("run keeper idle crashed 2");
    let end = unit.story.last_end.as_mut().unwrap();
    *end = End { kind: EndKind::Refused, words: "exit 78".into(), ..end.clone() };
    assert!(matches!(plan(&unit, at(0)).waiting[..], [Waiting::GivenUp { ends: 2, .. }]));
}

#[test]
fn a_restart_or_a_new_revision_leads_out_of_failed() {
    check("run restart 1 keeper idle crashed 8", "Start Updating [GatewayToStart]");
    check("run revision 2 keeper idle crashed 8", "Start Updating [GatewayToStart]");
}

#[test]
fn a_start_that_shows_nothing_is_ended_in_its_time_and_not_before() {
    check("run running 1 since 299", "nothing Provisioning [GatewayToStart]");
    check("run running 1 since 300", "Kill Provisioning []");
}

#[test]
fn a_stopped_agent_lets_go_of_everything() {
    check("stop running 1 ready 9", "Stop Terminating []");
    check("stop running 1 ending", "nothing Terminating [TreeToClear]");
    check("stop ended 1", "Note Terminating []");
    check("stop keeper idle", "Retire Terminating []");
    check("stop keeper foreign", "Sweep Terminating []");
    check("stop", "nothing Terminating []");
    check("unassigned running 1 ready 9", "Stop Terminating []");
}

#[test]
fn state_is_removed_only_when_ordered_and_only_when_nobody_holds_it() {
    check("remove running 1 ready 9", "Stop Terminating []");
    check("remove", "Remove Terminating [StateToRemove]");
    check("remove stateless", "nothing Terminating []");
    let (_, steps) = settle(read("unassigned running 1 ready 9"), at(0));
    assert!(!steps.contains(&Step::Remove));
}

#[test]
fn a_drained_machine_stops_what_is_assigned_and_keeps_its_state() {
    check("run drain running 1 ready 9", "Stop Suspended []");
    check("run drain", "nothing Suspended []");
}

#[test]
fn somebody_else_who_holds_the_state_has_to_end_first() {
    check("run keeper foreign", "Sweep Provisioning [HolderToLetGo]");
}

#[test]
fn trouble_outside_the_agent_is_named_and_waited_for() {
    check("run keeper idle trouble", "nothing Provisioning [NodeTrouble]");
    assert_eq!(plan(&read("run keeper idle trouble"), at(5)).step, Some(Step::Start { revision: 1 }));
}

#[test]
fn an_end_soon_after_the_start_is_bad_and_one_after_the_settle_time_is_not() {
    let story = Story { revision: 1, bad_ends: 3, ..Story::default() };
    let end = |kind| End { at: at(0), kind, words: String::new() };
    let settled = at(-SETTLE_MS / 1_000);
    assert_eq!(noted(&story, &running(1, 60), None, end(EndKind::Crash)).bad_ends, 4);
    assert_eq!(noted(&story, &running(1, 60), Some(at(-1)), end(EndKind::HandOff)).bad_ends, 4);
    assert_eq!(noted(&story, &running(1, 60), Some(settled), end(EndKind::Crash)).bad_ends, 0);
    assert_eq!(noted(&story, &running(2, 60), None, end(EndKind::Crash)).bad_ends, 1);
    let asked = noted(&story, &running(1, 60), Some(at(-1)), end(EndKind::Asked));
    assert_eq!((asked.bad_ends, asked.restarts), (0, 0));
}

proptest! {
    /// From whatever it is in, an agent whose steps go well comes to rest, and says what it is.
    #[test]
    fn steps_that_go_well_come_to_an_end(
        intent in prop_oneof![Just("run"), Just("stop"), Just("remove"), Just("unassigned"), Just("run drain")],
        keeper in prop_oneof![Just("keeper unknown"), Just("keeper absent"), Just("keeper idle"), Just("keeper foreign"),
            Just("running 1 since 3"), Just("running 1 ready 9"), Just("running 1 since 500"), Just("ended 1"), Just("ended 1 ready 90")],
        verdict in prop_oneof![Just(""), Just("unasked"), Just("refused"), Just("impossible")],
        release in prop_oneof![Just(""), Just("release absent"), Just("release installing"), Just("release failed")],
        crashed in prop_oneof![Just(""), Just("crashed 1"), Just("crashed 2"), Just("crashed 8")],
        stopping in prop_oneof![Just(""), Just("stopping 0"), Just("stopping 9"), Just("stopping 0 killed")],
        (revision, restart) in (1u64..3, 0u64..2),
        previous in prop_oneof![Just(""), Just("previous 1")],
    ) {
        let stopping = if keeper.starts_with("running") { stopping } else { "" };
        let text = format!("{intent} {keeper} {verdict} {release} {crashed} {stopping} revision {revision} restart {restart} {previous}");
        let (unit, _) = settle(read(&text), at(0));
        let plan = plan(&unit, at(0));
        prop_assert!(!plan.reason.is_empty() && !plan.message.is_empty(), "{text}: {plan:?}");
        let rests = wanted(&unit).is_none() || plan.phase == Phase::Running || !plan.waiting.is_empty() || unit.stopping.is_some();
        prop_assert!(rests, "{text} rests without a reason: {plan:?}");
    }
}
