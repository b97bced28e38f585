//! Secrets: kept, versioned, compared, and never told.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::Stage;

const TOKEN: &str = "987654:VERY-SECRET";

fn with_bot(secret: &str) -> serde_json::Value {
    json!({"release": "2026.9.6", "secrets": {"channels.telegram.botToken": secret}})
}

#[tokio::test]
async fn a_secret_gets_a_new_version_only_for_a_new_value() {
    let stage = Stage::set().await;
    let (_, first) = stage.put_secret("default", "bot", TOKEN).await;
    let (_, same) = stage.put_secret("default", "bot", TOKEN).await;
    let (_, other) = stage.put_secret("default", "bot", "other").await;
    let versions =
        [&first, &same, &other].map(|applied| applied["object"]["status"]["version"].as_u64().unwrap());
    assert_eq!(versions, [1, 1, 2]);
    assert_eq!(same["outcome"], "unchanged");
    assert_eq!(stage.revision(), 3);
}

#[tokio::test]
async fn a_value_is_in_its_file_and_nowhere_else() {
    let stage = Stage::set().await;
    let (_, applied) = stage.put_secret("default", "bot", TOKEN).await;
    stage.put_agent("default", "a", with_bot("bot")).await;
    let (_, list) = stage.get("/api/v1/tenants/default/secrets").await;
    let (_, history) = stage.get("/api/v1/history").await;
    assert_eq!(list["items"][0]["status"]["usedBy"], json!(["a"]));
    let hash = stage.server.vault.hash(TOKEN);
    for told in [&applied, &list, &history] {
        assert!(!told.to_string().contains(TOKEN) && !told.to_string().contains(&hash));
    }
    let file = stage.folder.path().join("secrets/default/bot");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), TOKEN);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for store in ["creel.db", "creel.db-wal"] {
        let bytes = std::fs::read(stage.folder.path().join("store").join(store)).unwrap();
        assert!(!bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "{store}");
    }
}

#[tokio::test]
async fn a_lost_value_comes_back_by_setting_it_again() {
    let stage = Stage::set().await;
    stage.put_secret("default", "bot", TOKEN).await;
    let file = stage.folder.path().join("secrets/default/bot");
    std::fs::remove_file(&file).unwrap();
    stage.put_secret("default", "bot", TOKEN).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), TOKEN);
}

#[tokio::test]
async fn a_secret_in_use_is_deleted_only_by_force() {
    let stage = Stage::set().await;
    stage.put_secret("default", "bot", TOKEN).await;
    stage.put_agent("default", "a", with_bot("bot")).await;
    let path = "/api/v1/tenants/default/secrets/bot";
    let (status, body) = stage.call("DELETE", path, None).await;
    assert_eq!((status, &body["detail"]), (409, &json!("the secret `bot` is used by a")));
    let (status, _) = stage.call("DELETE", &format!("{path}?force=true"), None).await;
    assert_eq!(status, 200);
    assert!(!stage.folder.path().join("secrets/default/bot").exists());
    assert_eq!(stage.call("DELETE", path, None).await.0, 404);
}

#[tokio::test]
async fn an_agent_may_name_a_secret_that_is_still_to_be_set_and_waits_for_it() {
    let stage = Stage::set().await;
    let (status, applied) = stage.put_agent("default", "a", with_bot("later")).await;
    assert_eq!(status, 200);
    assert_eq!(applied["object"]["status"]["waiting"][0]["reason"], "SecretMissing");
}

#[tokio::test]
async fn a_value_that_is_empty_too_long_or_badly_named_is_refused() {
    let stage = Stage::set().await;
    for (name, value) in [("bot", String::new()), ("bot", "x".repeat((64 << 10) + 1)), ("Bot", "x".into())] {
        assert_eq!(stage.put_secret("default", name, &value).await.0, 422, "{name}");
    }
    assert_eq!(stage.put_secret("nobody", "bot", "x").await.0, 404);
}

#[tokio::test]
async fn one_bot_token_in_two_agents_of_a_tenant_is_refused_and_the_other_is_named() {
    let stage = Stage::set().await;
    stage.put_secret("default", "one", TOKEN).await;
    stage.put_secret("default", "two", TOKEN).await;
    stage.put_agent("default", "a", with_bot("one")).await;
    for secret in ["one", "two"] {
        let (status, body) = stage.put_agent("default", "b", with_bot(secret)).await;
        assert_eq!(status, 409, "{body}");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("channels.telegram.botToken") && detail.contains("default/a"), "{detail}");
    }
    assert_eq!(stage.server.world().agents.len(), 1);
}

#[tokio::test]
async fn an_agent_of_another_tenant_is_never_named() {
    let stage = Stage::set().await;
    stage.put_tenant("acme").await;
    stage.put_secret("acme", "hidden-name", TOKEN).await;
    stage.put_agent("acme", "hidden-agent", with_bot("hidden-name")).await;
    stage.put_secret("default", "bot", TOKEN).await;
    let (status, body) = stage.put_agent("default", "a", with_bot("bot")).await;
    assert_eq!(status, 409);
    assert!(body["detail"].as_str().unwrap().contains("an agent of another tenant"), "{body}");
    assert!(!body.to_string().contains("hidden") && !body.to_string().contains("acme"), "{body}");
}

#[tokio::test]
async fn a_token_is_compared_also_when_its_value_changes_and_when_an_agent_comes_back() {
    let stage = Stage::set().await;
    stage.put_secret("default", "one", TOKEN).await;
    stage.put_secret("default", "two", "another").await;
    stage.put_agent("default", "a", with_bot("one")).await;
    stage.put_agent("default", "b", with_bot("two")).await;
    assert_eq!(stage.put_secret("default", "two", TOKEN).await.0, 409);
    assert_eq!(std::fs::read_to_string(stage.folder.path().join("secrets/default/two")).unwrap(), "another");

    stage.call("DELETE", "/api/v1/tenants/default/agents/b", None).await;
    assert_eq!(stage.put_secret("default", "two", TOKEN).await.0, 200);
    let (status, _) = stage.call("POST", "/api/v1/tenants/default/agents/b/undelete", None).await;
    assert_eq!(status, 409);
}
