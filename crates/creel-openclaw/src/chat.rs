//! Talking to an agent over its gateway's OpenAI-compatible endpoint: the request, and the answer as it streams in.
//!
//! Every answer ends with exactly one [`ChatPiece::Done`] or [`ChatPiece::Error`], also one that broke off.
//!
//! Which of the gateway's agents is meant must be said by name: the model `openclaw` means "the one agent", and a
//! config with several answers it with `400 … no explicit owner`. `openclaw/NAME` works with one agent and with
//! several, as long as NAME is in the config's roster (`main` where there is no roster) and the session key names
//! the same agent. [`owner`] finds NAME.

use serde_json::{Value, json};

use crate::config::at;

/// The agent of a config that names none.
pub const MAIN: &str = "main";

/// The longest event of an answer. A gateway sends a few hundred bytes; what is longer is no answer.
const EVENT_MOST: usize = 4 << 20;

/// A call to make to the gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatCall {
    /// For `POST`.
    pub path: &'static str,
    /// Names in lower case. One of them holds the gateway's token.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

impl std::fmt::Debug for ChatCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatCall").field("path", &self.path).field("body", &self.body).finish_non_exhaustive()
    }
}

/// A message to the agent of a config that has no roster.
pub fn request(token: &str, session: &str, message: &str) -> ChatCall {
    request_to(token, MAIN, session, message)
}

/// A message to this one of the config's agents (see [`owner`]), in one of its conversations.
pub fn request_to(token: &str, agent: &str, session: &str, message: &str) -> ChatCall {
    let messages = json!([{"role": "user", "content": message}]);
    let body = json!({"model": format!("openclaw/{agent}"), "stream": true, "messages": messages});
    ChatCall {
        path: "/v1/chat/completions",
        headers: vec![
            ("authorization", format!("Bearer {token}")),
            ("content-type", "application/json".to_owned()),
            ("accept", "text/event-stream".to_owned()),
            ("x-openclaw-session-key", session_key_of(agent, session)),
        ],
        body: body.to_string(),
    }
}

/// OpenClaw's key of a conversation with the agent of a config that has no roster.
pub fn session_key(session: &str) -> String {
    session_key_of(MAIN, session)
}

/// OpenClaw's key of a conversation with this agent. The gateway makes a new conversation for each call without one.
pub fn session_key_of(agent: &str, session: &str) -> String {
    format!("agent:{agent}:creel-{session}")
}

/// The agent that is meant when nobody says which: the only one, else the one that the config marks, else `main`,
/// else the first.
pub fn owner(config: &Value) -> String {
    let Some(config) = config.as_object() else { return MAIN.to_owned() };
    let roster = roster(config.get("agents").unwrap_or(&Value::Null));
    let named = at(config, "agents.defaults.systemAgent.agentId").and_then(Value::as_str);
    let known = |name: &&str| roster.iter().any(|(agent, _)| agent == name);
    let marked = roster.iter().find(|(_, marked)| *marked).map(|(agent, _)| agent.as_str());
    let first = roster.first().map(|(agent, _)| agent.as_str());
    let owner = named.filter(known).or(marked).or(Some(MAIN).filter(known)).or(first);
    owner.unwrap_or(MAIN).to_owned()
}

/// The agents of a config and whether each is marked as the default: `entries` by name, or the `list` of releases
/// before 2026.8.
fn roster(agents: &Value) -> Vec<(String, bool)> {
    let marked = |agent: &Value| agent.get("default") == Some(&Value::Bool(true));
    let entries = agents.get("entries").and_then(Value::as_object).into_iter().flatten();
    let entries = entries.map(|(name, agent)| (name.clone(), marked(agent)));
    let list = agents.get("list").and_then(Value::as_array).into_iter().flatten();
    let list = list.filter_map(|agent| Some((agent.get("id")?.as_str()?.to_owned(), marked(agent))));
    entries.chain(list).collect()
}

/// The cause in the body of an answer that is not 200.
pub fn refusal(status: u16, body: &[u8]) -> String {
    let parsed = serde_json::from_slice::<Value>(body).ok();
    let told = parsed.as_ref().and_then(error_message);
    told.unwrap_or_else(|| match status {
        401 | 403 => format!("the gateway refused creel's token ({status})"),
        404 => "the gateway does not serve its chat endpoint (404)".to_owned(),
        503 => "the gateway is starting or draining (503)".to_owned(),
        _ => format!("the gateway answered {status}"),
    })
}

fn error_message(body: &Value) -> Option<String> {
    let error = body.get("error")?;
    let message = error.as_str().or_else(|| error.get("message").and_then(Value::as_str))?;
    Some(message.to_owned())
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatPiece {
    /// Text to append.
    Text(String),
    /// The answer is complete.
    Done,
    /// There is no (more) answer, and why.
    Error(String),
}

/// Reads an answer from its bytes, however they are cut.
#[derive(Debug, Default)]
pub struct Deltas {
    /// What came of a line whose end has not come.
    line: Vec<u8>,
    /// The `data` lines of an event whose end has not come.
    data: Vec<u8>,
    ended: bool,
}

impl Deltas {
    /// Takes more bytes, gives what they complete. Nothing follows a `Done` or an `Error`.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<ChatPiece> {
        let mut pieces = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.ended {
                break;
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_line(&mut pieces);
            }
            if self.line.len() + self.data.len() > EVENT_MOST {
                self.fail("the gateway sent an event without end", &mut pieces);
            }
        }
        pieces
    }

    /// To be called when no more bytes come. An answer that has not ended is one that broke off.
    pub fn end(&mut self) -> Option<ChatPiece> {
        let broke_off = !self.ended;
        self.ended = true;
        broke_off
            .then(|| ChatPiece::Error("the answer broke off: the gateway closed the connection".to_owned()))
    }

    fn end_line(&mut self, pieces: &mut Vec<ChatPiece>) {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            self.end_event(pieces);
        } else if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
    }

    fn end_event(&mut self, pieces: &mut Vec<ChatPiece>) {
        let data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            self.ended = true;
            return pieces.push(ChatPiece::Done);
        }
        match serde_json::from_slice::<Value>(&data) {
            Ok(event) => self.take(&event, pieces),
            Err(_) => self.fail("the gateway sent something that is not JSON", pieces),
        }
    }

    fn take(&mut self, event: &Value, pieces: &mut Vec<ChatPiece>) {
        if let Some(message) = error_message(event) {
            return self.fail(&message, pieces);
        }
        let text = event.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default();
        if !text.is_empty() {
            pieces.push(ChatPiece::Text(text.to_owned()));
        }
    }

    fn fail(&mut self, message: &str, pieces: &mut Vec<ChatPiece>) {
        self.ended = true;
        pieces.push(ChatPiece::Error(message.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ANSWER: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\r\n\r\n\
        : a comment\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"Grüß \"}}]}\n\n\
        data:{\"choices\":[{\"delta\":\ndata: {\"content\":\"dich 🦞\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    fn read(chunks: &[&[u8]]) -> Vec<ChatPiece> {
        let mut deltas = Deltas::default();
        let pieces = chunks.iter().flat_map(|chunk| deltas.push(chunk)).collect::<Vec<_>>();
        pieces.into_iter().chain(deltas.end()).collect()
    }

    fn text(text: &str) -> ChatPiece {
        ChatPiece::Text(text.to_owned())
    }

    #[test]
    fn an_answer_is_read_piece_by_piece() {
        assert_eq!(read(&[ANSWER.as_bytes()]), [text("Grüß "), text("dich 🦞"), ChatPiece::Done]);
    }

    #[test]
    fn an_error_in_the_stream_ends_the_answer() {
        let stream = b"data: {\"error\":{\"message\":\"no key\",\"type\":\"auth\"}}\n\ndata: [DONE]\n\n";
        assert_eq!(read(&[stream]), [ChatPiece::Error("no key".into())]);
    }

    #[test]
    fn an_answer_that_breaks_off_ends_with_an_error() {
        let pieces = read(&[&ANSWER.as_bytes()[..ANSWER.len() - 2]]);
        assert!(
            matches!(pieces.last(), Some(ChatPiece::Error(why)) if why.contains("broke off")),
            "{pieces:?}"
        );
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let pieces = read(&[b"data: ", &vec![b'x'; EVENT_MOST + 1], b"y"]);
        assert!(matches!(pieces.as_slice(), [ChatPiece::Error(_)]), "{}", pieces.len());
    }

    #[test]
    fn a_call_names_the_agent_and_its_conversation_and_never_prints_the_token() {
        let call = request_to("t0ken", "work", "main", "hi");
        assert!(call.headers.contains(&("x-openclaw-session-key", "agent:work:creel-main".to_owned())));
        let body: Value = serde_json::from_str(&call.body).expect("JSON");
        assert_eq!((&body["model"], &body["stream"]), (&json!("openclaw/work"), &json!(true)));
        assert!(!format!("{call:?}").contains("t0ken"));
        assert_eq!(session_key("a"), "agent:main:creel-a");
    }

    #[test]
    fn the_owner_is_the_one_that_the_config_means() {
        let owners = [
            (json!({}), "main"),
            (json!({"agents": {"entries": {"work": {}}}}), "work"),
            (json!({"agents": {"entries": {"work": {}, "main": {}}}}), "main"),
            (json!({"agents": {"entries": {"work": {}, "play": {}}}}), "work"),
            (json!({"agents": {"entries": {"work": {}, "play": {"default": true}}}}), "play"),
            (json!({"agents": {"list": [{"id": "a"}, {"id": "b", "default": true}]}}), "b"),
            (
                json!({"agents": {"defaults": {"systemAgent": {"agentId": "play"}}, "entries": {"main": {}, "play": {}}}}),
                "play",
            ),
        ];
        for (config, expected) in owners {
            assert_eq!(owner(&config), expected, "{config}");
        }
    }

    #[test]
    fn a_refusal_tells_the_gateways_own_words_where_it_has_some() {
        assert_eq!(
            refusal(400, br#"{"error":{"message":"Unknown agent 'main'."}}"#),
            "Unknown agent 'main'."
        );
        assert!(refusal(404, b"<html>").contains("chat endpoint"));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_are_cut(cuts in proptest::collection::vec(0..ANSWER.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut from = 0;
            let mut chunks = Vec::new();
            for cut in cuts.into_iter().chain([ANSWER.len()]) {
                chunks.push(&ANSWER.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(read(&chunks), read(&[ANSWER.as_bytes()]));
        }

        #[test]
        fn no_bytes_break_the_reader_and_the_end_comes_once(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let pieces = read(&[&bytes]);
            let ends = pieces.iter().filter(|piece| !matches!(piece, ChatPiece::Text(_))).count();
            prop_assert_eq!(ends, 1);
        }
    }
}
