//! Tenants through the API.

use serde_json::json;

use super::Stage;

#[tokio::test]
async fn the_default_tenant_is_there_from_the_first_commit_and_stays() {
    let stage = Stage::set().await;
    let (_, list) = stage.get("/api/v1/tenants").await;
    assert_eq!(list["items"][0]["metadata"]["name"], "default");
    assert_eq!(stage.revision(), 1);
    let (status, body) = stage.call("DELETE", "/api/v1/tenants/default", None).await;
    assert_eq!((status, &body["detail"]), (409, &json!("the default tenant always exists")));
}

#[tokio::test]
async fn a_tenant_goes_only_when_it_has_no_agents_and_its_secrets_go_with_it() {
    let stage = Stage::set().await;
    stage.put_tenant("acme").await;
    stage.put_secret("acme", "key", "value").await;
    stage.put_agent("acme", "a", json!({"release": "2026.9.6"})).await;
    let (status, body) = stage.call("DELETE", "/api/v1/tenants/acme", None).await;
    assert_eq!(status, 409);
    assert!(body["detail"].as_str().unwrap().ends_with(": a"), "{body}");

    stage.call("DELETE", "/api/v1/tenants/acme/agents/a?purge=true", None).await;
    stage.turn().await;
    let (status, body) = stage.call("DELETE", "/api/v1/tenants/acme", None).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(stage.get("/api/v1/tenants/acme").await.0, 404);
    assert!(!stage.folder.path().join("secrets/acme/key").exists());
}

#[tokio::test]
async fn a_tenants_defaults_are_checked_as_strictly_as_an_agents_spec() {
    let stage = Stage::set().await;
    let tenant = json!({"apiVersion": "creel.dev/v2", "kind": "Agent", "metadata": {"name": "acme", "tenant": "x"},
        "spec": {"defaults": {"release": "yesterday", "priority": 1001}}});
    let (status, body) = stage.call("PUT", "/api/v1/tenants/acme", Some(tenant)).await;
    let paths: Vec<&str> =
        body["issues"].as_array().unwrap().iter().map(|i| i["path"].as_str().unwrap()).collect();
    assert_eq!(status, 422);
    assert_eq!(
        paths,
        ["apiVersion", "kind", "metadata.tenant", "spec.defaults.priority", "spec.defaults.release"]
    );
}

#[tokio::test]
async fn putting_a_tenant_again_is_no_change_and_a_dry_run_writes_nothing() {
    let stage = Stage::set().await;
    let tenant = json!({"apiVersion": "creel.dev/v1", "kind": "Tenant", "metadata": {"name": "acme"}, "spec": {"defaults": {"priority": 5}}});
    let path = "/api/v1/tenants/acme";
    let (_, dry) = stage.call("PUT", &format!("{path}?dryRun=true"), Some(tenant.clone())).await;
    assert_eq!((&dry["outcome"], stage.revision()), (&json!("created"), 1));
    let (_, first) = stage.call("PUT", path, Some(tenant.clone())).await;
    let (_, again) = stage.call("PUT", path, Some(tenant)).await;
    assert_eq!((&first["outcome"], &again["outcome"]), (&json!("created"), &json!("unchanged")));
    assert_eq!(stage.revision(), 2);
}
