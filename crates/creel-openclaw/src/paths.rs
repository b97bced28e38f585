//! Where an agent's things are, as its gateway sees them.
//!
//! In a sandbox the paths are the same everywhere and for ever, because OpenClaw writes them into its databases:
//! host paths would break moving, restoring and forking. Without a sandbox they are real folders.

use std::path::{Path, PathBuf};

/// Where the agent's folder is inside a sandbox.
pub const AGENT: &str = "/agent";

/// Where the release is inside a sandbox.
pub const RELEASE: &str = "/release";

/// An agent's folder and its release, as its gateway sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    agent: PathBuf,
    release: PathBuf,
}

impl Paths {
    /// Inside a sandbox.
    pub fn sandboxed() -> Self {
        Self::at(AGENT, RELEASE)
    }

    /// In real folders, for an agent without a sandbox, and for the host's own view of a sandboxed one.
    pub fn at(agent: impl Into<PathBuf>, release: impl Into<PathBuf>) -> Self {
        Self { agent: agent.into(), release: release.into() }
    }

    /// The agent's folder, and its HOME.
    pub fn home(&self) -> &Path {
        &self.agent
    }

    /// OpenClaw's state.
    pub fn state(&self) -> PathBuf {
        self.agent.join("state")
    }

    /// OpenClaw's config file.
    pub fn config(&self) -> PathBuf {
        self.state().join("openclaw.json")
    }

    /// What OpenClaw would put back in the config's place. When a new config has half the bytes of the last one, or
    /// lost its `meta`, OpenClaw takes it for damaged and silently starts with the backup instead, so whoever writes
    /// the config removes these first.
    pub fn config_backups(&self) -> [PathBuf; 2] {
        ["openclaw.json.bak", "openclaw.json.last-good"].map(|name| self.state().join(name))
    }

    /// The agent's workspace.
    pub fn workspace(&self) -> PathBuf {
        self.agent.join("workspace")
    }

    /// Temporary files; also the compile cache, which makes the second start faster.
    pub fn temp(&self) -> PathBuf {
        self.agent.join("tmp")
    }

    /// Logs.
    pub fn log(&self) -> PathBuf {
        self.agent.join("log")
    }

    /// OpenClaw's own log file. Its default is shared by every gateway of the same user.
    pub fn gateway_log(&self) -> PathBuf {
        self.log().join("gateway.jsonl")
    }

    /// What lives only as long as the gateway does.
    pub fn run(&self) -> PathBuf {
        self.agent.join("run")
    }

    /// The values of the agent's secrets: a JSON object by name. OpenClaw wants a regular file, mode 0600, one link.
    pub fn secrets(&self) -> PathBuf {
        self.run().join("secrets.json")
    }

    /// The release's folder.
    pub fn release(&self) -> &Path {
        &self.release
    }

    /// The folder of the release's `node` program.
    pub fn node_bin(&self) -> PathBuf {
        self.release.join("node/bin")
    }

    /// The folders that an agent's folder must have before a start.
    pub fn folders(&self) -> [PathBuf; 5] {
        [self.state(), self.workspace(), self.temp(), self.log(), self.run()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_a_sandbox_are_the_same_everywhere() {
        let paths = Paths::sandboxed();
        assert_eq!(paths.config(), Path::new("/agent/state/openclaw.json"));
        assert_eq!(paths.secrets(), Path::new("/agent/run/secrets.json"));
        assert_eq!(paths.node_bin(), Path::new("/release/node/bin"));
    }

    #[test]
    fn a_folder_with_a_space_and_an_umlaut_is_kept_as_it_is() {
        let paths = Paths::at("/var/my dätä/a1", "/opt/rel");
        assert_eq!(paths.workspace(), Path::new("/var/my dätä/a1/workspace"));
    }
}
