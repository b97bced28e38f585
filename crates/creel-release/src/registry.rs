//! Asking the npm registry which versions of a package there are, and for their tarballs.
//!
//! Every answer is bounded in size and in silence; nothing that fails leaves anything behind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::file_error::FileError;
use crate::options::Options;
use crate::settings::Settings;
use crate::version;

/// The part of a package's document that installers need; the full document is many times longer.
const ABBREVIATED: &str = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8";
const LONGEST_DOCUMENT_BYTES: usize = 128 << 20;
/// A connection that is refused or cut is tried again this often; a busy registry recovers within a second or two.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the registry gave no good answer.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// There is no such package.
    #[error("the registry {registry} has no package `{package}`: check `registry` in npm's settings")]
    NoPackage {
        /// Its name.
        package: String,
        /// Where it was looked for.
        registry: String,
    },
    /// No connection, or one that broke.
    #[error("{url} cannot be reached: check the network, and registry and proxy in npm's settings")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The registry answered with an error.
    #[error("{url} answered {status}{}", refusal_hint(*status))]
    Refused {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what a registry says.
    #[error("{url} does not answer like an npm registry ({why}): check `registry` in npm's settings")]
    NotARegistry {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// A download that ended early.
    #[error("the download of {url} broke off after {received} bytes; nothing was kept, try again")]
    BrokenOff {
        /// What was asked for.
        url: String,
        /// How much of it came.
        received: u64,
        /// Why.
        source: reqwest::Error,
    },
    /// A download whose content is not what was published.
    #[error(
        "{url} is not what its registry announces (sha512 {found} instead of {wanted}); nothing was kept. \
             Try again; if it stays so, a proxy or mirror on the way changes it"
    )]
    Altered {
        /// What was asked for.
        url: String,
        /// The announced hash, base64.
        wanted: String,
        /// The hash of what came, base64.
        found: String,
    },
    /// A package without a sha512 to check it by.
    #[error(
        "the registry announces no sha512 for {package} {version}, so it cannot be checked: use another registry"
    )]
    Unchecked {
        /// The package.
        package: String,
        /// Its version.
        version: String,
    },
    /// A certificate that npm's settings name, or the HTTP client made of them, is unusable.
    #[error("npm's settings cannot be used: {what}")]
    Settings {
        /// Which setting, and how.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cache of downloads cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

fn refusal_hint(status: u16) -> &'static str {
    match status {
        401 | 403 => ": it wants a token (`npm login`, or `:_authToken` in .npmrc)",
        404 | 410 => ": it is not there (any more)",
        429 | 500.. => ": the registry is in trouble or busy, try again later",
        _ => "",
    }
}

/// The versions of OpenClaw on the registry, oldest first.
pub async fn published(options: &Options) -> Result<Vec<String>, RegistryError> {
    let registry = Registry::open(options)?;
    let package = registry.package("openclaw").await?;
    Ok(package.versions_in_order())
}

/// A registry that can be asked.
pub(crate) struct Registry {
    client: Client,
    pub(crate) settings: Settings,
}

/// A package's versions.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) versions: BTreeMap<String, Published>,
}

/// One version of a package.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Published {
    #[serde(default)]
    engines: Value,
    pub(crate) dist: Dist,
}

/// Where a version's tarball is, and its hash.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dist {
    pub(crate) tarball: String,
    #[serde(default)]
    pub(crate) integrity: Option<String>,
}

impl Package {
    /// The names of all versions, oldest first.
    pub(crate) fn versions_in_order(&self) -> Vec<String> {
        let mut names: Vec<String> = self.versions.keys().cloned().collect();
        names.sort_by(|a, b| version::order(a, b));
        names
    }
}

impl Published {
    /// The range of Node versions it wants. Old packages carry `engines` in odd shapes: those ask for nothing.
    pub(crate) fn node_range(&self) -> Option<&str> {
        self.engines.get("node").and_then(Value::as_str)
    }
}

impl Registry {
    /// With npm's settings, or with the registry of the options.
    pub(crate) fn open(options: &Options) -> Result<Self, RegistryError> {
        let settings = Settings::read(options.registry.as_deref());
        Ok(Self { client: client(&settings)?, settings })
    }

    /// Everything published under this name.
    pub(crate) async fn package(&self, name: &str) -> Result<Package, RegistryError> {
        let url = format!("{}{name}", self.settings.registry);
        let absent = |error| match error {
            RegistryError::Refused { status: 404, .. } => RegistryError::NoPackage {
                package: name.to_owned(),
                registry: self.settings.registry.clone(),
            },
            other => other,
        };
        let mut response = self.ask(&url, ABBREVIATED).await.map_err(absent)?;
        let body = read_bounded(&mut response, &url).await?;
        serde_json::from_slice(&body).map_err(|error| RegistryError::NotARegistry {
            url,
            why: format!("not a package document: {error}"),
        })
    }

    /// Opens a GET; a refused or cut connection is tried again.
    pub(crate) async fn ask(&self, url: &str, accept: &str) -> Result<Response, RegistryError> {
        let mut tried = 1;
        loop {
            match self.request(url, accept).send().await {
                Ok(response) => return accepted(response, url),
                Err(source) if tried >= TRIES => {
                    return Err(RegistryError::Unreachable { url: url.to_owned(), source });
                }
                Err(_) => tokio::time::sleep(PAUSE * tried).await,
            }
            tried += 1;
        }
    }

    fn request(&self, url: &str, accept: &str) -> reqwest::RequestBuilder {
        let request = self.client.get(url).header("accept", accept);
        match self.settings.token(url) {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

fn accepted(response: Response, url: &str) -> Result<Response, RegistryError> {
    match response.status() {
        StatusCode::OK => Ok(response),
        status => Err(RegistryError::Refused { url: url.to_owned(), status: status.as_u16() }),
    }
}

async fn read_bounded(response: &mut Response, url: &str) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    let broken = |received: usize| {
        move |source| RegistryError::BrokenOff { url: url.to_owned(), received: received as u64, source }
    };
    while let Some(piece) = response.chunk().await.map_err(broken(body.len()))? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_DOCUMENT_BYTES {
            return Err(RegistryError::NotARegistry {
                url: url.to_owned(),
                why: "the answer has no end".into(),
            });
        }
    }
    Ok(body)
}

fn client(settings: &Settings) -> Result<Client, RegistryError> {
    let mut builder = Client::builder()
        .user_agent(concat!("creel/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_TIMEOUT)
        .tls_certs_merge(certificates(settings)?)
        .tls_danger_accept_invalid_certs(!settings.strict_ssl);
    if let Some(url) = &settings.proxy {
        let proxy = reqwest::Proxy::all(url).map_err(unusable(format!("the proxy {url}")))?;
        builder = builder.proxy(proxy);
    }
    builder.build().map_err(unusable("no HTTP client can be made of them".into()))
}

/// Like Node, a file of extra certificates that is missing is passed over; one that is no certificate is an error.
fn certificates(settings: &Settings) -> Result<Vec<reqwest::Certificate>, RegistryError> {
    let mut all = Vec::new();
    for path in &settings.certificates {
        if let Some(pem) = read_if_there(path)? {
            let what = format!("{} holds no certificates", path.display());
            all.extend(reqwest::Certificate::from_pem_bundle(&pem).map_err(unusable(what))?);
        }
    }
    Ok(all)
}

fn read_if_there(path: &PathBuf) -> Result<Option<Vec<u8>>, RegistryError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(format!("{} cannot be read", path.display()))(error)),
    }
}

fn unusable<E: std::error::Error + Send + Sync + 'static>(what: String) -> impl FnOnce(E) -> RegistryError {
    move |source| RegistryError::Settings { what, source: Box::new(source) }
}
