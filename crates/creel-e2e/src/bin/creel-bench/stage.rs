//! What the benchmarks run on: a creel of their own, the real release, and the API.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use creel_e2e::{Creel, beside};
use serde_json::Value;

use crate::http;

/// The release that is measured.
pub(crate) const VERSION: &str = "2026.9.6";

/// Between two looks at something that is timed.
const PAUSE: Duration = Duration::from_millis(5);

/// Nothing that is measured takes longer.
const LONGEST: Duration = Duration::from_secs(180);

/// Where the real release is kept between runs.
pub(crate) fn real_releases() -> Result<PathBuf> {
    let program = beside("creel")?;
    let target = program.parent().and_then(Path::parent).context("the program is not in a target folder")?;
    let releases = target.join("creel-real/releases");
    let status = Command::new(&program)
        .args(["internal", "install-release", VERSION, "--releases"])
        .arg(&releases)
        .stdout(std::process::Stdio::null())
        .status()?;
    ensure!(status.success(), "the release {VERSION} could not be installed");
    Ok(releases)
}

/// Links the real release into this creel's data folder.
pub(crate) fn link_release(creel: &Creel) -> Result<()> {
    let to = creel.data().join("releases");
    std::fs::create_dir_all(&to)?;
    let from = real_releases()?.join(VERSION);
    let linked = Command::new("cp").args(["-al"]).arg(&from).arg(&to).status()?;
    if linked.success() {
        return Ok(());
    }
    let copied = Command::new("cp").args(["-a"]).arg(&from).arg(&to).status()?;
    ensure!(copied.success(), "the release could not be copied");
    Ok(())
}

/// The API of a running creel.
pub(crate) struct Api {
    address: String,
    token: String,
}

impl Api {
    pub(crate) fn of(creel: &Creel) -> Result<Self> {
        let file = std::fs::read_to_string(creel.data().join("run/server.json"))?;
        let said: Value = serde_json::from_str(&file)?;
        let url = said["url"].as_str().context("server.json has no url")?;
        let token = std::fs::read_to_string(creel.data().join("token"))?.trim().to_owned();
        Ok(Self { address: url.trim_start_matches("http://").trim_end_matches('/').to_owned(), token })
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let (status, text) = http::ask(&self.address, method, &format!("/api/v1/{path}"), &self.token, body)?;
        ensure!(status < 300, "{method} {path}: {status} {text}");
        let json = text.find(['{', '[']).map_or("null", |at| &text[at..]);
        // A chunked answer has its end marks around the JSON; the first value is all of it.
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<Value>();
        values.next().unwrap_or(Ok(Value::Null)).context("not JSON")
    }

    pub(crate) fn agent(&self, name: &str) -> Result<Value> {
        self.ask("GET", &format!("tenants/default/agents/{name}"), "")
    }

    pub(crate) fn status(&self, name: &str) -> Result<Value> {
        Ok(self.agent(name)?["status"].take())
    }

    pub(crate) fn put(&self, name: &str, spec: &Value) -> Result<()> {
        let body = serde_json::json!({
            "apiVersion": "creel.dev/v1", "kind": "Agent", "metadata": {"name": name}, "spec": spec
        });
        self.ask("PUT", &format!("tenants/default/agents/{name}"), &body.to_string()).map(drop)
    }

    /// Waits until the agent runs; gives its pid.
    pub(crate) fn until_running(&self, name: &str) -> Result<i32> {
        let found = until(|| self.status(name).ok().filter(|status| status["phase"] == "Running"));
        let status = found.with_context(|| format!("{name} never ran: {:?}", self.status(name)))?;
        status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).context("no pid")
    }

    /// Restarts the agent and waits until it runs again. A restart that was asked for begins a new count of bad ends,
    /// so that no back-off gets between two kills.
    pub(crate) fn begin_anew(&self, name: &str) -> Result<()> {
        let pid = self.until_running(name)?;
        self.ask("POST", &format!("tenants/default/agents/{name}/restart"), "")?;
        let is_new = |status: Value| status["phase"] == "Running" && status["pid"] != pid;
        time_until(Instant::now(), "restarted", || self.status(name).is_ok_and(is_new)).map(drop)
    }

    /// Says something and waits for the whole answer.
    pub(crate) fn chat(&self, name: &str, message: &str) -> Result<String> {
        let body = serde_json::json!({"message": message}).to_string();
        let path = format!("/api/v1/tenants/default/agents/{name}/chat");
        let (status, text) = http::ask(&self.address, "POST", &path, &self.token, &body)?;
        ensure!(status == 200 && text.contains("event: done"), "no answer: {status} {text}");
        Ok(text)
    }
}

/// The port of an agent's gateway, as its warden wrote it down.
pub(crate) fn port_of(creel: &Creel, agent: &Value) -> Result<u16> {
    let uid = agent["metadata"]["uid"].as_str().context("no uid")?;
    let record = std::fs::read(creel.data().join("agents").join(uid).join("warden.json"))?;
    let record: Value = serde_json::from_slice(&record)?;
    record["port"].as_u64().and_then(|port| u16::try_from(port).ok()).context("no port")
}

/// Looks until there is something; none after the longest time.
pub(crate) fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + LONGEST;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// How long until this is so, from `since`.
pub(crate) fn time_until(since: Instant, what: &str, mut is_so: impl FnMut() -> bool) -> Result<Duration> {
    until(|| is_so().then(|| since.elapsed())).with_context(|| format!("never: {what}"))
}
