//! npm, run with the very Node that will run OpenClaw.
//!
//! npm leaves out optional native packages whose `engines` do not accept the Node that runs npm, so another Node
//! would lay out another release. npm reads its own settings (registry, proxies, certificates) from the user's home.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use crate::child;
use crate::file_error::at;
use crate::install::InstallError;

/// Which packages may run install scripts, by name. npm 12 runs no others; without OpenClaw's own `postinstall` a
/// release refuses to start ("package lifecycle is incomplete"). The rest are those whose native part is built or
/// fetched by a script; upstream approves the same ones for its own installs. Scripts of any other package only
/// check or print something, and stay unrun.
const MAY_RUN_SCRIPTS: [&str; 9] = [
    "openclaw",
    "@lydell/node-pty",
    "node-pty",
    "authenticate-pam",
    "@matrix-org/matrix-sdk-crypto-nodejs",
    "sharp",
    "better-sqlite3",
    "clawpdf",
    "rastermill",
];
const DEADLINE: Duration = Duration::from_secs(30 * 60);
const DEPENDENCIES: usize = 330;

/// How npm is run.
pub(crate) struct Npm<'a> {
    pub(crate) node: &'a Path,
    pub(crate) program: &'a Path,
    pub(crate) cache: &'a Path,
    pub(crate) registry: Option<&'a str>,
}

/// What npm is to install.
pub(crate) struct Wanted<'a> {
    pub(crate) version: &'a str,
    /// Dependencies as resolved before, if they were.
    pub(crate) lock: Option<&'a Path>,
    pub(crate) folder: &'a Path,
}

impl Npm<'_> {
    /// Installs OpenClaw and its dependencies into a folder's `node_modules`. `seen` hears of the share done, 0 to
    /// 1000, guessed from the packages fetched.
    pub(crate) async fn install(
        &self,
        wanted: &Wanted<'_>,
        seen: &mut (dyn FnMut(u16) + Send),
    ) -> Result<(), InstallError> {
        write_project(wanted)?;
        let mut fetched = 0;
        let mut line = |line: &str| {
            let is_fetch = line.starts_with("npm http");
            fetched += usize::from(is_fetch && line.contains(".tgz"));
            seen(u16::try_from((fetched * 1000 / DEPENDENCIES).min(1000)).unwrap_or(1000));
            !is_fetch
        };
        let mut command = self.command(wanted);
        let ended =
            child::run(&mut command, DEADLINE, &mut line).await.map_err(at("run npm in", wanted.folder))?;
        match ended.status.success() {
            true => Ok(()),
            false => Err(failure(&ended.tail, wanted.folder)),
        }
    }

    fn command(&self, wanted: &Wanted<'_>) -> Command {
        let mut command = Command::new(self.node);
        command.arg(self.program).arg(if wanted.lock.is_some() { "ci" } else { "install" });
        // The flags undo what a user's .npmrc may say for other projects: no scripts, no optional packages.
        command.args(["--ignore-scripts=false", "--include=optional", "--omit=dev", "--global=false"]);
        command.args(["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=http"]);
        // A lockfile without addresses is good for any registry that another machine may use.
        command.arg("--omit-lockfile-registry-resolved").arg("--cache").arg(self.cache.join("npm-cache"));
        if let Some(registry) = self.registry {
            command.arg("--registry").arg(registry);
        }
        command.current_dir(wanted.folder).env("PATH", path_with(self.node)).env_remove("NODE_ENV");
        command
    }
}

/// Install scripts call `node`: they are to find this one.
fn path_with(node: &Path) -> OsString {
    let own = node.parent().map(Path::to_owned);
    let inherited = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let all: Vec<PathBuf> = own.into_iter().chain(std::env::split_paths(&inherited)).collect();
    std::env::join_paths(all).unwrap_or(inherited)
}

fn write_project(wanted: &Wanted<'_>) -> Result<(), InstallError> {
    let folder = wanted.folder;
    fs::create_dir_all(folder).map_err(at("make", folder))?;
    let allowed: serde_json::Map<_, _> =
        MAY_RUN_SCRIPTS.map(|name| (name.to_owned(), json!(true))).into_iter().collect();
    let project = json!({
        "name": "release",
        "private": true,
        "dependencies": { "openclaw": wanted.version },
        "allowScripts": allowed,
    });
    fs::write(folder.join("package.json"), format!("{project:#}\n")).map_err(at("write in", folder))?;
    if let Some(lock) = wanted.lock {
        fs::copy(lock, folder.join("package-lock.json")).map_err(at("copy", lock))?;
    }
    Ok(())
}

/// npm names the system's error in its output; its exit code says nothing.
fn failure(tail: &str, folder: &Path) -> InstallError {
    const FULL: [&str; 2] = ["ENOSPC", "EDQUOT"];
    const CUT: [&str; 8] = [
        "ENOTFOUND",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "EAI_AGAIN",
        "ENETUNREACH",
        "EHOSTUNREACH",
        "ERR_SOCKET_TIMEOUT",
    ];
    let names = |codes: &[&str]| codes.iter().any(|code| tail.contains(code));
    if names(&FULL) {
        let source = std::io::ErrorKind::StorageFull.into();
        return InstallError::DiskFull { folder: folder.to_owned(), source };
    }
    match names(&CUT) {
        true => InstallError::NpmCutOff { output: tail.to_owned() },
        false => InstallError::NpmFailed { output: tail.to_owned() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(output: &str) -> InstallError {
        failure(output, Path::new("/x"))
    }

    #[test]
    fn npm_output_tells_a_full_disk_from_a_cut_line() {
        assert!(matches!(said("npm error code ENOSPC"), InstallError::DiskFull { .. }));
        assert!(matches!(said("npm error code ECONNREFUSED"), InstallError::NpmCutOff { .. }));
        assert!(matches!(said("npm error code ERESOLVE"), InstallError::NpmFailed { .. }));
    }
}
