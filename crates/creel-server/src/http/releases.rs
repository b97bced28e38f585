//! Releases: which are wanted by hand, which are used, and how each is on each node.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use creel_api::problem::Issue;
use creel_api::release::{Release, ReleaseState, Releases};
use creel_core::world::{Change, Decision, ReleaseRecord, World};

use crate::refusal::Refusal;
use crate::server::Server;
use crate::upstream;
use crate::view::{View, release_users};

/// Every release that is wanted, used or on a node, newest first, and what the channels resolve to.
#[utoipa::path(get, path = "/api/v1/releases", tag = "releases",
    responses((status = 200, body = Releases, description = "Newest first.")))]
pub(crate) async fn list_releases(State(server): State<Arc<Server>>) -> Json<Releases> {
    let (world, observed) = (server.world(), server.observed());
    let view = View { world: &world, observed: &observed, now: jiff::Timestamp::now() };
    Json(view.releases(server.registry.fault().as_ref()))
}

/// Wants the release on every node, whether an agent uses it or not.
#[utoipa::path(put, path = "/api/v1/releases/{version}", tag = "releases",
    params(("version" = String, Path, description = "An exact OpenClaw version, such as 2026.9.6.")),
    responses((status = 200, body = Release, description = "The release, which the nodes are about to fetch.")))]
pub(crate) async fn put_release(
    State(server): State<Arc<Server>>,
    Path(version): Path<String>,
) -> Result<Json<Release>, Refusal> {
    let turn = server.take_turn().await;
    check(&turn.world, &version)?;
    let record = ReleaseRecord { version: version.clone(), wanted_at: turn.now, unwanted: false };
    let is_new = turn.world.releases.get(&version).is_none_or(|record| record.unwanted);
    let nodes = shown(&server, &turn.world, &version).status.nodes;
    // Asking again after a failure makes the nodes try again now, not in their own time.
    let has_failed = nodes.iter().any(|on_node| matches!(on_node.state, ReleaseState::Failed { .. }));
    let why = format!("release {version} is wanted");
    let decision = Decision { change: Change::Release(version.clone(), Some(record)), why };
    let world =
        turn.commit("admin".into(), if is_new || has_failed { vec![decision] } else { vec![] }).await?;
    Ok(Json(shown(&server, &world, &version)))
}

/// Wants the release no more: nodes remove it. Refused while agents use it.
#[utoipa::path(delete, path = "/api/v1/releases/{version}", tag = "releases",
    params(("version" = String, Path, description = "An exact OpenClaw version, such as 2026.9.6.")),
    responses((status = 200, body = Release, description = "The release as it is on the nodes.")))]
pub(crate) async fn delete_release(
    State(server): State<Arc<Server>>,
    Path(version): Path<String>,
) -> Result<Json<Release>, Refusal> {
    let turn = server.take_turn().await;
    if let Some(users) = release_users(&turn.world).get(&version) {
        return Err(Refusal::in_use(format!("release {version} is used by {}", users.join(", ")))
            .hint("give those agents another release, or delete them, first"));
    }
    let known = turn.world.releases.get(&version);
    if known.is_none_or(|record| record.unwanted)
        && shown(&server, &turn.world, &version).status.nodes.is_empty()
    {
        return Err(Refusal::not_found(format!("there is no release `{version}` here"))
            .hint("`creel release list` lists those there are"));
    }
    let why = format!("release {version} is wanted no more");
    let record = ReleaseRecord { version: version.clone(), wanted_at: turn.now, unwanted: true };
    let decision = Decision { change: Change::Release(version.clone(), Some(record)), why };
    let is_told = known.is_some_and(|record| record.unwanted);
    let world = turn.commit("admin".into(), if is_told { vec![] } else { vec![decision] }).await?;
    Ok(Json(shown(&server, &world, &version)))
}

fn check(world: &World, version: &str) -> Result<(), Refusal> {
    let Some(message) = upstream::version_fault(version) else { return Ok(()) };
    let issues = vec![Issue { path: "version".into(), message: message.clone() }];
    let refusal = Refusal::invalid(format!("`{version}` can't be installed: {message}"), issues);
    Err(match world.channels.get(version) {
        Some(channel) => {
            refusal.hint(format!("`{version}` is {} at the moment; ask for that", channel.version))
        }
        None => refusal.hint("ask for an exact version such as 2026.9.6"),
    })
}

fn shown(server: &Server, world: &World, version: &str) -> Release {
    View { world, observed: &server.observed(), now: jiff::Timestamp::now() }.release(version)
}
