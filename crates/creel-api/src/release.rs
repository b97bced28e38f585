//! A release: an OpenClaw version with the Node version it runs on, installed on nodes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::meta::Metadata;

/// A release as answered; its name is its version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Always `creel.dev/v1`.
    pub api_version: String,
    /// Always `Release`.
    pub kind: String,
    /// Its version is its name.
    pub metadata: Metadata,
    /// How it is.
    pub status: ReleaseStatus,
}

/// Every release that is anywhere or wanted, and what the channels resolve to. Reads as a list of releases too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Releases {
    /// Always `creel.dev/v1`.
    pub api_version: String,
    /// Always `List`.
    pub kind: String,
    /// Newest first.
    pub items: Vec<Release>,
    /// The channels that some agent follows.
    #[serde(default)]
    pub channels: Vec<Channel>,
}

/// What a channel resolves to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// `stable`, `daily` or `beta`.
    pub name: String,
    /// The OpenClaw version, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the registry said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
    /// Why the registry could not be asked the last time, with the cure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// How a release is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStatus {
    /// The channels that resolve to it now (`stable`, `daily`, `beta`).
    pub channels: Vec<String>,
    /// Whether someone asked for it by `creel release install`; it then stays when no agent uses it.
    pub wanted: bool,
    /// The agents (`tenant/name`) that run it or are about to.
    pub used_by: Vec<String>,
    /// How it is on each node.
    pub nodes: Vec<ReleaseOnNode>,
}

/// How a release is on one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseOnNode {
    /// The OpenClaw version.
    pub version: String,
    /// The node's name; filled in by the server.
    #[serde(default)]
    pub node: String,
    /// Whether it is there.
    pub state: ReleaseState,
    /// Bytes of its files. Files shared with other releases count in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The Node.js version it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_version: Option<String>,
}

/// Whether a release is on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum ReleaseState {
    /// Not there, and nobody is bringing it.
    #[default]
    Absent,
    /// On its way.
    #[serde(rename_all = "camelCase")]
    Installing {
        /// What is being done, in a few words: `downloading node 26.10.0`.
        step: String,
        /// 0 to 1000.
        permille: u16,
    },
    /// There, whole, and shown to run.
    #[serde(rename_all = "camelCase")]
    Installed {
        /// When.
        #[schema(value_type = String, format = DateTime)]
        at: Timestamp,
    },
    /// It could not be installed; nothing of it is left behind.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// The cause, and the cure where there is one.
        message: String,
        /// When it will be tried again, if it will.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>, format = DateTime)]
        retry_at: Option<Timestamp>,
    },
}
