//! What an installer may be told: where the registry is, where downloads are kept, how much to prove.

use std::env;
use std::path::PathBuf;

/// How releases are fetched and proven.
#[derive(Clone, Debug)]
pub struct Options {
    /// The npm registry; `None` means the one that npm's own settings name.
    pub registry: Option<String>,
    /// Where downloads are kept, checked by hash, so that a second install needs no network for them.
    pub cache: PathBuf,
    /// Whether to start the gateway once on throwaway state, where bubblewrap works. It shows more than `--version`
    /// does, and leaves a compile cache that makes each agent's first start faster.
    pub prove_start: bool,
}

impl Options {
    /// The defaults of this environment: npm's registry and `$XDG_CACHE_HOME/creel`.
    pub fn from_env() -> Self {
        Self { registry: None, cache: cache_home().join("creel"), prove_start: true }
    }
}

fn cache_home() -> PathBuf {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/cache"))
}
