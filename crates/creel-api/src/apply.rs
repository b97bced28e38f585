//! What a PUT answers: what it did, and the object as it is now.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What applying a manifest did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It did not exist.
    Created,
    /// It existed and is now different.
    Changed,
    /// It was already so.
    Unchanged,
}

/// One difference between what was and what is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Where, as a dotted path: `spec.config.logging.level`.
    pub path: String,
    /// What it was, if it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it is to be, if it is to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// The answer to a PUT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied<T> {
    /// What was done, or with `dryRun=true` would be.
    pub outcome: Outcome,
    /// What differs; empty if nothing does.
    pub differences: Vec<Difference>,
    /// The object as it is now, or with `dryRun=true` would be.
    pub object: T,
}
