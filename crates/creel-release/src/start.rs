//! One start of the real gateway, on throwaway state, in a sandbox without network.
//!
//! It runs under the very paths an agent sees (`/release`, `/agent`), because the compile cache it leaves is keyed by
//! them. Where the sandbox cannot be made nothing is started: a machine without bubblewrap still gets its release.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use serde_json::json;
use tokio::process::Command;

use crate::child::{self, Ended};
use crate::file_error::{FileError, at};
use crate::install::InstallError;
use crate::prove::Layout;

const SCRIPT: &str = include_str!("start.mjs");
/// Inside the sandbox nobody else listens: the gateway has its own default port.
const PORT: u16 = 18789;
const DEADLINE: Duration = Duration::from_secs(180);
/// For the sandbox itself, and for stopping the gateway.
const GRACE: Duration = Duration::from_secs(60);
const NOT_STARTED_IN_TIME: i32 = 3;
const GATEWAY_ENDED: i32 = 4;

/// Starts the gateway once. Gives the compile cache that it left in the scratch folder, if it could be tried.
pub(crate) async fn prove(layout: &Layout) -> Result<Option<PathBuf>, InstallError> {
    let agent = throwaway(&layout.scratch)?;
    let mut command = sandbox(layout, &agent);
    let ended = match child::run(&mut command, DEADLINE + GRACE, &mut |_| true).await {
        Ok(ended) => ended,
        Err(error) => return untried(&error.to_string()),
    };
    judge(&ended, &agent)
}

fn judge(ended: &Ended, agent: &Path) -> Result<Option<PathBuf>, InstallError> {
    match ended.status.code() {
        Some(0) => Ok(Some(agent.join("tmp/node-compile-cache")).filter(|folder| folder.exists())),
        Some(GATEWAY_ENDED) => {
            Err(InstallError::DoesNotRun { command: "gateway run", output: ended.tail.clone() })
        }
        // A busy machine is no proof against a release.
        Some(NOT_STARTED_IN_TIME) => untried("the gateway was not up in time"),
        _ => untried(&ended.tail),
    }
}

fn untried(why: &str) -> Result<Option<PathBuf>, InstallError> {
    tracing::warn!(why, "the release was not proven by a start; agents' first starts will be slower");
    Ok(None)
}

/// A folder as an agent has it: config, state, temp.
fn throwaway(scratch: &Path) -> Result<PathBuf, FileError> {
    let folder = scratch.join("agent");
    fill(&folder).map_err(at("write in", &folder))?;
    Ok(folder)
}

fn fill(agent: &Path) -> io::Result<()> {
    fs::create_dir_all(agent.join("state"))?;
    fs::create_dir_all(agent.join("tmp"))?;
    let auth = json!({ "mode": "token", "token": token()? });
    let gateway = json!({ "mode": "local", "port": PORT, "bind": "loopback", "auth": auth });
    fs::write(agent.join("state/openclaw.json"), json!({ "gateway": gateway }).to_string())?;
    fs::write(agent.join("passwd"), "agent:x:1000:1000:agent:/agent:/bin/sh\n")
}

fn token() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn sandbox(layout: &Layout, agent: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-user", "--uid", "1000", "--gid", "1000", "--unshare-pid", "--unshare-ipc"]);
    command.args(["--unshare-uts", "--unshare-net", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"]);
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind", "/usr", "/usr"]);
    for folder in ["bin", "sbin", "lib", "lib64"] {
        command.args(system_folder(folder));
    }
    command.args(["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]);
    command.arg("--ro-bind").arg(agent.join("passwd")).arg("/etc/passwd");
    command.arg("--ro-bind").arg(&layout.root).arg("/release");
    command.arg("--bind").arg(agent).arg("/agent").args(["--chdir", "/agent"]);
    for (name, value) in ENVIRONMENT {
        command.args(["--setenv", name, value]);
    }
    let argv = Layout::argv();
    command.args(["--", &argv[0], "--input-type=module", "-e", SCRIPT, "--"]);
    command.arg(PORT.to_string()).arg(DEADLINE.as_millis().to_string());
    command.args(argv).args(["gateway", "run", "--port"]).arg(PORT.to_string());
    command
}

/// As openclaw wants it from whoever supervises it; no update check, no mDNS, no service repair.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("HOME", "/agent"),
    ("PATH", "/release/node/bin:/usr/bin:/bin"),
    ("TMPDIR", "/agent/tmp"),
    ("OPENCLAW_STATE_DIR", "/agent/state"),
    ("OPENCLAW_CONFIG_PATH", "/agent/state/openclaw.json"),
    ("OPENCLAW_SUPERVISOR_MODE", "external"),
    ("OPENCLAW_NO_AUTO_UPDATE", "1"),
    ("OPENCLAW_DISABLE_BONJOUR", "1"),
    ("OPENCLAW_SERVICE_REPAIR_POLICY", "external"),
];

/// `/bin` and its like are links into `/usr` on most systems, and folders on some.
fn system_folder(name: &str) -> [OsString; 3] {
    let path = PathBuf::from("/").join(name);
    match fs::read_link(&path) {
        Ok(target) => ["--symlink".into(), target.into(), path.into()],
        Err(_) => ["--ro-bind-try".into(), path.clone().into(), path.into()],
    }
}
