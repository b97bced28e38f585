//! Watching: one event per change, and a watcher that is too slow is told to read all again.

use http_body_util::BodyExt;
use serde_json::json;

use super::{As, Stage};

#[tokio::test]
async fn a_watcher_hears_of_a_commit_with_its_revision() {
    let stage = Stage::set().await;
    let response = stage.send(stage.request(As::Admin, "GET", "/api/v1/watch", None)).await;
    stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = String::from_utf8_lossy(&frame).into_owned();
    assert!(text.contains(r#"data: {"kind":"Agent","key":"default/sales"}"#), "{text}");
    assert!(text.contains("id: 2") && text.contains("event: changed"), "{text}");
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_to_read_all_again() {
    let stage = Stage::set().await;
    let response = stage.send(stage.request(As::Admin, "GET", "/api/v1/watch", None)).await;
    for n in 0..1_000 {
        stage.server.publish([crate::events::changed("Agent", format!("default/a{n}"))]);
    }
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(String::from_utf8_lossy(&frame).contains(r#"{"kind":"*","key":""}"#));
}
