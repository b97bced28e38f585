//! An agent's cgroups: `ROOT/AGENT/keeper` and `ROOT/AGENT/run` in every tree of this machine that we may write,
//! be it v2, v1 or both (hybrid: v1 has the controllers, v2 without any still kills and freezes).
//!
//! Invariants: nothing outside `ROOT/AGENT` is killed or removed; every kill thaws, because on pure v1 a frozen
//! process does not die. To have no cgroup at all is not an error: less is limited, and only what holds the claim's
//! lock or descends from a keeper can be found.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::Access;

use crate::process;

/// The leaves below an agent's cgroup: the keeper is never frozen or limited together with what it keeps.
pub const LEAVES: [&str; 2] = ["keeper", "run"];

/// The v1 controllers that are used. The freezer only where no v2 tree can freeze.
const CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "freezer"];

/// What the controllers of the v2 tree must be asked for.
const V2_CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// How long between two looks at something that is about to be empty.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// One of the machine's trees and the place in it below which our cgroups stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The v1 controllers of the tree; none for v2.
    pub controllers: Vec<String>,
    /// Where.
    pub base: PathBuf,
}

/// What an agent's processes may have together; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u32,
}

/// One agent's cgroups.
#[derive(Clone, Debug)]
pub struct AgentCgroups {
    trees: Vec<Tree>,
    root: String,
    agent: String,
}

/// The trees of this machine in which this process may make cgroups.
pub fn trees() -> Vec<Tree> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let whole = candidates(&mounts, &own, true);
    let found = if whole.iter().any(writable) { whole } else { candidates(&mounts, &own, false) };
    found.into_iter().filter(writable).collect()
}

/// The places where cgroups may stand, from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`: at the top
/// of each tree, or below the own cgroup.
pub fn candidates(mounts: &str, own: &str, top: bool) -> Vec<Tree> {
    let mut found: Vec<Tree> = Vec::new();
    for mount in mounts.lines().filter_map(parse_mount) {
        let Some(own_path) = own_path(own, &mount.controllers) else { continue };
        let below = own_path.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or(own_path);
        let below = if top { "" } else { below.trim_start_matches('/') };
        let base = if below.is_empty() { mount.at } else { mount.at.join(below) };
        let tree = Tree { controllers: mount.controllers, base };
        if !found.iter().any(|known| known.controllers == tree.controllers) {
            found.push(tree);
        }
    }
    let has_v2 = found.iter().any(Tree::is_v2);
    found.retain(|tree| {
        tree.is_v2() || CONTROLLERS.iter().any(|name| tree.has(name) && !(has_v2 && *name == "freezer"))
    });
    found
}

impl Tree {
    /// Whether it is the v2 tree.
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

impl AgentCgroups {
    /// Those of this agent, be they there or not. Names that could lead elsewhere are refused.
    pub fn new(trees: Vec<Tree>, root: &str, agent: &str) -> io::Result<Self> {
        for name in [root, agent] {
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if name.is_empty() || !plain || name.starts_with('.') {
                return Err(io::Error::other(format!("{name:?} can't name a cgroup")));
            }
        }
        Ok(Self { trees, root: root.to_owned(), agent: agent.to_owned() })
    }

    /// Makes them and sets the limits of the `run` leaves; returns what could not be done, in sentences.
    pub fn make(&self, limits: Limits) -> Vec<String> {
        let mut missing = Vec::new();
        for tree in &self.trees {
            if let Err(error) = self.make_in(tree) {
                missing.push(format!("no cgroup below {}: {error}", tree.base.display()));
            }
        }
        missing.extend(self.limit("memory", &["memory.max", "memory.limit_in_bytes"], limits.memory_bytes));
        missing.extend(self.limit("number of processes", &["pids.max"], u64::from(limits.pids)));
        missing
    }

    /// The `cgroup.procs` files of a leaf, of those trees that have it.
    pub fn procs_files(&self, leaf: &str) -> Vec<PathBuf> {
        self.dirs(leaf).map(|dir| dir.join("cgroup.procs")).filter(|path| path.exists()).collect()
    }

    /// Every process in them.
    pub fn members(&self) -> BTreeSet<i32> {
        LEAVES.iter().flat_map(|leaf| self.dirs(leaf)).flat_map(|dir| members(&dir)).collect()
    }

    /// Kills every process in them but this one.
    pub fn kill(&self) {
        LEAVES.iter().flat_map(|leaf| self.dirs(leaf)).for_each(|dir| kill(&dir));
    }

    /// Removes them, and what stands above them if it is empty then. On v1 a cgroup stays busy until the pid
    /// namespaces of its dead are gone, hence the deadline.
    pub fn remove(&self, until: Instant) -> io::Result<()> {
        for leaf in LEAVES {
            self.dirs(leaf).try_for_each(|dir| remove(&dir, until))?;
        }
        for tree in &self.trees {
            remove(&tree.base.join(&self.root).join(&self.agent), until)?;
            // Other agents' cgroups may stand there.
            let _ = fs::remove_dir(tree.base.join(&self.root));
        }
        Ok(())
    }

    fn dirs(&self, leaf: &str) -> impl Iterator<Item = PathBuf> {
        self.trees.iter().map(move |tree| tree.base.join(&self.root).join(&self.agent).join(leaf))
    }

    fn make_in(&self, tree: &Tree) -> io::Result<()> {
        let root = tree.base.join(&self.root);
        let agent = root.join(&self.agent);
        LEAVES.iter().try_for_each(|leaf| fs::create_dir_all(agent.join(leaf)))?;
        if tree.is_v2() {
            [&tree.base, &root, &agent].into_iter().for_each(|dir| enable_controllers(dir));
        }
        Ok(())
    }

    /// Sets a limit in the tree that has one of these files; the sentence if none has.
    fn limit(&self, what: &str, files: &[&str], value: u64) -> Option<String> {
        if value == 0 {
            return None;
        }
        let paths =
            self.dirs("run").flat_map(|dir| files.iter().map(move |file| dir.join(file)).collect::<Vec<_>>());
        match paths
            .filter(|path| path.exists())
            .map(|path| write(&path, &value.to_string()))
            .reduce(Result::or)
        {
            None => Some(format!("the {what} is not limited: no cgroup controller for it may be used here")),
            Some(Err(error)) => Some(format!("the {what} is not limited: {error}")),
            Some(Ok(())) => None,
        }
    }
}

/// Opens `cgroup.procs` files for a child to enter by.
pub fn open_procs(files: &[PathBuf]) -> io::Result<Vec<OwnedFd>> {
    files.iter().map(|path| Ok(OpenOptions::new().write(true).open(path)?.into())).collect()
}

/// The processes in one cgroup; none if it is not there.
pub fn members(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

/// Kills every process in one cgroup but this one. v2 does it in one step that no fork can outrun; elsewhere the
/// cgroup is frozen meanwhile if that is possible.
pub fn kill(dir: &Path) {
    let own = process::own_pid();
    let found = members(dir);
    if found.is_empty() || (!found.contains(&own) && write(&dir.join("cgroup.kill"), "1").is_ok()) {
        return;
    }
    let freezer = dir.join("freezer.state");
    let frozen = !found.contains(&own) && write(&freezer, "FROZEN").is_ok();
    members(dir).into_iter().filter(|pid| *pid != own).for_each(|pid| drop(process::kill(pid)));
    if frozen {
        let _ = write(&freezer, "THAWED");
    }
}

fn remove(dir: &Path, until: Instant) -> io::Result<()> {
    loop {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                std::thread::sleep(LOOK_AGAIN);
            }
            other => return other.map_err(|error| io::Error::other(format!("{}: {error}", dir.display()))),
        }
    }
}

/// Each by itself: one that can't be had must not keep the others away.
fn enable_controllers(dir: &Path) {
    let offered = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    for controller in offered.split_whitespace().filter(|name| V2_CONTROLLERS.contains(name)) {
        let _ = write(&dir.join("cgroup.subtree_control"), &format!("+{controller}"));
    }
}

/// Without creating it: what is not a file of the kernel's is an error.
fn write(path: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(&mut OpenOptions::new().write(true).open(path)?, text.as_bytes())
}

/// To put a process into a cgroup below, one must be able to write the common ancestor's `cgroup.procs` too.
fn writable(tree: &Tree) -> bool {
    let may = |path: &Path| rustix::fs::access(path, Access::WRITE_OK).is_ok();
    may(&tree.base) && may(&tree.base.join("cgroup.procs"))
}

struct Mount {
    root: String,
    at: PathBuf,
    controllers: Vec<String>,
}

/// `36 35 98:0 ROOT AT options [tags…] - TYPE SOURCE superoptions`, see proc_pid_mountinfo(5).
fn parse_mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, at) = (unescape(left.next()?), unescape(left.next()?));
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1).unwrap_or_default();
    let used = |name: &&str| CONTROLLERS.contains(name);
    let controllers: Vec<String> = match kind {
        "cgroup2" => Vec::new(),
        "cgroup" => options.split(',').filter(used).map(str::to_owned).collect(),
        _ => return None,
    };
    (kind == "cgroup2" || !controllers.is_empty()).then(|| Mount { root, at: PathBuf::from(at), controllers })
}

/// The own cgroup in the tree of these controllers, from lines like `4:memory:/user/1`; v2 is `0::/user/1`.
fn own_path<'a>(own: &'a str, controllers: &[String]) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (id, names, path) = (parts.next()?, parts.next()?, parts.next()?);
        let same = match controllers.first() {
            None => id == "0" && names.is_empty(),
            Some(first) => names.split(',').any(|name| name == first),
        };
        same.then_some(path)
    })
}

/// Spaces and the like are written as three octal digits.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mounts: &str, own: &str, top: bool, expected: &str) {
        let trees = candidates(mounts, own, top);
        let lines: Vec<String> = trees
            .iter()
            .map(|tree| format!("{}:{}", tree.controllers.join(","), tree.base.display()))
            .collect();
        assert_eq!(lines.join(" "), expected);
    }

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
    const HYBRID: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        34 31 0:31 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
        35 31 0:32 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const HYBRID_OWN: &str = "9:devices:/\n8:cpu,cpuacct:/\n6:freezer:/\n4:memory:/a/b\n0::/";

    #[test]
    fn a_v2_machine_has_one_tree() {
        check(V2, "0::/user.slice/x.scope", true, ":/sys/fs/cgroup");
        check(V2, "0::/user.slice/x.scope", false, ":/sys/fs/cgroup/user.slice/x.scope");
    }

    #[test]
    fn a_hybrid_machine_has_v2_and_the_controllers_but_no_freezer() {
        let expected = "cpu:/sys/fs/cgroup/cpu memory:/sys/fs/cgroup/memory :/sys/fs/cgroup/unified";
        check(HYBRID, HYBRID_OWN, true, expected);
        let below = "cpu:/sys/fs/cgroup/cpu memory:/sys/fs/cgroup/memory/a/b :/sys/fs/cgroup/unified";
        check(HYBRID, HYBRID_OWN, false, below);
    }

    #[test]
    fn pure_v1_freezes_by_its_own_controller() {
        let v1: Vec<&str> = HYBRID.lines().take(3).collect();
        check(
            &v1.join("\n"),
            HYBRID_OWN,
            true,
            "cpu:/sys/fs/cgroup/cpu memory:/sys/fs/cgroup/memory freezer:/sys/fs/cgroup/freezer",
        );
    }

    #[test]
    fn a_tree_mounted_from_below_its_top_is_used_from_there() {
        let inside = "30 23 0:26 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw";
        check(inside, "0::/docker/1/sub", false, ":/sys/fs/cgroup/sub");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["", "..", "a/b", ".hidden", "a b"] {
            assert!(AgentCgroups::new(Vec::new(), "creel-test", name).is_err(), "{name}");
        }
    }
}
