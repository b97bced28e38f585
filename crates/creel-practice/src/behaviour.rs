//! How the model is told to behave, one request at a time: a queue that tests fill. A behaviour is used once.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::directive::is_failure;

/// The most behaviours that may wait.
const MOST: usize = 1000;

/// How to treat one request. Nothing set means: as always. `say`, `toolCalls` and `hang` may be combined (say this,
/// call that, then never end), and the delays go with everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Behaviour {
    /// Only for a request whose newest message or whose model's name contains this.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<String>,
    /// Say this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say: Option<String>,
    /// Fail with this HTTP status (400 to 599).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail: Option<u16>,
    /// Close the connection without an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refuse: bool,
    /// Never answer, or never end the answer if there is something to say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hang: bool,
    /// Wait so long before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Wait so long before each word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_per_word_ms: Option<u64>,
    /// Call these tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ScriptedCall>,
}

/// A tool to call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScriptedCall {
    /// Its name, as the agent offers it.
    pub name: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

impl Behaviour {
    /// What can't be meant.
    fn contradiction(&self) -> Option<String> {
        let speaks = self.say.is_some() || !self.tool_calls.is_empty();
        let endings = [self.fail.is_some(), self.refuse, speaks || self.hang];
        if endings.iter().filter(|set| **set).count() > 1 {
            return Some(
                "`fail` and `refuse` go with nothing but delays: use one behaviour for each request".into(),
            );
        }
        let status = self.fail.filter(|status| !is_failure(*status))?;
        Some(format!("`fail: {status}` is no failure: use a status from 400 to 599"))
    }

    fn is_for(&self, said: &str, model: &str) -> bool {
        self.matching
            .as_ref()
            .is_none_or(|part| said.contains(part.as_str()) || model.contains(part.as_str()))
    }
}

/// What can be written to the script: one behaviour or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Lines {
    Several(Vec<Value>),
    One(Value),
}

/// The behaviours that wait for their request, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Script(VecDeque<Behaviour>);

impl Script {
    /// Adds all of them, or none and says why.
    pub(crate) fn add(&mut self, lines: Lines) -> Result<usize, String> {
        let values = match lines {
            Lines::Several(values) => values,
            Lines::One(value) => vec![value],
        };
        let behaviours = values.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if self.0.len() + behaviours.len() > MOST {
            return Err(format!("more than {MOST} behaviours would wait: DELETE the script first"));
        }
        self.0.extend(behaviours);
        Ok(self.0.len())
    }

    /// Forgets all that wait.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes out the oldest one that is meant for this request.
    pub(crate) fn take(&mut self, said: &str, model: &str) -> Option<Behaviour> {
        let at = self.0.iter().position(|behaviour| behaviour.is_for(said, model))?;
        self.0.remove(at)
    }
}

fn read(value: Value) -> Result<Behaviour, String> {
    let behaviour: Behaviour = serde_json::from_value(value).map_err(|error| error.to_string())?;
    behaviour.contradiction().map_or(Ok(behaviour), Err)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Lines, Script};

    fn script(lines: Value) -> Result<Script, String> {
        let mut script = Script::default();
        let lines: Lines = serde_json::from_value(lines).unwrap();
        script.add(lines).map(|_| script)
    }

    #[test]
    fn each_behaviour_is_used_once_and_in_order() {
        let mut script = script(json!([{"say": "one"}, {"say": "two"}])).unwrap();
        let mut next = || script.take("hello", "m").and_then(|behaviour| behaviour.say);
        assert_eq!([next(), next(), next()], [Some("one".into()), Some("two".into()), None]);
    }

    #[test]
    fn a_behaviour_waits_for_the_request_it_is_meant_for() {
        let mut script = script(json!({"match": "weather", "say": "rain"})).unwrap();
        assert!(script.take("hello", "m").is_none());
        assert!(script.take("how is the weather", "m").is_some());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_nothing_of_it_is_kept() {
        let refusal = |lines| script(lines).unwrap_err();
        assert!(refusal(json!([{"say": "x"}, {"sy": "x"}])).contains("sy"));
        assert!(refusal(json!({"fail": 200})).contains("400"));
        assert!(refusal(json!({"fail": 500, "hang": true})).contains("one behaviour"));
    }
}
