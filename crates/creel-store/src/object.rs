//! An object's place in the tables: its kind, its key, its body, and what the history shows of it. Secrets' hashes
//! and an agent's older revisions stay out of the history.

use std::fmt;

use creel_core::world::{AgentRecord, Change, SecretRecord};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::Fault;

/// The kinds of objects, as stored and as shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tenant,
    Agent,
    Secret,
    Release,
    Channel,
    Node,
}

pub(crate) const KINDS: [Kind; 6] =
    [Kind::Tenant, Kind::Agent, Kind::Secret, Kind::Release, Kind::Channel, Kind::Node];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Kind {
    pub(crate) fn parse(word: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.to_string() == word)
    }
}

/// One row of the table `object`, or the removal of one.
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) key: String,
    /// The key as people know it, where the change itself tells it.
    pub(crate) shown_key: Option<String>,
    pub(crate) body: Option<Value>,
}

impl Row {
    pub(crate) fn of(change: &Change) -> Result<Self, Fault> {
        match change {
            Change::Tenant(name, record) => Self::named(Kind::Tenant, name, record.as_ref()),
            Change::Agent(uid, record) => {
                let shown_key = record.as_deref().map(AgentRecord::key);
                let body = body_of(Kind::Agent, uid, record.as_deref())?;
                Ok(Self { kind: Kind::Agent, key: uid.clone(), shown_key, body })
            }
            Change::Secret((tenant, name), record) => {
                Self::named(Kind::Secret, &format!("{tenant}/{name}"), record.as_ref())
            }
            Change::Release(version, record) => Self::named(Kind::Release, version, record.as_ref()),
            Change::Channel(name, record) => Self::named(Kind::Channel, name, record.as_ref()),
            Change::Node(name, record) => Self::named(Kind::Node, name, record.as_ref()),
        }
    }

    fn named<T: Serialize>(kind: Kind, key: &str, record: Option<&T>) -> Result<Self, Fault> {
        let body = body_of(kind, key, record)?;
        Ok(Self { kind, key: key.to_owned(), shown_key: Some(key.to_owned()), body })
    }

    /// What the history may show of it.
    pub(crate) fn shown(&self) -> Option<Value> {
        let mut body = self.body.clone()?;
        if let Some(fields) = body.as_object_mut() {
            match self.kind {
                Kind::Secret => drop(fields.remove("hash")),
                // The one that counts is in the assignment; twenty of them in every line would be the history's bulk.
                Kind::Agent => drop(fields.remove("revisions")),
                _ => {}
            }
        }
        Some(body)
    }
}

fn body_of<T: Serialize>(kind: Kind, key: &str, record: Option<&T>) -> Result<Option<Value>, Fault> {
    record.map(serde_json::to_value).transpose().map_err(unreadable(kind, key))
}

/// The change that puts this stored row into a World.
pub(crate) fn change_of(kind: Kind, key: &str, body: &str) -> Result<Change, Fault> {
    Ok(match kind {
        Kind::Tenant => Change::Tenant(key.to_owned(), Some(parse(kind, key, body)?)),
        Kind::Agent => Change::Agent(key.to_owned(), Some(Box::new(parse(kind, key, body)?))),
        Kind::Secret => {
            let record: SecretRecord = parse(kind, key, body)?;
            Change::Secret((record.tenant.clone(), record.name.clone()), Some(record))
        }
        Kind::Release => Change::Release(key.to_owned(), Some(parse(kind, key, body)?)),
        Kind::Channel => Change::Channel(key.to_owned(), Some(parse(kind, key, body)?)),
        Kind::Node => Change::Node(key.to_owned(), Some(parse(kind, key, body)?)),
    })
}

fn parse<T: DeserializeOwned>(kind: Kind, key: &str, body: &str) -> Result<T, Fault> {
    serde_json::from_str(body).map_err(unreadable(kind, key))
}

fn unreadable(kind: Kind, key: &str) -> impl FnOnce(serde_json::Error) -> Fault {
    move |source| Fault::Unreadable { kind: kind.to_string(), key: key.to_owned(), source }
}
