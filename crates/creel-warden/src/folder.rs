//! Where everything of a node and of an agent lies in the data folder. Paths are made here and nowhere else.
//!
//! An agent's own tree is `agent/` in its folder: all it ever sees, as `/agent`. What creel keeps of it (claim,
//! record, logs, socket) lies beside it, out of its reach.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The data folder, as the warden uses it.
#[derive(Clone, Debug)]
pub(crate) struct NodeFolder {
    pub(crate) root: PathBuf,
}

impl NodeFolder {
    pub(crate) fn agents(&self) -> PathBuf {
        self.root.join("agents")
    }

    pub(crate) fn agent(&self, uid: &str) -> AgentFolder {
        AgentFolder { root: self.agents().join(uid) }
    }

    pub(crate) fn releases(&self) -> PathBuf {
        self.root.join("releases")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The practice model's address, if it is switched on here.
    pub(crate) fn practice(&self) -> PathBuf {
        self.root.join("practice.json")
    }

    /// What the server wanted last, for a start without a server.
    pub(crate) fn desired(&self) -> PathBuf {
        self.run().join("desired.json")
    }

    /// Uids of all agents that have a folder here.
    pub(crate) fn agents_there(&self) -> Vec<String> {
        let entries = fs::read_dir(self.agents()).into_iter().flatten().flatten();
        let mut uids: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        uids.sort();
        uids
    }

    /// The name that this installation's cgroups stand under. It is made of the path, so that two installations on
    /// one machine never share one; an agent's uid below it is unique anyway.
    pub(crate) fn cgroup_root(&self) -> String {
        let path = self.root.to_string_lossy();
        let words: String = path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let tail = words.len().saturating_sub(CGROUP_NAME_MOST);
        format!("creel{}", &words[tail..])
    }
}

/// A file name may have 255 bytes.
const CGROUP_NAME_MOST: usize = 200;

/// One agent's folder.
#[derive(Clone, Debug)]
pub(crate) struct AgentFolder {
    pub(crate) root: PathBuf,
}

impl AgentFolder {
    /// What the agent sees as `/agent`.
    pub(crate) fn tree(&self) -> PathBuf {
        self.root.join("agent")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.tree().join("state/openclaw.json")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.tree().join("run/secrets.json")
    }

    pub(crate) fn compile_cache(&self) -> PathBuf {
        self.tree().join("tmp/node-compile-cache")
    }

    pub(crate) fn claim(&self) -> PathBuf {
        self.root.join("claim")
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.root.join("warden.json")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log/gateway.log")
    }

    /// A user table with just the agent in it, for the sandbox: OpenClaw asks for the name of its user.
    pub(crate) fn passwd(&self) -> PathBuf {
        self.root.join("passwd")
    }

    /// Whether there is anything of the agent's own.
    pub(crate) fn has_state(&self) -> bool {
        self.root.exists()
    }

    /// Makes every folder that a start needs. All of them are for their owner only.
    pub(crate) fn make(&self) -> io::Result<()> {
        for sub in ["log", "agent/state", "agent/workspace", "agent/tmp", "agent/log", "agent/run"] {
            make_private(&self.root.join(sub))?;
        }
        if !self.passwd().exists() {
            let table = "root:x:0:0:root:/:/bin/sh\nagent:x:1000:1000:agent:/agent:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n";
            fs::write(self.passwd(), table)?;
        }
        Ok(())
    }
}

/// Makes a folder and those above it, for their owner only.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Puts `bytes` at `path` so that after a crash either all of them are there or what was there before.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    let fresh = folder.join(format!(".{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("x.json");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_installations_never_share_their_cgroups_and_any_path_makes_a_name() {
        let name = |root: &str| NodeFolder { root: root.into() }.cgroup_root();
        assert_eq!(name("/srv/a b/ü"), "creel-srv-a-b--");
        assert!(name(&format!("/{}", "x".repeat(4000))).len() < 255);
    }
}
