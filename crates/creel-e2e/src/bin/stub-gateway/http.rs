//! As much HTTP/1.1 as a gateway's clients need: one request for each connection, bodies with a length, answers whole
//! or in chunks. An answer in chunks that breaks off is seen as broken by the client, as with the real gateway.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// The longest line of a head.
const MOST_HEAD: u64 = 64 << 10;

/// The longest body.
const MOST_BODY: u64 = 16 << 20;

/// How long a client may take over its request.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
pub(crate) struct Request {
    /// `GET` and so on.
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    /// As it came.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads it, or fails if it is none.
    pub(crate) fn read(stream: &TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.take(MOST_HEAD));
        let first = line(&mut reader)?;
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(broken()) };
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let headers = headers(&mut reader)?;
        let mut request = Self { method: method.to_owned(), path, headers, body: Vec::new() };
        request.read_body(reader)?;
        Ok(request)
    }

    /// The value of a header; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn read_body(&mut self, mut reader: BufReader<io::Take<&TcpStream>>) -> io::Result<()> {
        let length = self.header("content-length").map_or(Ok(0), str::parse::<u64>);
        let length = length.ok().filter(|length| *length <= MOST_BODY).ok_or_else(broken)?;
        reader.get_mut().set_limit(length);
        reader.take(length).read_to_end(&mut self.body)?;
        if u64::try_from(self.body.len()).is_ok_and(|read| read == length) { Ok(()) } else { Err(broken()) }
    }
}

fn headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(broken)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.strip_suffix("\r\n").ok_or_else(broken)?;
    Ok(line.to_owned())
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "this is no HTTP request")
}

/// Answers with JSON.
pub(crate) fn answer(mut stream: &TcpStream, status: u16, body: &Value) -> io::Result<()> {
    write_whole(&mut stream, status, "application/json", &body.to_string())
}

/// Answers with a page.
pub(crate) fn page(mut stream: &TcpStream, body: &str) -> io::Result<()> {
    write_whole(&mut stream, 200, "text/html", body)
}

fn write_whole(stream: &mut &TcpStream, status: u16, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\n", reason(status));
    write!(stream, "{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

/// An answer whose parts come one by one.
pub(crate) struct Parts<'a>(&'a TcpStream);

impl<'a> Parts<'a> {
    /// Begins it.
    pub(crate) fn begin(mut stream: &'a TcpStream) -> io::Result<Self> {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )?;
        Ok(Self(stream))
    }

    /// One part.
    pub(crate) fn send(&mut self, data: &str) -> io::Result<()> {
        let event = format!("data: {data}\n\n");
        write!(self.0, "{:x}\r\n{event}\r\n", event.len())
    }

    /// Its proper end.
    pub(crate) fn end(mut self) -> io::Result<()> {
        write!(self.0, "0\r\n\r\n")
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}
