//! The API over a real store in a folder of its own. Wardens are played by the tests.

mod agents;
mod data;
mod secrets;
mod start;
mod strangers;
mod tenants;
mod turns;
mod wardens;
mod watchers;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use creel_api::agent::{AgentSpec, Phase};
use creel_api::node::{AgentReport, Hold};
use creel_core::world::AgentRecord;
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::server::Server;

/// A server in a folder of its own. Its turn is taken when a test says so.
pub(crate) struct Stage {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Arc<Server>,
    pub(crate) router: Router,
    admin: String,
    node: String,
}

/// Whose token a request shows.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum As {
    Admin,
    Node,
    Nobody,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn in_folder(folder: tempfile::TempDir) -> Self {
        let registry = no_registry(folder.path().into());
        Self::with_registry(folder, registry).await
    }

    pub(crate) async fn with_registry(folder: tempfile::TempDir, registry: creel_release::Options) -> Self {
        let server = crate::serve::open(folder.path(), registry).await.unwrap();
        let token = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap().trim().to_owned();
        let (admin, node) = (token("token"), token("run/node.token"));
        Self { router: crate::http::router(Arc::clone(&server)), server, admin, node, folder }
    }

    pub(crate) fn request(&self, who: As, method: &str, path: &str, body: Option<&Value>) -> Request<Body> {
        let request = Request::builder().method(method).uri(path);
        let request = match who {
            As::Admin => request.header(header::AUTHORIZATION, format!("Bearer {}", self.admin)),
            As::Node => request.header(header::AUTHORIZATION, format!("Bearer {}", self.node)),
            As::Nobody => request,
        };
        request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_string()))).unwrap()
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// Status and JSON of the answer to a request of this caller.
    pub(crate) async fn call_as(
        &self,
        who: As,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        answer(self.send(self.request(who, method, path, body.as_ref())).await).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.call_as(As::Admin, method, path, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None).await
    }

    /// Puts an agent with this spec into a tenant.
    pub(crate) async fn put_agent(&self, tenant: &str, name: &str, spec: Value) -> (u16, Value) {
        let path = format!("/api/v1/tenants/{tenant}/agents/{name}");
        self.call("PUT", &path, Some(agent_manifest(name, &spec))).await
    }

    pub(crate) async fn put_tenant(&self, name: &str) {
        let tenant = json!({"apiVersion": "creel.dev/v1", "kind": "Tenant", "metadata": {"name": name}});
        let (status, body) = self.call("PUT", &format!("/api/v1/tenants/{name}"), Some(tenant)).await;
        assert_eq!(status, 200, "{body}");
    }

    pub(crate) async fn put_secret(&self, tenant: &str, name: &str, value: &str) -> (u16, Value) {
        let path = format!("/api/v1/tenants/{tenant}/secrets/{name}");
        self.call("PUT", &path, Some(json!({"value": value}))).await
    }

    /// Plays the warden of node `n1`.
    pub(crate) async fn report(&self, report: Value) -> (u16, Value) {
        self.call_as(As::Node, "POST", "/api/v1/nodes/n1/report", Some(report)).await
    }

    /// Takes one turn; whatever it decided, a second one decides nothing.
    pub(crate) async fn turn(&self) {
        crate::turn::take_one(&self.server).await.unwrap();
        let revision = self.revision();
        crate::turn::take_one(&self.server).await.unwrap();
        assert_eq!(self.revision(), revision, "a plan applied leaves nothing to decide");
    }

    pub(crate) fn revision(&self) -> u64 {
        self.server.world().revision
    }

    pub(crate) fn uid(&self, name: &str) -> String {
        self.server.world().agents.values().find(|agent| agent.name == name).unwrap().uid.clone()
    }
}

/// A registry that nobody serves.
pub(crate) fn no_registry(cache: PathBuf) -> creel_release::Options {
    creel_release::Options { registry: Some("http://127.0.0.1:1".into()), cache, prove_start: false }
}

pub(crate) async fn answer(response: Response<Body>) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

pub(crate) fn agent_manifest(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "creel.dev/v1", "kind": "Agent", "metadata": {"name": name}, "spec": spec})
}

/// What a warden says of a node with these agents.
pub(crate) fn node_report(agents: &[AgentReport], socket: &str) -> Value {
    json!({
        "warden": {"pid": 1, "version": "0", "startedAt": "2026-01-01T00:00:00Z", "socket": socket},
        "capacity": {"memoryBytes": 1 << 30, "cores": 2},
        "conditions": [], "agents": agents, "complete": true, "releases": [],
    })
}

pub(crate) fn agent_record(uid: &str, tenant: &str, name: &str) -> AgentRecord {
    AgentRecord {
        uid: uid.into(),
        name: name.into(),
        tenant: tenant.into(),
        labels: std::collections::BTreeMap::new(),
        spec: AgentSpec::default(),
        created_at: Timestamp::UNIX_EPOCH,
        revision: 1,
        deleted: None,
        restart: 0,
        revisions: vec![],
        assignment: None,
    }
}

pub(crate) fn agent_report(agent: &str, seq: u64, phase: Phase) -> AgentReport {
    AgentReport {
        agent: agent.into(),
        node: String::new(),
        seq,
        at: Timestamp::UNIX_EPOCH,
        hold: Hold::Held,
        generation: None,
        phase,
        reason: "Said".into(),
        message: "as a test says".into(),
        since: Timestamp::UNIX_EPOCH,
        deadline: None,
        revision: Some(1),
        release: None,
        refused: None,
        pid: Some(7),
        restarts: 0,
        memory_bytes: None,
        ready_at: None,
        last_exit: None,
        waiting: vec![],
        conditions: vec![],
    }
}
