//! creel for an ordinary user, with and without walls. Tests that run as root become such a user for it; those that
//! don't are one already.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use creel_e2e::{Creel, kill, pid_of, restarts_of, runs, tells};
use nix::sys::signal::Signal;
use nix::unistd::geteuid;

/// Nobody's number: no account needs to have it.
const USER: u32 = 64_321;

fn ordinary() -> Result<Creel> {
    if geteuid().is_root() { Creel::for_user(USER) } else { Creel::new() }
}

fn the_whole_life(creel: &Creel) -> Result<()> {
    creel.up(&[])?;
    creel.add_stub()?;
    let first = pid_of(&creel.start("a", "")?)?;
    owned_by_the_user(first)?;
    tells(&creel.say("a", "one")?, &["You said: \"one\"."])?;
    kill(first, Signal::SIGKILL)?;
    let second = pid_of(&creel.until_new_pid("a", first)?)?;
    creel.kill_all_bodies()?;
    ensure!(runs(second), "the gateway ended with creel");
    creel.up(&[])?;
    let adopted = creel.until_phase("a", "Running")?;
    assert_eq!((pid_of(&adopted)?, restarts_of(&adopted)?), (second, 1));
    tells(&creel.say("a", "two")?, &["Before that: \"one\"."])?;
    let uid = creel.uid("a")?;
    creel.done(&["delete", "agent", "a"])?;
    creel.until_nothing_is_left(&uid)?;
    ensure!(!runs(second), "it still runs");
    creel.done(&["undelete", "agent", "a"])?;
    creel.until_phase("a", "Running")?;
    tells(&creel.say("a", "three")?, &["Before that: \"one\", \"two\"."])?;
    let third = creel.pid("a")?;
    creel.down()?;
    ensure!(!runs(third), "it still runs");
    Ok(())
}

fn owned_by_the_user(pid: u32) -> Result<()> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).context("no owner")?;
    let owner: u32 = line.split_whitespace().next().context("no owner")?.parse()?;
    ensure!(owner != 0, "an ordinary user's gateway runs as root");
    Ok(())
}

#[test]
fn an_ordinary_users_agent_lives_like_any_other() -> Result<()> {
    the_whole_life(&ordinary()?)
}

#[test]
fn without_bubblewrap_agents_live_and_the_missing_wall_is_shown() -> Result<()> {
    let creel = ordinary()?;
    let path = path_without_bubblewrap(creel.scratch())?;
    let creel = creel.with_env("PATH", path);
    the_whole_life(&creel)?;
    creel.up(&[])?;
    let agent = creel.until_phase("a", "Running")?;
    let missing = agent["status"]["conditions"].as_array().context("no conditions")?;
    ensure!(missing.iter().any(|found| found["reason"] == "BubblewrapMissing"), "{missing:?}");
    tells(&creel.done(&["explain", "a"])?, &["BubblewrapMissing", "bubblewrap"])?;
    let doctor = creel.run(&["doctor"])?;
    tells(&(doctor.stdout + &doctor.stderr), &["bubblewrap", "apt-get install bubblewrap"])
}

/// A folder with every program of the machine's but bubblewrap.
fn path_without_bubblewrap(scratch: &Path) -> Result<std::ffi::OsString> {
    let folder = scratch.join("programs");
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    for system in ["/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
        for entry in fs::read_dir(system).into_iter().flatten().flatten() {
            let link = folder.join(entry.file_name());
            if entry.file_name() != "bwrap" && link.symlink_metadata().is_err() {
                symlink(entry.path(), link)?;
            }
        }
    }
    Ok(folder.into_os_string())
}
