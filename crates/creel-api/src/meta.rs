//! What every object carries: its name, its tenant, its labels and when it came to be.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The tenant of an object that names none. It always exists.
pub const DEFAULT_TENANT: &str = "default";

/// Name, tenant and labels of an object, and what creel adds to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Unique within its tenant and kind: lower-case letters, digits and `-`, at most 63 characters.
    pub name: String,
    /// The tenant it belongs to; `default` if absent. A tenant itself has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Free words to select by (`creel get agents -l team=sales`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Given by creel at creation, never reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The store's revision of the last change to this object; send it as `If-Match` to change only what you read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// When it was deleted, if it was; its state is kept for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleted_at: Option<Timestamp>,
}

/// An answer with several objects of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// Always `creel.dev/v1`.
    pub api_version: String,
    /// Always `List`.
    pub kind: String,
    /// The objects, ordered by tenant and name.
    pub items: Vec<T>,
}

impl<T> List<T> {
    /// A list of these objects, in this order.
    pub fn of(items: Vec<T>) -> Self {
        Self { api_version: crate::API_VERSION.into(), kind: "List".into(), items }
    }
}

/// When something was decided: (epoch, number), printed as `epoch.number`.
///
/// The number is the store's revision of the deciding commit. Never reused, for any agent; a store that went back
/// in time starts a higher epoch. A holder of an agent's state refuses an order of an older generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation {
    /// How many times the store went back in time, plus one.
    pub epoch: u64,
    /// The store's revision of the commit that decided it.
    pub number: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.number)
    }
}

/// A generation is written `epoch.number`, for example `1.42`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAGeneration(pub String);

impl fmt::Display for NotAGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a generation (written as epoch.number, for example 1.42)", self.0)
    }
}

impl std::error::Error for NotAGeneration {}

impl FromStr for Generation {
    type Err = NotAGeneration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('.').and_then(|(epoch, number)| {
            Some(Self { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
        });
        parsed.ok_or_else(|| NotAGeneration(text.to_owned()))
    }
}

impl Serialize for Generation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Generation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Generation;

    #[test]
    fn a_generation_reads_back_what_it_printed_and_orders_by_epoch_first() {
        let old = Generation { epoch: 1, number: 900 };
        let new: Generation = "2.3".parse().unwrap();
        assert_eq!(old.to_string().parse(), Ok(old));
        assert!(new > old);
        assert!("2".parse::<Generation>().is_err());
    }
}
