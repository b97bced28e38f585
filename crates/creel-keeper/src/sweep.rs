//! The end of whatever is left of an agent: what is in its cgroups, what holds its claim's lock, and what descends
//! from those.
//!
//! Invariant: neither this process nor any of its ancestors is ever killed, and nothing that the agent's cgroups or
//! lock do not point to.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cgroup::{self, AgentCgroups};
use crate::claim;
use crate::folder::Folder;
use crate::process;

/// How long the kernel may take to end what was killed.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Why something may be left.
#[derive(Debug)]
pub(crate) enum SweepError {
    /// These were killed and did not die.
    Undead(BTreeSet<i32>),
    /// Somebody holds the lock whom this user may not see.
    Unseen,
    /// A call failed.
    Call(io::Error),
}

impl fmt::Display for SweepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undead(pids) => write!(
                f,
                "killed processes do not end: {pids:?}; they wait for the kernel (a disk or network file system that hangs)"
            ),
            Self::Unseen => write!(f, "the state is held by a process that this user may not see"),
            Self::Call(error) => write!(f, "could not look for what is left: {error}"),
        }
    }
}

impl From<io::Error> for SweepError {
    fn from(error: io::Error) -> Self {
        Self::Call(error)
    }
}

/// Ends it all, removes the cgroups, and returns how many processes were killed. A folder that is gone holds nothing.
pub(crate) fn sweep(folder: &str, root: &str, agent: &str) -> Result<u32, SweepError> {
    let cgroups = AgentCgroups::new(cgroup::trees(), root, agent)?;
    let folder = match Folder::open(Path::new(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    let until = Instant::now() + DEADLINE;
    let spared = process::own_line();
    let mut killed = BTreeSet::new();
    loop {
        let found = remaining(&cgroups, folder.as_ref(), &spared)?;
        if found.is_empty() && folder.as_ref().map_or(Ok(true), claim::is_free)? {
            break;
        }
        if Instant::now() > until {
            return Err(if found.is_empty() { SweepError::Unseen } else { SweepError::Undead(found) });
        }
        killed.extend(found.iter().filter_map(|pid| Some((*pid, process::start_ticks(*pid).ok()?))));
        cgroups.kill();
        found.into_iter().for_each(|pid| drop(process::kill(pid)));
        std::thread::sleep(LOOK_AGAIN);
    }
    cgroups.remove(until)?;
    Ok(u32::try_from(killed.len()).unwrap_or(u32::MAX))
}

fn remaining(
    cgroups: &AgentCgroups,
    folder: Option<&Folder>,
    spared: &BTreeSet<i32>,
) -> io::Result<BTreeSet<i32>> {
    let holders = folder.map_or_else(|| Ok(BTreeSet::new()), claim::holders)?;
    let heads: BTreeSet<i32> =
        holders.union(&cgroups.members()).copied().filter(|pid| !spared.contains(pid)).collect();
    let below = heads.iter().flat_map(|pid| process::descendants_of(*pid)).collect::<BTreeSet<_>>();
    Ok(heads.union(&below).copied().filter(|pid| !spared.contains(pid)).collect())
}
