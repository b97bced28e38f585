//! A message to an agent, and its answer as it comes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::problem::Problem;

/// A message to an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChatRequest {
    /// What is said; not empty.
    pub message: String,
    /// Which conversation: letters, digits, `-` and `_`, at most 64. The agent remembers each apart. Default: `main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// How long to wait for an agent that is not ready yet, before the message is handed to it. Default: 120,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// One server-sent event of an answer; its SSE event name is the value of `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ChatEvent {
    /// The message has not been handed over yet, and why.
    Waiting {
        /// In a sentence.
        message: String,
    },
    /// More of the answer.
    Delta {
        /// Text to append.
        text: String,
    },
    /// The answer is complete. Always the last event of a good answer.
    Done,
    /// There will be no (more) answer. Always the last event of a bad one.
    Failed {
        /// Why, and what to do.
        problem: Problem,
    },
}

impl ChatEvent {
    /// As a server-sent event: its name, its data, and the empty line that ends it.
    pub fn as_sse(&self) -> String {
        let name = match self {
            Self::Waiting { .. } => "waiting",
            Self::Delta { .. } => "delta",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
        };
        // Strings and numbers can always be written as JSON.
        let data = serde_json::to_string(self).unwrap_or_default();
        format!("event: {name}\ndata: {data}\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::ChatEvent;

    #[test]
    fn an_event_is_named_as_its_type_and_keeps_a_line_break_inside_its_data() {
        let event = ChatEvent::Delta { text: "a\nb".into() };
        assert_eq!(event.as_sse(), "event: delta\ndata: {\"type\":\"delta\",\"text\":\"a\\nb\"}\n\n");
    }
}
