//! What the model was asked, for tests to look at: the newest requests, numbered from 1 without a gap, and never a key
//! in clear.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::wire::{ChatRequest, Message};

/// The most requests that are kept.
const MOST: usize = 1000;

/// The most characters of a message that are kept.
const SHORT: usize = 300;

/// The most characters of a key that are shown; of a short key, fewer.
const KEY_ENDING: usize = 4;

/// The answer of `GET /practice/requests`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeardRequests {
    /// The number of the newest request, 0 if there was none: ask for those `after` it next time.
    pub last: u64,
    /// Oldest first.
    pub requests: Vec<HeardRequest>,
}

/// A chat request that came in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeardRequest {
    /// The first is 1.
    pub number: u64,
    /// The model that was asked for.
    pub model: String,
    /// Whether it wanted a stream.
    pub stream: bool,
    /// The last four characters of the bearer token (at most half of it), to tell which one was used; absent without
    /// one.
    pub key_ending: Option<String>,
    /// All that the person said in this conversation, oldest first, without the gateway's wrappings.
    pub said: Vec<String>,
    /// The raw messages, shortened.
    pub messages: Vec<HeardMessage>,
    /// The names of the tools that were offered.
    pub tools: Vec<String>,
    /// How it was treated: `say`, `toolCalls`, `fail 500`, `refuse` or `hang`.
    pub treatment: String,
}

/// A message of a request, shortened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeardMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// Its first 300 characters.
    pub text: String,
}

impl HeardRequest {
    /// The raw part of a request; what it came to is added when it is known.
    pub(crate) fn of(request: &ChatRequest, key: Option<&str>) -> Self {
        Self {
            model: request.model.clone(),
            stream: request.stream,
            key_ending: key.map(ending),
            messages: request.messages.iter().map(shortened).collect(),
            tools: request.tools.iter().flatten().map(|tool| tool.function.name.clone()).collect(),
            ..Self::default()
        }
    }
}

fn shortened(message: &Message) -> HeardMessage {
    let text: String = message.texts().join("\n\n").chars().take(SHORT).collect();
    HeardMessage { role: message.role.clone(), text }
}

fn ending(key: &str) -> String {
    let length = key.chars().count();
    key.chars().skip(length - KEY_ENDING.min(length / 2)).collect()
}

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct Record {
    last: u64,
    requests: VecDeque<HeardRequest>,
}

impl Record {
    /// Adds a request and gives it its number.
    pub(crate) fn add(&mut self, request: HeardRequest) -> u64 {
        self.last += 1;
        if self.requests.len() == MOST {
            self.requests.pop_front();
        }
        self.requests.push_back(HeardRequest { number: self.last, ..request });
        self.last
    }

    /// The requests with a greater number than this.
    pub(crate) fn after(&self, number: u64) -> HeardRequests {
        let newer = self.requests.iter().filter(|request| request.number > number);
        HeardRequests { last: self.last, requests: newer.cloned().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::{HeardRequest, Record, ending};

    #[test]
    fn of_a_key_only_its_end_is_kept_and_never_more_than_half() {
        assert_eq!(ending("sk-practice-abcd"), "abcd");
        assert_eq!(ending("abcd"), "cd");
        assert_eq!(ending(""), "");
    }

    #[test]
    fn old_requests_make_room_for_new_ones() {
        let mut record = Record::default();
        for number in 1..=1500 {
            assert_eq!(record.add(HeardRequest::default()), number);
        }
        let kept = record.after(0);
        assert_eq!((kept.last, kept.requests.len(), kept.requests[0].number), (1500, 1000, 501));
        assert!(record.after(1500).requests.is_empty());
    }
}
