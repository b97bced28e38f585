//! The smallest HTTP client that can time an answer: one request, one connection, read to its end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

/// A request that is not answered for this long has failed.
const ANSWER: Duration = Duration::from_secs(120);

/// Asks `address` (`127.0.0.1:PORT`) and gives back status and body.
pub(crate) fn ask(address: &str, method: &str, path: &str, token: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status.context("not an HTTP answer")?, body))
}

/// Whether the gateway on this port says that it has started.
pub(crate) fn has_started(port: u16) -> bool {
    let answer = ask(&format!("127.0.0.1:{port}"), "GET", "/startupz", "", "");
    matches!(answer, Ok((200, body)) if body.contains("\"started\""))
}
