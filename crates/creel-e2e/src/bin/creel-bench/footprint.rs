//! What creel costs a machine with 100 agents: memory of warden, server and keepers, processor time, and a store
//! that rests.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use creel_e2e::{Creel, add_stub_release};
use serde_json::json;

use crate::numbers::row;
use crate::stage::{Api, VERSION};

const AGENTS: usize = 100;

/// How long the processor time is watched.
const WATCHED: Duration = Duration::from_secs(60);

/// How long the store has to rest.
const IDLE: Duration = Duration::from_secs(600);

/// See the module.
pub(crate) fn measure() -> Result<()> {
    let (creel, api) = fleet()?;
    let warden = pid_of(&creel, "warden")?;
    let server = pid_of(&creel, "serve")?;
    let before = [cpu(warden)?, cpu(server)?];
    std::thread::sleep(WATCHED);
    let after = [cpu(warden)?, cpu(server)?];
    let share = |n: usize| (after[n] - before[n]) / WATCHED.as_secs_f64() * 100.0;
    let warden_mb = memory(warden)?.0;
    let promised = 20.0 + 0.3 * AGENTS as f64;
    row(
        "warden resident, 100 stub agents",
        1,
        &format!("{warden_mb:.1} MB"),
        &format!("<= {promised:.0} MB (20 + 0.3 per agent)"),
    );
    row("server resident, 100 stub agents", 1, &format!("{:.1} MB", memory(server)?.0), "-");
    let keepers = keepers(&creel)?;
    ensure!(keepers.len() == AGENTS, "there are {} keepers", keepers.len());
    let most = |pick: fn(&(f64, f64)) -> f64| keepers.iter().map(pick).fold(0.0, f64::max);
    let text = format!("most {:.2} MB resident, {:.2} MB PSS", most(|k| k.0), most(|k| k.1));
    row("keeper", AGENTS, &text, "<= 1.5 MB resident (and PSS)");
    let cpu = format!("warden {:.2} %, server {:.2} % of a core", share(0), share(1));
    row("processor, 100 idle stub agents", 1, &cpu, "<= 1 % of a core");
    drop(api);
    Ok(())
}

/// Ten idle minutes leave the store's revision unchanged.
pub(crate) fn idle() -> Result<()> {
    let (creel, api) = fleet()?;
    let before = revision(&api)?;
    let since = Instant::now();
    std::thread::sleep(IDLE);
    let after = revision(&api)?;
    let text = format!("revision {before} before, {after} after {} s", since.elapsed().as_secs());
    row("ten idle minutes, 100 stub agents", 1, &text, "unchanged");
    ensure!(before == after, "the store did not rest");
    drop(creel);
    Ok(())
}

fn fleet() -> Result<(Creel, Api)> {
    let creel = Creel::new()?;
    add_stub_release(creel.data(), VERSION)?;
    creel.up(&[])?;
    let api = Api::of(&creel)?;
    (0..AGENTS).try_for_each(|n| api.put(&format!("a{n}"), &json!({"release": VERSION})))?;
    (0..AGENTS).try_for_each(|n| api.until_running(&format!("a{n}")).map(drop))?;
    Ok((creel, api))
}

fn revision(api: &Api) -> Result<u64> {
    let history = api.ask("GET", "history?limit=1", "")?;
    let newest =
        history.as_array().or_else(|| history["items"].as_array()).and_then(|entries| entries.first());
    newest.and_then(|entry| entry["revision"].as_u64()).context("the history has no newest entry")
}

fn pid_of(creel: &Creel, body: &str) -> Result<u32> {
    let found = creel.processes().into_iter().find(|process| {
        let mut words = process.command.split_whitespace();
        words.nth(1) == Some(body)
    });
    Ok(found.with_context(|| format!("no process `creel {body}`"))?.pid)
}

/// Resident and proportional memory in MB.
fn memory(pid: u32) -> Result<(f64, f64)> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse::<f64>().ok());
        kib.map(|kib| kib / 1024.0).with_context(|| format!("no {name}"))
    };
    Ok((field("Rss:")?, field("Pss:")?))
}

fn keepers(creel: &Creel) -> Result<Vec<(f64, f64)>> {
    let all = creel.processes();
    let keepers = all.iter().filter(|process| process.command.contains(" keeper --agent"));
    keepers.map(|process| memory(process.pid)).collect()
}

/// Seconds of processor time so far.
fn cpu(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).context("no ticks");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
