//! What changed: one event per commit and object, and one per report that a person would notice.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A line of the store's history: what was changed, why, by whom and when. Append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// The store's revision that this made.
    pub revision: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: `admin`, `planner`, `node/NAME`.
    pub who: String,
    /// `Agent`, `Tenant`, `Secret`, `Release`, `Channel` or `Node`.
    pub kind: String,
    /// Its key: `tenant/name` for agents and secrets, else its name.
    pub key: String,
    /// Why, in a sentence.
    pub why: String,
    /// The object after the change, without secrets; absent if it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// One server-sent event of `/api/v1/watch`: this object may have changed; read it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// `Agent`, `Tenant`, `Secret`, `Release` or `Node`; `*` when the watcher was too slow and must read all again.
    pub kind: String,
    /// Its key: `tenant/name` for agents and secrets, else its name.
    pub key: String,
}
