//! What was changed, why, by whom and when.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use creel_api::event::HistoryEntry;
use creel_api::meta::List;
use creel_store::Filter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::agents::no_agent;
use crate::refusal::Refusal;
use crate::server::Server;

/// Lines that are answered when nobody says how many, and at most.
const LIMIT: u32 = 100;
const LIMIT_MOST: u32 = 1_000;

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// `Agent`, `Tenant`, `Secret`, `Release`, `Channel` or `Node`.
    kind: Option<String>,
    /// `tenant/name` for agents and secrets, else the name.
    key: Option<String>,
    /// The most lines, at most 1000. Default: 100.
    limit: Option<u32>,
}

/// How many lines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Limited {
    /// The most lines, at most 1000. Default: 100.
    limit: Option<u32>,
}

/// The newest lines of the history, newest first.
#[utoipa::path(get, path = "/api/v1/history", tag = "history", params(Which),
    responses((status = 200, body = List<HistoryEntry>, description = "Newest first.")))]
pub(crate) async fn get_history(
    State(server): State<Arc<Server>>,
    Query(which): Query<Which>,
) -> Result<Json<List<HistoryEntry>>, Refusal> {
    lines(&server, Filter { kind: which.kind, key: which.key }, which.limit).await
}

/// The newest lines of one agent's history, newest first. An agent of the same name that was there before is in it.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/agents/{agent}/history", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name."), Limited),
    responses((status = 200, body = List<HistoryEntry>, description = "Newest first.")))]
pub(crate) async fn get_agent_history(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    Query(Limited { limit }): Query<Limited>,
) -> Result<Json<List<HistoryEntry>>, Refusal> {
    let filter = Filter { kind: Some("Agent".into()), key: Some(format!("{tenant}/{name}")) };
    let found = lines(&server, filter, limit).await?;
    if found.0.items.is_empty() {
        return Err(no_agent(&server.world(), &tenant, &name));
    }
    Ok(found)
}

async fn lines(
    server: &Server,
    filter: Filter,
    limit: Option<u32>,
) -> Result<Json<List<HistoryEntry>>, Refusal> {
    let limit = limit.unwrap_or(LIMIT).min(LIMIT_MOST);
    Ok(Json(List::of(server.store.history(&filter, limit).await?)))
}
