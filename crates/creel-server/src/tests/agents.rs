//! Agents through the API: applying, refusing, deleting and bringing back.

use axum::http::header;
use serde_json::{Value, json};

use super::{As, Stage, agent_manifest, answer};

const PATH: &str = "/api/v1/tenants/default/agents/sales";

#[tokio::test]
async fn applying_tells_created_then_unchanged_then_what_changed() {
    let stage = Stage::set().await;
    let (status, first) = stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    assert_eq!((status, &first["outcome"]), (200, &json!("created")));
    let revision = stage.revision();
    let (_, again) = stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    assert_eq!((&again["outcome"], stage.revision()), (&json!("unchanged"), revision));
    let (_, changed) =
        stage.put_agent("default", "sales", json!({"release": "2026.9.6", "priority": 7})).await;
    assert_eq!(changed["differences"], json!([{"path": "spec.priority", "to": 7}]));
    assert_eq!(changed["object"]["metadata"]["uid"], first["object"]["metadata"]["uid"]);
    assert_eq!(changed["object"]["metadata"]["revision"], revision + 1);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_writes_nothing() {
    let stage = Stage::set().await;
    let body = Some(agent_manifest("sales", &json!({"release": "2026.9.6"})));
    let (status, dry) = stage.call("PUT", &format!("{PATH}?dryRun=true"), body).await;
    assert_eq!((status, &dry["outcome"], stage.revision()), (200, &json!("created"), 1));
    assert_eq!(stage.get(PATH).await.0, 404);
}

#[tokio::test]
async fn only_what_was_read_is_changed() {
    let stage = Stage::set().await;
    stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    let mut put =
        stage.request(As::Admin, "PUT", PATH, Some(&agent_manifest("sales", &json!({"priority": 1}))));
    put.headers_mut().insert(header::IF_MATCH, "\"1\"".parse().unwrap());
    let (status, body) = answer(stage.send(put).await).await;
    assert_eq!((status, &body["detail"]), (412, &json!("it is at revision 2, not 1")));
}

#[tokio::test]
async fn two_identical_applies_at_once_make_one_agent() {
    let stage = Stage::set().await;
    let put = || stage.put_agent("default", "sales", json!({"release": "2026.9.6"}));
    let (one, two) = tokio::join!(put(), put());
    let mut outcomes = [one.1["outcome"].to_string(), two.1["outcome"].to_string()];
    outcomes.sort();
    assert_eq!(outcomes, ["\"created\"", "\"unchanged\""]);
    assert_eq!(stage.server.world().agents.len(), 1);
}

#[tokio::test]
async fn each_fault_of_an_agent_is_told_at_its_path() {
    let stage = Stage::set().await;
    let manifest = json!({"apiVersion": "creel.dev/v1", "kind": "Agent", "metadata": {"name": "other", "tenant": "acme"},
        "spec": {"release": "newest", "config": {"channels": {"telegram": {"botToken": "123:abc"}}}}});
    let (status, body) = stage.call("PUT", PATH, Some(manifest)).await;
    let issues = body["issues"].as_array().unwrap();
    let paths: Vec<&str> = issues.iter().map(|issue| issue["path"].as_str().unwrap()).collect();
    assert_eq!(status, 422);
    assert_eq!(
        paths,
        ["spec.release", "spec.config.channels.telegram.botToken", "metadata.name", "metadata.tenant"]
    );
    assert!(issues[1]["message"].as_str().unwrap().contains("creel secret set"));
    assert!(!body.to_string().contains("123:abc"));
}

#[tokio::test]
async fn an_agent_of_an_unknown_tenant_is_refused_with_the_cure() {
    let stage = Stage::set().await;
    let (status, body) = stage.put_agent("nobody", "sales", json!({})).await;
    assert_eq!((status, &body["detail"]), (404, &json!("there is no tenant `nobody`")));
    assert!(body["hint"].as_str().unwrap().contains("kind Tenant"));
}

#[tokio::test]
async fn agents_are_listed_by_tenant_and_selected_by_label() {
    let stage = Stage::set().await;
    stage.put_tenant("acme").await;
    for (tenant, name, team) in [("default", "b", "sales"), ("default", "a", "ops"), ("acme", "c", "sales")] {
        let mut manifest = agent_manifest(name, &json!({"release": "2026.9.6"}));
        manifest["metadata"]["labels"] = json!({"team": team});
        stage.call("PUT", &format!("/api/v1/tenants/{tenant}/agents/{name}"), Some(manifest)).await;
    }
    let names = |list: Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(stage.get("/api/v1/agents").await.1), ["c", "a", "b"]);
    assert_eq!(names(stage.get("/api/v1/agents?tenant=default").await.1), ["a", "b"]);
    assert_eq!(names(stage.get("/api/v1/agents?labelSelector=team%3Dsales").await.1), ["c", "b"]);
    assert_eq!(stage.get("/api/v1/agents?labelSelector=%3D").await.0, 400);
}

#[tokio::test]
async fn a_deleted_agent_can_be_brought_back_until_it_is_purged() {
    let stage = Stage::set().await;
    let (_, first) = stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    stage.report(super::node_report(&[], "/nowhere")).await;
    stage.turn().await;
    let (status, deleted) = stage.call("DELETE", PATH, None).await;
    assert_eq!((status, &deleted["status"]["phase"]), (200, &json!("Terminating")));
    assert_eq!(stage.get("/api/v1/agents").await.1["items"], json!([]));
    assert_eq!(stage.get("/api/v1/agents?deleted=true").await.1["items"][0]["metadata"]["name"], "sales");
    let (_, refused) = stage.call("POST", &format!("{PATH}/restart"), None).await;
    assert!(refused["hint"].as_str().unwrap().contains("creel undelete"));

    let (status, back) = stage.call("POST", &format!("{PATH}/undelete"), None).await;
    assert_eq!((status, &back["metadata"]["uid"]), (200, &first["object"]["metadata"]["uid"]));
    let (status, _) = stage.call("POST", &format!("{PATH}/undelete"), None).await;
    assert_eq!(status, 409);

    stage.call("DELETE", PATH, None).await;
    stage.call("DELETE", &format!("{PATH}?purge=true"), None).await;
    assert_eq!(stage.call("POST", &format!("{PATH}/undelete"), None).await.0, 404);
}

#[tokio::test]
async fn a_name_that_is_free_again_is_another_agent_and_the_kept_one_waits_for_it_to_go() {
    let stage = Stage::set().await;
    let (_, first) = stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    stage.report(super::node_report(&[], "/nowhere")).await;
    stage.turn().await;
    stage.call("DELETE", PATH, None).await;
    let (_, second) = stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    assert_ne!(first["object"]["metadata"]["uid"], second["object"]["metadata"]["uid"]);
    let (status, body) = stage.call("POST", &format!("{PATH}/undelete"), None).await;
    assert_eq!(status, 409, "{body}");
}

#[tokio::test]
async fn the_history_of_an_agent_tells_who_did_what() {
    let stage = Stage::set().await;
    stage.put_agent("default", "sales", json!({"release": "2026.9.6"})).await;
    stage.call("POST", &format!("{PATH}/restart"), None).await;
    let (_, history) = stage.get(&format!("{PATH}/history")).await;
    let told: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|l| l["why"].as_str().unwrap()).collect();
    assert_eq!(told, ["agent default/sales is to be started again", "agent default/sales was created"]);
    assert_eq!(stage.get("/api/v1/tenants/default/agents/none/history").await.0, 404);
    assert_eq!(stage.get("/api/v1/history?kind=Tenant").await.1["items"].as_array().unwrap().len(), 1);
}
