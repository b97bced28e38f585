//! A small model server that speaks OpenAI's chat protocol, for demos and tests: it needs no key and no internet, and
//! says in every answer that it is no AI. Its answers are made of nothing but the request's own messages, so that the
//! same conversation always gets the same answer, and an answer shows what the agent still remembers.
//!
//! Endpoints: `GET /v1/models`, `POST /v1/chat/completions` (streamed or not, with usage and tool calls),
//! `GET /practice/requests?after=N` (what it was asked), `POST` and `DELETE /practice/script` (how it is to behave:
//! see [`Behaviour`]). By hand, a line in the message itself is enough (see [`Directive`]).

mod answer;
mod behaviour;
mod conversation;
mod directive;
mod envelope;
mod record;
mod reply;
mod routes;
mod wire;

#[cfg(test)]
mod captured_tests;

use std::future::Future;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use crate::behaviour::{Behaviour, ScriptedCall};
pub use crate::directive::Directive;
pub use crate::record::{HeardMessage, HeardRequest, HeardRequests};

/// The name under which the model presents itself. It answers to every other name too.
pub const MODEL: &str = "practice-1";

/// How long answers may go on after the server was told to end.
const GRACE: Duration = Duration::from_secs(2);

/// How the server behaves where no script and no directive says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The pause before each word of an answer.
    pub delay_per_word_ms: u64,
    /// If set, every request must carry it as a bearer token.
    pub api_key: Option<String>,
}

/// Serves on `listener` until `shutdown` is over. Requests that hang are cut off then.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (end, ended) = watch::channel(false);
    let told = ended.clone();
    let server = axum::serve(listener, routes::router(options, ended));
    let server = server.with_graceful_shutdown(async move {
        shutdown.await;
        // Nobody listens any more only when no request is open, and then nothing has to be cut off.
        end.send_replace(true);
    });
    tokio::select! {
        result = server => result,
        () = overdue(told) => Ok(()),
    }
}

/// Over when the grace after the end is over: a client that never finishes its request must not hold the server.
async fn overdue(mut told: watch::Receiver<bool>) {
    // An error means that the server has already ended, and then the other branch has the result.
    if told.wait_for(|ended| *ended).await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(GRACE).await;
}
