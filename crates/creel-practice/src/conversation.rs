//! A conversation as a person would tell it: what was said, what the tools gave back since, and whether the last turn
//! was cut off. Everything else in the request is the gateway's own business.

use crate::envelope::{Heard, open};
use crate::wire::Message;

/// What a request's messages come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// What the person said, oldest first.
    pub(crate) said: Vec<String>,
    /// What tools gave back since the person spoke last.
    pub(crate) tool_results: Vec<String>,
    /// Whether the gateway told that the turn since the person's last words was cut off.
    pub(crate) interrupted: bool,
    /// If the request is a heartbeat: how it wants to be answered when there is nothing to do.
    pub(crate) heartbeat: Option<String>,
}

impl Conversation {
    /// Of these messages, oldest first.
    pub(crate) fn of(messages: &[Message]) -> Self {
        messages.iter().fold(Self::default(), Self::hear)
    }

    /// What the person said last, or nothing.
    pub(crate) fn last(&self) -> &str {
        self.said.last().map_or("", String::as_str)
    }

    fn hear(mut self, message: &Message) -> Self {
        match message.role.as_str() {
            "user" => return self.listen(open(message)),
            "tool" => self.tool_results.push(message.texts().concat().trim().to_owned()),
            _ => {}
        }
        self
    }

    fn listen(mut self, heard: Heard) -> Self {
        match heard {
            Heard::Words { text, interrupted } => {
                self.said.push(text);
                Self { said: self.said, interrupted, ..Self::default() }
            }
            Heard::Interruption => Self { interrupted: true, ..self },
            Heard::Heartbeat(word) => Self { heartbeat: Some(word), ..self },
            Heard::Context => self,
        }
    }
}
