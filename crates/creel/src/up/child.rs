//! One of creel's own processes: how it is started, where it logs, and when it is started again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::process::{Child as Process, Command};

/// A log is put aside at a start when it has grown beyond this.
const LOG_BYTES_MOST: u64 = 10 << 20;

/// The first pause before a process that ended is started again; it doubles with each end.
const PAUSE_FIRST: Duration = Duration::from_millis(250);

/// The longest pause.
const PAUSE_MOST: Duration = Duration::from_secs(30);

/// A process that ran this long made a good start.
const SETTLED: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<OsString>,
    log: PathBuf,
    /// Where its log stood when it was started last.
    log_from: u64,
    process: Option<Process>,
    started_at: Instant,
    bad_ends: u32,
    next_start: Instant,
}

impl Child {
    pub(super) fn new(name: &'static str, log: PathBuf, arguments: Vec<OsString>) -> Self {
        let now = Instant::now();
        let (process, log_from) = (None, 0);
        Self { name, arguments, log, log_from, process, started_at: now, bad_ends: 0, next_start: now }
    }

    /// Its pid while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::id)
    }

    /// Starts it if it does not run and its pause is over.
    pub(super) fn start_if_due(&mut self) -> io::Result<()> {
        if self.process.is_some() || Instant::now() < self.next_start {
            return Ok(());
        }
        let (log, at) = open_log(&self.log)?;
        // The running program itself: its file may have been replaced by a newer one, which would not fit.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("creel").args(&self.arguments).current_dir("/").stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.process = Some(command.spawn()?);
        (self.started_at, self.log_from) = (Instant::now(), at);
        Ok(())
    }

    /// How it ended, once, if it did since the last look.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().ok()??;
        self.process = None;
        self.bad_ends = if self.started_at.elapsed() >= SETTLED { 0 } else { self.bad_ends + 1 };
        self.next_start = Instant::now() + pause(self.bad_ends);
        Some(status)
    }

    /// When it is to be started again, if it does not run.
    pub(super) fn due(&self) -> Option<Instant> {
        self.process.is_none().then_some(self.next_start)
    }

    /// Sends a signal if it runs. That it has ended meanwhile is as good.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Why it ended, in its own words.
    pub(super) fn last_words(&self) -> String {
        last_words(&self.log, self.log_from)
    }
}

fn pause(bad_ends: u32) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1 << bad_ends.saturating_sub(1).min(16));
    doubled.min(PAUSE_MOST)
}

/// The log to append to, and where it ends now.
pub(super) fn open_log(path: &Path) -> io::Result<(File, u64)> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MOST) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    let file = File::options().create(true).append(true).open(path)?;
    let end = file.metadata()?.len();
    Ok((file, end))
}

/// What a process wrote since `from` that says why it ended: its error and cure, or else its last lines.
pub(super) fn last_words(log: &Path, from: u64) -> String {
    const BYTES_MOST: u64 = 16 << 10;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(BYTES_MOST))))?;
        let mut bytes = Vec::new();
        file.take(BYTES_MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let error = lines.iter().rposition(|line| line.starts_with("error: "));
    let begin = error.unwrap_or(lines.len().saturating_sub(5));
    lines[begin..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_error_and_its_cure_or_else_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        fs::write(&log, "error: an old one\nline\nerror: the port is taken\ncure: --listen\n").unwrap();
        assert_eq!(last_words(&log, 0), "error: the port is taken\ncure: --listen");
        fs::write(&log, "error: an old one\n1\n2\n").unwrap();
        assert_eq!(last_words(&log, 18), "1\n2");
        assert_eq!(last_words(&folder.path().join("none"), 0), "");
    }

    #[test]
    fn a_log_that_has_grown_too_large_is_put_aside_at_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        File::create(&log).unwrap().set_len(LOG_BYTES_MOST + 1).unwrap();
        assert_eq!(open_log(&log).unwrap().1, 0);
        assert!(folder.path().join("x.log.1").exists());
    }

    #[test]
    fn pauses_double_and_have_an_end() {
        assert_eq!([1, 2, 3].map(pause), [1, 2, 4].map(|n| PAUSE_FIRST * n));
        assert_eq!(pause(1000), PAUSE_MOST);
    }
}
