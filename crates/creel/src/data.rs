//! The data folder: where it is by default and what the files in it are called. Only paths; whoever owns a file
//! reads and writes it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, While};

/// A data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Data(pub(crate) PathBuf);

/// What a server says of itself in `run/server.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerFile {
    pub(crate) url: String,
    pub(crate) pid: u32,
    #[serde(default)]
    pub(crate) version: String,
}

impl Data {
    /// The folder to use when nobody names one: `/var/lib/creel` for root, else below the user's state folder.
    pub(crate) fn default_folder() -> Self {
        if rustix::process::geteuid().is_root() {
            return Self("/var/lib/creel".into());
        }
        let home = || env::home_dir().unwrap_or_else(|| "/".into());
        let state = set("XDG_STATE_HOME").unwrap_or_else(|| home().join(".local/state"));
        Self(state.join("creel"))
    }

    /// This folder with an absolute path, whether it exists or not: children run elsewhere.
    pub(crate) fn absolute(folder: &Path) -> Result<Self, Failure> {
        let folder = std::path::absolute(folder).during(format!("the folder {}", folder.display()))?;
        Ok(Self(folder.components().collect()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    pub(crate) fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    pub(crate) fn server_file(&self) -> PathBuf {
        self.run().join("server.json")
    }

    pub(crate) fn up_lock(&self) -> PathBuf {
        self.run().join("up.lock")
    }

    pub(crate) fn up_file(&self) -> PathBuf {
        self.run().join("up.json")
    }

    /// The practice model runs exactly when this file exists; it holds its port.
    pub(crate) fn practice_file(&self) -> PathBuf {
        self.0.join("practice.json")
    }

    /// The log of one of creel's own processes.
    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.0.join("log").join(format!("{process}.log"))
    }

    /// What the server that ran last on this folder said of itself. It may be gone.
    pub(crate) fn server(&self) -> Option<ServerFile> {
        serde_json::from_slice(&fs::read(self.server_file()).ok()?).ok()
    }
}

/// A folder named by an environment variable; an empty or relative one counts as none, as the XDG rules ask.
pub(crate) fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_still_gets_an_absolute_path() {
        let data = Data::absolute(Path::new("./ä b/./c")).unwrap();
        assert_eq!(data.0, env::current_dir().unwrap().join("ä b/c"));
        assert_eq!(data.log("server"), data.0.join("log/server.log"));
    }

    #[test]
    fn a_half_written_server_file_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data(folder.path().into());
        fs::create_dir(data.run()).unwrap();
        fs::write(data.server_file(), "{\"url\":\"http://1").unwrap();
        assert_eq!(data.server(), None);
        fs::write(data.server_file(), r#"{"url":"http://127.0.0.1:1","pid":7,"version":"0.1.0"}"#).unwrap();
        assert_eq!(data.server().unwrap().pid, 7);
    }
}
