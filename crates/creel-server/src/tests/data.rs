//! The data path: chat and logs through a warden that a test plays on a socket with a long path.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use creel_api::agent::Phase;
use creel_api::node::AgentReport;
use serde_json::json;
use tokio::net::UnixListener;

use super::{Stage, agent_report, node_report};

const CHAT: &str = "/api/v1/tenants/default/agents/sales/chat";
const LOGS: &str = "/api/v1/tenants/default/agents/sales/logs";

/// Longer than a socket's address may be, with a space and an umlaut.
fn long_folder(folder: &Path) -> PathBuf {
    let long = folder.join("Käfig Nr. 1/".to_owned() + &"x".repeat(120));
    std::fs::create_dir_all(&long).unwrap();
    long
}

/// A warden that answers every chat with `chat` and every log with the query it got.
fn play_warden(folder: &Path, status: StatusCode, chat: &'static str) -> String {
    let socket = long_folder(folder).join("warden.sock");
    let short = tempfile::tempdir().unwrap();
    let link = short.path().join("d");
    std::os::unix::fs::symlink(socket.parent().unwrap(), &link).unwrap();
    let listener = UnixListener::bind(link.join("warden.sock")).unwrap();
    let routes =
        Router::new().route("/agents/{uid}/chat", post(move || async move { (status, chat) })).route(
            "/agents/{uid}/logs",
            get(|uri: axum::http::Uri| async move { uri.query().unwrap_or_default().to_owned() }),
        );
    tokio::spawn(async move { axum::serve(listener, routes).await });
    socket.to_str().unwrap().to_owned()
}

/// Makes the agent and says that it is in this phase.
async fn agent_in(stage: &Stage, phase: Phase, socket: &str) {
    stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    stage.report(node_report(&[], socket)).await;
    stage.turn().await;
    say(stage, phase, socket, 1).await;
}

async fn say(stage: &Stage, phase: Phase, socket: &str, seq: u64) {
    let (uid, world) = (stage.uid("sales"), stage.server.world());
    let generation = world.agents[&uid].assignment.as_ref().map(|told| told.generation);
    let said = AgentReport { generation, ..agent_report(&uid, seq, phase) };
    assert_eq!(stage.report(node_report(&[said], socket)).await.0, 200);
}

async fn chat(stage: &Stage, wait_ms: u64) -> String {
    let (status, body) = stage.call("POST", CHAT, Some(json!({"message": "hello", "waitMs": wait_ms}))).await;
    assert_eq!(status, 200);
    body.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_answer_is_passed_on_byte_by_byte() {
    let stage = Stage::set().await;
    let answer = "event: delta\ndata: {\"type\":\"delta\",\"text\":\"ü\"}\n\nevent: done\ndata: {\"type\":\"done\"}\n\n";
    let socket = play_warden(stage.folder.path(), StatusCode::OK, answer);
    agent_in(&stage, Phase::Running, &socket).await;
    assert_eq!(chat(&stage, 0).await, answer);
}

#[tokio::test]
async fn a_message_waits_for_its_agent_and_is_handed_over_when_it_is_ready() {
    let stage = Stage::set().await;
    let socket = play_warden(stage.folder.path(), StatusCode::OK, "event: done\n\n");
    agent_in(&stage, Phase::Provisioning, &socket).await;
    let ready = async {
        tokio::task::yield_now().await;
        say(&stage, Phase::Running, &socket, 2).await;
    };
    let (said, ()) = tokio::join!(chat(&stage, 60_000), ready);
    assert!(
        said.starts_with("event: waiting\ndata: {\"type\":\"waiting\",\"message\":\"as a test says\"}"),
        "{said}"
    );
    assert!(said.ends_with("event: done\n\n"), "{said}");
}

#[tokio::test]
async fn a_message_to_an_agent_that_does_not_get_ready_fails_with_the_reason() {
    let stage = Stage::set().await;
    agent_in(&stage, Phase::Provisioning, "/nowhere").await;
    let said = chat(&stage, 0).await;
    assert!(
        said.contains("event: failed") && said.contains("as a test says") && said.contains("hint"),
        "{said}"
    );
    say(&stage, Phase::Failed, "/nowhere", 2).await;
    let said = chat(&stage, 60_000).await;
    assert!(said.starts_with("event: failed") && said.contains("the agent is Failed"), "{said}");
}

#[tokio::test]
async fn what_a_warden_refuses_or_does_not_answer_is_told_as_a_failure() {
    let stage = Stage::set().await;
    let refusal = r#"{"type":"urn:creel:problem:busy","title":"busy","status":429,"detail":"ask later"}"#;
    let socket = play_warden(stage.folder.path(), StatusCode::TOO_MANY_REQUESTS, refusal);
    agent_in(&stage, Phase::Running, &socket).await;
    assert!(chat(&stage, 0).await.contains("ask later"));
    say(&stage, Phase::Running, "/nowhere/warden.sock", 2).await;
    let said = chat(&stage, 0).await;
    assert!(said.contains("warden-silent") && said.contains("/nowhere/warden.sock"), "{said}");
}

#[tokio::test]
async fn a_message_that_says_nothing_or_to_nobody_is_refused_at_once() {
    let stage = Stage::set().await;
    stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    assert_eq!(stage.call("POST", CHAT, Some(json!({"message": " "}))).await.0, 422);
    assert_eq!(stage.call("POST", CHAT, Some(json!({"message": "x", "session": "a b"}))).await.0, 422);
    let nobody = "/api/v1/tenants/default/agents/nobody/chat";
    assert_eq!(stage.call("POST", nobody, Some(json!({"message": "x"}))).await.0, 404);
}

#[tokio::test]
async fn a_log_is_asked_for_as_wanted_and_passed_on() {
    let stage = Stage::set().await;
    let socket = play_warden(stage.folder.path(), StatusCode::OK, "");
    agent_in(&stage, Phase::Running, &socket).await;
    let (status, text) = stage.get(&format!("{LOGS}?tail=5")).await;
    assert_eq!((status, text), (200, json!("tail=5&follow=false")));
}

#[tokio::test]
async fn a_log_that_nobody_can_give_says_why() {
    let stage = Stage::set().await;
    stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    assert_eq!(stage.get(LOGS).await.0, 404);
    agent_in(&stage, Phase::Running, "/nowhere/warden.sock").await;
    let (status, body) = stage.get(LOGS).await;
    assert_eq!((status, &body["type"]), (503, &json!("urn:creel:problem:warden-silent")));
    assert!(body["hint"].is_string());
}
