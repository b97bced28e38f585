//! Whether the server lives, which creel it is, and what its API looks like.

use axum::Json;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

/// Whether the server lives.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Which creel this is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Version {
    /// Of creel.
    version: &'static str,
    /// Of manifests and answers.
    api_version: &'static str,
}

/// Whether the server lives. It answers as soon as it can answer everything else.
#[utoipa::path(get, path = "/healthz", tag = "server", responses((status = 200, body = Health, description = "It lives.")))]
pub(crate) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Which creel this is.
#[utoipa::path(get, path = "/api/v1/version", tag = "server", responses((status = 200, body = Version, description = "The version.")))]
pub(crate) async fn get_version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION"), api_version: creel_api::API_VERSION })
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "server", responses((status = 200, description = "This document.", content_type = "application/json")))]
pub(crate) async fn get_openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], crate::openapi())
}
