//! The stub stands in for a real gateway only if it keeps to the same contract: these tests hold it to that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use creel_e2e::{DEADLINE, kill, processes_of, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "stub-token";

struct Stub {
    state: TempDir,
    child: Option<Child>,
}

impl Stub {
    fn new(stunts: &Value) -> Result<Self> {
        let state = tempfile::tempdir()?;
        let config = json!({"gateway": {"mode": "local", "http": {"endpoints": {"chatCompletions": {"enabled": true}}}}});
        fs::write(state.path().join("openclaw.json"), config.to_string())?;
        let stub = Self { state, child: None };
        stub.stunts(stunts)?;
        Ok(stub)
    }

    fn started(stunts: &Value) -> Result<Self> {
        let mut stub = Self::new(stunts)?;
        stub.start()?;
        stub.until_probe("/startupz", 200)?;
        Ok(stub)
    }

    fn stunts(&self, stunts: &Value) -> Result<()> {
        // By rename, because the stub may read at any moment.
        let new = self.state().join("stub.new");
        fs::write(&new, stunts.to_string())?;
        Ok(fs::rename(new, self.state().join("stub.json"))?)
    }

    fn state(&self) -> &Path {
        self.state.path()
    }

    fn start(&mut self) -> Result<()> {
        if self.port_file().exists() {
            fs::remove_file(self.port_file())?;
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_stub-gateway"));
        command.args(["gateway", "run", "--port", "0"]);
        command.env_clear().env("OPENCLAW_STATE_DIR", self.state()).env("OPENCLAW_GATEWAY_TOKEN", TOKEN);
        self.child = Some(command.stdout(Stdio::null()).spawn()?);
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("not started")?.id())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(self.pid()?, signal)?)
    }

    fn exit(&mut self) -> Result<ExitStatus> {
        let mut child = self.child.take().context("not started")?;
        let exit = until("the stub ends", DEADLINE, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            seen => Err(format!("{seen:?}")),
        });
        if exit.is_err() {
            self.child = Some(child);
        }
        exit
    }

    fn url(&self, path: &str) -> Result<String> {
        let port = fs::read_to_string(self.port_file()).context("it does not listen yet")?;
        Ok(format!("http://127.0.0.1:{port}{path}"))
    }

    fn port_file(&self) -> PathBuf {
        self.state().join("stub-port")
    }

    fn probe(&self, path: &str) -> Result<(u16, Value)> {
        wait_for(async {
            let answer = client()?.get(self.url(path)?).send().await?;
            Ok((answer.status().as_u16(), answer.json().await?))
        })
    }

    fn until_probe(&self, path: &str, status: u16) -> Result<Value> {
        until(&format!("{path} answers {status}"), DEADLINE, || match self.probe(path) {
            Ok((seen, body)) if seen == status => Ok(body),
            seen => Err(format!("{seen:?}")),
        })
    }

    fn chat(&self, message: &str, stream: bool) -> Result<reqwest::RequestBuilder> {
        let body = json!({"model": "openclaw", "stream": stream, "messages": [{"role": "user", "content": message}]});
        let post = client()?.post(self.url("/v1/chat/completions")?).json(&body).timeout(DEADLINE);
        Ok(post.bearer_auth(TOKEN).header("x-openclaw-session-key", "agent:main:x"))
    }

    fn say(&self, message: &str) -> Result<String> {
        let answer: Value = wait_for(async { Ok(self.chat(message, false)?.send().await?.json().await?) })?;
        let content = answer["choices"][0]["message"]["content"].as_str();
        Ok(content.with_context(|| format!("no answer: {answer}"))?.to_owned())
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = child.kill().and_then(|()| child.wait());
            assert!(ended.is_ok(), "the stub can't be ended: {ended:?}");
        }
    }
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1)).build()?)
}

fn wait_for<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

#[test]
fn its_probes_tell_starting_from_started() -> Result<()> {
    let mut stub = Stub::new(&json!({"sidecarDelayMs": 600_000}))?;
    stub.start()?;
    assert_eq!(stub.until_probe("/healthz", 200)?["status"], "live");
    assert_eq!(stub.until_probe("/startupz", 503)?["status"], "starting");
    assert_eq!(stub.probe("/readyz")?.1["failing"], json!(["startup-sidecars"]));

    let stub = Stub::started(&json!({}))?;
    assert_eq!(stub.probe("/startupz")?.1["status"], "started");
    assert_eq!(stub.probe("/readyz")?.1["ready"], true);
    stub.stunts(&json!({"failing": ["telegram"]}))?;
    assert_eq!(stub.until_probe("/readyz", 503)?["failing"], json!(["telegram"]));
    Ok(())
}

#[test]
fn it_remembers_a_conversation_after_a_kill_in_the_middle_of_an_answer() -> Result<()> {
    let mut stub = Stub::started(&json!({}))?;
    assert_eq!(stub.say("one")?, "You said: \"one\".");
    stub.stunts(&json!({"wordDelayMs": 600_000}))?;
    let broken = wait_for(async {
        let mut answer = stub.chat("two", true)?.send().await?;
        let first = answer.chunk().await?;
        anyhow::ensure!(first.is_some());
        stub.signal(Signal::SIGKILL)?;
        Ok(answer.text().await.is_err())
    })?;
    assert!(broken, "an answer that was cut off must not look complete");
    stub.exit()?;
    stub.stunts(&json!({}))?;
    stub.start()?;
    stub.until_probe("/startupz", 200)?;
    assert_eq!(stub.say("three")?, "You said: \"three\". Before that: \"one\", \"two\".");
    Ok(())
}

#[test]
fn it_wants_its_token() -> Result<()> {
    let stub = Stub::started(&json!({}))?;
    let status = wait_for(async {
        Ok(client()?.post(stub.url("/v1/chat/completions")?).bearer_auth("wrong").send().await?.status())
    })?;
    assert_eq!(status, 401);
    Ok(())
}

#[test]
fn a_config_that_it_cannot_read_ends_it_with_78() -> Result<()> {
    for config in [Some("{"), Some("{}"), None] {
        let mut stub = Stub::new(&json!({}))?;
        let file = stub.state().join("openclaw.json");
        config.map_or_else(|| fs::remove_file(&file), |text| fs::write(&file, text))?;
        stub.start()?;
        assert_eq!(stub.exit()?.code(), Some(78), "{config:?}");
    }
    Ok(())
}

#[test]
fn a_second_one_on_the_same_state_is_refused() -> Result<()> {
    let mut stub = Stub::started(&json!({}))?;
    let first = stub.child.take();
    stub.start()?;
    assert_eq!(stub.exit()?.code(), Some(78));
    stub.child = first;
    Ok(())
}

#[test]
fn a_drain_finishes_the_turn_and_takes_no_new_one() -> Result<()> {
    let mut stub = Stub::started(&json!({"wordDelayMs": 300}))?;
    let text = wait_for(async {
        let mut answer = stub.chat("one", true)?.send().await?;
        let first = answer.chunk().await?.context("nothing came")?;
        stub.signal(Signal::SIGTERM)?;
        let rest = answer.text().await?;
        Ok(String::from_utf8_lossy(&first).into_owned() + &rest)
    })?;
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(stub.exit()?.code(), Some(0));
    Ok(())
}

#[test]
fn usr2_is_an_exit_that_asks_for_a_restart() -> Result<()> {
    let mut stub = Stub::started(&json!({}))?;
    stub.signal(Signal::SIGUSR2)?;
    assert_eq!(stub.exit()?.code(), Some(0));
    Ok(())
}

#[test]
fn it_crashes_as_often_as_it_is_told_to() -> Result<()> {
    let mut stub = Stub::new(&json!({"crashLoop": 2}))?;
    for _ in 0..2 {
        stub.start()?;
        assert_eq!(stub.exit()?.code(), Some(1));
    }
    stub.start()?;
    stub.until_probe("/startupz", 200)?;
    Ok(())
}

#[test]
fn it_ends_by_itself_with_the_code_it_is_told() -> Result<()> {
    let mut stub = Stub::new(&json!({"exitAfterMs": 1, "exitCode": 42}))?;
    stub.start()?;
    assert_eq!(stub.exit()?.code(), Some(42));
    Ok(())
}

#[test]
fn it_hangs_and_heals_while_it_runs() -> Result<()> {
    let stub = Stub::started(&json!({}))?;
    stub.stunts(&json!({"hang": true}))?;
    until("no answer any more", DEADLINE, || match stub.probe("/healthz") {
        Err(error) if error.to_string().contains("sending request") => Ok(()),
        seen => Err(format!("{seen:?}")),
    })?;
    stub.stunts(&json!({}))?;
    stub.until_probe("/healthz", 200)?;
    Ok(())
}

#[test]
fn what_it_leaks_lives_on_in_a_session_of_its_own() -> Result<()> {
    let mut stub = Stub::started(&json!({"leakChildren": 2, "ignoreTerm": true}))?;
    stub.signal(Signal::SIGTERM)?;
    assert_eq!(stub.probe("/startupz")?.0, 200, "it was to ignore TERM");
    stub.signal(Signal::SIGKILL)?;
    stub.exit()?;
    let leaked = until("two orphans", DEADLINE, || match processes_of(stub.state()) {
        left if left.len() == 2 && left.iter().all(|p| p.command.contains("--leaked-child")) => Ok(left),
        left => Err(format!("{left:?}")),
    })?;
    for process in &leaked {
        kill(process.pid, Signal::SIGKILL)?;
    }
    until("both are gone", DEADLINE, || match processes_of(stub.state()) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    })
}

#[test]
fn it_is_small_unless_it_is_to_be_big() -> Result<()> {
    let stub = Stub::started(&json!({"threads": 8}))?;
    assert!(status_of(stub.pid()?, "VmRSS")? < 5_000);
    assert!(status_of(stub.pid()?, "Threads")? >= 9);
    let stub = Stub::started(&json!({"eatMemoryBytes": 64 << 20}))?;
    assert!(status_of(stub.pid()?, "VmRSS")? > 64 << 10);
    Ok(())
}

fn status_of(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    Ok(line.context("no such line")?.split_whitespace().next().context("empty")?.parse()?)
}
