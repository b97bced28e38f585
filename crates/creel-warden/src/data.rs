//! The data path: what the server passes to an agent and back (chat, logs), over a Unix socket that only creel's own
//! user may open. Nothing here decides anything about an agent.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use creel_api::chat::{ChatEvent, ChatRequest};
use creel_api::problem::Problem;
use creel_openclaw::chat::{self, ChatPiece, Deltas};
use futures_util::Stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response as GatewayResponse};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::link::short_path;
use crate::logs;
use crate::node::{Contact, Node};

/// The socket's name in the data folder's `run`.
pub(crate) const SOCKET: &str = "warden.sock";

/// A gateway that says nothing for this long in the middle of an answer is not answering any more; upstream's own
/// limit for a cloud model that is idle is 120 s, for one of the house 300 s.
const SILENCE: Duration = Duration::from_secs(320);

/// OpenClaw takes interrupted turns up again within seconds of its start.
const RECOVERING: SignedDuration = SignedDuration::from_secs(60);

/// How often a message is handed to a gateway that takes interrupted turns up again, and the pause in between.
const TRIES: u32 = 15;
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// An answer that its reader does not take is held back, not piled up.
const PIECES_AHEAD: usize = 32;

/// Serves the data path for ever.
pub(crate) async fn serve(node: Arc<Node>) -> io::Result<Infallible> {
    let run = node.folder.run();
    let (_held, path) = short_path(&run, SOCKET)?;
    match fs::remove_file(run.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(run.join(SOCKET), fs::Permissions::from_mode(0o600))?;
    let routes = Router::new()
        .route("/agents/{uid}/chat", post(talk))
        .route("/agents/{uid}/logs", get(read_logs))
        .with_state(node);
    axum::serve(listener, routes).await?;
    Err(io::Error::other("the data path ended"))
}

/// Passes a message to the gateway and its answer back as it comes.
async fn talk(
    State(node): State<Arc<Node>>,
    Path(uid): Path<String>,
    Json(request): Json<ChatRequest>,
) -> Response {
    let Some(contact) = node.contact(&uid) else { return refuse(&not_ready(&node, &uid)) };
    let (tell, events) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        let last = match converse(&contact, &request, &tell).await {
            Ok(()) => ChatEvent::Done,
            Err(problem) => ChatEvent::Failed { problem: *problem },
        };
        // A reader that has gone away needs no last word.
        drop(tell.send(last).await);
    });
    let body = Body::from_stream(as_events(ReceiverStream::new(events)));
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], body).into_response()
}

fn as_events(events: impl Stream<Item = ChatEvent>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    use futures_util::StreamExt;
    events.map(|event| Ok(Bytes::from(event.as_sse())))
}

fn not_ready(node: &Node, uid: &str) -> Problem {
    let says = node.report(uid).map(|report| report.message);
    let says = says.unwrap_or_else(|| "this node does not know it".into());
    Problem::new("agent-not-ready", 503, "the agent is not ready", says).with_hint("try again in a moment")
}

fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
}

/// Hands the message over and passes the answer on. A gateway that has just come back takes interrupted turns up
/// again first, and refuses a message to such a conversation; it did not take that message, so it is sent again.
async fn converse(
    contact: &Contact,
    request: &ChatRequest,
    tell: &mpsc::Sender<ChatEvent>,
) -> Result<(), Box<Problem>> {
    let mut tries = 1;
    loop {
        match answer(contact, request, tell).await {
            Err(Failed { problem, before_a_word: true }) if came_back(contact) && tries < TRIES => {
                tracing::info!(%problem, tries, "a message is handed over again");
            }
            Err(failed) => return Err(failed.problem),
            Ok(()) => return Ok(()),
        }
        tries += 1;
        let message = "the gateway takes an interrupted turn up again first".into();
        drop(tell.send(ChatEvent::Waiting { message }).await);
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// No answer, and whether the gateway refused before it said a word: only then was the message not taken.
struct Failed {
    problem: Box<Problem>,
    before_a_word: bool,
}

impl From<Box<Problem>> for Failed {
    fn from(problem: Box<Problem>) -> Self {
        Self { problem, before_a_word: false }
    }
}

fn came_back(contact: &Contact) -> bool {
    Timestamp::now().duration_since(contact.ready_at) < RECOVERING
}

async fn answer(
    contact: &Contact,
    request: &ChatRequest,
    tell: &mpsc::Sender<ChatEvent>,
) -> Result<(), Failed> {
    let session = request.session.as_deref().unwrap_or("main");
    let call = chat::request_to(&contact.token, &contact.owner, session, &request.message);
    let response = send(contact.port, call).await.map_err(|cause| broken(&cause))?;
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        return Err(Failed { problem: refused(response).await, before_a_word: true });
    }
    if !response.status().is_success() {
        return Err(refused(response).await.into());
    }
    pass_on(response, tell).await
}

async fn pass_on(
    mut response: GatewayResponse<Incoming>,
    tell: &mpsc::Sender<ChatEvent>,
) -> Result<(), Failed> {
    let mut deltas = Deltas::default();
    let mut before_a_word = true;
    loop {
        let frame = tokio::time::timeout(SILENCE, response.body_mut().frame()).await.map_err(|_| silent())?;
        let Some(frame) = frame else {
            return deltas.end().map_or(Ok(()), |_| Err(broken("its connection ended").into()));
        };
        let Ok(data) = frame.map_err(|error| broken(&error.to_string()))?.into_data() else { continue };
        for piece in deltas.push(&data) {
            match piece {
                ChatPiece::Text(text) => {
                    before_a_word &= text.is_empty();
                    if tell.send(ChatEvent::Delta { text }).await.is_err() {
                        return Ok(()); // nobody reads any more; dropping the connection ends the turn
                    }
                }
                ChatPiece::Done => return Ok(()),
                ChatPiece::Error(text) => return Err(Failed { problem: model_failed(&text), before_a_word }),
            }
        }
    }
}

async fn send(port: u16, call: chat::ChatCall) -> Result<GatewayResponse<Incoming>, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::post(call.path).header("host", "127.0.0.1");
    let request = call.headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let request = request.body(Full::new(Bytes::from(call.body))).map_err(|error| error.to_string())?;
    sender.send_request(request).await.map_err(|error| error.to_string())
}

fn broken(cause: &str) -> Box<Problem> {
    let cause = format!("the gateway was lost in the middle of the answer: {cause}");
    Box::new(
    Problem::new("gateway-lost", 502, "the gateway was lost", cause)
        .with_hint("creel is bringing it back; OpenClaw takes the interrupted turn up again by itself, so ask what it found"),
    )
}

fn silent() -> Box<Problem> {
    let cause = format!("the gateway stopped answering: nothing came for {} s", SILENCE.as_secs());
    Box::new(
        Problem::new("gateway-silent", 504, "the gateway stopped answering", cause)
            .with_hint("look at `creel logs`; `creel restart` ends what it is doing"),
    )
}

fn model_failed(text: &str) -> Box<Problem> {
    Box::new(
        Problem::new(
            "turn-failed",
            502,
            "the agent could not answer",
            format!("the agent could not answer: {text}"),
        )
        .with_hint("`creel logs` has what the model's provider said"),
    )
}

async fn refused(response: GatewayResponse<Incoming>) -> Box<Problem> {
    let status = response.status();
    let body =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let detail = format!("the gateway refused the message: {}", chat::refusal(status.as_u16(), &body));
    Box::new(
        Problem::new("turn-refused", 502, "the gateway refused the message", detail)
            .with_hint("`creel logs` has more"),
    )
}

/// See [`logs`].
#[derive(Debug, Deserialize)]
struct LogQuery {
    tail: Option<usize>,
    #[serde(default)]
    follow: bool,
}

async fn read_logs(
    State(node): State<Arc<Node>>,
    Path(uid): Path<String>,
    Query(query): Query<LogQuery>,
) -> Response {
    let folder = node.folder.agent(&uid);
    if !folder.has_state() {
        let detail = "it has no folder on this node";
        return refuse(&Problem::new("no-log", 404, "there is no log of this agent", detail));
    }
    let lines = logs::stream(folder.log(), query.tail.unwrap_or(logs::TAIL), query.follow);
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(lines)).into_response()
}
