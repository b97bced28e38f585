//! Manifests: what a person wrote, as objects that can be applied. Strict: whatever is not understood is a fault with
//! its place, and nothing is returned unless everything was understood.

mod document;
mod source;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use creel_api::agent::Agent;
use creel_api::meta::{DEFAULT_TENANT, Metadata};
use creel_api::tenant::Tenant;

use crate::failure::Failure;
use crate::yaml::Fault;

/// An object, and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) origin: Origin,
    pub(crate) object: Object,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) file: String,
    pub(crate) line: u64,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What can be written in a manifest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Tenant(Box<Tenant>),
    Agent(Box<Agent>),
}

impl Object {
    pub(crate) fn metadata(&self) -> &Metadata {
        match self {
            Self::Tenant(tenant) => &tenant.metadata,
            Self::Agent(agent) => &agent.metadata,
        }
    }

    /// The tenant it is in or is.
    pub(crate) fn tenant(&self) -> &str {
        match self {
            Self::Tenant(tenant) => &tenant.metadata.name,
            Self::Agent(agent) => agent.metadata.tenant.as_deref().unwrap_or(DEFAULT_TENANT),
        }
    }

    /// As people write it: `tenant/acme`, `agent/sales`, or `agent/acme/sales` outside the default tenant.
    pub(crate) fn label(&self) -> String {
        let name = &self.metadata().name;
        match self {
            Self::Tenant(_) => format!("tenant/{name}"),
            Self::Agent(_) if self.tenant() == DEFAULT_TENANT => format!("agent/{name}"),
            Self::Agent(_) => format!("agent/{}/{name}", self.tenant()),
        }
    }

    /// Agents come after the tenants they are in.
    fn rank(&self) -> u8 {
        match self {
            Self::Tenant(_) => 0,
            Self::Agent(_) => 1,
        }
    }

    /// Without what only creel writes, so that what `creel get -o yaml` printed can be applied again.
    fn wished(mut self, tenant: &str) -> Self {
        let metadata = match &mut self {
            Self::Tenant(wished) => {
                wished.status = None;
                &mut wished.metadata
            }
            Self::Agent(wished) => {
                wished.status = None;
                wished.metadata.tenant.get_or_insert_with(|| tenant.to_owned());
                &mut wished.metadata
            }
        };
        *metadata = Metadata {
            name: std::mem::take(&mut metadata.name),
            tenant: metadata.tenant.take(),
            labels: std::mem::take(&mut metadata.labels),
            ..Metadata::default()
        };
        self
    }
}

/// Why what was given cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    /// A file or folder could not be read.
    #[error("could not read {path}")]
    Read { path: String, source: std::io::Error },
    /// A file is not text.
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    /// A file is larger than any manifest.
    #[error("{path} has more than the {} MiB that a manifest may have", crate::yaml::BYTES_MOST >> 20)]
    TooLarge { path: String },
    /// There is no object in all the input.
    #[error("there is no object in {0}")]
    Empty(String),
    /// Something is not understood.
    #[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n       "))]
    Faults(Vec<Fault>),
    /// Two objects have one name.
    #[error("{label} is written twice: at {first} and at {second}")]
    Twice { label: String, first: Origin, second: Origin },
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        let cure = match &error {
            ManifestError::Read { .. } => "check the path; `-f -` reads from stdin",
            ManifestError::NotText(_) | ManifestError::TooLarge { .. } => {
                "is it the right file? A manifest is YAML, one agent needs a few KB"
            }
            ManifestError::Empty(_) => {
                "write one with `creel init`, or see the examples of `creel apply --help`"
            }
            ManifestError::Faults(_) => "mend what stands there; nothing was applied",
            ManifestError::Twice { .. } => "give one of them another name, or remove it; nothing was applied",
        };
        let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        Self::refused(format!("{error}{source}")).cure(cure)
    }
}

/// Every object of these files and folders (`-` is stdin), tenants first, each name once. Agents that name no tenant
/// get `tenant`.
pub(crate) fn load(paths: &[PathBuf], recursive: bool, tenant: &str) -> Result<Vec<Manifest>, ManifestError> {
    let sources = source::read_all(paths, recursive)?;
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let names = names.join(", ");
    parse(&sources, tenant)
        .and_then(|found| if found.is_empty() { Err(ManifestError::Empty(names)) } else { Ok(found) })
}

fn parse(sources: &[source::Source], tenant: &str) -> Result<Vec<Manifest>, ManifestError> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for piece in sources.iter().flat_map(source::pieces) {
        match document::read(&piece) {
            Ok(objects) => found.extend(objects),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(ManifestError::Faults(faults));
    }
    for manifest in &mut found {
        manifest.object = manifest.object.clone().wished(tenant);
    }
    found.sort_by_key(|manifest| manifest.object.rank());
    each_once(&found)?;
    Ok(found)
}

fn each_once(found: &[Manifest]) -> Result<(), ManifestError> {
    let mut seen: BTreeMap<String, &Origin> = BTreeMap::new();
    for manifest in found {
        let label = manifest.object.label();
        if let Some(first) = seen.insert(label.clone(), &manifest.origin) {
            return Err(ManifestError::Twice {
                label,
                first: first.clone(),
                second: manifest.origin.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
