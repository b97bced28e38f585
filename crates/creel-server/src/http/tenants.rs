//! Tenants: what their agents get by default, and their end.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use creel_api::apply::{Applied, Difference, Outcome};
use creel_api::meta::{DEFAULT_TENANT, List};
use creel_api::problem::Issue;
use creel_api::tenant::{Tenant, TenantSpec};
use creel_core::spec::{check_tenant, differences};
use creel_core::world::{Change, Decision, TenantRecord, World};
use serde_json::json;
use uuid::Uuid;

use super::agents::{Applying, check_kind, check_upstream, outcome};
use super::body::Strict;
use super::precondition;
use crate::identity;
use crate::refusal::Refusal;
use crate::server::{Server, Turn};
use crate::view::View;

/// Every tenant.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", responses((status = 200, body = List<Tenant>, description = "By name.")))]
pub(crate) async fn list_tenants(State(server): State<Arc<Server>>) -> Json<List<Tenant>> {
    let (world, observed) = (server.world(), server.observed());
    let view = View { world: &world, observed: &observed, now: jiff::Timestamp::now() };
    Json(List::of(world.tenants.values().map(|record| view.tenant(record)).collect()))
}

/// One tenant.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name.")),
    responses((status = 200, body = Tenant, description = "The tenant.")))]
pub(crate) async fn get_tenant(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> Result<Json<Tenant>, Refusal> {
    let world = server.world();
    let record = existing(&world, &name)?;
    Ok(Json(shown(&server, &world, record)))
}

/// Makes the tenant as it is written, or changes it to that.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name."), Applying,
        ("If-Match" = Option<String>, Header, description = "Change it only if it is still at this revision.")),
    request_body = Tenant, responses((status = 200, body = Applied<Tenant>, description = "What was done.")))]
pub(crate) async fn put_tenant(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Query(applying): Query<Applying>,
    headers: HeaderMap,
    Strict(wanted): Strict<Tenant>,
) -> Result<Json<Applied<Tenant>>, Refusal> {
    check(&name, &wanted)?;
    let turn = server.take_turn().await;
    let before = turn.world.tenants.get(&name).cloned();
    precondition::check(&headers, before.as_ref().map(|record| record.revision))?;
    let record = record_of(&turn, before.as_ref(), wanted);
    let differences = difference(before.as_ref(), &record);
    let outcome = outcome(before.is_some(), &differences);
    let decision = Decision {
        change: Change::Tenant(name.clone(), Some(record.clone())),
        why: format!("tenant {name} was {}", if outcome == Outcome::Created { "created" } else { "changed" }),
    };
    identity::check(&turn.world, &decision, &name)?;
    if applying.dry_run || outcome == Outcome::Unchanged {
        let kept = before.filter(|_| outcome == Outcome::Unchanged).unwrap_or(record);
        return Ok(Json(Applied { outcome, differences, object: shown(&server, &turn.world, &kept) }));
    }
    let world = turn.commit("admin".into(), vec![decision]).await?;
    Ok(Json(Applied { outcome, differences, object: shown(&server, &world, &record) }))
}

/// Ends the tenant and forgets its secrets. Refused while it has agents.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}", tag = "tenants",
    params(("tenant" = String, Path, description = "Its name.")),
    responses((status = 200, body = Tenant, description = "The tenant as it was.")))]
pub(crate) async fn delete_tenant(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Tenant>, Refusal> {
    let turn = server.take_turn().await;
    let record = existing(&turn.world, &name)?.clone();
    precondition::check(&headers, Some(record.revision))?;
    check_empty(&turn.world, &name)?;
    let was = shown(&server, &turn.world, &record);
    let secrets: Vec<String> = turn
        .world
        .secrets
        .keys()
        .filter(|(tenant, _)| *tenant == name)
        .map(|(_, secret)| secret.clone())
        .collect();
    let why = format!("tenant {name} was deleted");
    let changes = secrets.iter().map(|secret| Change::Secret((name.clone(), secret.clone()), None));
    let changes = changes.chain([Change::Tenant(name.clone(), None)]);
    let decisions = changes.map(|change| Decision { change, why: why.clone() }).collect();
    turn.commit("admin".into(), decisions).await?;
    for secret in &secrets {
        let removed = server.vault.remove(&name, secret);
        removed.map_err(|error| {
            Refusal::machine("the value of a secret of the tenant is still on disk", &error)
        })?;
    }
    Ok(Json(was))
}

fn existing<'a>(world: &'a World, name: &str) -> Result<&'a TenantRecord, Refusal> {
    world.tenants.get(name).ok_or_else(|| no_tenant(name))
}

pub(crate) fn no_tenant(name: &str) -> Refusal {
    Refusal::not_found(format!("there is no tenant `{name}`"))
        .hint("`creel get tenants` lists those there are; a manifest of kind Tenant makes one")
}

fn shown(server: &Server, world: &World, record: &TenantRecord) -> Tenant {
    View { world, observed: &server.observed(), now: jiff::Timestamp::now() }.tenant(record)
}

fn check(name: &str, wanted: &Tenant) -> Result<(), Refusal> {
    let mut issues = check_kind(&wanted.api_version, &wanted.kind, "Tenant");
    issues.extend(check_tenant(&wanted.metadata, &wanted.spec.defaults));
    issues.extend(check_upstream("spec.defaults", &wanted.spec.defaults));
    if wanted.metadata.name != name {
        issues.push(Issue {
            path: "metadata.name".into(),
            message: format!("is not `{name}` as in the address"),
        });
    }
    if issues.is_empty() {
        Ok(())
    } else {
        Err(Refusal::invalid(format!("the tenant `{name}` has faults"), issues))
    }
}

fn record_of(turn: &Turn, before: Option<&TenantRecord>, wanted: Tenant) -> TenantRecord {
    TenantRecord {
        name: wanted.metadata.name,
        uid: before.map_or_else(|| Uuid::now_v7().to_string(), |record| record.uid.clone()),
        labels: wanted.metadata.labels,
        spec: wanted.spec,
        created_at: before.map_or(turn.now, |record| record.created_at),
        revision: turn.world.revision + 1,
    }
}

fn difference(before: Option<&TenantRecord>, after: &TenantRecord) -> Vec<Difference> {
    let seen = |labels: &BTreeMap<String, String>, spec: &TenantSpec| json!({"metadata": {"labels": labels}, "spec": spec});
    let was = before.map_or_else(|| json!({}), |record| seen(&record.labels, &record.spec));
    differences(&was, &seen(&after.labels, &after.spec))
}

fn check_empty(world: &World, name: &str) -> Result<(), Refusal> {
    if name == DEFAULT_TENANT {
        return Err(Refusal::in_use("the default tenant always exists"));
    }
    let agents: Vec<String> =
        world.agents.values().filter(|agent| agent.tenant == name).map(|a| a.name.clone()).collect();
    if agents.is_empty() {
        return Ok(());
    }
    Err(Refusal::in_use(format!(
        "the tenant `{name}` has agents, or keeps the state of deleted ones: {}",
        agents.join(", ")
    ))
    .hint("delete them first, with `--purge` if nothing is to be kept"))
}
