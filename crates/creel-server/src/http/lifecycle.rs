//! What is done to an agent besides changing its spec: start again, delete, take the deletion back. Each is a
//! decision in the World like any other; the agent's warden carries it out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use creel_api::agent::Agent;
use creel_core::limits::DELETED_KEPT_MS;
use creel_core::world::{AgentRecord, Deletion, World};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use super::agents::{decision, no_agent, shown};
use super::precondition;
use crate::identity;
use crate::refusal::Refusal;
use crate::server::{Server, Turn};

/// How to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Deleting {
    /// Keep nothing: its state goes as soon as it has stopped. Also for one that was deleted before.
    #[serde(default)]
    purge: bool,
}

/// Stops the agent. Its state is kept for seven days, unless it is purged.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/agents/{agent}", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name."), Deleting,
        ("If-Match" = Option<String>, Header, description = "Delete it only if it is still at this revision.")),
    responses((status = 200, body = Agent, description = "The agent, which is being stopped.")))]
pub(crate) async fn delete_agent(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    Query(deleting): Query<Deleting>,
    headers: HeaderMap,
) -> Result<Json<Agent>, Refusal> {
    let turn = server.take_turn().await;
    let deleted = || turn.world.deleted_agent(&tenant, &name).filter(|_| deleting.purge);
    let record = turn.world.agent(&tenant, &name).or_else(deleted);
    let record = record.ok_or_else(|| no_agent(&turn.world, &tenant, &name))?;
    precondition::check(&headers, Some(record.revision))?;
    let kept = SignedDuration::from_millis(if deleting.purge { 0 } else { DELETED_KEPT_MS });
    let at = record.deleted.as_ref().map_or(turn.now, |deletion| deletion.at);
    let deleted = Some(Deletion { at, until: turn.now.checked_add(kept).unwrap_or(Timestamp::MAX) });
    let record = AgentRecord { deleted, revision: turn.world.revision + 1, ..record.clone() };
    change(&server, turn, &record, if deleting.purge { "was purged" } else { "was deleted" }).await
}

/// Starts the agent's gateway again, once.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/agents/{agent}/restart", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name.")),
    responses((status = 200, body = Agent, description = "The agent, which is about to be started again.")))]
pub(crate) async fn restart_agent(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Agent>, Refusal> {
    let turn = server.take_turn().await;
    let record = turn.world.agent(&tenant, &name).ok_or_else(|| no_agent(&turn.world, &tenant, &name))?;
    precondition::check(&headers, Some(record.revision))?;
    let record =
        AgentRecord { restart: record.restart + 1, revision: turn.world.revision + 1, ..record.clone() };
    change(&server, turn, &record, "is to be started again").await
}

/// Brings a deleted agent back, with the state it had.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/agents/{agent}/undelete", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name.")),
    responses((status = 200, body = Agent, description = "The agent, which is about to be started.")))]
pub(crate) async fn undelete_agent(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<Json<Agent>, Refusal> {
    let turn = server.take_turn().await;
    let record = deleted(&turn.world, &tenant, &name, turn.now)?;
    let record = AgentRecord { deleted: None, revision: turn.world.revision + 1, ..record.clone() };
    identity::check(&turn.world, &decision(&record, "is to come back"), &tenant)?;
    change(&server, turn, &record, "was brought back").await
}

async fn change(
    server: &Server,
    turn: Turn,
    record: &AgentRecord,
    what: &str,
) -> Result<Json<Agent>, Refusal> {
    let world = turn.commit("admin".into(), vec![decision(record, what)]).await?;
    Ok(Json(shown(server, &world, record)))
}

fn deleted<'a>(
    world: &'a World,
    tenant: &str,
    name: &str,
    now: Timestamp,
) -> Result<&'a AgentRecord, Refusal> {
    if world.agent(tenant, name).is_some() {
        return Err(Refusal::conflict(format!(
            "the tenant `{tenant}` has an agent `{name}` that is not deleted"
        ))
        .hint("delete that one first"));
    }
    let record = world.deleted_agent(tenant, name).ok_or_else(|| no_agent(world, tenant, name))?;
    let is_kept = record.deleted.as_ref().is_some_and(|deletion| now < deletion.until);
    is_kept.then_some(record).ok_or_else(|| {
        Refusal::not_found(format!(
            "the state of `{tenant}/{name}` is being removed for good and can't come back"
        ))
    })
}
