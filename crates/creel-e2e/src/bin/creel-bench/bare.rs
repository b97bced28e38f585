//! The bare gateway: the same release, without creel, as its own documents say it is started.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::http;
use crate::stage::{VERSION, time_until};

/// The gateway's token; nobody but this machine's loopback can use it.
const TOKEN: &str = "bench";

/// A folder for a bare gateway and what it needs to be started.
pub(crate) struct Bare {
    folder: PathBuf,
    release: PathBuf,
    port: u16,
}

impl Bare {
    /// A fresh state. `temp` is shared between states, as it is for a user: it has the compile cache.
    pub(crate) fn new(folder: &Path, releases: &Path, practice: &str) -> Result<Self> {
        fs::create_dir_all(folder.join("state"))?;
        fs::create_dir_all(folder.join("workspace"))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = json!({
            "gateway": {"mode": "local", "port": port, "bind": "loopback", "auth": {"mode": "token", "token": TOKEN},
                "http": {"endpoints": {"chatCompletions": {"enabled": true}}}},
            "logging": {"consoleStyle": "json", "file": folder.join("gateway.jsonl")},
            "update": {"checkOnStart": false},
            "agents": {"defaults": {"workspace": folder.join("workspace"), "model": {"primary": "practice/practice-1"}}},
            "models": {"providers": {"practice": {"baseUrl": practice, "apiKey": "none", "api": "openai-completions",
                "models": [{"id": "practice-1", "name": "practice", "reasoning": false, "input": ["text"],
                    "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
                    "contextWindow": 128_000, "maxTokens": 4096}]}}},
        });
        fs::write(folder.join("state/openclaw.json"), config.to_string())?;
        Ok(Self { folder: folder.to_owned(), release: releases.join(VERSION), port })
    }

    /// Starts it and says how long it took until it had started.
    pub(crate) fn start(&self, temp: &Path) -> Result<(Running, Duration)> {
        fs::create_dir_all(temp)?;
        let log = File::create(self.folder.join("out.log"))?;
        let since = Instant::now();
        let child = Command::new(self.release.join("node/bin/node"))
            .arg(self.release.join("openclaw/node_modules/openclaw/openclaw.mjs"))
            .args(["gateway", "run", "--port", &self.port.to_string()])
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", "/usr/bin:/bin")
            .env("TMPDIR", temp)
            .env("OPENCLAW_STATE_DIR", self.folder.join("state"))
            .env("OPENCLAW_CONFIG_PATH", self.folder.join("state/openclaw.json"))
            .env("OPENCLAW_SUPERVISOR_MODE", "external")
            .env("OPENCLAW_NO_AUTO_UPDATE", "1")
            .env("OPENCLAW_DISABLE_BONJOUR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let running = Running { child, port: self.port };
        let took = time_until(since, "the bare gateway started", || http::has_started(self.port))
            .with_context(|| fs::read_to_string(self.folder.join("out.log")).unwrap_or_default())?;
        Ok((running, took))
    }
}

/// A bare gateway that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// One turn: from the request to the end of the answer.
    pub(crate) fn turn(&self, message: &str) -> Result<Duration> {
        let body =
            json!({"model": "openclaw", "messages": [{"role": "user", "content": message}]}).to_string();
        let since = Instant::now();
        let address = format!("127.0.0.1:{}", self.port);
        let (status, text) = http::ask(&address, "POST", "/v1/chat/completions", TOKEN, &body)?;
        ensure!(status == 200, "the bare gateway answered {status}: {text}");
        Ok(since.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = killed {
            eprintln!("a bare gateway could not be ended: {error}");
        }
    }
}
