//! What `stable`, `daily` and `beta` resolve to. The registry is asked in the background when an agent follows a
//! channel, at most once an hour; a commit is made only when the answer is news. A registry that can't be asked
//! changes nothing: agents keep what they have, and the reason is shown.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use creel_core::fleet::CHANNELS;
use creel_core::spec::effective;
use creel_core::world::{Change, ChannelRecord, Decision, World};
use jiff::{SignedDuration, Timestamp};

use crate::refusal::chain;
use crate::server::Server;
use crate::upstream;

/// How long an answer is good for.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// The pause after a failure.
const RETRY: SignedDuration = SignedDuration::from_secs(30);

/// The registry, and how asking it went.
pub(crate) struct Registry {
    options: creel_release::Options,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// Whether an answer is awaited now.
    waiting: bool,
    /// When to ask again.
    due_at: Option<Timestamp>,
    /// What was found out the last time.
    resolved: BTreeSet<String>,
    /// Why nothing was, the last time.
    fault: Option<String>,
}

impl Registry {
    pub(crate) fn new(options: creel_release::Options) -> Self {
        Self { options, asked: Mutex::default() }
    }

    /// Why the registry could not be asked the last time.
    pub(crate) fn fault(&self) -> Option<String> {
        self.asked().fault.clone()
    }

    /// Asks in the background if it is time to.
    pub(crate) fn look(&self, server: &Arc<Server>) {
        let wanted = followed(&server.world());
        let mut asked = self.asked();
        let is_due = asked.due_at.is_none_or(|at| at <= Timestamp::now());
        let is_new = asked.fault.is_none() && !wanted.is_subset(&asked.resolved);
        if wanted.is_empty() || asked.waiting || !(is_due || is_new) {
            return;
        }
        asked.waiting = true;
        tokio::spawn(ask(Arc::clone(server)));
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, result: Result<BTreeSet<String>, String>) {
        let pause = if result.is_ok() { FRESH } else { RETRY };
        let mut asked = self.asked();
        asked.waiting = false;
        asked.due_at = Timestamp::now().checked_add(pause).ok();
        asked.fault = result.as_ref().err().cloned();
        asked.resolved = result.unwrap_or_default();
    }
}

/// The channels that agents follow.
pub(crate) fn followed(world: &World) -> BTreeSet<String> {
    let live = world.agents.values().filter(|agent| agent.deleted.is_none());
    let wishes = live.filter_map(|agent| {
        let defaults = world.tenants.get(&agent.tenant).map(|tenant| tenant.spec.defaults.clone());
        effective(&defaults.unwrap_or_default(), &agent.spec).release
    });
    wishes.filter(|wish| CHANNELS.contains(&wish.as_str())).collect()
}

async fn ask(server: Arc<Server>) {
    let result = ask_registry(&server).await;
    if let Err(fault) = &result {
        tracing::warn!(%fault, "the npm registry could not be asked for OpenClaw's versions; it is asked again soon");
    }
    server.registry.note(result);
    server.wake.notify_one();
}

async fn ask_registry(server: &Arc<Server>) -> Result<BTreeSet<String>, String> {
    let published =
        creel_release::published(&server.registry.options).await.map_err(|error| chain(&error))?;
    let turn = server.take_turn().await;
    let resolved = upstream::channels(&published, turn.now);
    let unresolved: Vec<String> =
        followed(&turn.world).into_iter().filter(|name| !resolved.contains_key(name)).collect();
    let names: BTreeSet<String> = resolved.keys().cloned().collect();
    let decisions: Vec<Decision> = resolved
        .into_iter()
        .filter_map(|(name, version)| news(&turn.world, name, version, turn.now))
        .collect();
    turn.commit("registry".into(), decisions).await.map_err(|error| chain(&error))?;
    match unresolved.first() {
        Some(name) => Err(format!("the registry has no version that `{name}` could be")),
        None => Ok(names),
    }
}

fn news(world: &World, name: String, version: String, now: Timestamp) -> Option<Decision> {
    let known = world.channels.get(&name).is_some_and(|channel| channel.version == version);
    let why = format!("the registry's {name} is {version} now");
    let record = ChannelRecord { name: name.clone(), version, resolved_at: now };
    (!known).then_some(Decision { change: Change::Channel(name, Some(record)), why })
}
