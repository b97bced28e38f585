//! The wardens' side: what is desired of a node, what its warden reports, and the secrets of agents that are
//! assigned to it. A report changes what is observed; it makes a commit only for what the World has to know of the
//! node itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use creel_api::meta::Generation;
use creel_api::node::{Capacity, Desired, Heard, NodeReport, SecretValues};
use creel_api::problem::Issue;
use creel_core::spec::check_name;
use creel_core::world::{Change, Decision, NodeRecord, World};
use serde::Deserialize;
use utoipa::IntoParams;

use super::body::Strict;
use crate::refusal::Refusal;
use crate::server::{Server, generation};

/// The longest that an answer is held back.
const WAIT_MOST_MS: u64 = 60_000;

/// What the warden has.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct After {
    /// The `at` of the last answer; an answer is held back until there is something newer.
    #[param(value_type = Option<String>)]
    after: Option<Generation>,
    /// For how long at most. Default: 0; at most 60,000.
    #[serde(default)]
    wait_ms: u64,
}

/// Everything that is to be on the node. Held back while it is what the warden has.
#[utoipa::path(get, path = "/api/v1/nodes/{node}/desired", tag = "wardens",
    params(("node" = String, Path, description = "Its name."), After),
    responses((status = 200, body = Desired, description = "Complete each time.")))]
pub(crate) async fn get_desired(
    State(server): State<Arc<Server>>,
    Path(node): Path<String>,
    Query(After { after, wait_ms }): Query<After>,
) -> Json<Desired> {
    let mut worlds = server.watch_world();
    let wait = Duration::from_millis(wait_ms.min(WAIT_MOST_MS));
    let newer = worlds.wait_for(|world| Some(generation(world)) != after);
    let _ = tokio::time::timeout(wait, newer).await; // newer or not: what is desired now is told
    Json(desired(&server.world(), &node))
}

fn desired(world: &World, node: &str) -> Desired {
    let assignments = world.agents.values().filter_map(|agent| agent.assignment.as_ref());
    Desired {
        at: generation(world),
        assignments: assignments.filter(|told| told.node == node).cloned().collect(),
        releases: versions(world, false),
        unwanted: versions(world, true),
    }
}

/// The releases that were asked for by hand, or asked to go.
fn versions(world: &World, unwanted: bool) -> Vec<String> {
    let records = world.releases.values().filter(|record| record.unwanted == unwanted);
    records.map(|record| record.version.clone()).collect()
}

/// Takes in what the warden observed. A node that is not known yet joins by it.
#[utoipa::path(post, path = "/api/v1/nodes/{node}/report", tag = "wardens",
    params(("node" = String, Path, description = "Its name.")), request_body = NodeReport,
    responses((status = 200, body = Heard, description = "It was taken in.")))]
pub(crate) async fn post_report(
    State(server): State<Arc<Server>>,
    Path(node): Path<String>,
    Strict(report): Strict<NodeReport>,
) -> Result<Json<Heard>, Refusal> {
    check_node(&node)?;
    let noticed = server.observed().hear(&server.world(), &node, report, jiff::Timestamp::now());
    if let Some(capacity) = noticed.capacity {
        know(&server, &node, capacity).await?;
    }
    noticed.accepted.into_iter().for_each(|report| server.reports.write(report));
    server.publish(noticed.changed);
    server.wake.notify_one();
    Ok(Json(Heard { complete_wanted: noticed.complete_wanted }))
}

/// Host names may have dots; otherwise a node is named like everything else.
fn check_node(node: &str) -> Result<(), Refusal> {
    let fault = node.split('.').find_map(|part| check_name(&part.to_ascii_lowercase()).err());
    let issue = |message| Issue { path: "node".into(), message };
    fault.map_or(Ok(()), |fault| {
        Err(Refusal::invalid(format!("`{node}` can't be a node's name"), vec![issue(fault)]))
    })
}

async fn know(server: &Arc<Server>, node: &str, capacity: Capacity) -> Result<(), Refusal> {
    let turn = server.take_turn().await;
    let before = turn.world.nodes.get(node);
    let why = format!("node {node} {}", if before.is_some() { "has other capacity now" } else { "joined" });
    let joined_at = before.map_or(turn.now, |record| record.joined_at);
    let record = NodeRecord { name: node.to_owned(), capacity, joined_at };
    let decision = Decision { change: Change::Node(node.to_owned(), Some(record)), why };
    turn.commit(format!("node/{node}"), vec![decision]).await?;
    Ok(())
}

/// The values of the secrets that the agent's revision uses. Only for an agent that is assigned to the node.
#[utoipa::path(get, path = "/api/v1/nodes/{node}/agents/{uid}/secrets", tag = "wardens",
    params(("node" = String, Path, description = "Its name."), ("uid" = String, Path, description = "The agent's uid.")),
    responses((status = 200, body = BTreeMap<String, String>, description = "By the secret's name.")))]
pub(crate) async fn get_agent_secrets(
    State(server): State<Arc<Server>>,
    Path((node, uid)): Path<(String, String)>,
) -> Result<Json<SecretValues>, Refusal> {
    let world = server.world();
    let told = world.agents.get(&uid).and_then(|agent| agent.assignment.as_ref());
    let told = told
        .filter(|told| told.node == node)
        .ok_or_else(|| Refusal::forbidden(format!("no agent `{uid}` is assigned to the node `{node}`")))?;
    let mut values = BTreeMap::new();
    for used in told.revision.secrets.values() {
        let value = server.vault.get(&told.tenant, &used.name).map_err(|error| {
            Refusal::machine(&format!("the value of the secret `{}` can't be read", used.name), &error)
                .hint(format!("set it again with `creel secret set {}`", used.name))
        })?;
        values.insert(used.name.clone(), value);
    }
    Ok(Json(SecretValues(values)))
}
