//! One YAML document as objects. The kind is read first, so that everything else is read as what it is meant to be
//! and a fault can be told with its exact place.

use creel_api::API_VERSION;
use creel_api::agent::Agent;
use creel_api::tenant::Tenant;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_saphyr::Spanned;

use super::source::Piece;
use super::{Manifest, Object, Origin};
use crate::yaml::{self, Fault};

/// What tells what a document is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: Option<Spanned<String>>,
    kind: Option<Spanned<String>>,
    metadata: Option<Named>,
    #[serde(default)]
    items: Vec<Head>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: Option<Spanned<String>>,
}

/// A list as `creel get -o yaml` prints it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Items<T> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    items: Vec<T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tenant,
    Agent,
    List,
}

/// The objects of this document.
pub(super) fn read(piece: &Piece<'_>) -> Result<Vec<Manifest>, Fault> {
    let head: Head = yaml::read(piece.file, piece.lines_before, &piece.text)?;
    match kind(piece, &head)? {
        Kind::Tenant => Ok(vec![manifest(piece, &head, one(piece, tenant)?)]),
        Kind::Agent => Ok(vec![manifest(piece, &head, one(piece, agent)?)]),
        Kind::List => list(piece, &head),
    }
}

fn tenant(tenant: Tenant) -> Object {
    Object::Tenant(Box::new(tenant))
}

fn agent(agent: Agent) -> Object {
    Object::Agent(Box::new(agent))
}

fn one<T: DeserializeOwned>(piece: &Piece<'_>, object: fn(T) -> Object) -> Result<Object, Fault> {
    yaml::read(piece.file, piece.lines_before, &piece.text).map(object)
}

fn list(piece: &Piece<'_>, head: &Head) -> Result<Vec<Manifest>, Fault> {
    let kinds = head.items.iter().map(|item| kind(piece, item)).collect::<Result<Vec<_>, _>>()?;
    let objects = match kinds.first() {
        None => vec![],
        Some(first) if kinds.iter().any(|kind| kind != first) || *first == Kind::List => {
            return Err(fault(piece, head.kind.as_ref(), "a List must hold objects of one kind"));
        }
        Some(Kind::Tenant) => many(piece, tenant)?,
        Some(_) => many(piece, agent)?,
    };
    Ok(head.items.iter().zip(objects).map(|(item, object)| manifest(piece, item, object)).collect())
}

fn many<T: DeserializeOwned>(piece: &Piece<'_>, object: fn(T) -> Object) -> Result<Vec<Object>, Fault> {
    let list: Items<T> = yaml::read(piece.file, piece.lines_before, &piece.text)?;
    Ok(list.items.into_iter().map(object).collect())
}

fn kind(piece: &Piece<'_>, head: &Head) -> Result<Kind, Fault> {
    let Some(version) = &head.api_version else {
        return Err(fault(
            piece,
            None,
            &format!("`apiVersion` is missing: write `apiVersion: {API_VERSION}`"),
        ));
    };
    if version.value != API_VERSION {
        let what = format!("apiVersion `{}` is not known: this creel reads {API_VERSION}", version.value);
        return Err(fault(piece, Some(version), &what));
    }
    let Some(kind) = &head.kind else {
        return Err(fault(piece, None, "`kind` is missing: write `kind: Agent` or `kind: Tenant`"));
    };
    match kind.value.as_str() {
        "Tenant" => Ok(Kind::Tenant),
        "Agent" => Ok(Kind::Agent),
        "List" => Ok(Kind::List),
        other => Err(fault(piece, Some(kind), &unknown_kind(other))),
    }
}

fn unknown_kind(found: &str) -> String {
    match yaml::nearest(found, ["Agent", "Tenant", "List"].into_iter()) {
        Some(near) => format!("unknown kind `{found}`: did you mean `{near}`?"),
        None => format!("unknown kind `{found}`: a manifest may have Agent and Tenant"),
    }
}

fn manifest(piece: &Piece<'_>, head: &Head, object: Object) -> Manifest {
    let name = head.metadata.as_ref().and_then(|metadata| metadata.name.as_ref());
    Manifest {
        origin: Origin { file: piece.file.to_owned(), line: line(piece, name.or(head.kind.as_ref())) },
        object,
    }
}

fn line(piece: &Piece<'_>, at: Option<&Spanned<String>>) -> u64 {
    piece.lines_before + at.map_or(1, |at| at.referenced.line().max(1))
}

fn fault(piece: &Piece<'_>, at: Option<&Spanned<String>>, what: &str) -> Fault {
    Fault {
        file: piece.file.to_owned(),
        line: line(piece, at),
        column: at.map_or(1, |at| at.referenced.column().max(1)),
        what: what.to_owned(),
    }
}
