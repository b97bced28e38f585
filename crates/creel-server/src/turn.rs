//! The turn: whatever woke it, it looks at everything, plans, and commits what was decided in one commit. A plan
//! committed leaves nothing to decide.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use creel_core::world::{Decision, World};
use creel_core::{fleet, place};
use jiff::{SignedDuration, Timestamp};

use crate::events::changed;
use crate::refusal::chain;
use crate::server::{Server, Turn};

/// A turn is taken at least this often: time alone makes some things due.
const BEAT: Duration = Duration::from_secs(1);

/// How often old history is looked for.
const PRUNE_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// History is kept for 90 days, and of each object the newest 50 lines whatever their age.
const HISTORY_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
const LINES_KEPT: u32 = 50;

/// What is remembered from turn to turn, so that a change is told once. Nothing is decided from it.
#[derive(Default)]
struct Memory {
    heard: BTreeSet<String>,
    pruned_at: Option<Timestamp>,
    trouble: Option<String>,
}

/// Takes turns for ever.
pub(crate) async fn take_turns(server: Arc<Server>) {
    let mut memory = Memory::default();
    loop {
        let _ = tokio::time::timeout(BEAT, server.wake.notified()).await; // woken or due: the same is done
        let done = take_one(&server).await;
        tell_trouble(&mut memory, done.err());
        tell_silence(&server, &mut memory);
        server.registry.look(&server);
        prune(&server, &mut memory).await;
    }
}

/// Plans and commits until there is nothing to decide, which is after the first commit.
pub(crate) async fn take_one(server: &Arc<Server>) -> Result<(), creel_store::CommitError> {
    let turn = server.take_turn().await;
    let decisions = fleet::plan(&turn.world, &server.observed().seen, turn.now).decisions;
    if decisions.is_empty() {
        return Ok(());
    }
    debug_assert!(leaves_nothing(server, &turn, &decisions), "{decisions:?}");
    turn.commit("planner".into(), decisions).await.map(drop)
}

fn leaves_nothing(server: &Server, turn: &Turn, decisions: &[Decision]) -> bool {
    let mut after = World::clone(&turn.world);
    after.apply(after.revision + 1, decisions.iter().map(|decision| &decision.change));
    let rest: Vec<Decision> = fleet::plan(&after, &server.observed().seen, turn.now).decisions;
    rest.is_empty()
}

fn tell_trouble(memory: &mut Memory, trouble: Option<creel_store::CommitError>) {
    let trouble = trouble.map(|error| chain(&error));
    if trouble != memory.trouble {
        match &trouble {
            Some(cause) => {
                tracing::error!(%cause, "what was decided could not be committed; it is tried every second");
            }
            None => tracing::info!("what is decided can be committed again"),
        }
        memory.trouble = trouble;
    }
}

/// A node that falls silent, or is heard again, looks different to its watchers, and so do its agents.
fn tell_silence(server: &Server, memory: &mut Memory) {
    let (world, now) = (server.world(), Timestamp::now());
    let heard: BTreeSet<String> = {
        let observed = server.observed();
        world.nodes.keys().filter(|node| place::is_heard(&observed.seen, node, now)).cloned().collect()
    };
    for node in heard.symmetric_difference(&memory.heard) {
        server.publish([changed("Node", node)]);
        let there =
            world.agents.values().filter(|agent| agent.assignment.as_ref().is_some_and(|a| a.node == *node));
        server.publish(there.map(|agent| changed("Agent", agent.key())));
    }
    memory.heard = heard;
}

async fn prune(server: &Server, memory: &mut Memory) {
    let now = Timestamp::now();
    if memory.pruned_at.is_some_and(|at| now.duration_since(at) < PRUNE_EVERY) {
        return;
    }
    memory.pruned_at = Some(now);
    let older_than = now.checked_sub(HISTORY_KEPT).unwrap_or(Timestamp::MIN);
    if let Err(fault) = server.store.prune_history(LINES_KEPT, older_than).await {
        tracing::warn!(cause = %chain(&fault), "old history could not be forgotten; it is tried again in an hour");
    }
}
