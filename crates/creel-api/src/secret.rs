//! A secret of a tenant: a name and a value that is never answered.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::meta::Metadata;

/// A secret as answered: everything but its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Always `creel.dev/v1`.
    pub api_version: String,
    /// Always `Secret`.
    pub kind: String,
    /// Name and tenant.
    pub metadata: Metadata,
    /// What is known of it.
    pub status: SecretStatus,
}

/// What is known of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretStatus {
    /// 1 for its first value, one more for each new one.
    pub version: u64,
    /// When this version was set.
    #[schema(value_type = String, format = DateTime)]
    pub set_at: Timestamp,
    /// The agents of the tenant that use it.
    pub used_by: Vec<String>,
}

/// A new value of a secret. It has no readable debug form, so that no log can hold it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretValue {
    /// At most 64 KiB, not empty.
    pub value: String,
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}
