//! A chat whose answer is read as it comes, so that a test can act in the middle of it.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

use crate::program::Ran;
use crate::wait::{DEADLINE, until};

/// See the module. When it is dropped, the client is ended.
#[derive(Debug)]
pub struct Talk {
    command: String,
    child: Child,
    heard: [Arc<Mutex<Vec<u8>>>; 2],
}

impl Talk {
    /// Starts the client.
    pub fn begin(mut command: Command) -> Result<Self> {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = gather(child.stdout.take().context("no output")?);
        let stderr = gather(child.stderr.take().context("no output")?);
        Ok(Self { command: name, child, heard: [stdout, stderr] })
    }

    /// What has come so far.
    pub fn heard(&self) -> String {
        text(&self.heard[0])
    }

    /// Waits until this has come.
    pub fn until_heard(&self, words: &str) -> Result<()> {
        until(&format!("`{words}` in the answer"), DEADLINE, || {
            let heard = self.heard();
            if heard.contains(words) { Ok(()) } else { Err(heard + &text(&self.heard[1])) }
        })
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Result<Ran> {
        let status = until("the end of the answer", DEADLINE, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err(self.heard()),
        })?;
        let [stdout, stderr] = self.heard.each_ref().map(text);
        Ok(Ran { command: self.command.clone(), code: status.code(), stdout, stderr })
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It has usually ended by itself.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn gather(mut from: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&heard);
    thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut part) {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&part[..length]);
        }
    });
    heard
}

fn text(heard: &Arc<Mutex<Vec<u8>>>) -> String {
    String::from_utf8_lossy(&heard.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
