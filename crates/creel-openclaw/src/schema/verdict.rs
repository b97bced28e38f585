//! Reads the release's own verdict on a config: what its `openclaw config validate --json` prints.
//!
//! That command must only ever run in a private folder with a copy of the config, never on an agent's state.

use creel_api::problem::Issue;
use serde_json::Value;

/// OpenClaw's name for the whole config.
const ROOT: &str = "<root>";

/// Why a verdict can't be read.
#[derive(Debug, thiserror::Error)]
pub enum VerdictError {
    /// Not JSON.
    #[error("what the release says of the config is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, and no verdict.
    #[error("the release does not say whether the config is valid")]
    NoVerdict,
}

/// Each key that the release refuses, and why. Empty if it accepts the config.
pub fn verdict(output: &str) -> Result<Vec<Issue>, VerdictError> {
    let said: Value = serde_json::from_str(output.trim()).map_err(VerdictError::NotJson)?;
    let valid = said.get("valid").and_then(Value::as_bool).ok_or(VerdictError::NoVerdict)?;
    let listed = said.get("issues").and_then(Value::as_array).into_iter().flatten();
    let mut issues: Vec<Issue> = listed.filter(|_| !valid).map(issue).collect();
    if !valid && issues.is_empty() {
        issues.push(Issue {
            path: String::new(),
            message: "the release refuses it without saying why".to_owned(),
        });
    }
    Ok(issues)
}

fn issue(said: &Value) -> Issue {
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let path = Some(text("path")).filter(|path| path != ROOT).unwrap_or_default();
    Issue { path, message: text("message") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_with_its_reasons() {
        let output = r#"{"ok":false,"valid":false,"issues":[{"path":"<root>","message":"Unrecognized key"},
            {"path":"gateway.port","message":"expected number"}]}"#;
        let issues = verdict(output).expect("a verdict");
        let told: Vec<_> = issues.iter().map(|i| (i.path.as_str(), i.message.as_str())).collect();
        assert_eq!(told, [("", "Unrecognized key"), ("gateway.port", "expected number")]);
    }

    #[test]
    fn a_good_config_has_no_issues_and_warnings_are_none() {
        let output = r#"{"valid":true,"path":"/x","warnings":[{"path":"plugins","message":"unknown"}]}"#;
        assert_eq!(verdict(output).expect("a verdict"), vec![]);
    }

    #[test]
    fn a_refusal_without_a_reason_is_still_a_refusal() {
        assert_eq!(verdict(r#"{"valid":false}"#).expect("a verdict").len(), 1);
    }

    #[test]
    fn what_is_no_verdict_is_not_taken_for_one() {
        assert!(matches!(verdict("Segmentation fault"), Err(VerdictError::NotJson(_))));
        assert!(matches!(verdict("{}"), Err(VerdictError::NoVerdict)));
    }
}
