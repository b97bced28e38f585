//! What in a config must be guarded: secrets that stand in it in clear, and identities that only one agent may use.
//!
//! Both go by the names of keys, not by a release's schema: a manifest is checked before its release is known.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::join;

/// Keys, in lower case, that hold a secret wherever they stand. OpenClaw takes a SecretRef at each of them.
const SECRET_KEYS: [&str; 19] = [
    "accesstoken",
    "apikey",
    "apipassword",
    "apppassword",
    "appsecret",
    "apptoken",
    "authtoken",
    "botsecret",
    "bottoken",
    "clientsecret",
    "encryptkey",
    "passphrase",
    "password",
    "privatekey",
    "signingsecret",
    "usertoken",
    "verificationtoken",
    "webhooksecret",
    "webhooktoken",
];

/// Sections where a key named `token` holds a secret that may be a SecretRef. (`hooks.token` may not, so it can't be
/// refused: there would be no way to set it.)
const TOKEN_SECTIONS: [&str; 3] = ["channels.", "gateway.", "plugins."];

/// Keys of a channel that name an identity at the other side which only one gateway may poll with.
const IDENTITY_KEYS: [&str; 6] = ["botToken", "appToken", "token", "botSecret", "accessToken", "privateKey"];

/// The dotted paths whose value is a secret in clear: a non-empty string that takes nothing from the environment.
pub fn plaintext_secrets(config: &Map<String, Value>) -> Vec<String> {
    let mut found = Vec::new();
    look("", config, &mut found);
    found
}

fn look(path: &str, config: &Map<String, Value>, found: &mut Vec<String>) {
    for (key, value) in config {
        look_at(&join(path, key), key, value, found);
    }
}

fn look_at(path: &str, key: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(inner) => look(path, inner, found),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                look_at(&format!("{path}.{index}"), key, item, found);
            }
        }
        Value::String(text) if is_secret(path, key) && is_plain(text) => found.push(path.to_owned()),
        _ => {}
    }
}

fn is_secret(path: &str, key: &str) -> bool {
    let token = key == "token" && TOKEN_SECTIONS.iter().any(|section| path.starts_with(section));
    token || SECRET_KEYS.contains(&key.to_ascii_lowercase().as_str())
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains("${")
}

/// Those paths of an agent's secrets that name an identity which only one agent may use: two gateways that poll one
/// bot steal each other's messages.
pub fn bot_tokens(secrets: &BTreeMap<String, String>) -> Vec<&str> {
    secrets.keys().map(String::as_str).filter(|path| is_identity(path)).collect()
}

fn is_identity(path: &str) -> bool {
    let parts: Vec<&str> = path.split('.').collect();
    match parts.as_slice() {
        ["channels", _, key] | ["channels", _, "accounts", _, key] => IDENTITY_KEYS.contains(key),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(config: &Value) -> Vec<String> {
        plaintext_secrets(config.as_object().expect("an object"))
    }

    #[test]
    fn secrets_in_clear_are_found_wherever_they_stand() {
        let config = json!({
            "channels": {"telegram": {"botToken": "1:a", "accounts": {"b": {"botToken": "2:b"}}}, "discord": {"token": "x"}},
            "models": {"providers": {"p": {"apiKey": "sk"}}},
            "gateway": {"auth": {"token": "t", "password": "p"}},
        });
        let expected = [
            "channels.telegram.botToken",
            "channels.telegram.accounts.b.botToken",
            "channels.discord.token",
            "models.providers.p.apiKey",
            "gateway.auth.token",
            "gateway.auth.password",
        ];
        assert_eq!(found(&config), expected);
    }

    #[test]
    fn references_and_the_environment_are_no_secrets_in_clear() {
        let config = json!({
            "channels": {"slack": {"appToken": {"source": "file", "provider": "creel", "id": "/a"}, "botToken": "${BOT}"}},
            "models": {"providers": {"p": {"apiKey": "", "models": [{"id": "m", "maxTokens": 5}]}}},
            "hooks": {"token": "only a string will do"},
        });
        assert_eq!(found(&config), Vec::<String>::new());
    }

    #[test]
    fn only_what_polls_is_an_identity() {
        let paths = [
            "channels.telegram.botToken",
            "channels.slack.accounts.work.appToken",
            "channels.slack.signingSecret",
            "models.providers.openai.apiKey",
        ];
        let secrets = paths.map(|path| (path.to_owned(), "s".to_owned())).into();
        assert_eq!(
            bot_tokens(&secrets),
            ["channels.slack.accounts.work.appToken", "channels.telegram.botToken"]
        );
    }
}
