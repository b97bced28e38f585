//! npm's own settings, as far as our fetches need them: registry, certificates, proxies, tokens.
//!
//! They come from where npm takes them (`npm_config_*`, then the user's `.npmrc`), so that creel reaches whatever
//! registry npm reaches. npm itself reads them again on its own.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;

const DEFAULT_REGISTRY: &str = "https://registry.npmjs.org/";

/// The settings that matter for a fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// With a slash at its end.
    pub(crate) registry: String,
    /// Files of certificates to trust beside the system's.
    pub(crate) certificates: Vec<PathBuf>,
    /// The proxy that npm's settings name; those of the environment are reqwest's business.
    pub(crate) proxy: Option<String>,
    /// Whether a server's certificate is checked.
    pub(crate) strict_ssl: bool,
    /// By the address they are for, without its scheme: `//host/path/`.
    tokens: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the environment and the user's `.npmrc`. A file that cannot be read counts as empty, as it does for npm.
    pub(crate) fn read(registry: Option<&str>) -> Self {
        let variables: BTreeMap<String, String> = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let user = npm_variable(&variables, "userconfig").map(PathBuf::from);
        let file = user.or_else(|| variables.get("HOME").map(|home| PathBuf::from(home).join(".npmrc")));
        let text = file.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        Self::parse(registry, &variables, &text)
    }

    fn parse(registry: Option<&str>, variables: &BTreeMap<String, String>, npmrc: &str) -> Self {
        let file = npmrc_keys(npmrc, variables);
        let setting = |key: &str| npm_variable(variables, key).or_else(|| file.get(key).cloned());
        let registry = registry.map(str::to_owned).or_else(|| setting("registry"));
        let extra = variables.get("NODE_EXTRA_CA_CERTS").cloned();
        Self {
            registry: with_slash(registry.as_deref().unwrap_or(DEFAULT_REGISTRY)),
            certificates: setting("cafile").into_iter().chain(extra).map(PathBuf::from).collect(),
            proxy: setting("https-proxy").or_else(|| setting("proxy")).filter(|url| url.contains("://")),
            strict_ssl: setting("strict-ssl").is_none_or(|value| value != "false"),
            tokens: tokens(&file),
        }
    }

    /// The token for this address: that of the longest address it begins with.
    pub(crate) fn token(&self, url: &str) -> Option<&str> {
        let address = &url[url.find("//")?..];
        let fits = self.tokens.iter().filter(|(prefix, _)| address.starts_with(prefix.as_str()));
        fits.max_by_key(|(prefix, _)| prefix.len()).map(|(_, token)| token.as_str())
    }

    /// Where a tarball really is: a mirror often repeats the public registry's addresses, and npm, too, then asks the
    /// mirror.
    pub(crate) fn tarball_url(&self, published: &str) -> String {
        match published.strip_prefix(DEFAULT_REGISTRY) {
            Some(path) => format!("{}{path}", self.registry),
            None => published.to_owned(),
        }
    }
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

/// npm takes `npm_config_strict_ssl` and `NPM_CONFIG_STRICT_SSL` alike.
fn npm_variable(variables: &BTreeMap<String, String>, key: &str) -> Option<String> {
    let wanted = format!("npm_config_{}", key.replace('-', "_"));
    let found =
        variables.iter().find(|(name, value)| name.eq_ignore_ascii_case(&wanted) && !value.is_empty());
    found.map(|(_, value)| value.clone())
}

fn npmrc_keys(text: &str, variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), expand(unquote(value.trim()), variables)))
        .collect()
}

fn unquote(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// Replaces `${NAME}` by the variable, and leaves it as it stands where there is none.
fn expand(value: &str, variables: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = value.split_once("${") else { return value.to_owned() };
    let Some((name, after)) = rest.split_once('}') else { return value.to_owned() };
    let found = variables.get(name).cloned().unwrap_or_else(|| format!("${{{name}}}"));
    format!("{before}{found}{}", expand(after, variables))
}

fn tokens(file: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let named = file.iter().filter_map(|(key, value)| Some((key.strip_suffix(":_authToken")?, value)));
    named.map(|(address, token)| (with_slash(address), token.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)], npmrc: &str) -> Settings {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::parse(None, &variables, npmrc)
    }

    #[test]
    fn without_settings_it_is_the_public_registry() {
        let read = settings(&[], "");
        assert_eq!(read.registry, "https://registry.npmjs.org/");
        assert!(read.strict_ssl);
        assert_eq!(read.certificates, Vec::<PathBuf>::new());
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let file = "; a comment\nregistry = \"https://file.example/npm\"\ncafile=/file.pem\n";
        assert_eq!(settings(&[], file).registry, "https://file.example/npm/");
        let both = settings(&[("NPM_CONFIG_REGISTRY", "https://env.example")], file);
        assert_eq!(both.registry, "https://env.example/");
        assert_eq!(both.certificates, vec![PathBuf::from("/file.pem")]);
    }

    #[test]
    fn a_token_goes_only_to_the_address_it_is_for() {
        let file = "//a.example/:_authToken=short\n//a.example/deep/:_authToken=${DEEP}\n";
        let read = settings(&[("DEEP", "long")], file);
        assert_eq!(read.token("https://a.example/x"), Some("short"));
        assert_eq!(read.token("https://a.example/deep/x"), Some("long"));
        assert_eq!(read.token("https://b.example/deep/x"), None);
    }

    #[test]
    fn a_mirror_is_asked_for_the_tarballs_too() {
        let read = settings(&[("npm_config_registry", "http://mirror.example/npm/")], "");
        let public = "https://registry.npmjs.org/openclaw/-/openclaw-1.tgz";
        assert_eq!(read.tarball_url(public), "http://mirror.example/npm/openclaw/-/openclaw-1.tgz");
        assert_eq!(read.tarball_url("https://else.example/x.tgz"), "https://else.example/x.tgz");
    }
}
