//! What watchers are told: that an object may have changed, never how. A watcher that does not keep up is told to
//! read all again, so no queue grows.

use creel_api::event::Changed;
use creel_core::world::{AgentRecord, Change, World};
use tokio::sync::broadcast;

/// Events that a watcher may be behind.
const BEHIND_MOST: usize = 256;

/// One event, with the revision that made it if a commit did.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) revision: Option<u64>,
    pub(crate) changed: Changed,
}

/// Where events come from.
#[derive(Debug)]
pub(crate) struct Events {
    sender: broadcast::Sender<Event>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { sender: broadcast::Sender::new(BEHIND_MOST) }
    }

    pub(crate) fn publish(&self, revision: Option<u64>, changed: Changed) {
        let _ = self.sender.send(Event { revision, changed }); // an error means that nobody watches
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}

/// That this object may have changed.
pub(crate) fn changed(kind: &str, key: impl Into<String>) -> Changed {
    Changed { kind: kind.to_owned(), key: key.into() }
}

/// What a watcher of everything hears when it was too slow.
pub(crate) fn everything() -> Changed {
    changed("*", "")
}

/// The object that a change is about; `before` knows the name of an agent that is being removed.
pub(crate) fn subject(change: &Change, before: &World) -> Changed {
    match change {
        Change::Tenant(name, _) => changed("Tenant", name),
        Change::Agent(uid, record) => {
            let known = record.as_deref().or_else(|| before.agents.get(uid));
            changed("Agent", known.map_or_else(|| uid.clone(), AgentRecord::key))
        }
        Change::Secret((tenant, name), _) => changed("Secret", format!("{tenant}/{name}")),
        Change::Release(version, _) => changed("Release", version),
        Change::Channel(name, record) => {
            changed("Release", record.as_ref().map_or_else(|| name.clone(), |record| record.version.clone()))
        }
        Change::Node(name, _) => changed("Node", name),
    }
}
