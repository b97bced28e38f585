//! An agent's life with the stub gateway: whatever is killed, it is back or was never away, and it remembers.

use std::fs;

use anyhow::{Result, ensure};
use creel_e2e::{Creel, kill, pid_of, processes_of, restarts_of, runs, tells};
use nix::sys::signal::Signal;
use serde_json::json;

/// A gateway that needs a second for each word leaves time to act in the middle of an answer.
const SLOW: &str = r#"{"wordDelayMs": 1000}"#;

fn slow() -> serde_json::Value {
    serde_json::from_str(SLOW).unwrap_or_default()
}

#[test]
fn a_killed_gateway_is_back_by_itself_and_remembers() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    tells(&creel.say("a", "one")?, &["You said: \"one\"."])?;
    kill(before, Signal::SIGKILL)?;
    let after = creel.until_new_pid("a", before)?;
    assert_eq!(restarts_of(&after)?, 1);
    assert_eq!(after["status"]["lastExit"]["signal"], 9);
    tells(&creel.say("a", "two")?, &["You said: \"two\". Before that: \"one\"."])
}

#[test]
fn a_gateway_killed_in_the_middle_of_an_answer_is_back_and_remembers_what_was_said() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    creel.say("a", "one")?;
    creel.stunts("a", &slow())?;
    let talk = creel.talk("a", "two")?;
    talk.until_heard("You ")?;
    kill(before, Signal::SIGKILL)?;
    let broken = talk.ended()?.with_code(1)?;
    tells(&broken.stderr, &["error: ", "gateway", "cure: "])?;
    creel.stunts("a", &json!({}))?;
    creel.until_new_pid("a", before)?;
    tells(&creel.say("a", "three")?, &["You said: \"three\". Before that: \"one\", \"two\"."])
}

#[test]
fn creel_killed_as_a_whole_leaves_the_agent_running_and_adopts_it_when_it_returns() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    creel.say("a", "one")?;
    creel.kill_all_bodies()?;
    ensure!(runs(before), "the gateway ended with creel");
    creel.up(&[])?;
    let after = creel.until_phase("a", "Running")?;
    assert_eq!((pid_of(&after)?, restarts_of(&after)?), (before, 0));
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])?;
    kill(before, Signal::SIGKILL)?;
    creel.until_new_pid("a", before)?;
    tells(&creel.say("a", "three")?, &["Before that: \"one\", \"two\"."])
}

#[test]
fn a_warden_killed_in_the_middle_of_an_answer_costs_that_answer_and_nothing_else() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    creel.stunts("a", &slow())?;
    let talk = creel.talk("a", "one")?;
    talk.until_heard("You ")?;
    let warden = creel.body("warden")?;
    kill(warden, Signal::SIGKILL)?;
    let broken = talk.ended()?.with_code(1)?;
    tells(&broken.stderr, &["error: ", "cure: "])?;
    creel.until_gone(&[warden])?;
    creel.stunts("a", &json!({}))?;
    tells(&creel.say("a", "two")?, &["You said: \"two\". Before that: \"one\"."])?;
    let after = creel.agent("a")?;
    assert_eq!((pid_of(&after)?, restarts_of(&after)?), (before, 0));
    Ok(())
}

#[test]
fn without_a_server_the_warden_alone_brings_a_killed_gateway_back() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    let uid = creel.uid("a")?;
    creel.say("a", "one")?;
    // `up` would bring the server back at once; stopped, it can't.
    let (up, server) = (creel.body("up")?, creel.body("serve")?);
    kill(up, Signal::SIGSTOP)?;
    kill(server, Signal::SIGKILL)?;
    creel.until_gone(&[server])?;
    kill(before, Signal::SIGKILL)?;
    let record = creel.data().join("agents").join(&uid).join("warden.json");
    creel_e2e::until("a second run that is ready", creel_e2e::DEADLINE, || {
        let text = fs::read_to_string(&record).map_err(|error| error.to_string())?;
        let record: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let second = record["run"] == 2 && !record["running"]["readyAt"].is_null();
        if second { Ok(()) } else { Err(record.to_string()) }
    })?;
    kill(up, Signal::SIGCONT)?;
    let after = creel.until_new_pid("a", before)?;
    assert_eq!(restarts_of(&after)?, 1);
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])
}

#[test]
fn a_killed_keeper_is_a_crash_of_its_agent_and_never_makes_two_gateways() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    let uid = creel.uid("a")?;
    creel.say("a", "one")?;
    let keeper = creel.keeper(&uid)?;
    kill(keeper, Signal::SIGKILL)?;
    let after = creel.until_new_pid("a", before)?;
    ensure!(!runs(before), "the gateway outlived its keeper");
    assert_eq!(restarts_of(&after)?, 1);
    assert_eq!(gateways(&creel), [pid_of(&after)?]);
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])
}

/// Every stub gateway of this creel that is not one of its wrappers.
fn gateways(creel: &Creel) -> Vec<u32> {
    let all = processes_of(creel.scratch());
    let stub =
        |command: &str| command.split(' ').next().is_some_and(|program| program.ends_with("stub-gateway"));
    all.iter().filter(|process| stub(&process.command)).map(|process| process.pid).collect()
}

#[test]
fn a_gateway_that_exits_to_be_restarted_is_restarted() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    creel.say("a", "one")?;
    kill(before, Signal::SIGUSR2)?;
    let after = creel.until_new_pid("a", before)?;
    assert_eq!(after["status"]["lastExit"]["code"], 0);
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])
}

#[test]
fn a_gateway_that_ignores_term_is_killed_in_the_end_and_down_leaves_nothing() -> Result<()> {
    let creel = Creel::with_stub()?;
    let pid = pid_of(&creel.start("a", "env: {STUB_IGNORE_TERM: 'true', STUB_LEAK_CHILDREN: '2'}")?)?;
    let uid = creel.uid("a")?;
    tells(&creel.down()?, &["creel is down"])?;
    ensure!(!runs(pid), "it still runs");
    creel.until_nothing_is_left(&uid)?;
    let left = creel.processes();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

#[test]
fn a_deleted_agent_leaves_no_process_and_no_cgroup_and_comes_back_with_its_memory() -> Result<()> {
    let creel = Creel::with_stub()?;
    let pid = pid_of(&creel.start("a", "env: {STUB_LEAK_CHILDREN: '2'}")?)?;
    let uid = creel.uid("a")?;
    creel.say("a", "one")?;
    creel.done(&["delete", "agent", "a"])?;
    creel.until_nothing_is_left(&uid)?;
    ensure!(!runs(pid), "it still runs");
    assert_eq!(gateways(&creel), [0; 0]);
    assert_eq!(creel.agent("a")?["status"]["phase"], "Terminating");
    assert_eq!(creel.json(&["get", "agents"])?["items"], json!([]));
    let kept = creel.json(&["get", "agents", "--deleted"])?;
    assert_eq!(kept["items"][0]["metadata"]["uid"], uid.as_str());
    creel.done(&["undelete", "agent", "a"])?;
    let back = creel.until_phase("a", "Running")?;
    assert_eq!(back["metadata"]["uid"], uid.as_str());
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])
}

#[test]
fn a_purged_agent_is_gone_for_good() -> Result<()> {
    let creel = Creel::with_stub()?;
    creel.start("a", "")?;
    let (uid, folder) = (creel.uid("a")?, creel.agent_folder("a")?);
    tells(&creel.run(&["delete", "agent", "a", "--purge"])?.with_code(1)?.stderr, &["--yes"])?;
    creel.done(&["delete", "agent", "a", "--purge", "--yes"])?;
    creel.until_nothing_is_left(&uid)?;
    creel_e2e::until("its folder is gone", creel_e2e::DEADLINE, || {
        if folder.exists() { Err(format!("{} is there", folder.display())) } else { Ok(()) }
    })?;
    assert_eq!(creel.run(&["undelete", "agent", "a"])?.code, Some(3));
    creel.start("a", "")?;
    ensure!(creel.uid("a")? != uid, "a new agent of the name is another agent");
    tells(&creel.say("a", "one")?, &["You said: \"one\"."])
}

#[test]
fn down_and_up_bring_back_the_same_agent_and_the_same_conversation() -> Result<()> {
    let creel = Creel::with_stub()?;
    let pid = pid_of(&creel.start("a", "")?)?;
    let uid = creel.uid("a")?;
    creel.say("a", "one")?;
    creel.down()?;
    ensure!(!runs(pid) && creel.processes().is_empty(), "{:?}", creel.processes());
    creel.until_nothing_is_left(&uid)?;
    creel.up(&[])?;
    let back = creel.until_phase("a", "Running")?;
    assert_eq!(back["metadata"]["uid"], uid.as_str());
    assert_eq!(restarts_of(&back)?, 0);
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])
}

#[test]
fn a_restart_makes_one_new_gateway() -> Result<()> {
    let creel = Creel::with_stub()?;
    let before = pid_of(&creel.start("a", "")?)?;
    let run = creel.record("a")?["run"].clone();
    assert_eq!(run, 1);
    creel.done(&["restart", "a", "--wait"])?;
    let after = creel.agent("a")?;
    ensure!(pid_of(&after)? != before && !runs(before), "{after}");
    assert_eq!((creel.record("a")?["run"].clone(), restarts_of(&after)?), (json!(2), 0));
    Ok(())
}

#[test]
fn a_crash_loop_ends_in_failed_with_the_reason_and_a_restart_leads_out() -> Result<()> {
    let creel = Creel::with_stub()?;
    creel.start("a", "")?;
    creel.say("a", "one")?;
    creel.stunts("a", &json!({"exitAfterMs": 0, "exitCode": 7}))?;
    kill(creel.pid("a")?, Signal::SIGKILL)?;
    creel.until_agent("a", "waiting for its back-off", |agent| {
        agent["status"]["phase"] == "Recovering" && agent["status"]["waiting"][0]["reason"] == "BackOff"
    })?;
    // The pauses double from one second and come to 63 s: the first wait may end before the last of them.
    let failed = creel.until_phase("a", "Failed").or_else(|_| creel.until_phase("a", "Failed"))?;
    assert_eq!(failed["status"]["reason"], "GivenUp");
    tells(&failed["status"]["message"].to_string(), &["ended 8 times", "exit 7", "creel restart"])?;
    tells(&creel.done(&["explain", "a"])?, &["GivenUp", "creel logs"])?;
    tells(&creel.chat("a", "anyone?")?.with_code(1)?.stderr, &["Failed", "creel restart"])?;
    creel.stunts("a", &json!({}))?;
    creel.done(&["restart", "a", "--wait"])?;
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])
}
