//! The wardens' side: joining, what is desired, what is reported, and secrets on their way to the agent.

use creel_api::agent::Phase;
use creel_api::meta::Generation;
use creel_api::node::{AgentReport, Desired, Hold};
use serde_json::json;

use super::{As, Stage, agent_report, node_report};

const DESIRED: &str = "/api/v1/nodes/n1/desired";

async fn desired(stage: &Stage, query: &str) -> Desired {
    let (status, body) = stage.call_as(As::Node, "GET", &format!("{DESIRED}{query}"), None).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_value(body).unwrap()
}

/// An agent that is assigned to `n1`; gives its uid and the generation.
async fn assigned(stage: &Stage, spec: serde_json::Value) -> (String, Generation) {
    stage.put_agent("default", "sales", spec).await;
    stage.report(node_report(&[], "/nowhere")).await;
    stage.turn().await;
    let told = desired(stage, "").await.assignments.remove(0);
    (told.agent, told.generation)
}

#[tokio::test]
async fn a_node_joins_by_its_first_report_and_gets_what_is_wanted() {
    let stage = Stage::set().await;
    let (uid, generation) = assigned(&stage, json!({"release": "2026.9.6"})).await;
    assert_eq!((uid, generation.number), (stage.uid("sales"), stage.revision()));
    let (_, nodes) = stage.get("/api/v1/nodes").await;
    assert_eq!(nodes["items"][0]["status"]["ready"], true);
    assert_eq!(nodes["items"][0]["status"]["agents"], 1);
    assert_eq!(
        stage.call_as(As::Node, "GET", "/api/v1/nodes/n2/desired", None).await.1["assignments"],
        json!([])
    );
}

#[tokio::test]
async fn a_long_poll_answers_as_soon_as_something_is_newer() {
    let stage = Stage::set().await;
    let at = desired(&stage, "").await.at;
    let query = format!("?after={at}&waitMs=60000");
    let (newer, _) = tokio::join!(desired(&stage, &query), stage.put_tenant("acme"));
    assert!(newer.at > at);
    let at_once = desired(&stage, "?after=0.1&waitMs=60000").await;
    assert_eq!(at_once.at, newer.at);
    assert_eq!(desired(&stage, &format!("?after={}&waitMs=1", newer.at)).await.at, newer.at);
    let (status, body) = stage.call_as(As::Node, "GET", &format!("{DESIRED}?after=new"), None).await;
    assert_eq!(status, 400, "{body}");
}

#[tokio::test]
async fn a_release_wanted_by_hand_is_desired_everywhere() {
    let stage = Stage::set().await;
    assert_eq!(stage.call("PUT", "/api/v1/releases/2026.9.6", None).await.0, 200);
    assert_eq!(desired(&stage, "").await.releases, ["2026.9.6"]);
    let revision = stage.revision();
    stage.call("PUT", "/api/v1/releases/2026.9.6", None).await;
    assert_eq!(stage.revision(), revision);
    assert_eq!(stage.call("PUT", "/api/v1/releases/stable", None).await.0, 422);
    assert_eq!(stage.call("DELETE", "/api/v1/releases/2026.9.6", None).await.0, 200);
    assert_eq!(stage.call("DELETE", "/api/v1/releases/2026.9.6", None).await.0, 404);
}

#[tokio::test]
async fn a_release_in_use_stays_and_says_who_uses_it() {
    let stage = Stage::set().await;
    assigned(&stage, json!({"release": "2026.9.6"})).await;
    let (status, body) = stage.call("DELETE", "/api/v1/releases/2026.9.6", None).await;
    assert_eq!((status, &body["detail"]), (409, &json!("release 2026.9.6 is used by default/sales")));
    let (_, list) = stage.get("/api/v1/releases").await;
    assert_eq!(list["items"][0]["status"]["usedBy"], json!(["default/sales"]));
}

#[tokio::test]
async fn a_report_is_shown_and_kept_and_moves_no_revision() {
    let stage = Stage::set().await;
    let (uid, generation) = assigned(&stage, json!({"release": "2026.9.6"})).await;
    let revision = stage.revision();
    for seq in 1..20 {
        let said = AgentReport { generation: Some(generation), ..agent_report(&uid, seq, Phase::Running) };
        assert_eq!(stage.report(node_report(&[said], "/nowhere")).await.0, 200);
        stage.turn().await;
    }
    assert_eq!(stage.revision(), revision);
    let (_, agent) = stage.get("/api/v1/tenants/default/agents/sales").await;
    assert_eq!((&agent["status"]["phase"], &agent["status"]["pid"]), (&json!("Running"), &json!(7)));
    stage.server.reports.flush().await.unwrap();
    assert_eq!(stage.server.store.reports().await.unwrap()[0].seq, 19);
}

#[tokio::test]
async fn a_new_server_shows_what_was_said_and_wants_to_hear_it_again() {
    let stage = Stage::set().await;
    let (uid, generation) = assigned(&stage, json!({"release": "2026.9.6"})).await;
    let said = AgentReport { generation: Some(generation), ..agent_report(&uid, 1, Phase::Running) };
    let report = node_report(&[said], "/nowhere");
    assert_eq!(stage.report(report.clone()).await.1, json!({"completeWanted": false}));
    stage.server.reports.flush().await.unwrap();

    let next = Stage::in_folder(stage.folder).await;
    let (_, agent) = next.get("/api/v1/tenants/default/agents/sales").await;
    assert_eq!(agent["status"]["phase"], "Running");
    assert_eq!(next.server.observed().seen.agents[&uid].hold, Hold::Unknown);
    let mut part = report.clone();
    part["complete"] = json!(false);
    part["agents"] = json!([]);
    assert_eq!(next.report(part).await.1, json!({"completeWanted": true}));
    assert_eq!(next.report(report).await.1, json!({"completeWanted": false}));
    assert_eq!(next.server.observed().seen.agents[&uid].hold, Hold::Held);
    next.turn().await;
    assert_eq!(desired(&next, "").await.assignments[0].generation, generation);
}

#[tokio::test]
async fn a_node_gets_the_secrets_of_its_own_agents_only() {
    let stage = Stage::set().await;
    stage.put_secret("default", "bot", "123:abc").await;
    let spec = json!({"release": "2026.9.6", "secrets": {"channels.telegram.botToken": "bot"}});
    let (uid, _) = assigned(&stage, spec).await;
    let (status, values) =
        stage.call_as(As::Node, "GET", &format!("/api/v1/nodes/n1/agents/{uid}/secrets"), None).await;
    assert_eq!((status, values), (200, json!({"bot": "123:abc"})));
    for path in [format!("/api/v1/nodes/n2/agents/{uid}/secrets"), "/api/v1/nodes/n1/agents/x/secrets".into()]
    {
        assert_eq!(stage.call_as(As::Node, "GET", &path, None).await.0, 403);
    }
}

#[tokio::test]
async fn a_restart_and_a_deletion_reach_the_node_as_new_generations() {
    let stage = Stage::set().await;
    let (_, first) = assigned(&stage, json!({"release": "2026.9.6"})).await;
    stage.call("POST", "/api/v1/tenants/default/agents/sales/restart", None).await;
    stage.turn().await;
    let restarted = desired(&stage, "").await.assignments.remove(0);
    assert!(restarted.generation > first && restarted.restart == 1);
    stage.call("DELETE", "/api/v1/tenants/default/agents/sales", None).await;
    stage.turn().await;
    let stopped = desired(&stage, "").await.assignments.remove(0);
    assert!(stopped.generation > restarted.generation);
    assert_eq!(serde_json::to_value(stopped.intent).unwrap(), "stop");
}

#[tokio::test]
async fn a_node_with_an_impossible_name_is_refused() {
    let stage = Stage::set().await;
    let path = "/api/v1/nodes/a%20b/report";
    assert_eq!(stage.call_as(As::Node, "POST", path, Some(node_report(&[], ""))).await.0, 422);
}
