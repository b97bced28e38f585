//! An agent: one managed OpenClaw gateway, what is wanted of it (spec) and how it is (status).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::meta::{Generation, Metadata};

/// An agent, as written in a manifest and as answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Agent {
    /// Always `creel.dev/v1`.
    pub api_version: String,
    /// Always `Agent`.
    pub kind: String,
    /// Name, tenant and labels.
    pub metadata: Metadata,
    /// What is wanted, as written.
    #[serde(default)]
    pub spec: AgentSpec,
    /// How it is; ignored in a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AgentStatus>,
}

/// What is wanted of an agent. What is left out comes from the tenant's defaults, then from creel's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AgentSpec {
    /// `stable`, `daily`, `beta` or an exact OpenClaw version such as `2026.9.6`. Default: `stable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// 0 to 1000; when a machine runs short, the lowest goes first. Default: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// An overlay on OpenClaw's own config, checked against the schema of the agent's release.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Environment variables of the gateway. Not for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Path in the config (`channels.telegram.botToken`) -> name of a secret of the tenant. The agent's config gets a
    /// reference there, never the value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Limits.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Whether the agent (and its owner, in OpenClaw's own UI) may change its config at run time. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_may_edit: Option<bool>,
}

impl AgentSpec {
    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An agent's limits. A size is a number of bytes, or in a manifest a string such as `2Gi` or `512Mi`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// The most memory the agent's processes may have together. Default: 2 GiB (OpenClaw peaks at 1.1 GB after turns).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "size::optional")]
    pub memory_bytes: Option<u64>,
    /// The most processes and threads. Default: 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// The most its log may take on disk, rotated. Default: 50 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "size::optional")]
    pub log_bytes: Option<u64>,
}

impl Resources {
    /// Whether nothing is said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an agent is doing, in one word.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum Phase {
    /// Wanted, and nothing done yet; the reason says what it waits for.
    #[default]
    Pending,
    /// Its release, folder and gateway are being brought up for the first time.
    Provisioning,
    /// Its gateway has started and answers.
    Running,
    /// It answers, but not all is well.
    Degraded,
    /// It failed and is being brought back.
    Recovering,
    /// A changed spec is being carried out.
    Updating,
    /// Stopped on request.
    Suspended,
    /// Idle, out of the way until something wakes it.
    Asleep,
    /// Stopped because its machine ran short of memory.
    Shed,
    /// creel has done what it can; someone must look.
    Failed,
    /// Deleted: it is being stopped, or its state is kept until it is forgotten.
    Terminating,
}

/// How an agent is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentStatus {
    /// In one word.
    pub phase: Phase,
    /// Why, in one CamelCase word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// Since when it is in this phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// When creel will stop waiting and do something else, if it is in a phase that ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// The machine it is assigned to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// When its present assignment was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub generation: Option<Generation>,
    /// The OpenClaw version that runs, else the one that is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The number of the revision that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The gateway's process on its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How often creel started the gateway again after it had ended by itself.
    pub restarts: u64,
    /// What the agent's processes have of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// When the gateway that runs was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<Timestamp>,
    /// How the gateway ended the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
    /// What is wanted and not so yet, and why.
    #[serde(default)]
    pub waiting: Vec<WaitingView>,
    /// What is missing around the agent, each with its cost and cure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A named reason why something wanted is not so yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingView {
    /// In one CamelCase word, stable for scripts.
    pub reason: String,
    /// In a sentence, with the cure where there is one.
    pub message: String,
    /// When it ends by itself, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// Something around the agent or its node that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// In one CamelCase word, stable for scripts.
    pub reason: String,
    /// What it costs and the command that mends it.
    pub message: String,
}

/// How a gateway ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// The exit code, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal, if one ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Sizes in manifests: a number of bytes or a string with a unit.
mod size {
    use serde::{Deserialize, Deserializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bytes(u64),
        Text(String),
    }

    pub(super) fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        match Option::<Written>::deserialize(deserializer)? {
            None => Ok(None),
            Some(Written::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Written::Text(text)) => super::bytes_of(&text).map(Some).map_err(D::Error::custom),
        }
    }
}

/// The number of bytes that `text` names: digits, then nothing, `Ki`, `Mi`, `Gi`, `Ti`, `k`, `M`, `G` or `T`.
pub fn bytes_of(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(format!("`{text}` is not a size: write bytes, or a number with Ki, Mi, Gi or Ti")),
    };
    let number: u64 =
        digits.parse().map_err(|_| format!("`{text}` is not a size: write it like 512Mi or 2Gi"))?;
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is more bytes than a machine can count"))
}

#[cfg(test)]
mod tests {
    use super::{Resources, bytes_of};

    #[test]
    fn a_size_may_be_bytes_or_a_number_with_a_unit() {
        let resources: Resources = serde_json::from_str(r#"{"memoryBytes":"2Gi","logBytes":5}"#).unwrap();
        assert_eq!((resources.memory_bytes, resources.log_bytes), (Some(2 << 30), Some(5)));
        assert!(bytes_of("2 GiB").unwrap_err().contains("Gi"));
        assert!(bytes_of("99999999999Ti").unwrap_err().contains("more bytes"));
    }
}
