//! The machines that agents run on, as their wardens tell it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use creel_api::meta::List;
use creel_api::node::Node;

use crate::server::Server;
use crate::view::View;

/// Every node.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "nodes", responses((status = 200, body = List<Node>, description = "By name.")))]
pub(crate) async fn list_nodes(State(server): State<Arc<Server>>) -> Json<List<Node>> {
    let (world, observed) = (server.world(), server.observed());
    let view = View { world: &world, observed: &observed, now: jiff::Timestamp::now() };
    Json(List::of(world.nodes.values().map(|record| view.node(record)).collect()))
}
