//! The real program on a data folder of its own. When it is dropped, creel is taken down as a user would, and what is
//! left then is killed by its pid.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, kill, processes_of};
use crate::program::{Ran, beside, run};
use crate::release::{STUB_RELEASE, add_stub_release};
use crate::wait::{DEADLINE, until};

/// Variables that could lead a test to another creel, or to a real provider and its bill.
const FOREIGN: [&str; 6] = [
    "CREEL_SERVER",
    "CREEL_TOKEN",
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "XDG_STATE_HOME",
];

/// How long a command may take: longer than every deadline of its own.
const LIMIT: Duration = Duration::from_secs(180);

/// See the module.
#[derive(Debug)]
pub struct Creel {
    scratch: TempDir,
    data: PathBuf,
    program: PathBuf,
    first_port: u16,
    env: Vec<(String, OsString)>,
    /// Whom it runs as, if not as whoever runs the test.
    user: Option<u32>,
}

impl Creel {
    /// On a new and empty data folder; nothing is started.
    pub fn new() -> Result<Self> {
        Self::in_folder("data")
    }

    /// The same, with another name for the data folder.
    pub fn in_folder(name: &str) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("creel-").tempdir_in(folder_of_tests()?)?;
        let data = scratch.path().join(name);
        fs::create_dir_all(&data)?;
        Ok(Self {
            data,
            program: beside("creel")?,
            scratch,
            first_port: first_port(),
            env: vec![],
            user: None,
        })
    }

    /// For a user that the test is not: its programs and its data lie where that user may read and write them. Only
    /// root may become somebody else.
    pub fn for_user(uid: u32) -> Result<Self> {
        let scratch = tempfile::Builder::new().prefix("creel-").tempdir()?;
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755))?;
        let (data, programs) = (scratch.path().join("data"), scratch.path().join("bin"));
        [&data, &programs].into_iter().try_for_each(fs::create_dir)?;
        let creel = beside("creel")?;
        for program in ["creel", "creel-keeper"] {
            fs::copy(creel.with_file_name(program), programs.join(program))?;
        }
        for folder in [scratch.path(), &data] {
            chown(folder, Some(uid), Some(uid))?;
        }
        let program = programs.join("creel");
        Ok(Self { data, program, scratch, first_port: first_port(), env: vec![], user: Some(uid) })
    }

    /// The same, whose programs get this variable.
    pub fn with_env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// One that is up, with a stub release that stays.
    pub fn with_stub() -> Result<Self> {
        let creel = Self::new()?;
        creel.up(&[])?;
        creel.add_stub()?;
        Ok(creel)
    }

    /// Puts the stub release into a creel that is up, and says that it is wanted: what nobody wants is removed.
    pub fn add_stub(&self) -> Result<()> {
        add_stub_release(&self.data, STUB_RELEASE)?;
        if let Some(uid) = self.user {
            let release = self.data.join("releases").join(STUB_RELEASE);
            chown(&release, Some(uid), Some(uid))?;
            chown(release.join("release.json"), Some(uid), Some(uid))?;
        }
        self.done(&["release", "install", STUB_RELEASE]).map(drop)
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Everything that the test writes.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The program with these arguments, in this test's surroundings; not run yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(uid) = self.user {
            command.uid(uid).gid(uid).env("HOME", self.scratch());
        }
        command.args(args).current_dir(self.scratch()).env("CREEL_DATA", &self.data);
        for folder in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
            command.env(folder, self.scratch().join(folder.to_lowercase()));
        }
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `creel` with these arguments to its end.
    pub fn run(&self, args: &[&str]) -> Result<Ran> {
        run(&mut self.command(args), LIMIT)
    }

    /// Runs it and gives back what it printed, if all was well.
    pub fn done(&self, args: &[&str]) -> Result<String> {
        self.run(args)?.done()
    }

    /// Runs it with `-o json`.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        self.run(&args)?.json()
    }

    /// Starts creel in the background, on a port that the system picks, with these arguments besides.
    pub fn up(&self, more: &[&str]) -> Result<String> {
        self.try_up(more)?.done()
    }

    /// The same, whether it goes well or not.
    pub fn try_up(&self, more: &[&str]) -> Result<Ran> {
        let first_port = self.first_port.to_string();
        self.run(&[&["up", "-d", "--listen", "127.0.0.1:0", "--first-port", &first_port], more].concat())
    }

    /// Stops creel and every agent.
    pub fn down(&self) -> Result<String> {
        self.done(&["down"])
    }

    /// Applies this manifest, with these arguments besides.
    pub fn apply(&self, manifest: &str, more: &[&str]) -> Result<Ran> {
        let file = self.scratch().join("manifest.yaml");
        fs::write(&file, manifest)?;
        let file = file.to_str().context("the scratch folder's path is no text")?;
        self.run(&[&["apply", "-f", file], more].concat())
    }

    /// The agent of this name, as the API gives it.
    pub fn agent(&self, name: &str) -> Result<Value> {
        self.json(&["get", "agents", name])
    }

    /// Waits until the agent is so; `what` says how, for the message.
    pub fn until_agent(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
        let what = format!("agent {name}: {what}");
        let found = until(&what, DEADLINE, || match self.agent(name) {
            Ok(agent) if is_so(&agent) => Ok(agent),
            Ok(agent) => Err(agent.to_string()),
            Err(error) => Err(error.to_string()),
        });
        found.with_context(|| self.logs())
    }

    /// Waits until the agent is in this phase.
    pub fn until_phase(&self, name: &str, phase: &str) -> Result<Value> {
        self.until_agent(name, phase, |agent| agent["status"]["phase"] == phase)
    }

    /// Every process that belongs to this creel, or to an agent of it that sees the machine's own paths.
    pub fn processes(&self) -> Vec<Process> {
        processes_of(self.scratch())
    }

    /// The end of each of creel's own logs: for a failure.
    pub fn logs(&self) -> String {
        let files = fs::read_dir(self.data.join("log")).into_iter().flatten().flatten();
        let ends = files.filter_map(|file| Some((file.file_name(), fs::read_to_string(file.path()).ok()?)));
        ends.map(|(name, text)| format!("--- {}\n{}\n", name.display(), end_of(&text))).collect()
    }

    fn end(&self) -> Result<()> {
        let ended = self.down();
        let left = until("no process is left", DEADLINE, || match self.processes() {
            left if left.is_empty() => Ok(()),
            left => {
                let killed: Vec<_> = left.iter().map(|process| kill(process.pid, Signal::SIGKILL)).collect();
                Err(format!("{left:?}, killed: {killed:?}"))
            }
        });
        ended.map(drop).and(left)
    }
}

impl Drop for Creel {
    fn drop(&mut self) {
        if self.processes().is_empty() {
            return;
        }
        if let Err(error) = self.end() {
            eprintln!("creel did not end well: {error:#}\n{}", self.logs());
        }
    }
}

/// Cargo's folder for what tests write: it lies beside the programs, so that releases can be linked into it.
pub(crate) fn folder_of_tests() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let folder = target.map_or_else(std::env::temp_dir, |target| target.join("tmp"));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Each test's gateways begin at another port, so that two wardens never try for the same one at the same moment.
fn first_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    let start = u16::try_from(std::process::id() % PORT_BLOCKS).unwrap_or_default();
    PORTS_FROM + (start + nth) % PORT_BLOCKS as u16 * PORT_BLOCK
}

/// Below those that the system gives to whoever asks for any.
const PORTS_FROM: u16 = 11_000;

/// A test's ports: five gateways' worth.
const PORT_BLOCK: u16 = 600;

const PORT_BLOCKS: u32 = 30;

/// The last lines of a text.
fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
