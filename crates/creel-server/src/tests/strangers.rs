//! Every route as a stranger meets it, and what is refused before any handler is asked.

use serde_json::{Value, json};

use super::{As, Stage};

/// (method, path with its parameters filled in, tokens it wants) of everything in the document.
fn operations() -> Vec<(String, String, Vec<String>)> {
    let document: Value = serde_json::from_str(&crate::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| {
            let schemes = operation["security"].as_array().into_iter().flatten();
            let names = schemes.flat_map(|scheme| scheme.as_object().unwrap().keys().cloned()).collect();
            (method.to_uppercase(), path.replace(['{', '}'], ""), names)
        })
    });
    all.collect()
}

#[tokio::test]
async fn a_stranger_is_refused_everywhere_but_where_everyone_may_look() {
    let stage = Stage::set().await;
    let mut open = vec![];
    for (method, path, wants) in operations() {
        let (status, body) = stage.call_as(As::Nobody, &method, &path, None).await;
        if wants.is_empty() {
            assert_eq!(status, 200, "{method} {path}");
            open.push(path);
        } else {
            assert_eq!(
                (status, &body["type"]),
                (401, &json!("urn:creel:problem:token-wrong")),
                "{method} {path}"
            );
            assert!(body["hint"].as_str().unwrap().contains("creel token show"));
        }
    }
    assert_eq!(open, ["/api/v1/openapi.json", "/healthz"]);
}

#[tokio::test]
async fn each_token_opens_its_own_side_only() {
    let stage = Stage::set().await;
    for (method, path, wants) in operations() {
        let Some(wanted) = wants.first() else { continue };
        let other = if wanted == "admin" { As::Node } else { As::Admin };
        let (status, body) = stage.call_as(other, &method, &path, None).await;
        assert_eq!((status, &body["status"]), (403, &json!(403)), "{method} {path}");
    }
}

#[tokio::test]
async fn every_operation_of_the_document_is_routed() {
    let stage = Stage::set().await;
    let streams = ["/api/v1/watch"];
    for (method, path, wants) in
        operations().into_iter().filter(|(_, path, _)| !streams.contains(&path.as_str()))
    {
        let who = if wants == ["node"] { As::Node } else { As::Admin };
        let (status, body) = stage.call_as(who, &method, &path, None).await;
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(status != 405 && !detail.starts_with("there is nothing at"), "{method} {path}: {body}");
        assert!(status < 500, "{method} {path}: {body}");
    }
}

#[tokio::test]
async fn the_document_names_a_problem_for_every_operation_and_each_operation_once() {
    let document: Value = serde_json::from_str(&crate::openapi()).unwrap();
    let items = document["paths"].as_object().unwrap().values();
    let operations: Vec<&Value> = items.flat_map(|item| item.as_object().unwrap().values()).collect();
    let mut ids: Vec<&str> =
        operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    for operation in &operations {
        let problem =
            &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem");
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), operations.len());
}

#[tokio::test]
async fn what_is_nowhere_or_not_done_there_is_a_problem_too() {
    let stage = Stage::set().await;
    let (status, body) = stage.get("/api/v1/nonsense").await;
    assert_eq!((status, &body["type"]), (404, &json!("urn:creel:problem:not-found")));
    let (status, body) = stage.call("POST", "/api/v1/tenants", None).await;
    assert_eq!((status, &body["type"]), (405, &json!("urn:creel:problem:method-not-allowed")));
    let (status, body) = stage.get("/api/v1/history?limit=many").await;
    assert_eq!((status, &body["type"]), (400, &json!("urn:creel:problem:bad-request")));
}

#[tokio::test]
async fn a_request_of_ten_megabytes_is_refused_with_a_cure() {
    let stage = Stage::set().await;
    let (status, body) = stage.put_agent("default", "a", json!({"env": {"A": "x".repeat(10 << 20)}})).await;
    assert_eq!((status, &body["type"]), (413, &json!("urn:creel:problem:too-large")));
    assert!(body["hint"].is_string());
}
