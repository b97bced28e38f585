//! Reports on their way to disk. They are gathered for a moment and written in one transaction; an older one never
//! replaces a newer one, and none of them touches the World's revision. A report that is lost in a crash is said
//! again by its warden, so none is waited for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use creel_api::node::AgentReport;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::{Fault, Store};

/// How long reports are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(200);

/// Whether `new` says something later than `old`. The sequence decides; a warden that started again may have lost
/// its sequence, so a later time counts as well.
pub fn is_newer(new: &AgentReport, old: &AgentReport) -> bool {
    new.seq > old.seq || new.at > old.at || new.node != old.node
}

/// Writes reports to the store in the background. It holds at most one report per agent: the newest.
#[derive(Debug)]
pub struct ReportWriter {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<Store>,
    gathered: Mutex<BTreeMap<String, AgentReport>>,
    wake: Notify,
}

impl ReportWriter {
    /// Starts the task that writes. It ends when the writer is dropped; [`flush`](Self::flush) first.
    pub fn start(store: Arc<Store>) -> Self {
        let shared = Arc::new(Shared { store, gathered: Mutex::default(), wake: Notify::new() });
        let task = tokio::spawn(write_for_ever(Arc::clone(&shared)));
        Self { shared, task }
    }

    /// Gathers a report, to be written soon.
    pub fn write(&self, report: AgentReport) {
        self.shared.gather(report);
        self.shared.wake.notify_one();
    }

    /// Writes what is gathered now.
    pub async fn flush(&self) -> Result<(), Fault> {
        self.shared.write_gathered().await
    }
}

impl Drop for ReportWriter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write_for_ever(shared: Arc<Shared>) {
    loop {
        shared.wake.notified().await;
        tokio::time::sleep(GATHER).await;
        if let Err(fault) = shared.write_gathered().await {
            tracing::warn!(%fault, "reports could not be written; they are tried again with the next");
        }
    }
}

impl Shared {
    fn gather(&self, report: AgentReport) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = gathered.get(&report.agent).is_none_or(|old| is_newer(&report, old));
        if newer {
            gathered.insert(report.agent.clone(), report);
        }
    }

    fn take(&self) -> BTreeMap<String, AgentReport> {
        std::mem::take(&mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn write_gathered(&self) -> Result<(), Fault> {
        let reports = self.take();
        let written = self.store.write_reports(reports.values()).await;
        if written.is_err() {
            reports.into_values().for_each(|report| self.gather(report));
        }
        written
    }
}

impl Store {
    async fn write_reports(&self, reports: impl Iterator<Item = &AgentReport>) -> Result<(), Fault> {
        let mut reports = reports.peekable();
        if reports.peek().is_none() {
            return Ok(());
        }
        let mut writer = self.sound_writer().await?;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await?;
        for report in reports {
            put(&mut writing, report).await?;
        }
        Ok(writing.commit().await?)
    }
}

/// The condition is [`is_newer`] in SQL.
async fn put(writing: &mut SqliteConnection, report: &AgentReport) -> Result<(), Fault> {
    let unreadable = |source| Fault::Unreadable { kind: "report".into(), key: report.agent.clone(), source };
    let body = serde_json::to_string(report).map_err(unreadable)?;
    sqlx::query(
        "INSERT INTO report (agent, node, seq, body, at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (agent) DO UPDATE
         SET node = excluded.node, seq = excluded.seq, body = excluded.body, at = excluded.at
         WHERE excluded.seq > report.seq OR excluded.at > report.at OR excluded.node <> report.node",
    )
    .bind(&report.agent)
    .bind(&report.node)
    .bind(report.seq.cast_signed())
    .bind(body)
    .bind(report.at.as_microsecond())
    .execute(writing)
    .await?;
    Ok(())
}
