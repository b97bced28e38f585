//! A tenant: a client with agents and secrets of its own, and defaults for its agents.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::agent::AgentSpec;
use crate::meta::Metadata;

/// A tenant, as written in a manifest and as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tenant {
    /// Always `creel.dev/v1`.
    pub api_version: String,
    /// Always `Tenant`.
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    #[serde(default)]
    pub spec: TenantSpec,
    /// What is so; ignored in a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TenantStatus>,
}

/// What a tenant wants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenantSpec {
    /// What its agents get where their own spec is silent: maps are merged key by key, everything else is replaced.
    #[serde(default, skip_serializing_if = "AgentSpec::is_empty")]
    pub defaults: AgentSpec,
}

/// What a tenant has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantStatus {
    /// Agents that are not deleted.
    pub agents: u64,
    /// Agents in the phase Running.
    pub running: u64,
}
