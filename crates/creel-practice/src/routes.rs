//! The endpoints. A handler reads, has it decided, and carries it out; nothing is decided here.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::behaviour::{Lines, Script};
use crate::conversation::Conversation;
use crate::record::{HeardRequest, HeardRequests, Record};
use crate::reply::{Ending, Reply, Speech, decide};
use crate::wire::{self, ChatRequest, Heading, Usage, finish_reason};
use crate::{MODEL, Options};

/// The largest request: the longest conversation of the largest model is smaller.
const MOST_BYTES: usize = 64 << 20;

#[derive(Clone)]
struct Practice {
    options: Arc<Options>,
    memory: Arc<Mutex<Memory>>,
    ended: watch::Receiver<bool>,
}

#[derive(Default)]
struct Memory {
    script: Script,
    record: Record,
}

impl Practice {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each change is a single push or pop: a panic elsewhere can't leave half of one.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Over when the server ends.
    async fn end(mut self) {
        // An error means that the sender is gone, which is the end too.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }
}

/// All endpoints.
pub(crate) fn router(options: Options, ended: watch::Receiver<bool>) -> Router {
    let practice = Practice { options: Arc::new(options), memory: Arc::default(), ended };
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/practice/requests", get(requests))
        .route("/practice/script", post(add_to_script).delete(clear_script))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(practice.clone(), admit))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(practice)
}

async fn admit(State(practice): State<Practice>, request: Request, next: Next) -> Response {
    match &practice.options.api_key {
        Some(key) if bearer(request.headers()) != Some(key) => {
            failure(401, "the API key is not the one this practice model was started with")
        }
        _ => next.run(request).await,
    }
}

async fn unknown() -> Response {
    failure(
        404,
        "the practice model has /v1/models, /v1/chat/completions, /practice/requests and /practice/script",
    )
}

async fn models() -> Json<Value> {
    let model = json!({"id": MODEL, "object": "model", "created": 0, "owned_by": "creel"});
    Json(json!({"object": "list", "data": [model]}))
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn requests(State(practice): State<Practice>, Query(query): Query<After>) -> Json<HeardRequests> {
    Json(practice.memory().record.after(query.after))
}

async fn add_to_script(State(practice): State<Practice>, body: Bytes) -> Response {
    let lines = serde_json::from_slice::<Lines>(&body).map_err(|error| error.to_string());
    match lines.and_then(|lines| practice.memory().script.add(lines)) {
        Ok(waiting) => Json(json!({"waiting": waiting})).into_response(),
        Err(why) => failure(400, &why),
    }
}

async fn clear_script(State(practice): State<Practice>) -> StatusCode {
    practice.memory().script.clear();
    StatusCode::NO_CONTENT
}

async fn chat(State(practice): State<Practice>, headers: HeaderMap, body: Bytes) -> Response {
    let request: ChatRequest = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return failure(400, &format!("this is no chat request: {error}")),
    };
    let (number, reply) = take_up(&practice, &request, bearer(&headers));
    tokio::select! {
        response = carry_out(&practice, &request, number, reply) => response,
        () = practice.clone().end() => failure(503, "the practice model is ending"),
    }
}

/// Decides how the request is treated and puts it on record.
fn take_up(practice: &Practice, request: &ChatRequest, key: Option<&str>) -> (u64, Reply) {
    let heard = Conversation::of(&request.messages);
    let mut memory = practice.memory();
    let scripted = memory.script.take(heard.last(), &request.model);
    let reply = decide(request, &heard, scripted, &practice.options);
    let entry =
        HeardRequest { treatment: reply.ending.name(), said: heard.said, ..HeardRequest::of(request, key) };
    (memory.record.add(entry), reply)
}

async fn carry_out(practice: &Practice, request: &ChatRequest, number: u64, reply: Reply) -> Response {
    pause(reply.delay_ms).await;
    match reply.ending {
        Ending::Fail(status) => failure(status, "the practice model was told to fail"),
        Ending::Refuse => refusal(),
        Ending::Hang => std::future::pending().await,
        Ending::Speak(speech) => {
            let heading = Heading { number, model: request.model.clone() };
            speak(practice, request, &heading, &speech).await
        }
    }
}

async fn speak(practice: &Practice, request: &ChatRequest, heading: &Heading, speech: &Speech) -> Response {
    let usage = Usage::of(request, &speech.answer.text);
    if request.stream {
        let wants_usage = request.stream_options.unwrap_or_default().include_usage;
        let events = events(heading, speech, wants_usage.then_some(usage));
        return streamed(practice, events, speech.endless);
    }
    let words = u64::try_from(words(&speech.answer.text).count()).unwrap_or(u64::MAX);
    pause(words.saturating_mul(speech.delay_per_word_ms)).await;
    if speech.endless {
        return std::future::pending().await;
    }
    Json(heading.whole(&speech.answer.text, &speech.answer.calls, usage)).into_response()
}

/// A piece of a stream, and the pause before it.
type Event = (u64, String);

/// The whole stream. An endless one lacks everything that tells of an end.
fn events(heading: &Heading, speech: &Speech, usage: Option<Usage>) -> Vec<Event> {
    let answer = &speech.answer;
    let mut events = vec![(0, data(&heading.chunk(&json!({"role": "assistant", "content": ""}), None)))];
    events.extend(
        words(&answer.text)
            .map(|word| (speech.delay_per_word_ms, data(&heading.chunk(&json!({"content": word}), None)))),
    );
    let calls = answer.calls.iter().enumerate();
    let deltas = calls.flat_map(|(index, call)| heading.call_deltas(index, call));
    events.extend(deltas.map(|delta| (0, data(&heading.chunk(&delta, None)))));
    if !speech.endless {
        events.push((0, data(&heading.chunk(&json!({}), Some(finish_reason(&answer.calls))))));
        events.extend(usage.map(|usage| (0, data(&heading.usage_chunk(usage)))));
        events.push((0, "data: [DONE]\n\n".into()));
    }
    events
}

fn streamed(practice: &Practice, events: Vec<Event>, endless: bool) -> Response {
    let paced = stream::iter(events).then(|(ms, event)| async move {
        pause(ms).await;
        Ok::<_, Infallible>(event)
    });
    let silence = stream::pending().take(usize::from(endless));
    let body = Body::from_stream(paced.chain(silence).take_until(Box::pin(practice.clone().end())));
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], body).into_response()
}

fn data(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

/// Words with the space that follows them: together they are the text again, byte for byte.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace)
}

/// An answer whose body fails before its first byte: the HTTP library then closes the connection without a word.
fn refusal() -> Response {
    let broken = stream::once(async { Err::<Bytes, _>(std::io::Error::other("told to refuse")) });
    Body::from_stream(broken).into_response()
}

fn failure(status: u16, message: &str) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, Json(wire::error(status, message))).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value: &HeaderValue = headers.get(header::AUTHORIZATION)?;
    value.to_str().ok()?.strip_prefix("Bearer ")
}

/// A pause of nothing must not cost the timer's whole millisecond.
async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}
