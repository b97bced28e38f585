//! A message to an agent. While the agent is not ready the client is told why; then the answer of its warden is
//! passed on byte by byte. The last event is always `done` or `failed`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use creel_api::agent::{AgentStatus, Phase};
use creel_api::chat::{ChatEvent, ChatRequest};
use creel_api::problem::{Issue, Problem};
use creel_core::{fleet, place};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::agents::no_agent;
use super::body::Strict;
use crate::refusal::{Refusal, chain};
use crate::server::Server;
use crate::warden_socket::send;

/// How long an agent that is not ready is waited for, and at most.
const WAIT_MS: u64 = 120_000;
const WAIT_MOST_MS: u64 = 600_000;

/// The most characters of a conversation's name.
const SESSION_MOST: usize = 64;

/// Parts of an answer that may wait for a slow client; then the warden waits too.
const PARTS_MOST: usize = 16;

/// The most of a warden's refusal that is read.
const REFUSAL_MOST: usize = 64 << 10;

/// The pause before a message that was not taken is handed over again.
const AGAIN: Duration = Duration::from_millis(200);

/// Looked at least this often: a node falls silent without an event.
const BEAT: Duration = Duration::from_secs(1);

type Sender = mpsc::Sender<Result<Bytes, Infallible>>;

/// Hands the message to the agent and streams its answer: server-sent events, each a `ChatEvent`.
#[utoipa::path(post, path = "/api/v1/tenants/{tenant}/agents/{agent}/chat", tag = "agents",
    params(("tenant" = String, Path, description = "Its tenant."), ("agent" = String, Path, description = "Its name.")),
    request_body = ChatRequest,
    responses((status = 200, body = ChatEvent, content_type = "text/event-stream", description = "The last event is `done` or `failed`.")))]
pub(crate) async fn chat(
    State(server): State<Arc<Server>>,
    Path((tenant, name)): Path<(String, String)>,
    Strict(request): Strict<ChatRequest>,
) -> Result<Response, Refusal> {
    check(&request)?;
    let world = server.world();
    let record = world.agent(&tenant, &name).ok_or_else(|| no_agent(&world, &tenant, &name))?;
    let (sender, parts) = mpsc::channel(PARTS_MOST);
    tokio::spawn(converse(server, record.uid.clone(), request, sender));
    let kind = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((kind, Body::from_stream(ReceiverStream::new(parts))).into_response())
}

fn check(request: &ChatRequest) -> Result<(), Refusal> {
    let mut issues = Vec::new();
    if request.message.trim().is_empty() {
        issues.push(Issue { path: "message".into(), message: "is empty".into() });
    }
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let good = |name: &str| !name.is_empty() && name.len() <= SESSION_MOST && name.chars().all(word);
    if request.session.as_deref().is_some_and(|name| !good(name)) {
        let message = "may have letters, digits, `-` and `_`, at most 64".into();
        issues.push(Issue { path: "session".into(), message });
    }
    if issues.is_empty() { Ok(()) } else { Err(Refusal::invalid("the message can't be handed over", issues)) }
}

/// Waits for the agent, hands the message over, passes the answer on. An error here is a client that hung up: nobody
/// is left to tell.
async fn converse(server: Arc<Server>, uid: String, request: ChatRequest, sender: Sender) {
    let wait = Duration::from_millis(request.wait_ms.unwrap_or(WAIT_MS).min(WAIT_MOST_MS));
    let deadline = Instant::now() + wait;
    let mut waiting = Waiting { wait, deadline, told: String::new() };
    let refusal = loop {
        let socket = match waiting.until_ready(&server, &uid, &sender).await {
            Ok(socket) => socket,
            Err(refusal) => break refusal,
        };
        match pass_on(&socket, &uid, &request, &sender).await {
            Ok(()) => return,
            // The warden knows of an end before the server does; nothing was handed over, so it is waited for again.
            Err(NotPassed::NotTaken(_)) if Instant::now() < deadline => tokio::time::sleep(AGAIN).await,
            Err(NotPassed::NotTaken(refusal) | NotPassed::CutOff(refusal)) => break refusal,
        }
    };
    tell(&sender, &ChatEvent::Failed { problem: *refusal.0 }).await;
}

/// Why a message, or its answer, did not get through.
enum NotPassed {
    /// The message was not taken: it may be sent again.
    NotTaken(Refusal),
    /// The answer broke off, or was refused for good.
    CutOff(Refusal),
}

/// The wait for an agent that takes messages.
struct Waiting {
    wait: Duration,
    deadline: Instant,
    told: String,
}

impl Waiting {
    /// Waits until the agent takes messages; gives its warden's socket.
    async fn until_ready(&mut self, server: &Server, uid: &str, sender: &Sender) -> Result<String, Refusal> {
        let mut events = server.events.watch();
        loop {
            let why = match readiness(server, uid) {
                Readiness::Ready { socket } => return Ok(socket),
                Readiness::Never(refusal) => return Err(refusal),
                Readiness::NotYet { why } => why,
            };
            if Instant::now() >= self.deadline || sender.is_closed() {
                return Err(still_waiting(self.wait, &why));
            }
            if why != self.told {
                tell(sender, &ChatEvent::Waiting { message: why.clone() }).await;
                self.told = why;
            }
            let until = self.deadline.min(Instant::now() + BEAT);
            let _ = tokio::time::timeout_at(until, events.recv()).await; // an event, a gap or the beat: look again
        }
    }
}

enum Readiness {
    Ready { socket: String },
    NotYet { why: String },
    Never(Refusal),
}

fn readiness(server: &Server, uid: &str) -> Readiness {
    let (world, observed, now) = (server.world(), server.observed(), jiff::Timestamp::now());
    let Some(agent) = world.agents.get(uid).filter(|agent| agent.deleted.is_none()) else {
        return Readiness::Never(Refusal::not_found("the agent was deleted meanwhile"));
    };
    let status = fleet::status(&world, &observed.seen, agent, now);
    match status.phase {
        Phase::Running | Phase::Degraded => {}
        Phase::Failed | Phase::Suspended | Phase::Terminating => {
            return Readiness::Never(not_coming(&status));
        }
        _ => return Readiness::NotYet { why: sentence(&status) },
    }
    let node = agent.assignment.as_ref().map(|told| told.node.as_str()).unwrap_or_default();
    match observed.nodes.get(node).filter(|_| place::is_heard(&observed.seen, node, now)) {
        Some(said) => Readiness::Ready { socket: said.warden.socket.clone() },
        None => Readiness::NotYet { why: format!("the warden of node {node} is not heard") },
    }
}

fn sentence(status: &AgentStatus) -> String {
    let waiting = status.waiting.first().map(|waiting| waiting.message.clone());
    waiting
        .or_else(|| Some(status.message.clone()).filter(|m| !m.is_empty()))
        .unwrap_or_else(|| format!("{:?}", status.phase))
}

fn all_sentences(status: &AgentStatus) -> String {
    let sentences: Vec<&str> = status.waiting.iter().map(|waiting| waiting.message.as_str()).collect();
    if sentences.is_empty() { sentence(status) } else { sentences.join("; ") }
}

fn not_coming(status: &AgentStatus) -> Refusal {
    let why = format!("the agent is {:?}: {}", status.phase, all_sentences(status));
    Refusal::unready(why)
        .hint("`creel describe agent` and `creel logs` show more; `creel restart` tries again")
}

fn still_waiting(waited: Duration, why: &str) -> Refusal {
    Refusal::unready(format!("the agent was not ready within {} s: {why}", waited.as_secs()))
        .hint("`creel explain` shows what it waits for; the message was not handed over, send it again")
}

async fn pass_on(socket: &str, uid: &str, request: &ChatRequest, sender: &Sender) -> Result<(), NotPassed> {
    let unreached = |error: &dyn std::error::Error| Refusal::unreachable(chain(error));
    let asked = asked(uid, request).map_err(NotPassed::CutOff)?;
    let answer = send(socket, asked).await.map_err(|error| NotPassed::NotTaken(unreached(&error)))?;
    if !answer.status().is_success() {
        return Err(NotPassed::NotTaken(refused(answer).await));
    }
    let mut parts = answer.into_body().into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| NotPassed::CutOff(unreached(&error)))?;
        if sender.send(Ok(part)).await.is_err() {
            return Ok(()); // the client hung up; dropping the answer tells the warden
        }
    }
    Ok(())
}

fn asked(uid: &str, request: &ChatRequest) -> Result<Request<Full<Bytes>>, Refusal> {
    let body =
        serde_json::to_vec(request).map_err(|error| Refusal::machine("the message can't be sent", &error))?;
    Request::post(format!("/agents/{uid}/chat"))
        .header(header::HOST, "warden")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| Refusal::machine("the message can't be sent", &error))
}

/// What the warden says when it does not take the message.
pub(crate) async fn refused(answer: hyper::Response<hyper::body::Incoming>) -> Refusal {
    let status = answer.status().as_u16();
    let body = http_body_util::Limited::new(answer.into_body(), REFUSAL_MOST).collect().await;
    let bytes = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => Refusal(Box::new(problem)),
        Err(_) => {
            Refusal::unreachable(format!("the warden answered {status}: {}", String::from_utf8_lossy(&bytes)))
        }
    }
}

async fn tell(sender: &Sender, event: &ChatEvent) {
    let _ = sender.send(Ok(Bytes::from(event.as_sse()))).await; // a client may hang up
}
