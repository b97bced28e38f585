//! A config that its release refuses never reaches a start: it is told by key, and what ran goes on.

use std::fs;

use anyhow::Result;
use creel_e2e::{Creel, STUB_RELEASE, kill, pid_of, restarts_of, stub_agent, tells};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// The little that the stub's release knows: strict about the gateway, open about everything else.
fn schema() -> Value {
    let gateway = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "mode": {"type": "string"}, "bind": {"type": "string"}, "port": {"type": "integer"},
            "auth": {"type": "object"}, "http": {"type": "object"}, "reload": {"type": "object"},
            "controlUi": {"type": "object", "properties": {"enabled": {"type": "boolean"}}},
        }
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"gateway": gateway, "logging": {"type": "object"}}
    })
}

/// A creel whose stub release has that schema.
fn strict() -> Result<Creel> {
    let creel = Creel::with_stub()?;
    let release = creel.data().join("releases").join(STUB_RELEASE);
    fs::write(release.join("schema.json"), schema().to_string())?;
    Ok(creel)
}

const REFUSED: &str = "config: {gateway: {portt: 1, controlUi: {enabled: 'yes'}}}";

#[test]
fn a_refused_config_never_reaches_a_start_and_what_runs_goes_on() -> Result<()> {
    let creel = strict()?;
    let before = pid_of(&creel.start("a", "")?)?;
    creel.say("a", "one")?;
    let refused = creel.apply(&stub_agent("a", REFUSED), &["--wait"])?.with_code(1)?;
    tells(&refused.stderr, &["portt", "controlUi.enabled", "revision 2", "creel explain"])?;
    let agent = creel.agent("a")?;
    assert_eq!((pid_of(&agent)?, restarts_of(&agent)?), (before, 0));
    assert_eq!(agent["status"]["phase"], "Degraded");
    assert_eq!(agent["status"]["revision"], 1);
    tells(&creel.done(&["explain", "a"])?, &["ConfigRefused", "portt"])?;
    tells(&creel.done(&["describe", "agent", "a"])?, &["ConfigRefused", "portt"])?;
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])
}

#[test]
fn while_a_config_is_refused_a_killed_gateway_comes_back_with_the_one_before() -> Result<()> {
    let creel = strict()?;
    let before = pid_of(&creel.start("a", "")?)?;
    creel.apply(&stub_agent("a", REFUSED), &["--wait"])?.with_code(1)?;
    kill(before, Signal::SIGKILL)?;
    let back = creel.until_agent("a", "Degraded with another gateway", |agent| {
        agent["status"]["phase"] == "Degraded" && pid_of(agent).is_ok_and(|pid| pid != before)
    })?;
    assert_eq!((back["status"]["revision"].clone(), restarts_of(&back)?), (json!(1), 1));
    let config = creel.agent_folder("a")?.join("agent/state/openclaw.json");
    assert!(!fs::read_to_string(config)?.contains("portt"));
    let mended = "config: {gateway: {controlUi: {enabled: false}}}";
    creel.apply(&stub_agent("a", mended), &["--wait"])?.done()?;
    let agent = creel.until_phase("a", "Running")?;
    assert_eq!(agent["status"]["waiting"], json!([]));
    Ok(())
}

#[test]
fn an_agent_whose_first_config_is_refused_never_starts_until_it_is_mended() -> Result<()> {
    let creel = strict()?;
    let refused = creel.apply(&stub_agent("a", REFUSED), &["--wait"])?.with_code(1)?;
    tells(&refused.stderr, &["portt"])?;
    let agent = creel.agent("a")?;
    assert_eq!(agent["status"]["pid"], Value::Null);
    assert!(!creel.agent_folder("a").is_ok_and(|folder| folder.join("agent/state/stub-starts").exists()));
    creel.apply(&stub_agent("a", ""), &["--wait"])?.done()?;
    creel.pid("a").map(drop)
}

#[test]
fn a_practice_model_that_is_not_there_is_told_with_its_cure() -> Result<()> {
    let creel = Creel::with_stub()?;
    let wanted = stub_agent("a", "config: {agents: {defaults: {model: practice/practice-1}}}");
    let refused = creel.apply(&wanted, &["--wait"])?.with_code(1)?;
    tells(&refused.stderr, &["practice", "creel up --practice-model"])?;
    tells(&creel.done(&["explain", "a"])?, &["ConfigImpossible", "--practice-model"])
}
