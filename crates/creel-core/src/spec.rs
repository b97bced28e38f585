//! What a spec means: defaults filled in, faults found, differences named. Parsing is over when this is called;
//! everything here is about values.

use std::collections::BTreeMap;

use creel_api::agent::{AgentSpec, Resources};
use creel_api::apply::Difference;
use creel_api::meta::Metadata;
use creel_api::problem::Issue;
use serde_json::{Map, Value};

use crate::limits;

/// The longest name: what fits into a DNS label, because names become host names later.
const NAME_MOST: usize = 63;

/// The release that an agent follows if nobody says otherwise.
const RELEASE: &str = "stable";

/// The agent's spec with what it leaves out taken from the tenant's defaults, then from creel's. Nothing is `None`.
pub fn effective(defaults: &AgentSpec, spec: &AgentSpec) -> AgentSpec {
    AgentSpec {
        release: spec.release.clone().or_else(|| defaults.release.clone()).or(Some(RELEASE.into())),
        priority: spec.priority.or(defaults.priority).or(Some(limits::PRIORITY)),
        config: merge(&defaults.config, &spec.config),
        env: over(&defaults.env, &spec.env),
        secrets: over(&defaults.secrets, &spec.secrets),
        resources: resources(&defaults.resources, &spec.resources),
        agent_may_edit: spec.agent_may_edit.or(defaults.agent_may_edit).or(Some(true)),
    }
}

fn resources(defaults: &Resources, wanted: &Resources) -> Resources {
    Resources {
        memory_bytes: wanted.memory_bytes.or(defaults.memory_bytes).or(Some(limits::MEMORY_BYTES)),
        pids: wanted.pids.or(defaults.pids).or(Some(limits::PIDS)),
        log_bytes: wanted.log_bytes.or(defaults.log_bytes).or(Some(limits::LOG_BYTES)),
    }
}

fn over(under: &BTreeMap<String, String>, over: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    under.iter().chain(over).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// `over` laid on `under`: objects are merged key by key, a `null` removes the key, everything else is replaced
/// (the rules of JSON merge patch, RFC 7386).
pub fn merge(under: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = under.clone();
    for (key, value) in over {
        match (merged.get(key), value) {
            (_, Value::Null) => drop(merged.remove(key)),
            (below, Value::Object(above)) => {
                let both = merge(below.and_then(Value::as_object).unwrap_or(&Map::new()), above);
                drop(merged.insert(key.clone(), Value::Object(both)));
            }
            _ => drop(merged.insert(key.clone(), value.clone())),
        }
    }
    merged
}

/// Every difference between two values, in the order of their paths' first mention. Arrays are compared whole.
pub fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare("", Some(before), Some(after), &mut found);
    found
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    match (before, after) {
        (a, b) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let added = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(added) {
                compare(&join(path, key), a.get(key), b.get(key), found);
            }
        }
        (from, to) => found.push(Difference { path: path.into(), from: from.cloned(), to: to.cloned() }),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What is wrong with an agent's name, labels or spec, as far as it can be said without asking anyone.
pub fn check_agent(metadata: &Metadata, spec: &AgentSpec) -> Vec<Issue> {
    let mut issues = check_metadata(metadata);
    issues.extend(check_spec("spec", spec));
    issues
}

/// What is wrong with a tenant's name, labels or defaults.
pub fn check_tenant(metadata: &Metadata, defaults: &AgentSpec) -> Vec<Issue> {
    let mut issues = check_metadata(metadata);
    if metadata.tenant.is_some() {
        issues.push(issue("metadata.tenant", "a tenant belongs to no tenant; leave it out"));
    }
    issues.extend(check_spec("spec.defaults", defaults));
    issues
}

fn check_metadata(metadata: &Metadata) -> Vec<Issue> {
    let tenant = metadata.tenant.iter().map(|name| ("metadata.tenant", name));
    let names = std::iter::once(("metadata.name", &metadata.name)).chain(tenant);
    let mut issues: Vec<Issue> =
        names.filter_map(|(path, name)| check_name(name).err().map(|fault| issue(path, fault))).collect();
    issues.extend(metadata.labels.iter().filter_map(|(key, value)| check_label(key, value)));
    issues
}

fn check_spec(at: &str, spec: &AgentSpec) -> Vec<Issue> {
    let mut issues = Vec::new();
    if spec.priority.is_some_and(|priority| priority > 1000) {
        issues.push(issue(join(at, "priority"), "must be 0 to 1000"));
    }
    if spec.resources.memory_bytes.is_some_and(|bytes| bytes < MEMORY_LEAST) {
        issues.push(issue(
            join(at, "resources.memoryBytes"),
            "is less than the 256 MiB that a gateway can't live on",
        ));
    }
    if spec.resources.pids.is_some_and(|pids| pids < PIDS_LEAST) {
        issues.push(issue(join(at, "resources.pids"), "is less than the 64 that a gateway starts with"));
    }
    if spec.resources.log_bytes.is_some_and(|bytes| bytes < LOG_LEAST) {
        issues.push(issue(join(at, "resources.logBytes"), "must be at least 64Ki"));
    }
    issues.extend(spec.env.keys().filter_map(|name| check_env(at, name)));
    issues.extend(spec.secrets.iter().filter_map(|(path, name)| check_secret(at, path, name)));
    issues
}

/// Below this a gateway dies while it starts (300 MB live heap alone).
const MEMORY_LEAST: u64 = 256 << 20;
/// A gateway has about 22 threads, two helpers, and tools of its own.
const PIDS_LEAST: u32 = 64;
/// A log of less is rotated away before anyone can read it.
const LOG_LEAST: u64 = 64 << 10;

fn check_env(at: &str, name: &str) -> Option<Issue> {
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let good = good && !name.starts_with(|c: char| c.is_ascii_digit());
    (!good).then(|| issue(format!("{at}.env.{name}"), "is not a name for an environment variable"))
}

fn check_secret(at: &str, path: &str, name: &str) -> Option<Issue> {
    if path.split('.').any(str::is_empty) {
        return Some(issue(
            format!("{at}.secrets.{path}"),
            "is not a path in the config such as channels.telegram.botToken",
        ));
    }
    check_name(name).err().map(|fault| issue(format!("{at}.secrets.{path}"), fault))
}

fn check_label(key: &str, value: &str) -> Option<Issue> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let good = !key.is_empty() && key.len() <= 253 && key.chars().all(word);
    let good = good && value.len() <= NAME_MOST && value.chars().all(word);
    (!good).then(|| {
        issue(
            format!("metadata.labels.{key}"),
            "a label has letters, digits, `-`, `_`, `.` and `/`, the value at most 63",
        )
    })
}

/// Whether this can be the name of a tenant, an agent or a secret.
pub fn check_name(name: &str) -> Result<(), String> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        return Err("is empty".into());
    }
    if name.len() > NAME_MOST {
        return Err(format!("has {} characters, {NAME_MOST} are allowed", name.len()));
    }
    if !name.chars().all(word) || name.starts_with('-') || name.ends_with('-') {
        return Err(format!(
            "`{name}` may have lower-case letters, digits and `-` only, and no `-` at its ends"
        ));
    }
    Ok(())
}

fn issue(path: impl Into<String>, message: impl Into<String>) -> Issue {
    Issue { path: path.into(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn maps_merge_key_by_key_null_removes_and_all_else_is_replaced() {
        let under = map(&json!({"a": {"b": 1, "c": [1, 2]}, "d": 1}));
        let over = map(&json!({"a": {"c": [3], "e": {"f": null, "g": 2}}, "d": null}));
        assert_eq!(Value::Object(merge(&under, &over)), json!({"a": {"b": 1, "c": [3], "e": {"g": 2}}}));
    }

    #[test]
    fn an_effective_spec_leaves_nothing_open_and_the_agent_wins_over_its_tenant() {
        let tenant = AgentSpec { release: Some("daily".into()), priority: Some(5), ..AgentSpec::default() };
        let agent = AgentSpec { priority: Some(9), ..AgentSpec::default() };
        let spec = effective(&tenant, &agent);
        assert_eq!(
            (spec.release.as_deref(), spec.priority, spec.agent_may_edit),
            (Some("daily"), Some(9), Some(true))
        );
        assert_eq!(effective(&spec, &AgentSpec::default()), spec);
    }

    #[test]
    fn differences_name_the_deepest_path_that_differs() {
        let before = json!({"spec": {"config": {"a": 1, "b": 2}}});
        let after = json!({"spec": {"config": {"a": 1, "c": 3}}});
        let paths: Vec<String> = differences(&before, &after).into_iter().map(|d| d.path).collect();
        assert_eq!(paths, ["spec.config.b", "spec.config.c"]);
        assert_eq!(differences(&after, &after), []);
    }

    #[test]
    fn each_fault_of_a_spec_is_found_at_its_path() {
        let metadata = Metadata { name: "Sales_".into(), ..Metadata::default() };
        let spec = AgentSpec {
            priority: Some(1001),
            env: BTreeMap::from([("1A".into(), String::new())]),
            secrets: BTreeMap::from([("channels..x".into(), "ok".into())]),
            resources: Resources { memory_bytes: Some(1), pids: Some(1), log_bytes: Some(1) },
            ..AgentSpec::default()
        };
        let paths: Vec<String> = check_agent(&metadata, &spec).into_iter().map(|issue| issue.path).collect();
        assert_eq!(
            paths,
            [
                "metadata.name",
                "spec.priority",
                "spec.resources.memoryBytes",
                "spec.resources.pids",
                "spec.resources.logBytes",
                "spec.env.1A",
                "spec.secrets.channels..x"
            ]
        );
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0..9i64).prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 4, |inner| {
            proptest::collection::btree_map("[a-d]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        })
    }

    fn any_map() -> impl Strategy<Value = Map<String, Value>> {
        proptest::collection::btree_map("[a-d]", any_value(), 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(under in any_map(), over in any_map()) {
            let once = merge(&under, &over);
            prop_assert_eq!(merge(&once, &over), once);
        }

        #[test]
        fn nothing_merged_changes_nothing(under in any_map()) {
            prop_assert_eq!(merge(&under, &Map::new()), under);
        }
    }
}
