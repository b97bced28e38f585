//! Real OpenClaw, end to end, with the practice model: what the stub only claims is shown here. Few boots, because
//! each takes seconds of all cores.

use std::fs;

use anyhow::{Result, ensure};
use creel_e2e::{Creel, add_real_release, kill, pid_of, restarts_of, runs, tells};
use nix::sys::signal::Signal;

const RELEASE: &str = "2026.9.6";

/// It must not be found anywhere but where OpenClaw reads it.
const SECRET: &str = "sk-e2e-4f1c9a7d2b";

fn manifest(more_config: &str) -> String {
    format!(
        "apiVersion: creel.dev/v1
kind: Agent
metadata: {{name: a}}
spec:
  release: {RELEASE}
  secrets: {{models.providers.openai.apiKey: openai-key}}
  config:
    agents: {{defaults: {{model: practice/practice-1}}}}
{more_config}"
    )
}

fn real_agent() -> Result<Creel> {
    let creel = Creel::new()?;
    creel.up(&["--practice-model"])?;
    add_real_release(creel.data(), RELEASE)?;
    creel.done(&["release", "install", RELEASE])?;
    creel.set_secret("openai-key", SECRET)?;
    creel.apply(&manifest(""), &["--wait"])?.done()?;
    Ok(creel)
}

#[test]
fn a_real_agent_survives_whatever_is_killed_and_remembers() -> Result<()> {
    let creel = real_agent()?;
    let first = creel.pid("a")?;
    tells(&creel.say("a", "My boat is called Mathilda.")?, &["Mathilda"])?;
    let second = it_is_killed_in_the_middle_of_an_answer(&creel, first)?;
    creel_is_killed_around_it(&creel, second)?;
    it_is_deleted_and_comes_back(&creel)
}

fn it_is_killed_in_the_middle_of_an_answer(creel: &Creel, before: u32) -> Result<u32> {
    let talk = creel.talk("a", "My harbour is Husum.\npractice: slow 500")?;
    talk.until_heard("practice model")?;
    kill(before, Signal::SIGKILL)?;
    let broken = talk.ended()?.with_code(1)?;
    tells(&broken.stderr, &["error: ", "gateway", "cure: "])?;
    let after = creel.until_new_pid("a", before)?;
    assert_eq!(restarts_of(&after)?, 1);
    tells(&creel.say("a", "What do you know?")?, &["What do you know?", "Mathilda", "Husum"])?;
    pid_of(&creel.agent("a")?)
}

fn creel_is_killed_around_it(creel: &Creel, pid: u32) -> Result<()> {
    creel.kill_all_bodies()?;
    ensure!(runs(pid), "the gateway ended with creel");
    creel.up(&[])?;
    let after = creel.until_phase("a", "Running")?;
    assert_eq!((pid_of(&after)?, restarts_of(&after)?), (pid, 1));
    tells(&creel.say("a", "And now?")?, &["And now?", "Mathilda"])
}

fn it_is_deleted_and_comes_back(creel: &Creel) -> Result<()> {
    let (uid, pid) = (creel.uid("a")?, creel.pid("a")?);
    creel.done(&["delete", "agent", "a"])?;
    creel.until_nothing_is_left(&uid)?;
    ensure!(!runs(pid), "it still runs");
    creel.done(&["undelete", "agent", "a"])?;
    creel.until_phase("a", "Running")?;
    tells(&creel.say("a", "Still there?")?, &["Still there?", "Mathilda"])
}

#[test]
fn a_real_release_refuses_a_wrong_key_by_name_and_its_agent_works_within_its_walls() -> Result<()> {
    let creel = real_agent()?;
    let pid = creel.pid("a")?;
    let refused = creel.apply(&manifest("    gateway: {portt: 1}\n"), &["--wait"])?.with_code(1)?;
    tells(&refused.stderr, &["portt", "revision 2"])?;
    let agent = creel.agent("a")?;
    assert_eq!((pid_of(&agent)?, &agent["status"]["phase"]), (pid, &"Degraded".into()));
    creel.apply(&manifest(""), &["--wait"])?.done()?;
    let pid = creel.pid("a")?;
    let worked = creel.say("a", "practice: run echo $((6*7)) from $PWD as $(id -u)")?;
    tells(&worked, &["42 from /agent", "as 1000"])?;
    its_secrets_are_in_one_file_only(&creel, pid)
}

fn its_secrets_are_in_one_file_only(creel: &Creel, pid: u32) -> Result<()> {
    let environment = fs::read(format!("/proc/{pid}/environ"))?;
    ensure!(!String::from_utf8_lossy(&environment).contains(SECRET), "the secret is in the environment");
    let folder = creel.agent_folder("a")?;
    let config = fs::read_to_string(folder.join("agent/state/openclaw.json"))?;
    ensure!(!config.contains(SECRET), "the secret is in the config");
    let token = creel.record("a")?["token"].as_str().unwrap_or_default().to_owned();
    ensure!(token.len() == 64 && !config.contains(&token), "the gateway's token is in the config");
    tells(&fs::read_to_string(folder.join("agent/run/secrets.json"))?, &[SECRET])
}
