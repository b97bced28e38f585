//! One question to a gateway over HTTP. What an answer means is OpenClaw's business (`creel_openclaw::health`).

use std::time::Duration;

use bytes::Bytes;
use creel_openclaw::health::{self, Health};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A probe answers in 1 to 2 ms; a gateway that starts may be busy for longer, and nothing depends on one answer.
const ANSWER: Duration = Duration::from_secs(2);

/// The contract is a few hundred bytes; a page of HTML is not read to its end.
const BODY_MOST: usize = 16 << 10;

/// What the gateway on this port says; none if it says nothing.
pub(crate) async fn ask(port: u16, path: &str) -> Option<Health> {
    let answer = tokio::time::timeout(ANSWER, get(port, path)).await.ok()??;
    Some(health::read(answer.0, &answer.1))
}

async fn get(port: u16, path: &str) -> Option<(u16, Bytes)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", "127.0.0.1").body(Empty::<Bytes>::new()).ok()?;
    let response = sender.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_MOST).collect().await.ok()?.to_bytes();
    connection.abort();
    Some((status, body))
}
