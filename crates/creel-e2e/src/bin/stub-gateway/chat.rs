//! The chat endpoint. What was said is on disk before the first word of the answer, so that a gateway killed in the
//! middle of it still remembers.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{self, Parts, Request};

/// What was said, for each conversation.
pub(crate) struct Sessions {
    file: PathBuf,
    writing: Mutex<()>,
}

impl Sessions {
    /// Those of this state folder.
    pub(crate) fn of(state: &Path) -> Self {
        Self { file: state.join("stub-sessions.json"), writing: Mutex::new(()) }
    }

    /// Adds what is said now and gives back all that was said in this conversation.
    fn remember(&self, key: &str, said: &str) -> io::Result<Vec<String>> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sessions: BTreeMap<String, Vec<String>> = match fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let session = sessions.entry(key.to_owned()).or_default();
        session.push(said.to_owned());
        let all = session.clone();
        self.write(&serde_json::to_vec(&sessions)?)?;
        Ok(all)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(new, &self.file)
    }
}

/// Answers a chat request.
pub(crate) fn answer(
    stream: &TcpStream,
    request: &Request,
    sessions: &Sessions,
    word_delay_ms: u64,
) -> io::Result<()> {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let Some(said) = last_words(&asked) else {
        return http::answer(
            stream,
            400,
            &error("`messages` holds no user message", "invalid_request_error"),
        );
    };
    let all = match request.header("x-openclaw-session-key") {
        Some(key) => sessions.remember(key, said)?,
        None => vec![said.to_owned()],
    };
    let text = text(&all);
    let model = asked.get("model").cloned().unwrap_or_default();
    if asked.get("stream") == Some(&json!(true)) {
        stream_words(stream, &text, &model, word_delay_ms)
    } else {
        let message = json!({"role": "assistant", "content": text});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        http::answer(stream, 200, &json!({"object": "chat.completion", "model": model, "choices": [choice]}))
    }
}

/// An error in the form of the real gateway's.
pub(crate) fn error(message: &str, kind: &str) -> Value {
    json!({"error": {"message": message, "type": kind}})
}

fn last_words(asked: &Value) -> Option<&str> {
    let messages = asked.get("messages")?.as_array()?;
    let last = messages.iter().rev().find(|message| message.get("role") == Some(&json!("user")))?;
    last.get("content")?.as_str()
}

fn text(all: &[String]) -> String {
    let Some((last, earlier)) = all.split_last() else { return String::new() };
    if earlier.is_empty() {
        return format!("You said: \"{last}\".");
    }
    let earlier: Vec<String> = earlier.iter().map(|said| format!("\"{said}\"")).collect();
    format!("You said: \"{last}\". Before that: {}.", earlier.join(", "))
}

fn stream_words(stream: &TcpStream, text: &str, model: &Value, word_delay_ms: u64) -> io::Result<()> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        json!({"object": "chat.completion.chunk", "model": model, "choices": [choice]}).to_string()
    };
    let mut parts = Parts::begin(stream)?;
    parts.send(&chunk(json!({"role": "assistant"}), Value::Null))?;
    for word in text.split_inclusive(' ') {
        thread::sleep(Duration::from_millis(word_delay_ms));
        parts.send(&chunk(json!({"content": word}), Value::Null))?;
    }
    parts.send(&chunk(json!({}), json!("stop")))?;
    parts.send("[DONE]")?;
    parts.end()
}
