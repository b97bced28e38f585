//! Processes as `/proc` shows them: a name that a reused pid can't take, and who descends from whom.
//!
//! A pid is a hint until its start time was compared; only [`ProcessName`] names a process.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use creel_api::keeper::ProcessName;
use rustix::process::{Pid, Signal};

/// Names a process of this machine that lives now (or is a zombie still).
pub fn name_of(pid: i32) -> io::Result<ProcessName> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(ProcessName { boot: boot.trim().to_owned(), pid, start_ticks: start_ticks(pid)? })
}

/// This process.
pub fn own_name() -> io::Result<ProcessName> {
    name_of(own_pid())
}

/// The pid of this process, as it sees itself.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

/// When it was started, in clock ticks since boot.
pub fn start_ticks(pid: i32) -> io::Result<u64> {
    stat_field(pid, 22)
}

/// The pid of its parent; 0 if that is outside this pid namespace.
pub fn parent_of(pid: i32) -> io::Result<i32> {
    stat_field(pid, 4)
}

/// A process's command line, for people; empty when it is gone.
pub fn command_of(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words).replace('\0', " ");
    text.trim_end().chars().take(120).collect()
}

/// Every process of this pid namespace.
pub fn all() -> Vec<i32> {
    numbers_in("/proc")
}

/// Everything that descends from this process, without itself. Complete only if nothing forks meanwhile: ask again
/// until nothing is left.
pub fn descendants_of(ancestor: i32) -> BTreeSet<i32> {
    if fs::exists(format!("/proc/{ancestor}/task/{ancestor}/children")).unwrap_or(false) {
        return walk(ancestor, children_of);
    }
    let parents: Vec<(i32, i32)> = all().into_iter().filter_map(|p| Some((p, parent_of(p).ok()?))).collect();
    walk(ancestor, |pid| {
        parents.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child).collect()
    })
}

/// This process and all its ancestors: never to be killed by it.
pub fn own_line() -> BTreeSet<i32> {
    let mut line = BTreeSet::new();
    let mut pid = own_pid();
    while pid > 0 && line.insert(pid) {
        pid = parent_of(pid).unwrap_or(0);
    }
    line
}

/// Kills a process; that it is gone already is no error.
pub fn kill(pid: i32) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match rustix::process::kill_process(pid, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(io::Error::from),
    }
}

fn walk(ancestor: i32, children: impl Fn(i32) -> Vec<i32>) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    let mut open = vec![ancestor];
    while let Some(pid) = open.pop() {
        open.extend(children(pid).into_iter().filter(|child| found.insert(*child)));
    }
    found
}

/// A child is listed under the thread that forked it, so all threads are asked.
fn children_of(pid: i32) -> Vec<i32> {
    let tasks = numbers_in(&format!("/proc/{pid}/task"));
    let lists =
        tasks.iter().filter_map(|task| fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn numbers_in(folder: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Field `number` of `/proc/PID/stat`, counted from 1 as in proc(5). The second one is the program's name in
/// brackets and may itself have spaces and brackets, so counting starts behind the last bracket.
fn stat_field<T: std::str::FromStr>(pid: i32, number: usize) -> io::Result<T> {
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = rest.split_whitespace().nth(number - 3).and_then(|word| word.parse().ok());
    field.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no field {number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_the_same_name_each_time() {
        assert_eq!(own_name().unwrap(), own_name().unwrap());
        assert!(own_name().unwrap().start_ticks > 0);
    }

    #[test]
    fn a_child_descends_from_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let found = descendants_of(own_pid());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&pid));
        assert!(own_line().contains(&own_pid()));
    }
}
