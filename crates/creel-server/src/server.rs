//! The server's state: the World as it was last committed, what is observed, and the one way to change the World.
//! The World in memory changes only after the store acknowledged the same change, and only in [`Turn::commit`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use creel_api::event::Changed;
use creel_api::meta::Generation;
use creel_core::world::{Decision, World};
use creel_store::{CommitError, ReportWriter, Store};
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedMutexGuard, watch};

use crate::channels::Registry;
use crate::events::{Events, subject};
use crate::observed::Observed;
use crate::token::Token;
use crate::vault::Vault;

/// Everything that requests and the turn share.
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) reports: ReportWriter,
    pub(crate) vault: Vault,
    pub(crate) admin: Token,
    pub(crate) node: Token,
    pub(crate) events: Events,
    pub(crate) wake: Notify,
    pub(crate) registry: Registry,
    world: watch::Sender<Arc<World>>,
    observed: Mutex<Observed>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What a server is made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) admin: Token,
    pub(crate) node: Token,
    pub(crate) registry: Registry,
}

impl Server {
    /// Loads what the store has. Needs a tokio runtime: it starts the task that writes reports.
    pub(crate) async fn load(parts: Parts) -> Result<Arc<Self>, creel_store::Fault> {
        let store = Arc::new(parts.store);
        let world = store.load().await?;
        let observed = Observed::remembered(store.reports().await?);
        Ok(Arc::new(Self {
            reports: ReportWriter::start(Arc::clone(&store)),
            store,
            vault: parts.vault,
            admin: parts.admin,
            node: parts.node,
            events: Events::new(),
            wake: Notify::new(),
            registry: parts.registry,
            world: watch::Sender::new(Arc::new(world)),
            observed: Mutex::new(observed),
            turn: Arc::default(),
        }))
    }

    /// The World as it was last committed.
    pub(crate) fn world(&self) -> Arc<World> {
        Arc::clone(&self.world.borrow())
    }

    /// Tells when the World changes.
    pub(crate) fn watch_world(&self) -> watch::Receiver<Arc<World>> {
        self.world.subscribe()
    }

    /// What is observed. Held for as long as a plan takes, never over an await.
    pub(crate) fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells watchers of something that no commit made.
    pub(crate) fn publish(&self, changed: impl IntoIterator<Item = Changed>) {
        changed.into_iter().for_each(|one| self.events.publish(None, one));
    }

    /// Waits until nobody else is about to change the World.
    pub(crate) async fn take_turn(self: &Arc<Self>) -> Turn {
        let mine = Arc::clone(&self.turn).lock_owned().await;
        Turn { server: Arc::clone(self), world: self.world(), now: Timestamp::now(), mine }
    }
}

/// The right to change the World once.
pub(crate) struct Turn {
    pub(crate) world: Arc<World>,
    pub(crate) now: Timestamp,
    server: Arc<Server>,
    mine: OwnedMutexGuard<()>,
}

impl Turn {
    /// Commits in a task of its own: a client that hangs up must not part what is stored from what is in memory.
    pub(crate) async fn commit(
        self,
        who: String,
        decisions: Vec<Decision>,
    ) -> Result<Arc<World>, CommitError> {
        match tokio::spawn(self.carry_out(who, decisions)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await, // the runtime is ending, and this task with it
            },
        }
    }

    async fn carry_out(self, who: String, decisions: Vec<Decision>) -> Result<Arc<World>, CommitError> {
        let Self { world, now, server, mine } = self;
        let done = server.store.commit(world.revision, &who, &decisions, now).await;
        let committed = match done {
            Ok(revision) if decisions.is_empty() => {
                debug_assert_eq!(revision, world.revision, "no decisions are no commit");
                world
            }
            Ok(revision) => server.apply(world, revision, &decisions),
            Err(error) => {
                server.catch_up(&error).await;
                return Err(error);
            }
        };
        drop(mine);
        Ok(committed)
    }
}

impl Server {
    fn apply(&self, before: Arc<World>, revision: u64, decisions: &[Decision]) -> Arc<World> {
        let subjects: Vec<Changed> = decisions.iter().map(|d| subject(&d.change, &before)).collect();
        drop(before); // with no other reader the World is changed in place instead of being copied
        self.world.send_modify(|world| {
            Arc::make_mut(world).apply(revision, decisions.iter().map(|decision| &decision.change));
        });
        subjects.into_iter().for_each(|one| self.events.publish(Some(revision), one));
        self.wake.notify_one();
        self.world()
    }

    /// Someone else wrote to the store: from now on their World is ours.
    async fn catch_up(&self, error: &CommitError) {
        if !matches!(error, CommitError::Conflict { .. }) {
            return;
        }
        match self.store.load().await {
            Ok(world) => drop(self.world.send_replace(Arc::new(world))),
            Err(fault) => tracing::error!(%fault, "the store was changed by someone else and can't be read"),
        }
    }
}

/// When this World was committed.
pub(crate) fn generation(world: &World) -> Generation {
    Generation { epoch: world.epoch, number: world.revision }
}
