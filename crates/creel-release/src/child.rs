//! A program run to its end, with a deadline: it and its children never outlive the future that runs them.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;

/// How many of the last lines of errors are kept, and how much of each.
const TAIL_LINES: usize = 30;
const LINE_BYTES: usize = 400;
const LONGEST_OUTPUT_BYTES: u64 = 64 << 20;

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    /// The last lines it wrote to its standard error.
    pub(crate) tail: String,
}

/// Runs the program. `line` hears each line of its standard error and says whether it belongs to the tail.
pub(crate) async fn run(
    command: &mut Command,
    deadline: Duration,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> io::Result<Ended> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let group = Group::of(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let end = async { tokio::join!(all_of(stdout), tail_of(stderr, line), child.wait()) };
    let (stdout, tail, status) = tokio::time::timeout(deadline, end).await?;
    group.disarm();
    Ok(Ended { status: status?, stdout: stdout?, tail: tail? })
}

/// Kills the program's process group when dropped before its end was seen.
struct Group(Option<Pid>);

impl Group {
    fn of(id: Option<u32>) -> Self {
        Self(id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may just have ended by itself: there is nothing to kill then.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn all_of(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(LONGEST_OUTPUT_BYTES).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

async fn tail_of(
    pipe: Option<impl AsyncRead + Unpin>,
    line: &mut (dyn FnMut(&str) -> bool + Send),
) -> io::Result<String> {
    let mut tail = VecDeque::new();
    let Some(pipe) = pipe else { return Ok(String::new()) };
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).await? > 0 {
        let text: String = String::from_utf8_lossy(&bytes).trim_end().chars().take(LINE_BYTES).collect();
        bytes.clear();
        if line(&text) {
            tail.push_back(text);
        }
        if tail.len() > TAIL_LINES {
            tail.pop_front();
        }
    }
    Ok(Vec::from(tail).join("\n"))
}
