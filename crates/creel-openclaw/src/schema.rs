//! Whether a release accepts a config, by that release's own JSON schema.
//!
//! A compiled schema takes 37 MB, so [`check`] belongs into a short-lived process. What it says never holds a value
//! from the config: there may be secrets among them.
//!
//! The schema does not hold every rule. Some of a release's rules join several keys (a provider of one's own needs
//! `baseUrl` and `models`; `agents.ownership: explicit` forbids `default: true`) and are only known to its
//! `openclaw config validate --json`, which takes seconds: [`verdict`] reads what that says.

mod explain;
mod repair;
mod verdict;

pub use verdict::{VerdictError, verdict};

use creel_api::problem::Issue;
use jsonschema::Validator;
use serde_json::Value;

/// The most issues that are told of one config.
const ISSUES_MOST: usize = 50;

/// Why a config can't be checked.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The release's schema is not JSON.
    #[error("the release's config schema is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// The release's schema is no JSON schema, also after what is known to be wrong with it was mended.
    #[error("the release's config schema is no JSON schema: {0}")]
    NotASchema(String),
}

/// A release's schema, ready to check configs.
#[derive(Debug)]
pub struct Schema {
    text: Value,
    validator: Validator,
}

impl Schema {
    /// Reads what the release's `openclaw config schema` prints.
    pub fn read(text: &str) -> Result<Self, SchemaError> {
        let mut schema = serde_json::from_str(text).map_err(SchemaError::NotJson)?;
        let validator = repair::compile(&mut schema)?;
        Ok(Self { text: schema, validator })
    }

    /// Each key of `config` that the release refuses, and why. Empty if it accepts the config.
    pub fn check(&self, config: &Value) -> Vec<Issue> {
        let mut issues = Vec::new();
        for error in self.validator.iter_errors(config) {
            explain::explain(&self.text, &error, &mut issues);
            if issues.len() >= ISSUES_MOST {
                break;
            }
        }
        issues.truncate(ISSUES_MOST);
        issues
    }
}

/// Each key of `config` that the release with this schema refuses, and why. Empty if it accepts the config.
pub fn check(schema_text: &str, config: &Value) -> Result<Vec<Issue>, SchemaError> {
    Ok(Schema::read(schema_text)?.check(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Parts of a real release's schema, cut to what these tests need.
    const FIXTURE: &str = include_str!("schema/fixture.json");

    fn issues(config: &Value) -> Vec<String> {
        let found = check(FIXTURE, config).expect("a schema");
        found.into_iter().map(|issue| format!("{}: {}", issue.path, issue.message)).collect()
    }

    #[test]
    fn a_good_config_has_no_issues() {
        let secret = json!({"source": "file", "provider": "creel", "id": "/tg"});
        let config = json!({
            "gateway": {"mode": "local", "port": 18789, "auth": {"mode": "token", "token": secret.clone()}},
            "channels": {"telegram": {"botToken": secret.clone()}, "signal": {"socketPath": "/run/x"}},
            "models": {"providers": {"p": {"apiKey": secret}}},
            "agents": {"defaults": {"model": {"primary": "p/m"}}},
        });
        assert_eq!(issues(&config), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_known_one() {
        assert_eq!(issues(&json!({"gatewai": {}})), ["gatewai: unknown key; did you mean `gateway`?"]);
        assert_eq!(
            issues(&json!({"gateway": {"portt": 1}})),
            ["gateway.portt: unknown key; did you mean `port`?"]
        );
    }

    #[test]
    fn an_unknown_key_that_resembles_nothing_is_told_with_the_known_ones() {
        let found = issues(&json!({"gateway": {"auth": {"zzz": 1}}}));
        assert_eq!(found, ["gateway.auth.zzz: unknown key; known here are `mode` and `token`"]);
    }

    #[test]
    fn a_wrong_type_is_told_in_words_and_without_the_value() {
        assert_eq!(
            issues(&json!({"gateway": {"port": "s3cret"}})),
            ["gateway.port: must be an integer, not a string"]
        );
    }

    #[test]
    fn a_choice_is_told_as_one_sentence() {
        let found = issues(&json!({"gateway": {"auth": {"mode": "tokn"}}}));
        assert_eq!(found, [r#"gateway.auth.mode: must be "none", "token" or "password""#]);
        let found = issues(&json!({"models": {"providers": {"p": {"apiKey": 5}}}}));
        assert_eq!(found, ["models.providers.p.apiKey: must be a string or an object, not a number"]);
    }

    #[test]
    fn the_variant_that_is_meant_is_the_one_that_is_told_about() {
        let key = json!({"source": "file", "provider": "creel", "idd": "/x"});
        let found = issues(&json!({"models": {"providers": {"p": {"apiKey": key}}}}));
        assert_eq!(
            found,
            [
                "models.providers.p.apiKey: `id` is missing",
                "models.providers.p.apiKey.idd: unknown key; did you mean `id`?"
            ]
        );
    }

    #[test]
    fn an_unknown_variant_is_told_where_it_is_chosen() {
        let key = json!({"source": "vault", "provider": "creel", "id": "X"});
        let found = issues(&json!({"models": {"providers": {"p": {"apiKey": key}}}}));
        assert_eq!(found, [r#"models.providers.p.apiKey.source: must be "env" or "file""#]);
    }

    #[test]
    fn a_list_item_is_told_by_its_number() {
        let model = json!({"primary": "p/m", "fallbacks": ["a", 7]});
        let found = issues(&json!({"agents": {"defaults": {"model": model}}}));
        assert_eq!(found, ["agents.defaults.model.fallbacks.1: must be a string, not a number"]);
    }

    #[test]
    fn a_missing_key_is_told_at_its_place() {
        let found = issues(&json!({"plugins": {"accounts": {"a": {}}}}));
        assert_eq!(found, ["plugins.accounts.a: `password` is missing"]);
    }

    #[test]
    fn a_name_that_breaks_the_rule_of_names_is_told() {
        let found = issues(&json!({"agents": {"entries": {"Not Good": {}}}}));
        assert!(found.len() == 1 && found[0].starts_with("agents.entries.Not Good: "), "{found:?}");
    }

    #[test]
    fn what_upstream_got_wrong_in_its_schema_is_mended_and_still_checked() {
        let found = issues(&json!({"channels": {"signal": {"socketPath": "relative"}}}));
        assert!(found.len() == 1 && found[0].starts_with("channels.signal.socketPath: "), "{found:?}");
        let found = issues(&json!({"plugins": {"accounts": {"a": {"password": 5}}}}));
        assert_eq!(found, ["plugins.accounts.a.password: must be a string or an object, not a number"]);
    }

    #[test]
    fn a_schema_with_a_pattern_that_nobody_understands_is_used_without_it() {
        let schema = r#"{"properties": {"a": {"type": "string", "pattern": "(?<x"}}}"#;
        assert_eq!(check(schema, &json!({"a": "b"})).expect("a schema"), vec![]);
        assert_eq!(check(schema, &json!({"a": 1})).expect("a schema").len(), 1);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        assert!(matches!(check("not JSON", &json!({})), Err(SchemaError::NotJson(_))));
        assert!(matches!(check(r#"{"type": "nothing"}"#, &json!({})), Err(SchemaError::NotASchema(_))));
    }

    #[test]
    fn a_config_with_a_thousand_faults_is_told_fifty() {
        let config: serde_json::Map<_, _> = (0..1000).map(|n| (format!("key{n}"), json!(1))).collect();
        assert_eq!(issues(&Value::Object(config)).len(), ISSUES_MOST);
    }
}
