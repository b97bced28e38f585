//! What the server asks of the crates that know OpenClaw and its registry, in the words of the World: names of
//! channels and versions as text.

use std::collections::BTreeMap;

use creel_openclaw::config;
use creel_openclaw::version::{Channel, OpenClawVersion, ReleaseWish, is_supported, resolve};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

/// Why this can't be a release to follow, if it can't.
pub(crate) fn wish_fault(wish: &str) -> Option<String> {
    match wish.parse::<ReleaseWish>() {
        Err(error) => Some(error.to_string()),
        Ok(ReleaseWish::Channel(_)) => None,
        Ok(ReleaseWish::Exact(version)) => unsupported(&version),
    }
}

/// Why this can't be a version to install, if it can't.
pub(crate) fn version_fault(version: &str) -> Option<String> {
    match version.parse::<OpenClawVersion>() {
        Err(error) => Some(error.to_string()),
        Ok(version) => unsupported(&version),
    }
}

fn unsupported(version: &OpenClawVersion) -> Option<String> {
    (!is_supported(version)).then(|| format!("OpenClaw {version} is older than what creel can keep alive"))
}

/// Newest first; what is no version comes last.
pub(crate) fn newest_first(versions: &mut [String]) {
    versions.sort_by_cached_key(|version| std::cmp::Reverse(version.parse::<OpenClawVersion>().ok()));
}

/// Paths in the config at which a secret stands in clear.
pub(crate) fn plaintext_secrets(config: &Map<String, Value>) -> Vec<String> {
    config::plaintext_secrets(config)
}

/// Those paths whose secret is an identity that only one agent may use.
pub(crate) fn identities(secrets: &BTreeMap<String, String>) -> Vec<String> {
    config::bot_tokens(secrets).into_iter().map(str::to_owned).collect()
}

/// What each channel resolves to among the published versions, as of now.
pub(crate) fn channels(published: &[String], now: Timestamp) -> BTreeMap<String, String> {
    let versions: Vec<OpenClawVersion> = published.iter().filter_map(|text| text.parse().ok()).collect();
    let today = now.to_zoned(TimeZone::UTC);
    let (year, month) = (today.year().unsigned_abs(), today.month().unsigned_abs());
    let resolved = Channel::ALL.into_iter().filter_map(|channel| {
        Some((channel.name().to_owned(), resolve(channel, &versions, year, month)?.to_string()))
    });
    resolved.collect()
}
