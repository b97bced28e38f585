//! Where the gateway's things are and whether its config may be started on. Strict where OpenClaw is: a config that
//! can't be read is a refusal, never a default.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Where everything is, and what opens the API.
pub(crate) struct Place {
    /// The state folder.
    pub(crate) state: PathBuf,
    /// The port to listen on.
    pub(crate) port: u16,
    /// The bearer token of the API.
    pub(crate) token: Option<String>,
    /// Whether the chat endpoint is on.
    pub(crate) chat: bool,
}

impl Place {
    /// From the command line and the environment; the error is the sentence to end with.
    pub(crate) fn read(args: &[String]) -> Result<Self, String> {
        let folder = |name| env::var_os(name).map(PathBuf::from);
        let state = folder("OPENCLAW_STATE_DIR").ok_or("OPENCLAW_STATE_DIR is not set")?;
        let file = folder("OPENCLAW_CONFIG_PATH").unwrap_or_else(|| state.join("openclaw.json"));
        let config = read(&file)?;
        let port = port(args).or_else(|| config.pointer("/gateway/port")?.as_u64()?.try_into().ok());
        let chat = config.pointer("/gateway/http/endpoints/chatCompletions/enabled");
        Ok(Self {
            state,
            port: port.ok_or("no port: use `gateway run --port PORT`")?,
            token: token(&config),
            chat: chat.and_then(Value::as_bool).unwrap_or_default(),
        })
    }
}

fn read(file: &Path) -> Result<Value, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("Missing config {}: {error}. Set gateway.mode=local", file.display()))?;
    let config: Value = serde_json::from_str(&text)
        .map_err(|error| format!("Invalid config at {}: {error}", file.display()))?;
    match config.pointer("/gateway/mode").and_then(Value::as_str) {
        Some("local") => Ok(config),
        _ => Err(format!("Invalid config at {}: gateway.mode is missing or not \"local\"", file.display())),
    }
}

fn port(args: &[String]) -> Option<u16> {
    let at = args.windows(2).position(|pair| pair == ["gateway", "run"])?;
    let at = at + args[at..].iter().position(|arg| arg == "--port")?;
    args.get(at + 1)?.parse().ok()
}

/// The token in the config, which may be a reference to an environment variable, else that of the environment.
fn token(config: &Value) -> Option<String> {
    let variable = match config.pointer("/gateway/auth/token") {
        Some(Value::String(token)) => return Some(token.clone()),
        Some(reference) => reference.get("id")?.as_str()?,
        None => "OPENCLAW_GATEWAY_TOKEN",
    };
    env::var(variable).ok().filter(|token| !token.is_empty())
}
