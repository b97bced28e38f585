//! What tests ask and do about one agent, and about creel's own processes: from the outside, by pid and by file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::creel::Creel;
use crate::process::{kill, runs};
use crate::program::Ran;
use crate::release::STUB_RELEASE;
use crate::talk::Talk;
use crate::wait::{DEADLINE, until};

impl Creel {
    /// Applies an agent on the stub release and waits until it runs; `spec` is the rest of its spec, as flow YAML
    /// (`env: {A: b}`) or empty.
    pub fn start(&self, name: &str, spec: &str) -> Result<Value> {
        self.apply(&stub_agent(name, spec), &["--wait"])?.done()?;
        self.agent(name)
    }

    /// The agent's uid.
    pub fn uid(&self, name: &str) -> Result<String> {
        text(&self.agent(name)?, "/metadata/uid")
    }

    /// The gateway's pid, once the agent runs.
    pub fn pid(&self, name: &str) -> Result<u32> {
        pid_of(&self.until_phase(name, "Running")?)
    }

    /// Waits until the agent runs with another gateway than this one.
    pub fn until_new_pid(&self, name: &str, old: u32) -> Result<Value> {
        self.until_agent(name, &format!("Running, and not with pid {old}"), |agent| {
            agent["status"]["phase"] == "Running" && pid_of(agent).is_ok_and(|pid| pid != old)
        })
    }

    /// The agent's folder.
    pub fn agent_folder(&self, name: &str) -> Result<PathBuf> {
        Ok(self.data().join("agents").join(self.uid(name)?))
    }

    /// Tells the stub what to do wrong from now on.
    pub fn stunts(&self, name: &str, stunts: &Value) -> Result<()> {
        let state = self.agent_folder(name)?.join("agent/state");
        // By rename, because the stub may read at any moment.
        fs::write(state.join("stub.new"), stunts.to_string())?;
        Ok(fs::rename(state.join("stub.new"), state.join("stub.json"))?)
    }

    /// Stores a secret of the default tenant, as people do: not on the command line.
    pub fn set_secret(&self, name: &str, value: &str) -> Result<()> {
        let file = self.scratch().join("secret");
        fs::write(&file, value)?;
        self.done(&["secret", "set", name, "--from-file", &file.to_string_lossy()])?;
        Ok(fs::remove_file(file)?)
    }

    /// Says this to the agent and gives back its answer.
    pub fn say(&self, name: &str, message: &str) -> Result<String> {
        self.chat(name, message)?.done()
    }

    /// Says this to the agent, however it goes.
    pub fn chat(&self, name: &str, message: &str) -> Result<Ran> {
        self.run(&["chat", name, message])
    }

    /// Says this to the agent and reads the answer as it comes.
    pub fn talk(&self, name: &str, message: &str) -> Result<Talk> {
        Talk::begin(self.command(&["chat", name, message]))
    }

    /// The pid of one of creel's own processes: `up`, `serve`, `warden` or `practice-model`.
    pub fn body(&self, verb: &str) -> Result<u32> {
        until(&format!("a process of `creel {verb}`"), DEADLINE, || {
            let all = self.processes();
            let mut own = all.iter().filter(|process| process.command.split(' ').nth(1) == Some(verb));
            own.next().map(|process| process.pid).ok_or_else(|| format!("{all:?}"))
        })
    }

    /// Kills `creel up`, the server and the warden with -9, none of them knowing of another's end.
    pub fn kill_all_bodies(&self) -> Result<()> {
        let [up, server, warden] = [self.body("up")?, self.body("serve")?, self.body("warden")?];
        kill(up, Signal::SIGSTOP)?;
        for pid in [warden, server, up] {
            kill(pid, Signal::SIGKILL)?;
        }
        self.until_gone(&[up, server, warden])
    }

    /// Waits until none of these runs.
    pub fn until_gone(&self, pids: &[u32]) -> Result<()> {
        until(&format!("none of {pids:?} runs"), DEADLINE, || {
            let left: Vec<&u32> = pids.iter().filter(|pid| runs(**pid)).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
    }

    /// The keeper of an agent.
    pub fn keeper(&self, uid: &str) -> Result<u32> {
        until("a keeper", DEADLINE, || {
            let all = self.processes();
            let keeper = |command: &str| command.contains("keeper keeper") && command.contains(uid);
            let found = all.iter().find(|process| keeper(&process.command)).map(|process| process.pid);
            found.ok_or_else(|| format!("{all:?}"))
        })
    }

    /// Waits until no process and no cgroup of this agent is left.
    pub fn until_nothing_is_left(&self, uid: &str) -> Result<()> {
        until(&format!("nothing is left of {uid}"), DEADLINE, || {
            let groups = cgroups(Path::new("/sys/fs/cgroup"), uid);
            let all = self.processes();
            let left: Vec<_> = all.iter().filter(|process| process.command.contains(uid)).collect();
            if groups.is_empty() && left.is_empty() { Ok(()) } else { Err(format!("{groups:?} {left:?}")) }
        })
    }

    /// What the warden wrote of the agent in its own record.
    pub fn record(&self, name: &str) -> Result<Value> {
        let text = fs::read_to_string(self.agent_folder(name)?.join("warden.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// An answer of the API, asked for as its documents say: with the token of the data folder.
    pub fn api(&self, path: &str) -> Result<Value> {
        let server: Value = serde_json::from_slice(&fs::read(self.data().join("run/server.json"))?)?;
        let token = fs::read_to_string(self.data().join("token"))?;
        let url = format!("{}{path}", text(&server, "/url")?);
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build()?;
            let answer = client.get(url).bearer_auth(token.trim()).send().await?.error_for_status()?;
            Ok(answer.json().await?)
        })
    }

    /// The store's revision: that of the newest line of its history.
    pub fn revision(&self) -> Result<u64> {
        let history = self.api("/api/v1/history?limit=1")?;
        let newest = history.pointer("/items/0/revision").and_then(Value::as_u64);
        newest.with_context(|| format!("no history: {history}"))
    }
}

/// The manifest of an agent on the stub release.
pub fn stub_agent(name: &str, spec: &str) -> String {
    let more = if spec.is_empty() { String::new() } else { format!(", {spec}") };
    format!(
        "apiVersion: creel.dev/v1\nkind: Agent\nmetadata: {{name: {name}}}\nspec: {{release: {STUB_RELEASE}{more}}}\n"
    )
}

/// The gateway's pid in what the API says of an agent.
pub fn pid_of(agent: &Value) -> Result<u32> {
    let pid = agent.pointer("/status/pid").and_then(Value::as_u64);
    Ok(u32::try_from(pid.with_context(|| format!("no pid: {agent}"))?)?)
}

/// How often creel started the gateway again after it had ended by itself.
pub fn restarts_of(agent: &Value) -> Result<u64> {
    agent.pointer("/status/restarts").and_then(Value::as_u64).context("no restarts")
}

/// A text in what the API says.
pub fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no text at {pointer}: {value}"))
}

/// Fails unless every one of these words is in the text.
pub fn tells(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "`{word}` is not in:\n{text}");
    }
    Ok(())
}

/// Every cgroup below this folder whose name has these words.
fn cgroups(folder: &Path, words: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found = Vec::new();
    for entry in folders {
        if entry.file_name().to_string_lossy().contains(words) {
            found.push(entry.path());
        }
        found.extend(cgroups(&entry.path(), words));
    }
    found
}
