//! The API over HTTP: routes and document from one place, tokens checked per group of routes, and every refusal a
//! problem. A request handler parses, asks, and answers; what it changes goes through [`crate::server::Turn`].

mod agents;
mod body;
mod chat;
mod document;
mod history;
mod lifecycle;
mod logs;
mod nodes;
mod precondition;
mod releases;
mod secrets;
mod tenants;
mod version;
mod warden;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::refusal::{PROBLEM, Refusal};
use crate::server::Server;

/// The most that a request may bring.
const BODY_MOST: usize = 4 << 20;

/// The most of a foreign refusal that is told.
const DETAIL_MOST: usize = 4 << 10;

/// Every route, with everything around it.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let (router, _) = api(&server).split_for_parts();
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn(problems_only))
        .layer(DefaultBodyLimit::max(BODY_MOST))
        .with_state(server)
}

/// The document of every route.
pub(crate) fn document() -> OpenApi {
    let groups =
        [(open(), None), (for_users(), Some(document::ADMIN)), (for_wardens(), Some(document::NODE))];
    document::of(groups.map(|(group, scheme)| (group.into_openapi(), scheme)))
}

fn api(server: &Arc<Server>) -> OpenApiRouter<Arc<Server>> {
    let admin = middleware::from_fn_with_state(Arc::clone(server), admin_only);
    let node = middleware::from_fn_with_state(Arc::clone(server), node_only);
    open().merge(for_users().route_layer(admin)).merge(for_wardens().route_layer(node))
}

fn open() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new().routes(routes!(version::healthz)).routes(routes!(version::get_openapi))
}

fn for_users() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(version::get_version))
        .routes(routes!(tenants::list_tenants))
        .routes(routes!(tenants::get_tenant, tenants::put_tenant, tenants::delete_tenant))
        .routes(routes!(agents::list_agents))
        .routes(routes!(agents::get_agent, agents::put_agent, lifecycle::delete_agent))
        .routes(routes!(lifecycle::restart_agent))
        .routes(routes!(lifecycle::undelete_agent))
        .routes(routes!(history::get_agent_history))
        .routes(routes!(chat::chat))
        .routes(routes!(logs::get_logs))
        .routes(routes!(secrets::list_secrets))
        .routes(routes!(secrets::put_secret, secrets::delete_secret))
        .routes(routes!(releases::list_releases))
        .routes(routes!(releases::put_release, releases::delete_release))
        .routes(routes!(nodes::list_nodes))
        .routes(routes!(watch::watch))
        .routes(routes!(history::get_history))
}

fn for_wardens() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(warden::get_desired))
        .routes(routes!(warden::post_report))
        .routes(routes!(warden::get_agent_secrets))
}

async fn admin_only(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let shown = shown_token(&request)?;
    if server.admin.matches(shown) {
        return Ok(next.run(request).await);
    }
    Err(wrong_token(server.node.matches(shown), "this is a node's token; users of the API need the admin's"))
}

async fn node_only(
    State(server): State<Arc<Server>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let shown = shown_token(&request)?;
    if server.node.matches(shown) {
        return Ok(next.run(request).await);
    }
    Err(wrong_token(server.admin.matches(shown), "only a warden may ask this, with its node's token"))
}

fn shown_token(request: &Request) -> Result<&str, Refusal> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let header = header.ok_or_else(|| Refusal::token_missing("the request shows no token"))?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    let is_bearer = scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty();
    is_bearer.then(|| token.trim()).ok_or_else(|| Refusal::token_missing("the request shows no bearer token"))
}

fn wrong_token(is_other: bool, other: &str) -> Refusal {
    if is_other {
        Refusal::forbidden(other)
    } else {
        Refusal::token_missing("the token is not one of this server")
    }
}

async fn unknown_path(uri: Uri) -> Refusal {
    Refusal::not_found(format!("there is nothing at {}", uri.path()))
        .hint("/api/v1/openapi.json describes everything there is")
}

async fn unknown_method(method: Method, uri: Uri) -> Refusal {
    Refusal::method(format!("{} can't be done with {method}", uri.path()))
        .hint("/api/v1/openapi.json describes everything there is")
}

/// What the framework refuses by itself (a query that can't be read, a body that is too large) becomes a problem too.
async fn problems_only(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind == Some(PROBLEM) || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = to_bytes(response.into_body(), DETAIL_MOST).await.unwrap_or_default();
    foreign(status, &String::from_utf8_lossy(&text)).into_response()
}

fn foreign(status: StatusCode, text: &str) -> Refusal {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Refusal::foreign(status.as_u16(), text),
    }
}

fn too_large() -> Refusal {
    Refusal::foreign(413, &format!("a request may bring at most {BODY_MOST} bytes"))
        .hint("split what is sent: one agent per manifest is enough")
}
