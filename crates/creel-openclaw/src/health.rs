//! What a gateway says of itself to a probe. No token is needed, and a probe costs it 1 to 2 ms.
//!
//! Only parsed JSON counts: while the Control UI is on, every unknown path answers 200 with a web page, and so does
//! `/startupz` on a release that has none.

use serde_json::Value;

use crate::version::{FIRST_WITH_STARTUPZ, OpenClawVersion};

/// What a gateway is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether it has started and takes work.
    Startup,
    /// Whether its channels and databases are well, too.
    Ready,
}

impl Probe {
    /// The path to GET. Never send `X-Forwarded-For` with it: the gateway would refuse to answer.
    pub fn path(self, version: &OpenClawVersion) -> &'static str {
        match self {
            Self::Startup if *version >= FIRST_WITH_STARTUPZ => "/startupz",
            Self::Startup | Self::Ready => "/readyz",
        }
    }
}

/// What a gateway says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes work.
    Started,
    /// It is on its way up; what it waits for, in its own word.
    Starting(String),
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It has started, and says how its parts are. Well when `failing` is empty.
    Ready {
        /// Channels and other parts that do not work.
        failing: Vec<String>,
        /// Channels that it holds back, for instance after three crashes in five minutes: the bot is deaf, though
        /// nothing fails.
        suppressed: Vec<String>,
    },
    /// Whatever answered is not OpenClaw, or no release that creel knows.
    NotOpenClaw,
}

impl Health {
    /// Whether the gateway takes work.
    pub fn has_started(&self) -> bool {
        matches!(self, Self::Started | Self::Ready { .. })
    }
}

/// The word in `failing` of a gateway that drains.
const DRAINING: &str = "gateway-draining";
/// The word in `failing` of a gateway that starts.
const STARTING: &str = "startup-sidecars";

/// Reads the answer to either probe.
pub fn read(status: u16, body: &[u8]) -> Health {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return Health::NotOpenClaw };
    if let Some(ready) = answer.get("ready").and_then(Value::as_bool) {
        return read_ready(ready, &answer);
    }
    match answer.get("status").and_then(Value::as_str) {
        Some("started") if status == 200 => Health::Started,
        Some("starting") => Health::Starting(pending(&answer)),
        Some("draining") => Health::Draining,
        _ => Health::NotOpenClaw,
    }
}

fn pending(answer: &Value) -> String {
    answer.get("pendingReason").and_then(Value::as_str).unwrap_or(STARTING).to_owned()
}

fn read_ready(ready: bool, answer: &Value) -> Health {
    let failing = words(answer, "failing");
    let has = |word: &str| !ready && failing.iter().any(|part| part == word);
    if has(DRAINING) {
        Health::Draining
    } else if has(STARTING) {
        Health::Starting(STARTING.to_owned())
    } else if !ready && failing.is_empty() {
        Health::Starting("not ready".to_owned())
    } else {
        Health::Ready { failing, suppressed: words(answer, "suppressed") }
    }
}

fn words(answer: &Value, key: &str) -> Vec<String> {
    let list = answer.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(failing: &[&str], suppressed: &[&str]) -> Health {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Health::Ready { failing: words(failing), suppressed: words(suppressed) }
    }

    #[test]
    fn each_answer_of_a_gateway_is_told_apart() {
        let answers: [(u16, &str, Health); 9] = [
            (200, r#"{"ok":true,"status":"started","version":"2026.9.6","uptimeMs":33848}"#, Health::Started),
            (
                503,
                r#"{"ok":false,"status":"starting","version":"2026.9.6","pendingReason":"startup-sidecars"}"#,
                Health::Starting("startup-sidecars".into()),
            ),
            (503, r#"{"ok":false,"status":"draining"}"#, Health::Draining),
            (200, r#"{"ready":true,"failing":[],"uptimeMs":1,"eventLoop":{}}"#, ready(&[], &[])),
            (200, r#"{"ready":true,"failing":[],"suppressed":["telegram"]}"#, ready(&[], &["telegram"])),
            (503, r#"{"ready":false,"failing":["telegram"]}"#, ready(&["telegram"], &[])),
            (503, r#"{"ready":false,"failing":["gateway-draining"]}"#, Health::Draining),
            (
                503,
                r#"{"ready":false,"failing":["startup-sidecars"]}"#,
                Health::Starting("startup-sidecars".into()),
            ),
            (200, "<!doctype html><html></html>", Health::NotOpenClaw),
        ];
        for (status, body, expected) in answers {
            assert_eq!(read(status, body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_live_gateway_has_not_said_that_it_started() {
        assert!(!read(200, br#"{"ok":true,"status":"live"}"#).has_started());
        assert!(!read(403, br#"{"error":"proxy_attribution_required"}"#).has_started());
    }

    #[test]
    fn a_release_without_startupz_is_asked_whether_it_is_ready() {
        let path = |version: &str| Probe::Startup.path(&version.parse().expect("a version"));
        assert_eq!(path("2026.7.33"), "/readyz");
        assert_eq!(path("2026.8.1"), "/startupz");
        assert_eq!(Probe::Ready.path(&"2026.9.6".parse().expect("a version")), "/readyz");
    }
}
