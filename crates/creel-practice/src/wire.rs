//! OpenAI's chat protocol, as far as it is spoken here. Reading is lenient (a client may send more than we know), and
//! writing is what the official clients expect.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a client asks.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct ChatRequest {
    /// Any name is answered to.
    #[serde(default)]
    pub(crate) model: String,
    /// The whole conversation, oldest first.
    pub(crate) messages: Vec<Message>,
    /// Whether to answer word by word.
    #[serde(default)]
    pub(crate) stream: bool,
    /// What to add to a stream.
    #[serde(default)]
    pub(crate) stream_options: Option<StreamOptions>,
    /// What the model may call.
    #[serde(default)]
    pub(crate) tools: Option<Vec<Tool>>,
}

/// What to add to a stream.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct StreamOptions {
    /// Whether the stream ends with the numbers of tokens.
    #[serde(default)]
    pub(crate) include_usage: bool,
}

/// One message of the conversation.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Message {
    /// `system`, `developer`, `user`, `assistant` or `tool`.
    #[serde(default)]
    pub(crate) role: String,
    /// A string, a list of parts, or null.
    #[serde(default)]
    pub(crate) content: Value,
}

impl Message {
    /// The texts it is made of; pictures and the like are left out.
    pub(crate) fn texts(&self) -> Vec<&str> {
        match &self.content {
            Value::String(text) => vec![text],
            Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
            _ => Vec::new(),
        }
    }
}

/// A tool that is offered.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Tool {
    /// Its name and its arguments.
    #[serde(default)]
    pub(crate) function: Function,
}

/// A function that may be called.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Function {
    /// Its name.
    #[serde(default)]
    pub(crate) name: String,
    /// A JSON schema of its arguments.
    #[serde(default)]
    pub(crate) parameters: Value,
}

/// A call of a tool, as answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ToolCall {
    /// The tool's name.
    pub(crate) name: String,
    /// JSON, as a string.
    pub(crate) arguments: String,
}

/// How many tokens it was. Four characters count as one: a plain rule that everybody can follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl Usage {
    /// Of a request and the text of its answer.
    pub(crate) fn of(request: &ChatRequest, answer: &str) -> Self {
        let asked: usize = request.messages.iter().flat_map(Message::texts).map(str::len).sum();
        let (prompt_tokens, completion_tokens) = (asked.div_ceil(4), answer.len().div_ceil(4));
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// What every chunk and every answer of one request has in common.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    /// The request's number among all.
    pub(crate) number: u64,
    /// The model's name, as the client wrote it.
    pub(crate) model: String,
}

impl Heading {
    /// One chunk of a streamed answer.
    pub(crate) fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        self.envelope(
            "chat.completion.chunk",
            &json!([{"index": 0, "delta": delta, "finish_reason": finish_reason}]),
        )
    }

    /// The chunk that tells the numbers of tokens.
    pub(crate) fn usage_chunk(&self, usage: Usage) -> Value {
        let mut chunk = self.envelope("chat.completion.chunk", &json!([]));
        chunk["usage"] = json!(usage);
        chunk
    }

    /// A whole answer at once.
    pub(crate) fn whole(&self, text: &str, calls: &[ToolCall], usage: Usage) -> Value {
        let mut message =
            json!({"role": "assistant", "content": if text.is_empty() { Value::Null } else { json!(text) }});
        if !calls.is_empty() {
            let calls = calls.iter().enumerate().map(|(index, call)| self.call(index, call));
            message["tool_calls"] = Value::Array(calls.collect());
        }
        let choice = json!([{"index": 0, "message": message, "finish_reason": finish_reason(calls)}]);
        let mut whole = self.envelope("chat.completion", &choice);
        whole["usage"] = json!(usage);
        whole
    }

    /// A call of a tool, whole.
    pub(crate) fn call(&self, index: usize, call: &ToolCall) -> Value {
        json!({"id": self.call_id(index), "type": "function", "function": call})
    }

    /// The two parts in which a call is streamed: who is called, then with what.
    pub(crate) fn call_deltas(&self, index: usize, call: &ToolCall) -> [Value; 2] {
        [
            json!({"tool_calls": [{"index": index, "id": self.call_id(index), "type": "function",
                                   "function": {"name": call.name, "arguments": ""}}]}),
            json!({"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]}),
        ]
    }

    fn call_id(&self, index: usize) -> String {
        format!("call_{}_{index}", self.number)
    }

    fn envelope(&self, object: &str, choices: &Value) -> Value {
        // `created` is a time for show only; a fixed one keeps equal questions to equal answers.
        json!({"id": format!("chatcmpl-practice-{}", self.number), "object": object, "created": 0,
               "model": self.model, "choices": choices})
    }
}

/// Why an answer is over.
pub(crate) fn finish_reason(calls: &[ToolCall]) -> &'static str {
    if calls.is_empty() { "stop" } else { "tool_calls" }
}

/// An error as OpenAI words it.
pub(crate) fn error(status: u16, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": status.to_string()}})
}
