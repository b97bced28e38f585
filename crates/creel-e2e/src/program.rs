//! Running a program to its end, with a limit, and keeping what it said.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::kill;

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What was run, for messages.
    pub command: String,
    /// Its exit code; absent if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Ran {
    /// What it printed, if it ended with this code.
    pub fn with_code(self, code: i32) -> Result<Self> {
        let Self { command, code: seen, stdout, stderr } = &self;
        ensure!(
            *seen == Some(code),
            "{command}: ended with {seen:?}, not {code}\nstdout: {stdout}\nstderr: {stderr}"
        );
        Ok(self)
    }

    /// What it printed, if all was well.
    pub fn done(self) -> Result<String> {
        Ok(self.with_code(0)?.stdout)
    }

    /// The JSON that it printed, if all was well.
    pub fn json(self) -> Result<Value> {
        let command = self.command.clone();
        let printed = self.done()?;
        serde_json::from_str(&printed).with_context(|| format!("{command}: no JSON: {printed}"))
    }
}

/// Runs it to its end; what takes longer than the limit is killed, and that is an error.
pub fn run(command: &mut Command, limit: Duration) -> Result<Ran> {
    let name = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("{name}: can't be run"))?;
    let pid = child.id();
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait_with_output()));
    match end.recv_timeout(limit) {
        Ok(output) => Ok(ran(name, &output?)),
        Err(_) => {
            kill(pid, Signal::SIGKILL)?;
            bail!("{name}: not over, or its output still held open, after {limit:?}")
        }
    }
}

fn ran(command: String, output: &Output) -> Ran {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { command, code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A program of this workspace: named by the environment (`CREEL_BIN` for `creel`), else built beside the test.
pub fn beside(program: &str) -> Result<PathBuf> {
    let variable = format!("{}_BIN", program.replace('-', "_").to_uppercase());
    if let Some(named) = env::var_os(&variable) {
        return Ok(named.into());
    }
    let test = env::current_exe()?;
    // A test lies in `deps`, one folder below the programs.
    let found =
        test.ancestors().skip(1).take(2).map(|folder| folder.join(program)).find(|path| path.is_file());
    found.with_context(|| {
        format!("{program} is not built: `cargo build -p {program}`, or name one in {variable}")
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::run;
    use crate::DEADLINE;

    #[test]
    fn an_unexpected_end_tells_what_was_said() {
        let ran = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), DEADLINE).unwrap();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "out\n"));
        let error = ran.done().unwrap_err().to_string();
        assert!(error.contains("Some(3)") && error.contains("err"), "{error}");
    }

    #[test]
    fn what_never_ends_is_killed() {
        let error = run(Command::new("sleep").arg("1000"), Duration::from_millis(1)).unwrap_err();
        assert!(error.to_string().contains("not over"), "{error}");
    }
}
