//! What all agents of a node share: the folder, the spawner, the releases, the ports, the reports, the link to the
//! server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use std::sync::Arc;

use creel_api::agent::Condition;
use creel_api::node::{AgentReport, Capacity};
use creel_core::port;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{Notify, watch};

use crate::agent::Told;
use crate::folder::NodeFolder;
use crate::releases::Releases;
use crate::sandbox::Sandbox;
use crate::server::ServerLink;
use crate::spawner::Spawner;

/// How to reach a gateway that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact {
    pub(crate) port: u16,
    pub(crate) token: String,
    /// Which of the gateway's own agents a message goes to.
    pub(crate) owner: String,
    /// Since when it is ready.
    pub(crate) ready_at: Timestamp,
}

/// What the warden knows of one agent besides its task.
#[derive(Debug)]
struct Row {
    told: watch::Sender<Told>,
    report: Option<AgentReport>,
    contact: Option<Contact>,
    unsent: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) folder: NodeFolder,
    /// This program, for short-lived children.
    pub(crate) program: PathBuf,
    pub(crate) spawner: Spawner,
    pub(crate) releases: Arc<Releases>,
    pub(crate) sandbox: Sandbox,
    pub(crate) server: ServerLink,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) capacity: Capacity,
    first_port: u16,
    /// Rung when there is something new to report.
    pub(crate) news: Notify,
    rows: Mutex<BTreeMap<String, Row>>,
    ports: Mutex<BTreeMap<String, u16>>,
    seq: Mutex<u64>,
}

/// What [`Node::new`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) folder: NodeFolder,
    pub(crate) program: PathBuf,
    pub(crate) spawner: Spawner,
    pub(crate) sandbox: Sandbox,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) first_port: u16,
}

/// The practice model's file in the data folder.
#[derive(Deserialize)]
struct Practice {
    port: u16,
}

impl Node {
    pub(crate) fn new(parts: Parts) -> Self {
        let releases = Arc::new(Releases::new(parts.folder.releases(), parts.program.clone()));
        Self {
            server: ServerLink::new(parts.folder.clone(), parts.name.clone()),
            name: parts.name,
            folder: parts.folder,
            program: parts.program,
            spawner: parts.spawner,
            releases,
            sandbox: parts.sandbox,
            conditions: parts.conditions,
            capacity: capacity(),
            first_port: parts.first_port,
            news: Notify::new(),
            rows: Mutex::default(),
            ports: Mutex::default(),
            // Reports of this warden come after those of the one before it, as long as the clock does.
            seq: Mutex::new(u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default()),
        }
    }

    /// Tells an agent's task what is wanted. Returns the receiver for a task that is not there yet.
    pub(crate) fn tell(&self, uid: &str, told: Told) -> Option<watch::Receiver<Told>> {
        let mut rows = lock(&self.rows);
        if let Some(row) = rows.get(uid) {
            row.told.send_if_modified(|old| {
                let changed = *old != told;
                *old = told;
                changed
            });
            return None;
        }
        let (sender, receiver) = watch::channel(told);
        rows.insert(uid.to_owned(), Row { told: sender, report: None, contact: None, unsent: false });
        Some(receiver)
    }

    /// Every agent that has a task.
    pub(crate) fn known(&self) -> Vec<String> {
        lock(&self.rows).keys().cloned().collect()
    }

    /// The agent's task is over.
    pub(crate) fn forget(&self, uid: &str) {
        lock(&self.rows).remove(uid);
        self.take_port_back(uid);
    }

    /// Takes an agent's newest report. Only what a person would notice is sent at once; memory waits for the next turn.
    pub(crate) fn publish(&self, report: AgentReport, contact: Option<Contact>) {
        let report = AgentReport { seq: self.next_seq(), ..report };
        let mut rows = lock(&self.rows);
        let Some(row) = rows.get_mut(&report.agent) else { return };
        let news = row.report.as_ref().is_none_or(|old| is_news(old, &report));
        row.report = Some(report);
        row.contact = contact;
        row.unsent |= news;
        if news {
            self.news.notify_one();
        }
    }

    fn next_seq(&self) -> u64 {
        let mut seq = lock(&self.seq);
        *seq += 1;
        *seq
    }

    /// How to reach the gateway, if it is ready.
    pub(crate) fn contact(&self, uid: &str) -> Option<Contact> {
        lock(&self.rows).get(uid)?.contact.clone()
    }

    /// The newest report of an agent.
    pub(crate) fn report(&self, uid: &str) -> Option<AgentReport> {
        lock(&self.rows).get(uid)?.report.clone()
    }

    /// The reports to send: all, or those with news.
    pub(crate) fn reports(&self, all: bool) -> Vec<AgentReport> {
        let rows = lock(&self.rows);
        let rows = rows.values().filter(|row| all || row.unsent);
        rows.filter_map(|row| row.report.clone()).collect()
    }

    /// These reports have arrived.
    pub(crate) fn sent(&self, reports: &[AgentReport]) {
        let mut rows = lock(&self.rows);
        for sent in reports {
            let row = rows.get_mut(&sent.agent);
            let same = row.filter(|row| row.report.as_ref().is_some_and(|report| report.seq == sent.seq));
            if let Some(row) = same {
                row.unsent = false;
            }
        }
    }

    /// The port of this agent's gateway: the one it had, unless something else listens there now, else a free one.
    pub(crate) fn port_for(&self, uid: &str, had: Option<u16>) -> Option<u16> {
        let mut ports = lock(&self.ports);
        let given: BTreeSet<u16> =
            ports.iter().filter(|(other, _)| *other != uid).map(|(_, port)| *port).collect();
        if ports.get(uid).copied() == had && had.is_some() && self.runs(uid) {
            return had; // its own gateway listens there
        }
        let mut refused = BTreeSet::new();
        let first = had.filter(|port| !given.contains(port));
        let mut next = first.or_else(|| port::pick(self.first_port, &given, &refused))?;
        while !is_free(next) {
            refused.insert(next);
            next = port::pick(self.first_port, &given, &refused)?;
        }
        ports.insert(uid.to_owned(), next);
        Some(next)
    }

    fn runs(&self, uid: &str) -> bool {
        lock(&self.rows)
            .get(uid)
            .and_then(|row| row.report.as_ref())
            .is_some_and(|report| report.pid.is_some())
    }

    /// This agent's gateway was found to listen there.
    pub(crate) fn give_port(&self, uid: &str, port: u16) {
        lock(&self.ports).insert(uid.to_owned(), port);
    }

    pub(crate) fn take_port_back(&self, uid: &str) {
        lock(&self.ports).remove(uid);
    }

    /// The practice model's base URL, if it is switched on here.
    pub(crate) fn practice(&self) -> Option<String> {
        let text = std::fs::read(self.folder.practice()).ok()?;
        let practice: Practice = serde_json::from_slice(&text).ok()?;
        Some(format!("http://127.0.0.1:{}/v1", practice.port))
    }

    /// The conditions of the node that an agent's user should see on the agent.
    pub(crate) fn agent_conditions(&self) -> Vec<Condition> {
        self.conditions.clone()
    }
}

/// Whether a person would notice the difference.
fn is_news(old: &AgentReport, new: &AgentReport) -> bool {
    let plain = |report: &AgentReport| AgentReport {
        seq: 0,
        at: Timestamp::UNIX_EPOCH,
        memory_bytes: None,
        ..report.clone()
    };
    plain(old) != plain(new)
}

/// OpenClaw listens on both loopbacks.
fn is_free(port: u16) -> bool {
    let v6 = TcpListener::bind(("::1", port));
    let v6_free = v6.as_ref().map_or_else(|error| error.kind() != std::io::ErrorKind::AddrInUse, |_| true);
    v6_free && TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn capacity() -> Capacity {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Capacity { memory_bytes: kib.unwrap_or(0) * 1024, cores: u32::try_from(cores).unwrap_or(u32::MAX) }
}

/// A poisoned lock only means that a task died while it held it; the table itself is changed in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
