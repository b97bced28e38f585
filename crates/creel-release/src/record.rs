//! What an installed release says of itself, and which ones there are.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::version;

/// The record's name in a release's folder.
pub(crate) const FILE: &str = "release.json";

/// A release that is there, whole, and was shown to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The OpenClaw version.
    pub version: String,
    /// The Node version it runs on.
    pub node_version: String,
    /// The program and its first arguments, with the release's folder seen as `/release`.
    pub argv: Vec<String>,
    /// Bytes of its files; those shared with other releases count in each.
    pub size_bytes: u64,
    /// When, RFC 3339.
    pub installed_at: String,
    /// Where it is.
    pub folder: PathBuf,
    /// Whether `schema.json` is there: an old release may lack the command that prints it.
    pub has_schema: bool,
    /// Whether `compile-cache/` is there: the content of `$TMPDIR/node-compile-cache` after one start.
    pub has_compile_cache: bool,
}

/// `release.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) version: String,
    pub(crate) node_version: String,
    pub(crate) argv: Vec<String>,
    pub(crate) installed_at: String,
    pub(crate) size_bytes: u64,
    /// sha256 of the package-lock.json it was installed from.
    pub(crate) lock_hash: String,
}

/// Every installed release, oldest version first.
pub fn installed(root: &Path) -> Vec<Installed> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut all: Vec<Installed> = names.filter_map(|name| find(root, &name)).collect();
    all.sort_by(|a, b| version::order(&a.version, &b.version));
    all
}

/// The installed release of this version.
pub fn find(root: &Path, version: &str) -> Option<Installed> {
    let folder = root.join(Some(version).filter(|name| version::is_plain(name))?);
    let record: Record = serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()?;
    (record.version == version).then(|| Installed {
        has_schema: folder.join("schema.json").exists(),
        has_compile_cache: folder.join("compile-cache").exists(),
        version: record.version,
        node_version: record.node_version,
        argv: record.argv,
        size_bytes: record.size_bytes,
        installed_at: record.installed_at,
        folder,
    })
}
