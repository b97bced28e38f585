//! The kinds of objects as people type them, and where the API keeps each.

use serde_json::{Value, json};

use crate::args::Output;
use crate::failure::Failure;
use crate::out;
use crate::session::Session;
use crate::yaml;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Agent,
    Tenant,
    Secret,
    Release,
    Node,
}

/// Every way to type a kind.
const NAMES: [(&str, Kind); 13] = [
    ("agents", Kind::Agent),
    ("agent", Kind::Agent),
    ("ag", Kind::Agent),
    ("tenants", Kind::Tenant),
    ("tenant", Kind::Tenant),
    ("secrets", Kind::Secret),
    ("secret", Kind::Secret),
    ("releases", Kind::Release),
    ("release", Kind::Release),
    ("rel", Kind::Release),
    ("nodes", Kind::Node),
    ("node", Kind::Node),
    ("no", Kind::Node),
];

impl Kind {
    /// For the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let known = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            let near = yaml::nearest(text, NAMES.iter().map(|(name, _)| *name));
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            format!("kinds are agents, tenants, secrets, releases and nodes{near}")
        })
    }

    /// In a label: `agent/…`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Tenant => "tenant",
            Self::Secret => "secret",
            Self::Release => "release",
            Self::Node => "node",
        }
    }

    /// Where all of the kind are; agents across tenants have a list of their own.
    pub(crate) fn segments(self, tenant: &str) -> Vec<&str> {
        match self {
            Self::Agent => vec!["tenants", tenant, "agents"],
            Self::Tenant => vec!["tenants"],
            Self::Secret => vec!["tenants", tenant, "secrets"],
            Self::Release => vec!["releases"],
            Self::Node => vec!["nodes"],
        }
    }
}

/// Splits `TENANT/NAME` for kinds that are in a tenant.
pub(crate) fn place_of<'a>(kind: Kind, name: &'a str, tenant: &'a str) -> (&'a str, &'a str) {
    match kind {
        Kind::Agent | Kind::Secret => name.split_once('/').unwrap_or((tenant, name)),
        _ => (tenant, name),
    }
}

/// Prints a value as JSON or YAML if that is what is wanted; otherwise says that it did not.
pub(crate) fn print_raw(value: &Value, session: &Session) -> Result<bool, Failure> {
    match session.output() {
        Output::Json => out::line(serde_json::to_string_pretty(value).unwrap_or_default()),
        Output::Yaml => out::write(yaml::write(value).as_bytes()),
        Output::Table | Output::Wide => return Ok(false),
    }
    Ok(true)
}

/// Several objects as the API gives a list.
pub(crate) fn list_of(items: &[Value]) -> Value {
    json!({"apiVersion": creel_api::API_VERSION, "kind": "List", "items": items})
}

/// Reads a value that the API answered as what it should be.
pub(crate) fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| {
        Failure::refused(format!("the server answered what this creel cannot read: {error}"))
            .cure("is its version the same? See `creel version`; -o json prints it as it is")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_may_be_typed_in_one_or_many_or_short() {
        let kinds = ["agents", "agent", "ag", "Agent"].map(Kind::parse);
        assert!(kinds.iter().all(|kind| *kind == Ok(Kind::Agent)));
        assert!(Kind::parse("tenent").unwrap_err().contains("did you mean `tenant`"));
    }

    #[test]
    fn only_what_is_in_a_tenant_may_name_one() {
        assert_eq!(place_of(Kind::Secret, "acme/key", "default"), ("acme", "key"));
        assert_eq!(place_of(Kind::Node, "a/b", "default"), ("default", "a/b"));
        assert_eq!(Kind::Agent.segments("t"), ["tenants", "t", "agents"]);
    }
}
