//! The data path: one HTTP request to a warden over its Unix socket. The server asks for nothing here but data.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use axum::body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::fs::{Mode, OFlags, open};
use tokio::net::UnixStream;

/// The warden did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreached {
    /// Nobody listens.
    #[error("nobody listens on the warden's socket {socket}")]
    Connect {
        /// Its path.
        socket: String,
        /// Why.
        source: io::Error,
    },
    /// It hung up.
    #[error("the warden hung up")]
    HungUp(#[from] hyper::Error),
}

/// Sends the request and gives the answer as it comes. The connection lives as long as the answer's body.
pub(crate) async fn send(
    socket: &str,
    request: Request<Full<bytes::Bytes>>,
) -> Result<Response<Incoming>, Unreached> {
    let failed = |source| Unreached::Connect { socket: socket.to_owned(), source };
    let stream = connect(Path::new(socket)).await.map_err(failed)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a warden ended early");
        }
    });
    Ok(sender.send_request(request).await?)
}

/// The answer passed on byte by byte.
pub(crate) fn passed_on(answer: Response<Incoming>) -> Body {
    Body::new(answer.into_body())
}

/// A socket's address holds 108 bytes; a path may be longer. So the folder is opened, and the address goes through it.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let folder: OwnedFd = open(
        socket.parent().unwrap_or(Path::new("/")),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let name = socket.file_name().unwrap_or_default();
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    UnixStream::connect(short).await
}
