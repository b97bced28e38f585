//! Agents: what is wanted of each. A change is checked as far as that can be done here; whether the release takes
//! the config is found out by the agent's warden, which shows it and keeps what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use creel_api::API_VERSION;
use creel_api::agent::{Agent, AgentSpec};
use creel_api::apply::{Applied, Difference, Outcome};
use creel_api::meta::List;
use creel_api::problem::Issue;
use creel_core::spec::{check_agent, differences};
use creel_core::world::{AgentRecord, Change, Decision, World};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use uuid::Uuid;

use super::body::Strict;
use super::precondition;
use super::tenants::no_tenant;
use crate::refusal::Refusal;
use crate::selector::Selector;
use crate::server::{Server, Turn};
use crate::view::View;
use crate::{identity, upstream};

/// Which agents.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only this tenant's.
    tenant: Option<String>,
    /// Only those whose labels fit: `team=sales,stage!=test,canary`.
    label_selector: Option<String>,
    /// Deleted ones whose state is still kept, instead of those that live.
    #[serde(default)]
    deleted: bool,
}

/// How to apply.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct Applying {
    /// Only say what would be done.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

/// Agents, by tenant and name.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", params(Which),
    responses((status = 200, body = List<Agent>, description = "By tenant and name.")))]
pub(crate) async fn list_agents(
    State(server): State<Arc<Server>>,
    Query(which): Query<Which>,
) -> Result<Json<List<Agent>>, Refusal> {
    let selector = Selector::parse(which.label_selector.as_deref().unwrap_or_default())?;
    let (world, observed) = (server.world(), server.observed());
    let view = View { world: &world, observed: &observed, now: jiff::Timestamp::now() };
    let wanted = |agent: &&AgentRecord| {
        which.tenant.as_ref().is_none_or(|tenant| agent.tenant == *tenant)
            && agent.deleted.is_some() == which.deleted
            && selector.selects(&agent.labels)
    };
    let mut records: Vec<&AgentRecord> = world.agents.values().filter(wanted).collect();
    records.sort_by(|a, b| (&a.tenant, &a.name, &a.uid).cmp(&(&b.tenant, &b.name, &b.uid)));
    Ok(Json(List::of(records.into_iter().map(|record| view.agent(record)).collect())))
}

/// One agent; a deleted one whose state is kept if there is no other of its name.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/agents/{agent}", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name.")),
    responses((status = 200, body = Agent, description = "The agent.")))]
pub(crate) async fn get_agent(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<Json<Agent>, Refusal> {
    let world = server.world();
    let record = world.agent(&tenant, &name).or_else(|| world.deleted_agent(&tenant, &name));
    let record = record.ok_or_else(|| no_agent(&world, &tenant, &name))?;
    Ok(Json(shown(&server, &world, record)))
}

/// Makes the agent as it is written, or changes it to that.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/agents/{agent}", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name."), Applying,
        ("If-Match" = Option<String>, Header, description = "Change it only if it is still at this revision.")),
    request_body = Agent, responses((status = 200, body = Applied<Agent>, description = "What was done.")))]
pub(crate) async fn put_agent(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    Query(applying): Query<Applying>,
    headers: HeaderMap,
    Strict(wanted): Strict<Agent>,
) -> Result<Json<Applied<Agent>>, Refusal> {
    check(&tenant, &name, &wanted)?;
    let turn = server.take_turn().await;
    if !turn.world.tenants.contains_key(&tenant) {
        return Err(no_tenant(&tenant));
    }
    let before = turn.world.agent(&tenant, &name).cloned();
    precondition::check(&headers, before.as_ref().map(|record| record.revision))?;
    let record = record_of(&turn, before.as_ref(), &tenant, &wanted);
    let differences = difference(before.as_ref(), &record);
    let outcome = outcome(before.is_some(), &differences);
    let decision = decision(&record, if outcome == Outcome::Created { "was created" } else { "was changed" });
    identity::check(&turn.world, &decision, &tenant)?;
    if applying.dry_run || outcome == Outcome::Unchanged {
        let kept = before.filter(|_| outcome == Outcome::Unchanged).unwrap_or(record);
        return Ok(Json(Applied { outcome, differences, object: shown(&server, &turn.world, &kept) }));
    }
    let world = turn.commit("admin".into(), vec![decision]).await?;
    Ok(Json(Applied { outcome, differences, object: shown(&server, &world, &record) }))
}

pub(crate) fn shown(server: &Server, world: &World, record: &AgentRecord) -> Agent {
    View { world, observed: &server.observed(), now: jiff::Timestamp::now() }.agent(record)
}

/// That there is no such agent, and what to do: a deleted one can come back.
pub(crate) fn no_agent(world: &World, tenant: &str, name: &str) -> Refusal {
    if !world.tenants.contains_key(tenant) {
        return no_tenant(tenant);
    }
    let refusal = Refusal::not_found(format!("the tenant `{tenant}` has no agent `{name}`"));
    match world.deleted_agent(tenant, name) {
        Some(_) => refusal.hint(format!(
            "it was deleted and its state is kept: `creel undelete agent {name}` brings it back"
        )),
        None => refusal.hint("`creel get agents` lists those there are"),
    }
}

/// A decision of a user about this agent.
pub(crate) fn decision(record: &AgentRecord, what: &str) -> Decision {
    let why = format!("agent {} {what}", record.key());
    Decision { change: Change::Agent(record.uid.clone(), Some(Box::new(record.clone()))), why }
}

/// What putting an object does.
pub(crate) fn outcome(existed: bool, differences: &[Difference]) -> Outcome {
    match (existed, differences.is_empty()) {
        (false, _) => Outcome::Created,
        (true, false) => Outcome::Changed,
        (true, true) => Outcome::Unchanged,
    }
}

/// Whether a manifest is of this creel's kind.
pub(crate) fn check_kind(api_version: &str, kind: &str, wanted: &str) -> Vec<Issue> {
    let mut issues = Vec::new();
    if api_version != API_VERSION {
        issues.push(Issue { path: "apiVersion".into(), message: format!("must be {API_VERSION}") });
    }
    if kind != wanted {
        issues.push(Issue { path: "kind".into(), message: format!("must be {wanted}") });
    }
    issues
}

/// What those who know OpenClaw have against a spec: its release, and secrets in clear.
pub(crate) fn check_upstream(at: &str, spec: &AgentSpec) -> Vec<Issue> {
    let release = spec.release.as_deref().and_then(upstream::wish_fault);
    let release = release.map(|message| Issue { path: format!("{at}.release"), message });
    let secrets = upstream::plaintext_secrets(&spec.config).into_iter().map(|path| Issue {
        message: format!(
            "a secret in clear; store it with `creel secret set NAME` and write {at}.secrets: {{{path}: NAME}} instead"
        ),
        path: format!("{at}.config.{path}"),
    });
    release.into_iter().chain(secrets).collect()
}

fn check(tenant: &str, name: &str, wanted: &Agent) -> Result<(), Refusal> {
    let mut issues = check_kind(&wanted.api_version, &wanted.kind, "Agent");
    issues.extend(check_agent(&wanted.metadata, &wanted.spec));
    issues.extend(check_upstream("spec", &wanted.spec));
    if wanted.metadata.name != name {
        issues.push(Issue {
            path: "metadata.name".into(),
            message: format!("is not `{name}` as in the address"),
        });
    }
    if wanted.metadata.tenant.as_deref().is_some_and(|written| written != tenant) {
        issues.push(Issue {
            path: "metadata.tenant".into(),
            message: format!("is not `{tenant}` as in the address"),
        });
    }
    if issues.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(format!("the agent `{name}` has faults"), issues))
    }
}

fn record_of(turn: &Turn, before: Option<&AgentRecord>, tenant: &str, wanted: &Agent) -> AgentRecord {
    let fresh = || AgentRecord {
        uid: Uuid::now_v7().to_string(),
        name: wanted.metadata.name.clone(),
        tenant: tenant.to_owned(),
        labels: BTreeMap::new(),
        spec: AgentSpec::default(),
        created_at: turn.now,
        revision: 0,
        deleted: None,
        restart: 0,
        revisions: vec![],
        assignment: None,
    };
    AgentRecord {
        labels: wanted.metadata.labels.clone(),
        spec: wanted.spec.clone(),
        revision: turn.world.revision + 1,
        ..before.cloned().unwrap_or_else(fresh)
    }
}

fn difference(before: Option<&AgentRecord>, after: &AgentRecord) -> Vec<Difference> {
    let seen = |record: &AgentRecord| json!({"metadata": {"labels": record.labels}, "spec": record.spec});
    differences(&before.map_or_else(|| json!({}), seen), &seen(after))
}
