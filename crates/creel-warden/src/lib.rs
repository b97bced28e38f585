//! The warden's body: the one process per node that starts, watches and restarts its agents, carries what passes to
//! and from them, and speaks to the server. It decides nothing (`creel_core::unit` does) and it may die at any moment:
//! keepers hold the agents, and the next warden takes them over.

mod agent;
pub mod children;
mod config;
mod data;
mod drain;
mod folder;
mod link;
mod logs;
mod node;
mod opinion;
mod probe;
mod record;
mod releases;
mod sandbox;
mod server;
mod spawner;
mod steps;
mod usage;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use creel_api::agent::Condition;
use creel_api::keeper::ProbedPart;
use creel_api::node::{Assignment, Desired};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;

use crate::agent::{Agent, Told};
use crate::folder::{NodeFolder, make_private};
use crate::node::{Node, Parts};
use crate::sandbox::{Sandbox, on_path};
use crate::spawner::Spawner;

/// How to run a warden.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// This machine's name in the fleet.
    pub node: String,
    /// The program `creel-keeper`.
    pub keeper: PathBuf,
    /// The first port for gateways on the shared network.
    pub first_port: u16,
    /// Stop every agent, say so line by line on standard output, and end.
    pub drain: bool,
}

/// Why a warden can't run.
#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    /// The data folder can't be used.
    #[error("the data folder {} can't be used", .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another warden runs on the same data.
    #[error("another warden runs on {}; `creel down` ends it", .0.display())]
    Locked(PathBuf),
    /// The program of spawner and keepers can't be used.
    #[error("the program {} can't be used; it belongs beside `creel`: {message}", .path.display())]
    Keeper {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The data path broke.
    #[error("the socket for chat and logs broke")]
    Data(#[source] io::Error),
}

/// How long a warden waits for the one before it to end.
const LOCK_WAIT: Duration = Duration::from_secs(15);

/// Runs a warden: for ever, or with [`Options::drain`] until every agent has stopped.
///
/// # Errors
/// See [`WardenError`]. Trouble with single agents is never an error here; it is shown on the agent.
pub async fn run(options: Options) -> Result<(), WardenError> {
    let folder = NodeFolder { root: options.data.clone() };
    let _lock = prepare(&folder).await?;
    let node = Arc::new(open_node(&options, folder).await?);
    let last = server::last_desired(&node.folder);
    if options.drain {
        return drain::run(&node, last.as_ref()).await;
    }
    tell_all(&node, last.as_ref());
    let socket = node.folder.run().join(data::SOCKET).to_string_lossy().into_owned();
    let follower = Arc::clone(&node);
    tokio::spawn(server::follow(Arc::clone(&node), move |desired| {
        tell_all(&follower, Some(desired));
        tend_releases(&follower, desired);
    }));
    tokio::spawn(server::bring_reports(Arc::clone(&node), socket));
    let Err(broke) = data::serve(node).await;
    Err(WardenError::Data(broke))
}

async fn prepare(folder: &NodeFolder) -> Result<File, WardenError> {
    for path in [folder.run(), folder.agents(), folder.releases()] {
        make_private(&path).map_err(|source| WardenError::Folder { path, source })?;
    }
    let path = folder.run().join("warden.lock");
    lock(&path).await
}

/// The lock is free as soon as the warden before this one is gone; that one may still be ending.
async fn lock(path: &Path) -> Result<File, WardenError> {
    let failed = |source| WardenError::Folder { path: path.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    let until = tokio::time::Instant::now() + LOCK_WAIT;
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if tokio::time::Instant::now() >= until {
            return Err(WardenError::Locked(path.to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(file)
}

async fn open_node(options: &Options, folder: NodeFolder) -> Result<Node, WardenError> {
    let spawner = Spawner::new(options.keeper.clone());
    let parts = spawner.probe().await.map_err(|error| WardenError::Keeper {
        path: options.keeper.clone(),
        message: children::chain(&error),
    })?;
    let sandbox = match on_path("bwrap").filter(|_| works(&parts, "bubblewrap")) {
        Some(program) => Sandbox::Bubblewrap(program),
        None => Sandbox::None,
    };
    Ok(Node::new(Parts {
        name: options.node.clone(),
        folder,
        // The running program itself, even when its file has been replaced by a newer one.
        program: "/proc/self/exe".into(),
        spawner,
        sandbox,
        conditions: parts.iter().filter(|part| !part.works).map(condition).collect(),
        first_port: options.first_port,
    }))
}

fn works(parts: &[ProbedPart], name: &str) -> bool {
    parts.iter().any(|part| part.part == name && part.works)
}

/// A missing part of the machine, as a condition: `bubblewrap` becomes `BubblewrapMissing`.
fn condition(part: &ProbedPart) -> Condition {
    let mut letters = part.part.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let cure = if part.cure.is_empty() { String::new() } else { format!("; to mend it: {}", part.cure) };
    Condition {
        reason: format!("{first}{}Missing", letters.as_str()),
        message: format!("{}{cure}", part.cost),
    }
}

/// Passes the server's wish to every agent's task, and starts those that are missing. Without a wish the agents that
/// have a folder here are only looked after, not touched.
fn tell_all(node: &Arc<Node>, desired: Option<&Desired>) {
    let assignment = |uid: &str| -> Option<Assignment> {
        desired?.assignments.iter().find(|told| told.agent == uid && told.node == node.name).cloned()
    };
    let assigned = desired.into_iter().flat_map(|desired| &desired.assignments);
    let mut uids: Vec<String> = assigned.map(|told| told.agent.clone()).collect();
    uids.extend(node.known());
    uids.extend(node.folder.agents_there());
    uids.sort();
    uids.dedup();
    for uid in uids {
        let told = Told { heard: desired.is_some(), assignment: assignment(&uid), drain: false };
        if let Some(receiver) = node.tell(&uid, told) {
            start_task(node, uid, receiver);
        }
    }
}

pub(crate) fn start_task(node: &Arc<Node>, uid: String, told: watch::Receiver<Told>) {
    let agent = Agent::new(Arc::clone(node), uid, told);
    tokio::spawn(agent.live());
}

/// Installs what was asked for by hand, and removes what was asked to go, unless an agent here still needs it: as
/// assigned, or as what it ran last and falls back to.
fn tend_releases(node: &Node, desired: &Desired) {
    desired.releases.iter().for_each(|version| node.releases.install(version));
    for version in &desired.unwanted {
        let assigned = desired.assignments.iter().any(|told| told.revision.release == *version);
        let ran = |uid: &String| {
            let record = record::Record::read(&node.folder.agent(uid));
            record.previous.is_some_and(|revision| revision.release == *version)
        };
        if !assigned && !node.folder.agents_there().iter().any(ran) {
            node.releases.remove(version);
        }
    }
}
