//! Releases for tests: one whose gateway is the stub, written here so that no network is needed, and a real one that
//! is installed once and then linked.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::creel::folder_of_tests;
use crate::program::{beside, run};

/// The stub's program.
const STUB: &str = "stub-gateway";

/// The version that most tests' stub release has.
pub const STUB_RELEASE: &str = "2026.9.6";

/// Puts a release of this version, run by the stub, among the releases of a data folder.
pub fn add_stub_release(data: &Path, version: &str) -> Result<()> {
    let stub = beside(STUB)?;
    let folder = data.join("releases").join(version);
    fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let program = folder.join(STUB);
    // A link where it is possible: a hundred copies of a program would not share their memory.
    if fs::hard_link(&stub, &program).is_err() {
        fs::copy(&stub, &program).with_context(|| format!("{} can't be written", program.display()))?;
    }
    let record = json!({
        "version": version,
        "nodeVersion": "0.0.0",
        "argv": ["/release/stub-gateway"],
        "installedAt": "2026-11-23T00:00:00Z",
        "sizeBytes": fs::metadata(&stub)?.len(),
        "lockHash": "",
    });
    fs::write(folder.join("release.json"), record.to_string())?;
    Ok(())
}

/// Puts a real release among the releases of a data folder. It is installed once, below `target`, and linked from
/// there, so that a test costs neither a download nor 800 MB.
pub fn add_real_release(data: &Path, version: &str) -> Result<()> {
    let installed = install_once(version)?;
    link_tree(&installed, &data.join("releases").join(version))
}

fn install_once(version: &str) -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let place = folder_of_tests()?.with_file_name("creel-real");
    let releases = place.join("releases");
    let installed = releases.join(version);
    if !installed.join("release.json").is_file() {
        fs::create_dir_all(&releases)?;
        let mut install = Command::new(beside("creel")?);
        install.args(["internal", "install-release", version, "--releases"]).arg(&releases);
        if env::var_os("XDG_CACHE_HOME").is_none() {
            install.env("XDG_CACHE_HOME", place.join("cache"));
        }
        run(&mut install, INSTALL_MOST)?.done()?;
    }
    Ok(installed)
}

/// ~900 MB come over the network, and npm unpacks them.
const INSTALL_MOST: Duration = Duration::from_secs(3600);

fn link_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link_tree(&from, &to)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&from)?, &to)?;
        } else {
            fs::hard_link(&from, &to).with_context(|| format!("{} can't be linked", from.display()))?;
        }
    }
    Ok(())
}
