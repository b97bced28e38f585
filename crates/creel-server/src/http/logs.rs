//! An agent's log, passed on from its warden as it comes.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use creel_core::place;
use http_body_util::Full;
use hyper::Request;
use serde::Deserialize;
use utoipa::IntoParams;

use super::agents::no_agent;
use super::chat::refused;
use crate::refusal::{Refusal, chain};
use crate::server::Server;
use crate::warden_socket::{passed_on, send};

/// Lines from the end when nobody says how many, and at most.
const TAIL: u32 = 200;
const TAIL_MOST: u32 = 100_000;

/// Which part of the log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// So many lines from the end, at most 100,000. Default: 200.
    tail: Option<u32>,
    /// Go on as the log grows.
    #[serde(default)]
    follow: bool,
}

/// The agent's log. A deleted agent whose state is kept has one too.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/agents/{agent}/logs", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name."), Which),
    responses((status = 200, body = String, content_type = "text/plain", description = "Lines, oldest first.")))]
pub(crate) async fn get_logs(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    Query(Which { tail, follow }): Query<Which>,
) -> Result<Response, Refusal> {
    let (socket, uid) = place(&server, &tenant, &name)?;
    let tail = tail.unwrap_or(TAIL).min(TAIL_MOST);
    let asked = Request::get(format!("/agents/{uid}/logs?tail={tail}&follow={follow}"))
        .header(header::HOST, "warden")
        .body(Full::new(Bytes::new()))
        .map_err(|error| Refusal::machine("the log can't be asked for", &error))?;
    let answer = send(&socket, asked).await.map_err(|error| Refusal::unreachable(chain(&error)))?;
    if !answer.status().is_success() {
        return Err(refused(answer).await);
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], passed_on(answer)).into_response())
}

/// The socket of the agent's warden, and the agent's uid.
fn place(server: &Server, tenant: &str, name: &str) -> Result<(String, String), Refusal> {
    let world = server.world();
    let record = world.agent(tenant, name).or_else(|| world.deleted_agent(tenant, name));
    let record = record.ok_or_else(|| no_agent(&world, tenant, name))?;
    let Some(told) = &record.assignment else {
        return Err(Refusal::not_found(format!(
            "the agent `{name}` was never assigned to a node, so it has no log"
        ))
        .hint("`creel explain` shows what it waits for"));
    };
    let observed = server.observed();
    let said = observed
        .nodes
        .get(&told.node)
        .filter(|_| place::is_heard(&observed.seen, &told.node, jiff::Timestamp::now()));
    let said =
        said.ok_or_else(|| Refusal::unreachable(format!("the warden of node {} is not heard", told.node)))?;
    Ok((said.warden.socket.clone(), record.uid.clone()))
}
