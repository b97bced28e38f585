//! Whose word counts in an agent's config: creel's own keys, then the overlay (spec over tenant defaults), then what
//! the agent or its owner changed at run time where neither of them says anything.
//!
//! Rendering what was rendered, with nothing changed meanwhile, gives the same config again. No secret is ever in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{at, is_secret_ref, join, kind};
use crate::paths::Paths;

/// The environment variable that carries the gateway's token, from which OpenClaw's config takes it.
pub const GATEWAY_TOKEN: &str = "OPENCLAW_GATEWAY_TOKEN";

/// The name under which OpenClaw's config knows creel's file of secrets.
pub const SECRET_PROVIDER: &str = "creel";

/// The practice model that is always offered.
pub const PRACTICE_MODEL: &str = "practice/practice-1";

/// The provider of practice models.
const PRACTICE: &str = "practice";

/// What OpenClaw notes about its own config. It is no change by anyone, it must survive, and without it OpenClaw
/// takes the file for damaged.
const BOOKKEEPING: &str = "meta";

/// All that has a say in an agent's config.
#[derive(Clone, Copy, Debug)]
pub struct Layers<'a> {
    /// Spec over tenant defaults.
    pub overlay: &'a Map<String, Value>,
    /// Path in the config -> name of a secret.
    pub secrets: &'a BTreeMap<String, String>,
    /// Where the gateway listens.
    pub port: u16,
    /// Where the agent's things are, as its gateway sees them.
    pub paths: &'a Paths,
    /// The base URL of the practice model, if it runs.
    pub practice: Option<&'a str>,
    /// Whether changes made at run time are kept.
    pub agent_may_edit: bool,
    /// [`Rendered::base`] of the last time. Without it every field on disk that nobody sets counts as a change.
    pub base: Option<&'a Value>,
    /// What is on disk now.
    pub current: Option<&'a Value>,
}

/// A config, and what became of the layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// To be written.
    pub config: Value,
    /// The config without what was changed at run time: give it back as [`Layers::base`] the next time, so that a
    /// change made at run time can be told from a field that creel no longer sets.
    pub base: Value,
    /// Paths of the overlay that contradict creel's own keys and do not count.
    pub overruled: Vec<String>,
    /// Paths that were changed at run time and are kept.
    pub drift: Vec<String>,
}

/// Why a config can't be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A practice model is asked for and none runs.
    #[error(
        "the model `{model}` is creel's practice model, which does not run here; start it with `creel up --practice-model`, or name another model in agents.defaults.model"
    )]
    NoPracticeModel {
        /// The model, as the overlay names it.
        model: String,
    },
    /// The config has no room for a secret at its path.
    #[error("the secret `{secret}` can't be put at `{path}`: `{at}` is {found} there, not an object")]
    NoPlace {
        /// The secret's name.
        secret: String,
        /// Where it was to go.
        path: String,
        /// Where the way ends.
        at: String,
        /// What is there.
        found: &'static str,
    },
}

/// Composes the config from its layers.
pub fn render(layers: &Layers<'_>) -> Result<Rendered, RenderError> {
    let mut ours = layers.overlay.clone();
    add_practice(&mut ours, layers.practice)?;
    let mut overruled = Vec::new();
    put_secrets(&mut ours, layers.secrets, &mut overruled)?;
    for (path, value) in own_keys(layers.port, layers.paths) {
        put(&mut ours, path, value, &mut overruled);
    }
    let base = Value::Object(ours.clone());
    let drift = keep_changes(&mut ours, layers);
    Ok(Rendered { config: Value::Object(ours), base, overruled, drift })
}

/// What creel itself says, whatever anybody else does.
fn own_keys(port: u16, paths: &Paths) -> [(&'static str, Value); 11] {
    let text = |path: std::path::PathBuf| Value::from(path.to_string_lossy().into_owned());
    [
        ("gateway.mode", json!("local")),
        ("gateway.port", json!(port)),
        ("gateway.bind", json!("loopback")),
        ("gateway.auth.mode", json!("token")),
        ("gateway.auth.token", json!({"source": "env", "provider": "default", "id": GATEWAY_TOKEN})),
        ("gateway.http.endpoints.chatCompletions.enabled", json!(true)),
        ("update.checkOnStart", json!(false)),
        ("logging.consoleStyle", json!("json")),
        ("logging.file", text(paths.gateway_log())),
        ("secrets.providers.creel", json!({"source": "file", "path": text(paths.secrets()), "mode": "json"})),
        ("agents.defaults.workspace", text(paths.workspace())),
    ]
}

/// Sets `path`, and notes where the overlay said something else.
fn put(config: &mut Map<String, Value>, path: &str, value: Value, overruled: &mut Vec<String>) {
    let mut here = config;
    let mut walked = String::new();
    let (way, last) = path.rsplit_once('.').unwrap_or(("", path));
    for key in way.split('.').filter(|key| !key.is_empty()) {
        walked = join(&walked, key);
        let next = here.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if !next.is_object() {
            note(overruled, &walked);
            *next = Value::Object(Map::new());
        }
        let Value::Object(next) = next else { return };
        here = next;
    }
    if here.get(last).is_some_and(|said| *said != value) {
        note(overruled, path);
    }
    here.insert(last.to_owned(), value);
}

fn note(overruled: &mut Vec<String>, path: &str) {
    if !overruled.iter().any(|noted| noted == path) {
        overruled.push(path.to_owned());
    }
}

fn put_secrets(
    config: &mut Map<String, Value>,
    secrets: &BTreeMap<String, String>,
    overruled: &mut Vec<String>,
) -> Result<(), RenderError> {
    for (path, secret) in secrets {
        if let Some((at, found)) = obstacle(config, path) {
            return Err(RenderError::NoPlace { secret: secret.clone(), path: path.clone(), at, found });
        }
        put(config, path, secret_ref(secret), overruled);
    }
    Ok(())
}

/// Where the way to `path` meets something that is no object.
fn obstacle(config: &Map<String, Value>, path: &str) -> Option<(String, &'static str)> {
    let ends = path.match_indices('.').map(|(end, _)| &path[..end]);
    let blocked = |way: &str| at(config, way).filter(|value| !value.is_object()).map(kind);
    ends.into_iter().find_map(|way| blocked(way).map(|found| (way.to_owned(), found)))
}

fn secret_ref(name: &str) -> Value {
    let pointer = name.replace('~', "~0").replace('/', "~1");
    json!({"source": "file", "provider": SECRET_PROVIDER, "id": format!("/{pointer}")})
}

fn add_practice(config: &mut Map<String, Value>, base_url: Option<&str>) -> Result<(), RenderError> {
    let wanted = practice_models(config);
    let Some(model) = wanted.first().filter(|_| at(config, "models.providers.practice").is_none()) else {
        return Ok(());
    };
    let Some(base_url) = base_url else {
        return Err(RenderError::NoPracticeModel { model: format!("{PRACTICE}/{model}") });
    };
    let provider = practice_provider(base_url, &wanted);
    put(config, "models.providers.practice", provider, &mut Vec::new());
    Ok(())
}

fn practice_provider(base_url: &str, wanted: &BTreeSet<String>) -> Value {
    let models: Vec<Value> = wanted.iter().map(|id| practice_model(id)).collect();
    json!({"baseUrl": base_url, "api": "openai-completions", "apiKey": PRACTICE, "models": models})
}

fn practice_model(id: &str) -> Value {
    json!({
        "id": id,
        "name": format!("{id} (practice, not a real model)"),
        "reasoning": false,
        "input": ["text"],
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
        "contextWindow": 128_000,
        "maxTokens": 4_096,
    })
}

/// The practice models that the agents of this config ask for, without their prefix.
fn practice_models(config: &Map<String, Value>) -> BTreeSet<String> {
    let entries = at(config, "agents.entries").and_then(Value::as_object);
    let own = entries.into_iter().flat_map(Map::values).filter_map(|entry| entry.get("model"));
    let models = at(config, "agents.defaults.model").into_iter().chain(own).flat_map(model_names);
    let prefix = format!("{PRACTICE}/");
    models.filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// The models that one `model` field names: a string, or a primary with fallbacks.
fn model_names(model: &Value) -> Vec<&str> {
    let primary = model.as_str().or_else(|| model.get("primary").and_then(Value::as_str));
    let fallbacks = model.get("fallbacks").and_then(Value::as_array).into_iter().flatten();
    primary.into_iter().chain(fallbacks.filter_map(Value::as_str)).collect()
}

/// Lays what was changed at run time under `ours`, and says what that was.
fn keep_changes(ours: &mut Map<String, Value>, layers: &Layers<'_>) -> Vec<String> {
    let Some(Value::Object(current)) = layers.current else { return Vec::new() };
    if let Some(notes) = current.get(BOOKKEEPING).filter(|_| !ours.contains_key(BOOKKEEPING)) {
        ours.insert(BOOKKEEPING.to_owned(), notes.clone());
    }
    if !layers.agent_may_edit {
        return Vec::new();
    }
    let mut drift = Vec::new();
    keep(ours, layers.base.and_then(Value::as_object), current, "", &mut drift);
    drift
}

fn keep(
    ours: &mut Map<String, Value>,
    base: Option<&Map<String, Value>>,
    current: &Map<String, Value>,
    path: &str,
    drift: &mut Vec<String>,
) {
    for (key, now) in current {
        let path = join(path, key);
        let before = base.and_then(|base| base.get(key));
        if path == BOOKKEEPING || before == Some(now) {
            continue;
        }
        match (ours.get_mut(key), now) {
            (Some(Value::Object(inner)), Value::Object(now)) if !is_secret_ref(inner) => {
                keep(inner, before.and_then(Value::as_object), now, &path, drift);
            }
            (Some(_), _) => {}
            (None, _) => {
                if let Some(kept) = changed(before, now, &path, drift) {
                    ours.insert(key.clone(), kept);
                }
            }
        }
    }
}

/// What is left of a field that nobody sets any more, without what creel had set there itself.
fn changed(before: Option<&Value>, now: &Value, path: &str, drift: &mut Vec<String>) -> Option<Value> {
    let parts = match (before, now) {
        (Some(Value::Object(before)), Value::Object(now)) if !is_secret_ref(now) => Some((before, now)),
        _ => None,
    };
    let Some((before, inner)) = parts else {
        drift.push(path.to_owned());
        return Some(now.clone());
    };
    let mut kept = Map::new();
    keep(&mut kept, Some(before), inner, path, drift);
    (!kept.is_empty()).then_some(Value::Object(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layers of a test: everything else is usual.
    #[derive(Default)]
    struct Case {
        overlay: Value,
        secrets: Vec<(&'static str, &'static str)>,
        practice: Option<&'static str>,
        read_only: bool,
        base: Option<Value>,
        current: Option<Value>,
    }

    fn rendered(case: &Case) -> Result<Rendered, RenderError> {
        let overlay = case.overlay.as_object().cloned().unwrap_or_default();
        let secrets = case.secrets.iter().map(|(path, name)| ((*path).into(), (*name).into())).collect();
        render(&Layers {
            overlay: &overlay,
            secrets: &secrets,
            port: 18_789,
            paths: &Paths::sandboxed(),
            practice: case.practice,
            agent_may_edit: !case.read_only,
            base: case.base.as_ref(),
            current: case.current.as_ref(),
        })
    }

    fn good(case: &Case) -> Rendered {
        rendered(case).expect("renders")
    }

    #[test]
    fn creels_own_keys_win_and_the_contradiction_is_told() {
        let overlay =
            json!({"gateway": {"port": 1, "bind": "loopback", "auth": {"token": "x"}}, "logging": "loud"});
        let it = good(&Case { overlay, ..Case::default() });
        assert_eq!(it.overruled, ["gateway.port", "gateway.auth.token", "logging"]);
        assert_eq!(it.config["gateway"]["port"], 18_789);
        assert_eq!(it.config["gateway"]["auth"]["token"]["id"], GATEWAY_TOKEN);
        assert_eq!(it.config["logging"]["file"], "/agent/log/gateway.jsonl");
    }

    #[test]
    fn a_secret_becomes_a_reference_with_an_escaped_name() {
        let secrets = vec![("channels.telegram.botToken", "a/b~c")];
        let it = good(&Case { secrets, ..Case::default() });
        let expected = json!({"source": "file", "provider": "creel", "id": "/a~1b~0c"});
        assert_eq!(it.config["channels"]["telegram"]["botToken"], expected);
    }

    #[test]
    fn a_secret_where_the_overlay_has_no_object_is_refused() {
        let case = Case { overlay: json!({"channels": {"telegram": true}}), ..Case::default() };
        let error =
            rendered(&Case { secrets: vec![("channels.telegram.botToken", "s")], ..case }).unwrap_err();
        assert!(error.to_string().contains("`channels.telegram` is a boolean"), "{error}");
    }

    #[test]
    fn no_secret_can_take_the_place_of_the_gateways_token() {
        let it = good(&Case { secrets: vec![("gateway.auth.token", "mine")], ..Case::default() });
        assert_eq!(it.config["gateway"]["auth"]["token"]["source"], "env");
        assert_eq!(it.overruled, ["gateway.auth.token"]);
    }

    #[test]
    fn a_practice_model_brings_its_provider() {
        for model in [json!("practice/practice-1"), json!({"primary": "practice/practice-1"})] {
            let overlay = json!({"agents": {"defaults": {"model": model}}});
            let it = good(&Case { overlay, practice: Some("http://127.0.0.1:1/v1"), ..Case::default() });
            let provider = &it.config["models"]["providers"]["practice"];
            assert_eq!(provider["baseUrl"], "http://127.0.0.1:1/v1");
            assert_eq!(provider["models"][0]["id"], "practice-1");
        }
    }

    #[test]
    fn a_practice_model_that_does_not_run_is_refused_with_the_cure() {
        let overlay = json!({"agents": {"defaults": {"model": PRACTICE_MODEL}}});
        let error = rendered(&Case { overlay, ..Case::default() }).unwrap_err();
        assert!(error.to_string().contains("creel up --practice-model"), "{error}");
    }

    #[test]
    fn a_practice_provider_of_the_users_own_is_left_alone() {
        let provider = json!({"baseUrl": "http://127.0.0.1:2/v1", "models": []});
        let overlay = json!({"agents": {"defaults": {"model": PRACTICE_MODEL}}, "models": {"providers": {"practice": provider.clone()}}});
        let it = good(&Case { overlay, ..Case::default() });
        assert_eq!(it.config["models"]["providers"]["practice"], provider);
    }

    #[test]
    fn no_practice_provider_comes_unasked() {
        let it = good(&Case { practice: Some("http://127.0.0.1:1/v1"), ..Case::default() });
        assert_eq!(it.config.get("models"), None);
    }

    /// Renders `first`, lets `edit` change what is on disk, and renders `second`.
    fn again(first: Value, edit: impl FnOnce(&mut Value), second: Value, read_only: bool) -> Rendered {
        let before = good(&Case { overlay: first, ..Case::default() });
        let mut current = before.config;
        edit(&mut current);
        let (base, current) = (Some(before.base), Some(current));
        good(&Case { overlay: second, read_only, base, current, ..Case::default() })
    }

    #[test]
    fn what_was_changed_at_run_time_is_kept_and_shown() {
        let edit = |config: &mut Value| {
            config["agents"]["entries"] = json!({"main": {"name": "Pim"}});
            config["gateway"]["controlUi"] = json!({"enabled": false});
        };
        let it = again(json!({}), edit, json!({}), false);
        assert_eq!(it.config["agents"]["entries"]["main"]["name"], "Pim");
        assert_eq!(it.drift, ["gateway.controlUi", "agents.entries"]);
    }

    #[test]
    fn a_kept_change_is_kept_the_next_time_too() {
        let edit = |config: &mut Value| config["ui"] = json!({"seamColor": "#ff0000"});
        let once = again(json!({}), edit, json!({}), false);
        let (base, current) = (Some(once.base.clone()), Some(once.config.clone()));
        assert_eq!(good(&Case { base, current, ..Case::default() }), once);
    }

    #[test]
    fn what_the_overlay_or_creel_sets_is_not_changed_at_run_time() {
        let overlay = json!({"logging": {"level": "debug"}});
        let edit = |config: &mut Value| {
            config["logging"]["level"] = json!("silent");
            config["gateway"]["bind"] = json!("lan");
            config["gateway"]["auth"]["token"] = json!("clear");
        };
        let it = again(overlay.clone(), edit, overlay.clone(), false);
        assert_eq!(it, good(&Case { overlay, ..Case::default() }));
    }

    #[test]
    fn a_field_taken_out_of_the_overlay_goes_unless_it_was_changed() {
        let first = json!({"logging": {"level": "debug", "redactSensitive": "off"}, "ui": {"a": 1}});
        let edit = |config: &mut Value| config["logging"]["level"] = json!("trace");
        let it = again(first, edit, json!({}), false);
        assert_eq!(it.config["logging"]["level"], "trace");
        assert_eq!(it.config["logging"].get("redactSensitive"), None);
        assert_eq!(it.config.get("ui"), None);
        assert_eq!(it.drift, ["logging.level"]);
    }

    #[test]
    fn an_agent_that_may_not_edit_keeps_nothing_but_openclaws_own_notes() {
        let edit = |config: &mut Value| {
            config["ui"] = json!({"seamColor": "#ff0000"});
            config["meta"] = json!({"lastTouchedVersion": "2026.9.6"});
        };
        let it = again(json!({}), edit, json!({}), true);
        assert_eq!((it.config.get("ui"), it.drift), (None, vec![]));
        assert_eq!(it.config["meta"]["lastTouchedVersion"], "2026.9.6");
    }

    #[test]
    fn a_reference_to_a_secret_is_replaced_whole() {
        let secrets = vec![("channels.telegram.botToken", "tg")];
        let before = good(&Case { secrets: secrets.clone(), ..Case::default() });
        let mut current = before.config.clone();
        current["channels"]["telegram"]["botToken"] =
            json!({"source": "env", "provider": "x", "id": "Y", "more": 1});
        let case =
            Case { secrets, base: Some(before.base.clone()), current: Some(current), ..Case::default() };
        assert_eq!(good(&case), before);
    }
}
