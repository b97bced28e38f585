//! How much memory an agent has: what its cgroup says, else what its main process has resident.

use std::fs;
use std::path::PathBuf;

/// Bytes of memory of the agent whose gateway is `pid`; none if it is gone.
pub(crate) fn memory_bytes(pid: i32) -> Option<u64> {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let counted = own.lines().filter_map(counter).find_map(|path| read_number(&path));
    counted.or_else(|| resident_bytes(pid))
}

/// The file that counts the memory of this line of `/proc/PID/cgroup`, if the group is one that creel made.
fn counter(line: &str) -> Option<PathBuf> {
    let mut fields = line.splitn(3, ':');
    let (controllers, path) = (fields.nth(1)?, fields.next()?);
    let own = path.contains("/creel") && path.ends_with("/run");
    let path = path.trim_start_matches('/');
    match controllers {
        "memory" if own => {
            Some(PathBuf::from("/sys/fs/cgroup/memory").join(path).join("memory.usage_in_bytes"))
        }
        "" if own => Some(PathBuf::from("/sys/fs/cgroup").join(path).join("memory.current")),
        _ => None,
    }
}

fn read_number(path: &PathBuf) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn resident_bytes(pid: i32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_group_that_creel_made_is_counted() {
        assert_eq!(counter("4:memory:/user.slice"), None);
        let found = counter("4:memory:/creel-srv/u-1/run").unwrap();
        assert_eq!(found, PathBuf::from("/sys/fs/cgroup/memory/creel-srv/u-1/run/memory.usage_in_bytes"));
    }

    #[test]
    fn a_process_without_a_group_is_counted_by_itself() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(memory_bytes(own).unwrap() > 100_000);
        assert_eq!(memory_bytes(i32::MAX), None);
    }
}
