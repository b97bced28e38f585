//! A message to an agent, and its answer as it comes.

use std::time::Duration;

use creel_api::chat::{ChatEvent, ChatRequest};
use futures_util::StreamExt;
use reqwest::Method;

use crate::client::{Ask, Client};
use crate::failure::{Exit, Failure};
use crate::out;
use crate::select::AgentName;
use crate::sse::Events;

/// A message.
pub(crate) struct Message<'a> {
    pub(crate) to: &'a AgentName,
    pub(crate) text: &'a str,
    pub(crate) session: Option<&'a str>,
    /// How long to wait for an agent that is not ready.
    pub(crate) wait: Option<Duration>,
    /// Print the events as they are, one JSON object per line.
    pub(crate) raw: bool,
}

/// Sends the message and prints the answer while it comes.
pub(crate) async fn send(client: &Client, message: &Message<'_>) -> Result<(), Failure> {
    let request = ChatRequest {
        message: message.text.to_owned(),
        session: message.session.map(str::to_owned),
        wait_ms: message.wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
    };
    let segments = message.to.segments_of("chat");
    let response = client.stream(Ask::new(Method::POST, &segments).body(&request)?).await?;
    let (mut bytes, mut events) = (response.bytes_stream(), Events::default());
    let mut answer = Answer { raw: message.raw, open_line: false };
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.map_err(|error| answer.broken(client.lost(&error)))?;
        let complete = events.push(&chunk).map_err(|error| answer.broken(unreadable(&error.to_string())))?;
        for data in complete {
            if answer.take(&data)? {
                return Ok(());
            }
        }
    }
    Err(answer.broken(Failure::new(Exit::Refused, "the answer broke off before its end").cure(
        "the gateway may have ended in the middle of it: see `creel get agents`, then ask again; what was said \
         before is remembered",
    )))
}

/// What was printed of an answer.
struct Answer {
    raw: bool,
    open_line: bool,
}

impl Answer {
    /// Prints what an event says; true after the last one.
    fn take(&mut self, data: &str) -> Result<bool, Failure> {
        let event: ChatEvent =
            serde_json::from_str(data).map_err(|error| self.broken(unreadable(&error.to_string())))?;
        if self.raw {
            out::line(data);
        }
        match event {
            ChatEvent::Waiting { message } if !self.raw => out::note(format!("(waiting: {message})")),
            ChatEvent::Delta { text } if !self.raw && !text.is_empty() => {
                self.open_line = !text.ends_with('\n');
                out::write(text.as_bytes());
            }
            ChatEvent::Done => {
                self.end_line();
                return Ok(true);
            }
            ChatEvent::Failed { problem } => return Err(self.broken(Failure::of(problem))),
            _ => {}
        }
        Ok(false)
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.open_line) {
            out::line("");
        }
    }

    fn broken(&mut self, failure: Failure) -> Failure {
        self.end_line();
        failure
    }
}

fn unreadable(why: &str) -> Failure {
    Failure::refused(format!("the answer cannot be read: {why}"))
        .cure("is the server's version the same as that of this program? See `creel version`")
}
