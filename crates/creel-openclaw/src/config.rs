//! OpenClaw's config: read as JSON5, composed from layers, written as plain JSON (which is valid JSON5).
//!
//! The file is never edited in place: it is rendered whole, from values. [`render`] decides whose word counts;
//! [`plaintext_secrets`] and [`bot_tokens`] say what in it must be guarded.

mod guard;
mod render;

pub use guard::{bot_tokens, plaintext_secrets};
pub use render::{GATEWAY_TOKEN, Layers, PRACTICE_MODEL, RenderError, Rendered, SECRET_PROVIDER, render};

use serde_json::{Map, Value};

/// Why a text is not a config.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON5.
    #[error("this is not JSON5, the language of OpenClaw's config")]
    Json5(#[source] json5::Error),
    /// JSON5, and something else than an object.
    #[error("an OpenClaw config must be an object `{{ … }}`, and this is {0}")]
    NotAnObject(&'static str),
}

/// Reads a config: JSON5 in, an object out.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    let value: Value = json5::from_str(text).map_err(ParseError::Json5)?;
    if value.is_object() { Ok(value) } else { Err(ParseError::NotAnObject(kind(&value))) }
}

/// What sort of value this is, for a sentence.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The value at a dotted path.
pub(crate) fn at<'a>(config: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (config.get(first)?, rest) {
        (value, None) => Some(value),
        (Value::Object(inner), Some(rest)) => at(inner, rest),
        _ => None,
    }
}

/// `path` and `key`, dotted.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether this is a SecretRef: it stands for one value and is never merged key by key.
pub(crate) fn is_secret_ref(map: &Map<String, Value>) -> bool {
    map.len() == 3
        && ["source", "provider", "id"].iter().all(|key| map.get(*key).is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_config_with_comments_and_bare_keys_is_read() {
        let config = parse("{ gateway: { port: 1, }, // mine\n }").expect("JSON5");
        assert_eq!(config, json!({"gateway": {"port": 1}}));
    }

    #[test]
    fn what_is_no_config_is_refused_with_the_reason() {
        assert!(matches!(parse("{"), Err(ParseError::Json5(_))));
        assert!(parse("[]").unwrap_err().to_string().contains("a list"));
    }
}
