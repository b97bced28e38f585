//! Secrets of a tenant. A value goes in and never comes out to a user; what the World has is its version and its
//! keyed hash. The value is on disk before the World says that it is there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use creel_api::apply::{Applied, Difference, Outcome};
use creel_api::meta::List;
use creel_api::problem::Issue;
use creel_api::secret::{Secret, SecretValue};
use creel_core::spec::check_name;
use creel_core::world::{Change, Decision, SecretRecord, World};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::agents::Applying;
use super::body::Strict;
use super::tenants::no_tenant;
use crate::identity;
use crate::refusal::Refusal;
use crate::server::{Server, Turn};
use crate::view::{View, secret_users};

/// The most that a value may have.
const VALUE_MOST: usize = 64 << 10;

/// How to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Deleting {
    /// Also while agents use it; they wait for it at their next change.
    #[serde(default)]
    force: bool,
}

/// The tenant's secrets, without their values.
#[utoipa::path(get, path = "/api/v1/tenants/{tenant}/secrets", tag = "secrets",
    params(("tenant" = String, Path, description = "The tenant.")),
    responses((status = 200, body = List<Secret>, description = "By name.")))]
pub(crate) async fn list_secrets(
    State(server): State<Arc<Server>>,
    Path(tenant): Path<String>,
) -> Result<Json<List<Secret>>, Refusal> {
    let world = server.world();
    check_tenant(&world, &tenant)?;
    let records = world.secrets.values().filter(|secret| secret.tenant == tenant);
    Ok(Json(List::of(records.map(|record| shown(&server, &world, record)).collect())))
}

/// Sets the secret's value. The same value again changes nothing.
#[utoipa::path(put, path = "/api/v1/tenants/{tenant}/secrets/{name}", tag = "secrets",
    params(("tenant" = String, Path, description = "The tenant."), ("name" = String, Path, description = "The secret's name."), Applying),
    request_body = SecretValue, responses((status = 200, body = Applied<Secret>, description = "What was done.")))]
pub(crate) async fn put_secret(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    Query(applying): Query<Applying>,
    Strict(SecretValue { value }): Strict<SecretValue>,
) -> Result<Json<Applied<Secret>>, Refusal> {
    check(&name, &value)?;
    let turn = server.take_turn().await;
    check_tenant(&turn.world, &tenant)?;
    let before = turn.world.secrets.get(&(tenant.clone(), name.clone())).cloned();
    let record = record_of(&server, &turn, before.as_ref(), (&tenant, &name), &value);
    let outcome = match &before {
        None => Outcome::Created,
        Some(before) if *before == record => Outcome::Unchanged,
        Some(_) => Outcome::Changed,
    };
    let differences = version_difference(before.as_ref(), &record);
    let decision = decision(&record);
    identity::check(&turn.world, &decision, &tenant)?;
    if !applying.dry_run {
        // Written also when nothing changes: a value that was lost on disk comes back by setting it again.
        keep(&server, &record, value).await?;
        let decisions = if outcome == Outcome::Unchanged { vec![] } else { vec![decision] };
        turn.commit("admin".into(), decisions).await?;
    }
    Ok(Json(Applied { outcome, differences, object: shown(&server, &server.world(), &record) }))
}

/// Forgets the secret. Refused while an agent uses it.
#[utoipa::path(delete, path = "/api/v1/tenants/{tenant}/secrets/{name}", tag = "secrets",
    params(("tenant" = String, Path, description = "The tenant."), ("name" = String, Path, description = "The secret's name."), Deleting),
    responses((status = 200, body = Secret, description = "The secret as it was.")))]
pub(crate) async fn delete_secret(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    Query(deleting): Query<Deleting>,
) -> Result<Json<Secret>, Refusal> {
    let turn = server.take_turn().await;
    check_tenant(&turn.world, &tenant)?;
    let key = (tenant.clone(), name.clone());
    let record = turn.world.secrets.get(&key).cloned().ok_or_else(|| {
        Refusal::not_found(format!("the tenant `{tenant}` has no secret `{name}`"))
            .hint("`creel secret list` lists those there are")
    })?;
    let users = secret_users(&turn.world, &tenant, &name);
    if !users.is_empty() && !deleting.force {
        return Err(Refusal::in_use(format!("the secret `{name}` is used by {}", users.join(", ")))
            .hint("change those agents first, or delete it with `--force`"));
    }
    let was = shown(&server, &turn.world, &record);
    let why = format!("secret {tenant}/{name} was deleted");
    turn.commit("admin".into(), vec![Decision { change: Change::Secret(key, None), why }]).await?;
    let removed = server.vault.remove(&tenant, &name);
    removed
        .map_err(|error| Refusal::machine("the secret is gone, but its value is still on disk", &error))?;
    Ok(Json(was))
}

fn check_tenant(world: &World, tenant: &str) -> Result<(), Refusal> {
    if world.tenants.contains_key(tenant) { Ok(()) } else { Err(no_tenant(tenant)) }
}

fn check(name: &str, value: &str) -> Result<(), Refusal> {
    let issue = |path: &str, message: String| Issue { path: path.into(), message };
    let mut issues: Vec<Issue> =
        check_name(name).err().map(|fault| issue("name", fault)).into_iter().collect();
    if value.is_empty() {
        issues.push(issue("value", "is empty".into()));
    }
    if value.len() > VALUE_MOST {
        issues.push(issue("value", format!("has {} bytes, {VALUE_MOST} are allowed", value.len())));
    }
    if issues.is_empty() { Ok(()) } else { Err(Refusal::invalid("the secret has faults", issues)) }
}

fn record_of(
    server: &Server,
    turn: &Turn,
    before: Option<&SecretRecord>,
    (tenant, name): (&str, &str),
    value: &str,
) -> SecretRecord {
    let hash = server.vault.hash(value);
    if let Some(same) = before.filter(|before| before.hash == hash) {
        return same.clone();
    }
    SecretRecord {
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        uid: before.map_or_else(|| Uuid::now_v7().to_string(), |before| before.uid.clone()),
        version: before.map_or(0, |before| before.version) + 1,
        set_at: turn.now,
        hash,
    }
}

fn version_difference(before: Option<&SecretRecord>, after: &SecretRecord) -> Vec<Difference> {
    let from = before.map(|before| before.version);
    let differs = from != Some(after.version);
    let difference = Difference {
        path: "status.version".into(),
        from: from.map(Into::into),
        to: Some(after.version.into()),
    };
    if differs { vec![difference] } else { vec![] }
}

fn decision(record: &SecretRecord) -> Decision {
    let key = (record.tenant.clone(), record.name.clone());
    let why = format!("secret {}/{} got its value number {}", record.tenant, record.name, record.version);
    Decision { change: Change::Secret(key, Some(record.clone())), why }
}

async fn keep(server: &Arc<Server>, record: &SecretRecord, value: String) -> Result<(), Refusal> {
    let (server, tenant, name) = (Arc::clone(server), record.tenant.clone(), record.name.clone());
    let kept = tokio::task::spawn_blocking(move || server.vault.put(&tenant, &name, &value)).await;
    let kept = kept.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    kept.map_err(|error| Refusal::machine("the secret could not be written; the old value stays", &error))
}

fn shown(server: &Server, world: &World, record: &SecretRecord) -> Secret {
    View { world, observed: &server.observed(), now: jiff::Timestamp::now() }.secret(record)
}
