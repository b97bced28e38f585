//! The turn in the background: it wakes, decides once, and rests.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Stage, no_registry, node_report};

/// Waits until the API answers this, or says what it answered last.
async fn until(stage: &Stage, path: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
    let mut last = json!(null);
    let reached = async {
        loop {
            last = stage.get(path).await.1;
            if is_so(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), reached).await;
    assert!(done.is_ok(), "{last}");
}

#[tokio::test]
async fn the_turn_assigns_a_new_agent_by_itself_and_then_rests() {
    let stage = Stage::set().await;
    let turns = tokio::spawn(crate::turn::take_turns(Arc::clone(&stage.server)));
    stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    stage.report(node_report(&[], "/nowhere")).await;
    until(&stage, "/api/v1/tenants/default/agents/sales", |agent| agent["status"]["node"] == "n1").await;
    let revision = stage.revision();
    for _ in 0..20 {
        stage.report(node_report(&[], "/nowhere")).await;
        tokio::task::yield_now().await;
    }
    turns.abort();
    stage.turn().await;
    assert_eq!(stage.revision(), revision);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_shown_where_channels_are() {
    let stage = Stage::set().await;
    stage.put_agent("default", "sales", json!({"release": "stable"})).await;
    let turns = tokio::spawn(crate::turn::take_turns(Arc::clone(&stage.server)));
    until(&stage, "/api/v1/releases", |list| list["channels"][0]["fault"].is_string()).await;
    let (_, agent) = stage.get("/api/v1/tenants/default/agents/sales").await;
    assert_eq!(agent["status"]["reason"], "ChannelUnresolved");
    turns.abort();
}

/// An npm registry with these versions of `openclaw`; gives its address.
async fn serve_registry(versions: &[&str]) -> String {
    let versions: serde_json::Map<String, serde_json::Value> = versions
        .iter()
        .map(|version| {
            let dist = json!({"tarball": "http://127.0.0.1:1/x.tgz", "integrity": "sha512-AA=="});
            ((*version).to_owned(), json!({"name": "openclaw", "version": version, "dist": dist}))
        })
        .collect();
    let packument = json!({"name": "openclaw", "dist-tags": {}, "versions": versions});
    let routes = axum::Router::new()
        .route("/openclaw", axum::routing::get(move || async move { axum::Json(packument) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_channel_is_resolved_in_the_background_and_committed_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve_registry(&["2026.7.33", "2026.8.1", "2026.8.2-beta.1"]).await;
    let registry = creel_release::Options { registry: Some(url), ..no_registry(folder.path().into()) };
    let stage = Stage::with_registry(folder, registry).await;
    stage.put_agent("default", "sales", json!({"release": "daily"})).await;
    stage.report(node_report(&[], "/nowhere")).await;
    let turns = tokio::spawn(crate::turn::take_turns(Arc::clone(&stage.server)));
    until(&stage, "/api/v1/tenants/default/agents/sales", |agent| agent["status"]["release"] == "2026.8.1")
        .await;
    let (_, list) = stage.get("/api/v1/releases").await;
    let channels = list["channels"].as_array().unwrap();
    let versions: Vec<_> =
        channels.iter().map(|c| (c["name"].as_str().unwrap(), c["version"].as_str().unwrap())).collect();
    assert_eq!(versions, [("beta", "2026.8.2-beta.1"), ("daily", "2026.8.1"), ("stable", "2026.7.33")]);
    let (_, history) = stage.get("/api/v1/history?kind=Channel").await;
    let who: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|line| line["who"].as_str().unwrap()).collect();
    assert_eq!(who, ["registry"; 3]);
    turns.abort();
}
