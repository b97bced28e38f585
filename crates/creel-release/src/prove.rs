//! Showing that a laid-out release is whole and runs, on empty throwaway folders: never on anyone's state.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::child::{self, Ended};
use crate::file_error::{FileError, at};
use crate::install::InstallError;

const DEADLINE: Duration = Duration::from_secs(180);
/// A schema shorter than this describes no OpenClaw config.
const SHORTEST_SCHEMA_BYTES: usize = 1000;

/// The files of a release that is being made or is there.
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    /// Where throwaway folders may be made: on the same disk, and gone with the install.
    pub(crate) scratch: PathBuf,
}

impl Layout {
    pub(crate) fn node(&self) -> PathBuf {
        self.root.join("node/bin/node")
    }

    pub(crate) fn modules(&self) -> PathBuf {
        self.root.join("openclaw/node_modules")
    }

    fn program(&self) -> PathBuf {
        self.modules().join("openclaw/openclaw.mjs")
    }

    /// How an agent, which sees the release as `/release`, starts it.
    pub(crate) fn argv() -> Vec<String> {
        ["/release/node/bin/node", "/release/openclaw/node_modules/openclaw/openclaw.mjs"]
            .map(str::to_owned)
            .into()
    }
}

/// Checks that every native part for this machine is there. npm skips an optional package without a word when
/// anything is wrong with it, and the gateway then fails much later, on somebody's state.
pub(crate) fn native_parts(layout: &Layout) -> Result<(), InstallError> {
    let modules = layout.modules();
    let openclaw = manifest(&modules.join("openclaw"))?;
    let named = ["dependencies", "optionalDependencies"].map(|kind| keys(&openclaw, kind));
    for dependency in named.concat() {
        let folder = modules.join(&dependency);
        if folder.exists() {
            native_part(&modules, &dependency, &manifest(&folder)?)?;
        }
    }
    Ok(())
}

/// A package that offers builds for this platform must have one of them, beside it or inside it.
fn native_part(modules: &Path, name: &str, manifest: &Value) -> Result<(), InstallError> {
    let builds = builds_for_here(&keys(manifest, "optionalDependencies"));
    let places = [modules.to_owned(), modules.join(name).join("node_modules")];
    let is_there = |build: &String| places.iter().any(|place| place.join(build).exists());
    match builds.is_empty() || builds.iter().any(is_there) {
        true => Ok(()),
        false => {
            Err(InstallError::NativePartMissing { package: name.to_owned(), builds: builds.join(" or ") })
        }
    }
}

fn builds_for_here(optional: &[String]) -> Vec<String> {
    let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
    let platform = format!("linux-{arch}");
    let fits = |name: &&String| name.contains(&platform) && !name.contains("musl");
    optional.iter().filter(fits).cloned().collect()
}

fn manifest(package: &Path) -> Result<Value, InstallError> {
    let path = package.join("package.json");
    let text = fs::read(&path).map_err(at("read", &path))?;
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

fn keys(manifest: &Value, kind: &str) -> Vec<String> {
    let map = manifest.get(kind).and_then(Value::as_object);
    map.map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

/// Checks that `--version` answers with the version that was asked for.
pub(crate) async fn version(layout: &Layout, version: &str) -> Result<(), InstallError> {
    let ended = openclaw(layout, &["--version"]).await?;
    let said = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
    if ended.status.success() && said.split_whitespace().any(|word| word == version) {
        return Ok(());
    }
    let output = format!("{said}\n{}", ended.tail).trim().to_owned();
    Err(InstallError::DoesNotRun { command: "--version", output })
}

/// The schema of this release's config, if it can print one.
pub(crate) async fn schema(layout: &Layout) -> Result<Option<Vec<u8>>, InstallError> {
    let ended = openclaw(layout, &["config", "schema"]).await?;
    let is_object = serde_json::from_slice::<Value>(&ended.stdout).is_ok_and(|value| value.is_object());
    let is_schema = ended.status.success() && ended.stdout.len() > SHORTEST_SCHEMA_BYTES && is_object;
    Ok(is_schema.then_some(ended.stdout))
}

async fn openclaw(layout: &Layout, arguments: &[&str]) -> Result<Ended, FileError> {
    let program = layout.program();
    let home = tempfile::tempdir_in(&layout.scratch).map_err(at("make a folder in", &layout.scratch))?;
    let mut command = Command::new(layout.node());
    command.arg(&program).args(arguments).current_dir(home.path()).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", home.path()).env("TMPDIR", home.path());
    command.env("OPENCLAW_STATE_DIR", home.path()).env("OPENCLAW_NO_AUTO_UPDATE", "1").env("NO_COLOR", "1");
    child::run(&mut command, DEADLINE, &mut |_| true).await.map_err(at("run", &program))
}
