//! The releases on this node: which are there, and one installation at a time of each that is wanted. The work is
//! done in a short-lived child, so that its memory and its disk faults are not the warden's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use creel_api::release::{ReleaseOnNode, ReleaseState};
use creel_release::Installed;
use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

use crate::children::InstallLine;

/// The pause before a failed installation is tried again; it doubles with each failure up to the longest.
const RETRY_FIRST_S: i64 = 30;
const RETRY_MOST_S: i64 = 3_600;

/// How often a child that reports progress is passed on: a bar that moves, no more.
const PROGRESS: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub(crate) struct Releases {
    root: PathBuf,
    program: PathBuf,
    table: Mutex<BTreeMap<String, ReleaseOnNode>>,
    /// Failures in a row, by version.
    failures: Mutex<BTreeMap<String, u32>>,
    changed: watch::Sender<()>,
}

impl Releases {
    /// The releases below `root`, installed by the child program `program`.
    pub(crate) fn new(root: PathBuf, program: PathBuf) -> Self {
        let there =
            creel_release::installed(&root).into_iter().map(|found| (found.version.clone(), row(&found)));
        let table = Mutex::new(there.collect());
        Self { root, program, table, failures: Mutex::default(), changed: watch::Sender::new(()) }
    }

    /// Tells whenever something changed.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Every release on the node, or on its way to it.
    pub(crate) fn all(&self) -> Vec<ReleaseOnNode> {
        self.lock().values().cloned().collect()
    }

    /// How this release is here.
    pub(crate) fn state(&self, version: &str) -> ReleaseState {
        self.lock().get(version).map(|row| row.state.clone()).unwrap_or_default()
    }

    /// The installed release itself.
    pub(crate) fn find(&self, version: &str) -> Option<Installed> {
        creel_release::find(&self.root, version)
    }

    /// Installs it, unless that is done or under way.
    pub(crate) fn install(self: &Arc<Self>, version: &str) {
        if let Some(found) = self.find(version) {
            return self.set(row(&found));
        }
        if matches!(self.state(version), ReleaseState::Installing { .. }) {
            return;
        }
        self.set_state(version, ReleaseState::Installing { step: "about to begin".into(), permille: 0 });
        let (releases, version) = (Arc::clone(self), version.to_owned());
        tokio::spawn(async move { releases.run_child(&version).await });
    }

    /// Removes it, if it is there.
    pub(crate) fn remove(&self, version: &str) {
        if !matches!(self.state(version), ReleaseState::Installed { .. } | ReleaseState::Failed { .. }) {
            return;
        }
        match creel_release::remove(&self.root, version) {
            Ok(()) => tracing::info!(%version, "release removed"),
            Err(error) => tracing::warn!(%version, %error, "a release could not be removed"),
        }
        self.lock().remove(version);
        self.changed.send_replace(());
    }

    async fn run_child(self: Arc<Self>, version: &str) {
        let outcome = self.child(version).await;
        let state = match outcome {
            Ok(()) => self.find(version).map(|found| row(&found)),
            Err(message) => {
                tracing::warn!(%version, %message, "a release could not be installed");
                let retry_at = Some(Timestamp::now() + self.next_pause(version));
                return self.set_state(version, ReleaseState::Failed { message, retry_at });
            }
        };
        match state {
            Some(row) => self.set(row),
            None => self.set_state(version, ReleaseState::Absent),
        }
    }

    fn next_pause(&self, version: &str) -> SignedDuration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(version.to_owned()).or_default();
        let pause = (RETRY_FIRST_S << (*count).min(16)).min(RETRY_MOST_S);
        *count += 1;
        SignedDuration::from_secs(pause)
    }

    async fn child(&self, version: &str) -> Result<(), String> {
        let mut child = Command::new(&self.program)
            .args(["internal", "install-release", version, "--releases"])
            .arg(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("the installer could not be started: {error}"))?;
        let mut lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        let mut last = tokio::time::Instant::now().checked_sub(PROGRESS);
        while let Some(Ok(Some(line))) = next(&mut lines).await {
            match serde_json::from_str(&line) {
                Ok(InstallLine::Failed { message }) => return Err(message),
                Ok(InstallLine::Progress { step, permille })
                    if last.is_none_or(|at| at.elapsed() >= PROGRESS) =>
                {
                    last = Some(tokio::time::Instant::now());
                    self.set_state(version, ReleaseState::Installing { step, permille });
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the installer said something else"),
            }
        }
        let status = child.wait().await.map_err(|error| format!("the installer was lost: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("the installer ended with {status}")) }
    }

    fn set(&self, row: ReleaseOnNode) {
        if matches!(row.state, ReleaseState::Installed { .. }) {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&row.version);
        }
        self.lock().insert(row.version.clone(), row);
        self.changed.send_replace(());
    }

    fn set_state(&self, version: &str, state: ReleaseState) {
        self.set(ReleaseOnNode { version: version.to_owned(), state, ..ReleaseOnNode::default() });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ReleaseOnNode>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStdout>>;

async fn next(lines: &mut Option<Lines>) -> Option<std::io::Result<Option<String>>> {
    match lines {
        Some(lines) => Some(lines.next_line().await),
        None => None,
    }
}

fn row(found: &Installed) -> ReleaseOnNode {
    ReleaseOnNode {
        version: found.version.clone(),
        node: String::new(),
        state: ReleaseState::Installed { at: found.installed_at.parse().unwrap_or(Timestamp::UNIX_EPOCH) },
        size_bytes: Some(found.size_bytes),
        node_version: Some(found.node_version.clone()),
    }
}
