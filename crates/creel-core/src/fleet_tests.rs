//! Text fixtures of the fleet's decisions: a few lines of world in, decisions and waitings out. One `check` that
//! also asserts the law: a plan applied leaves nothing to decide.

use creel_api::agent::{AgentSpec, Phase};
use creel_api::node::{Capacity, Refused};
use creel_api::tenant::TenantSpec;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::world::{ChannelRecord, Deletion, NodeRecord, SecretRecord, TenantRecord};

const NOW_S: i64 = 1_000_000;

fn now() -> Timestamp {
    at(0)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW_S + seconds).unwrap()
}

/// Reads a world. Lines: `node n1 [silent]`, `tenant t release R`, `channel stable V`, `secret t/name vN`, `agent t/name …`
/// with `release R`, `secret path=name`, `restart N`, `deleted Ns` (seconds from now until its state goes), `on n1
/// generation G` (told revision 1 of its spec) and `reports PHASE [generation G] [gone]`.
fn read(text: &str) -> (World, Seen) {
    let mut world = World { revision: 10, ..World::empty() };
    let mut seen = Seen::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "node" => read_node(&mut world, &mut seen, &words),
            "tenant" => read_tenant(&mut world, &words),
            "channel" => read_channel(&mut world, &words),
            "secret" => read_secret(&mut world, &words),
            "agent" => read_agent(&mut world, &mut seen, &words),
            other => panic!("unknown line: {other}"),
        }
    }
    (world, seen)
}

fn after<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == key).map(|at| words[at + 1])
}

fn read_node(world: &mut World, seen: &mut Seen, words: &[&str]) {
    let name = words[1].to_owned();
    if !words.contains(&"silent") {
        seen.heard_at.insert(name.clone(), now());
    }
    let capacity = Capacity { memory_bytes: 8 << 30, cores: 2 };
    world.nodes.insert(name.clone(), NodeRecord { name, capacity, joined_at: at(-100) });
}

fn read_tenant(world: &mut World, words: &[&str]) {
    let defaults = AgentSpec { release: after(words, "release").map(Into::into), ..AgentSpec::default() };
    let record = TenantRecord {
        name: words[1].into(),
        uid: format!("u-{}", words[1]),
        labels: BTreeMap::new(),
        spec: TenantSpec { defaults },
        created_at: at(-100),
        revision: 1,
    };
    world.tenants.insert(record.name.clone(), record);
}

fn read_channel(world: &mut World, words: &[&str]) {
    let (name, version) = (words[1].to_owned(), words[2].to_owned());
    world.channels.insert(name.clone(), ChannelRecord { name, version, resolved_at: at(-10) });
}

fn read_secret(world: &mut World, words: &[&str]) {
    let (tenant, name) = words[1].split_once('/').unwrap();
    let record = SecretRecord {
        tenant: tenant.into(),
        name: name.into(),
        uid: words[1].into(),
        version: words[2].trim_start_matches('v').parse().unwrap(),
        set_at: at(-50),
        hash: "h".into(),
    };
    world.secrets.insert((tenant.into(), name.into()), record);
}

fn read_agent(world: &mut World, seen: &mut Seen, words: &[&str]) {
    let (tenant, name) = words[1].split_once('/').unwrap();
    let secrets = after(words, "secret").and_then(|pair| pair.split_once('='));
    let mut agent = AgentRecord {
        uid: format!("u-{name}"),
        name: name.into(),
        tenant: tenant.into(),
        labels: BTreeMap::new(),
        spec: AgentSpec {
            release: after(words, "release").map(Into::into),
            secrets: secrets.into_iter().map(|(path, name)| (path.into(), name.into())).collect(),
            ..AgentSpec::default()
        },
        created_at: at(-60),
        revision: 1,
        deleted: None,
        restart: 0,
        revisions: vec![],
        assignment: None,
    };
    if let Some(node) = after(words, "on") {
        tell(world, &mut agent, node, words);
    }
    agent.restart = after(words, "restart").map_or(0, |n| n.parse().unwrap());
    let until = after(words, "deleted").map(|n| at(n.trim_end_matches('s').parse().unwrap()));
    agent.deleted = until.map(|until| Deletion { at: at(-5), until });
    if let Some(phase) = after(words, "reports") {
        seen.agents.insert(agent.uid.clone(), report(&agent, phase, words));
    }
    world.agents.insert(agent.uid.clone(), agent);
}

/// The node was told what the planner of that time would have told it.
fn tell(world: &World, agent: &mut AgentRecord, node: &str, words: &[&str]) {
    let mut seen = Seen::default();
    seen.heard_at.insert(node.into(), now());
    let mut past = world.clone();
    past.nodes.retain(|name, _| name == node);
    let generation: u64 = after(words, "generation").map_or(5, |g| g.parse().unwrap());
    past.revision = generation - 1;
    let (decision, _) = plan_agent(&past, &seen, agent, at(-30));
    let Some(Decision { change: Change::Agent(_, Some(told)), .. }) = decision else {
        panic!("the fixture's agent can't be told anything: {words:?}")
    };
    *agent = *told;
}

fn report(agent: &AgentRecord, phase: &str, words: &[&str]) -> AgentReport {
    let told = agent.assignment.as_ref().unwrap();
    let gone = words.contains(&"gone");
    let reported = words.iter().rposition(|word| *word == "generation").map(|at| words[at + 1]);
    AgentReport {
        agent: agent.uid.clone(),
        node: told.node.clone(),
        seq: 1,
        at: now(),
        hold: if gone { Hold::Gone } else { Hold::Held },
        generation: reported.map(|g| format!("1.{g}").parse().unwrap()),
        phase: serde_json::from_value(json!(phase)).unwrap(),
        reason: String::new(),
        message: String::new(),
        since: at(-20),
        deadline: None,
        revision: Some(told.revision.number),
        release: Some(told.revision.release.clone()),
        refused: None::<Refused>,
        pid: Some(7),
        restarts: 0,
        memory_bytes: None,
        ready_at: None,
        last_exit: None,
        waiting: vec![],
        conditions: vec![],
    }
}

/// Plans, asserts the laws, and says what came of it, a line each.
fn decide(world: &World, seen: &Seen) -> Vec<String> {
    let plan = plan(world, seen, now());
    assert_plan_leaves_nothing(world, seen, &plan);
    let decisions = plan.decisions.iter().map(|decision| told(world, decision));
    let waiting = plan.waiting.iter().flat_map(|(uid, waiting)| {
        let key = world.agents[uid].key();
        waiting.iter().map(move |waiting| format!("{key} waits: {}", waiting.reason()))
    });
    decisions.chain(waiting).collect()
}

fn assert_plan_leaves_nothing(world: &World, seen: &Seen, plan: &Plan) {
    let mut next = world.clone();
    next.apply(world.revision + 1, plan.decisions.iter().map(|decision| &decision.change));
    let again = super::plan(&next, seen, now());
    assert_eq!(again.decisions, [], "a plan applied must leave nothing to decide");
    for agent in next.agents.values() {
        let told = agent.assignment.iter();
        told.for_each(|told| assert!(told.generation < next.next_generation(), "a generation of the future"));
    }
}

fn told(world: &World, decision: &Decision) -> String {
    let Change::Agent(uid, record) = &decision.change else { return format!("{:?}", decision.change) };
    let Some(record) = record else { return format!("forget {}", world.agents[uid].key()) };
    let told = record.assignment.as_ref().unwrap();
    let restart = if told.restart > 0 { format!(" restart {}", told.restart) } else { String::new() };
    format!(
        "{:?} {} on {} revision {} ({}){restart} generation {}",
        told.intent,
        record.key(),
        told.node,
        told.revision.number,
        told.revision.release,
        told.generation
    )
}

fn check(world: &str, expected: &str) {
    let (world, seen) = read(world);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(decide(&world, &seen), expected);
}

#[test]
fn a_new_agent_gets_a_revision_and_a_node_in_one_decision() {
    check("node n1\n agent t/a release 2026.9.6", "Run t/a on n1 revision 1 (2026.9.6) generation 1.11");
}

#[test]
fn an_agent_that_was_told_all_needs_nothing_more() {
    check("node n1\n agent t/a release 2026.9.6 on n1 generation 5", "");
}

#[test]
fn agents_are_spread_over_the_nodes_that_are_heard() {
    check(
        "node n1\n node n2\n node n3 silent\n agent t/old release 2026.9.6 on n1\n agent t/z release 2026.9.6",
        "Run t/z on n2 revision 1 (2026.9.6) generation 1.11",
    );
}

#[test]
fn an_agent_waits_for_a_node_when_none_is_heard() {
    check("node n1 silent\n agent t/a release 2026.9.6", "t/a waits: NodeNeeded");
}

#[test]
fn a_silent_node_keeps_its_agents() {
    check("node n1 silent\n node n2\n agent t/a release 2026.9.6 on n1", "t/a waits: NodeSilent");
}

#[test]
fn an_agent_waits_for_every_secret_that_is_missing_and_for_its_channel() {
    check(
        "node n1\n agent t/a secret channels.telegram.botToken=bot",
        "t/a waits: ChannelUnresolved\n t/a waits: SecretMissing",
    );
}

#[test]
fn the_tenants_release_holds_where_the_agent_names_none() {
    check(
        "node n1\n channel daily 2026.9.6\n tenant t release daily\n agent t/a",
        "Run t/a on n1 revision 1 (2026.9.6) generation 1.11",
    );
}

#[test]
fn a_channel_that_moved_on_moves_nobody_by_itself() {
    let (mut world, seen) = read("node n1\n channel stable 2026.7.34\n agent t/a on n1");
    read_channel(&mut world, &["channel", "stable", "2026.7.35"]);
    assert_eq!(decide(&world, &seen), Vec::<String>::new());
}

#[test]
fn a_new_version_of_a_secret_is_a_new_revision() {
    let (mut world, seen) =
        read("node n1\n secret t/bot v1\n agent t/a release 2026.9.6 secret x.y=bot on n1");
    read_secret(&mut world, &["secret", "t/bot", "v2"]);
    assert_eq!(decide(&world, &seen), ["Run t/a on n1 revision 2 (2026.9.6) generation 1.11"]);
}

#[test]
fn a_secret_that_vanished_leaves_what_runs_and_says_so() {
    let (mut world, seen) =
        read("node n1\n secret t/bot v1\n agent t/a release 2026.9.6 secret x.y=bot on n1");
    world.secrets.clear();
    assert_eq!(decide(&world, &seen), ["t/a waits: SecretMissing"]);
}

#[test]
fn a_restart_is_a_new_generation_of_the_same_revision() {
    check(
        "node n1\n agent t/a release 2026.9.6 on n1 restart 1",
        "Run t/a on n1 revision 1 (2026.9.6) restart 1 generation 1.11",
    );
}

#[test]
fn a_deleted_agent_is_stopped_and_its_state_kept() {
    check(
        "node n1\n agent t/a release 2026.9.6 on n1 deleted 60s reports Running generation 5",
        "Stop t/a on n1 revision 1 (2026.9.6) generation 1.11\n t/a waits: StateKept",
    );
}

#[test]
fn a_deleted_agent_that_was_never_told_to_run_is_only_kept_in_mind() {
    check("node n1\n agent t/a release 2026.9.6 deleted 60s", "t/a waits: StateKept");
    check("node n1\n agent t/a release 2026.9.6 deleted 0s", "forget t/a");
}

#[test]
fn when_the_time_is_over_the_state_goes_first_and_the_record_last() {
    let (mut world, mut seen) =
        read("node n1\n agent t/a release 2026.9.6 on n1 deleted 0s reports Running gone generation 5");
    assert_eq!(
        decide(&world, &seen),
        ["Remove t/a on n1 revision 1 (2026.9.6) generation 1.11", "t/a waits: StateToRemove"]
    );
    let plan = plan(&world, &seen, now());
    world.apply(11, plan.decisions.iter().map(|decision| &decision.change));
    seen.agents.get_mut("u-a").unwrap().generation =
        world.agents["u-a"].assignment.as_ref().map(|told| told.generation);
    assert_eq!(decide(&world, &seen), ["forget t/a"]);
}

#[test]
fn revisions_are_kept_up_to_their_limit_and_their_numbers_go_on() {
    let (mut world, seen) = read("node n1\n agent t/a release 2026.9.6 on n1");
    for round in 0..30 {
        let agent = world.agents.get_mut("u-a").unwrap();
        agent.spec.env.insert("ROUND".into(), round.to_string());
        let plan = plan(&world, &seen, now());
        world.apply(world.revision + 1, plan.decisions.iter().map(|decision| &decision.change));
    }
    let revisions = &world.agents["u-a"].revisions;
    assert_eq!((revisions.len(), revisions[REVISIONS_KEPT - 1].number), (REVISIONS_KEPT, 31));
}

#[test]
fn a_report_of_an_older_assignment_never_passes_for_the_present_one() {
    let (world, seen) =
        read("node n1\n agent t/a release 2026.9.6 on n1 generation 9 reports Running generation 5");
    let status = status(&world, &seen, &world.agents["u-a"], now());
    assert_eq!((status.phase, status.reason.as_str()), (Phase::Updating, "Assigned"));
}

#[test]
fn an_agent_whose_deletion_was_taken_back_is_on_its_way_and_not_terminating() {
    let (mut world, seen) =
        read("node n1\n agent t/a release 2026.9.6 on n1 generation 5 reports Terminating generation 5");
    let told = world.agents.get_mut("u-a").unwrap().assignment.as_mut().unwrap();
    told.intent = Intent::Stop;
    let status = status(&world, &seen, &world.agents["u-a"], now());
    assert_eq!((status.phase, status.reason.as_str()), (Phase::Updating, "Assigned"));
}

#[test]
fn a_status_without_a_report_says_what_it_waits_for() {
    let (world, seen) = read("node n1 silent\n agent t/a release 2026.9.6");
    let status = status(&world, &seen, &world.agents["u-a"], now());
    assert_eq!(
        (status.phase, status.reason.as_str(), status.waiting.len()),
        (Phase::Pending, "NodeNeeded", 1)
    );
}

#[test]
fn every_waiting_has_a_sentence_that_a_person_can_act_on() {
    let until = now() + SignedDuration::from_secs(1);
    let waiting = Waiting::NodeTrouble { message: "the disk is full".into(), until };
    assert_eq!((waiting.view().message.as_str(), waiting.view().until), ("the disk is full", Some(until)));
    assert!(
        Waiting::SecretMissing { secret: "bot".into(), path: "x".into() }
            .sentence()
            .contains("creel secret set bot")
    );
}

proptest! {
    /// Whatever stands in the World and whatever is seen of it, one plan is enough.
    #[test]
    fn a_plan_applied_leaves_nothing_to_decide(
        lines in proptest::collection::vec(any_agent(), 0..8),
        heard in any::<[bool; 2]>(),
        moved in any::<bool>(),
    ) {
        let nodes: String = heard.iter().enumerate()
            .map(|(n, heard)| format!("node n{n} {}\n", if *heard { "" } else { "silent" })).collect();
        let agents: String = lines.iter().enumerate().map(|(n, line)| format!("agent t/a{n} {line}\n")).collect();
        let (mut world, seen) = read(&format!("{nodes}secret t/bot v1\nchannel stable 2026.7.35\n{agents}"));
        if moved {
            read_secret(&mut world, &["secret", "t/bot", "v2"]);
            read_channel(&mut world, &["channel", "stable", "2026.8.33"]);
        }
        decide(&world, &seen);
    }
}

fn any_agent() -> impl Strategy<Value = String> {
    let release = prop_oneof![Just("release 2026.9.6"), Just(""), Just("release beta")];
    let secret = prop_oneof![Just(""), Just("secret x.y=bot"), Just("secret x.y=none")];
    let told = prop_oneof![Just(""), Just("restart 2"), Just("deleted 60s"), Just("deleted 0s"),];
    (release, secret, told, any::<bool>(), any::<bool>()).prop_map(|(release, secret, told, on, gone)| {
        let can_be_told = !release.contains("beta") && !secret.contains("none");
        let on = if on && can_be_told { "on n0 generation 5 reports Running generation 5" } else { "" };
        let gone = if gone && !on.is_empty() { "gone" } else { "" };
        format!("{release} {secret} {told} {on} {gone}")
    })
}
