//! Changes as they happen, as server-sent events. An event says which object may have changed; the watcher reads it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::events::{Event, everything};
use crate::server::Server;

/// Server-sent events, each a `Changed`; its id is the store's revision if a commit made it.
#[utoipa::path(get, path = "/api/v1/watch", tag = "history",
    responses((status = 200, body = creel_api::event::Changed, content_type = "text/event-stream", description = "One event per change.")))]
pub(crate) async fn watch(
    State(server): State<Arc<Server>>,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    Sse::new(unfold(server.events.watch(), next)).keep_alive(KeepAlive::default())
}

async fn next(mut events: Receiver<Event>) -> Option<(Result<sse::Event, Infallible>, Receiver<Event>)> {
    let event = match events.recv().await {
        Ok(event) => event,
        Err(RecvError::Lagged(_)) => Event { revision: None, changed: everything() },
        Err(RecvError::Closed) => return None,
    };
    Some((Ok(sse_event(&event)), events))
}

fn sse_event(event: &Event) -> sse::Event {
    let data = serde_json::to_string(&event.changed).unwrap_or_default(); // two strings are always JSON
    let sse = sse::Event::default().event("changed").data(data);
    match event.revision {
        Some(revision) => sse.id(revision.to_string()),
        None => sse,
    }
}
