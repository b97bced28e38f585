//! A request that is not done: one problem, with its cause and, where creel knows one, its cure. Faults of the
//! machine are logged here, once, because here they are handled.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use creel_api::problem::{Issue, Problem};
use creel_store::{CommitError, Fault};

/// The media type of problems (RFC 9457).
pub(crate) const PROBLEM: &str = "application/problem+json";

/// A request that is not done. Boxed, since every answer carries room for one.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Box<Problem>);

impl Refusal {
    fn new(word: &str, status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(word, status, title, detail)))
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new("not-found", 404, "not found", detail)
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new("bad-request", 400, "the request can't be read", detail)
    }

    pub(crate) fn invalid(detail: impl Into<String>, issues: Vec<Issue>) -> Self {
        let mut refusal = Self::new("invalid", 422, "this can't be wanted", detail);
        refusal.0.issues = issues;
        refusal
    }

    pub(crate) fn in_use(detail: impl Into<String>) -> Self {
        Self::new("in-use", 409, "it is in use", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new("conflict", 409, "this contradicts something else", detail)
    }

    pub(crate) fn changed_meanwhile(detail: impl Into<String>) -> Self {
        Self::new("changed-meanwhile", 412, "it was changed meanwhile", detail)
            .hint("read it again and repeat the change on what it is now")
    }

    pub(crate) fn token_missing(detail: impl Into<String>) -> Self {
        Self::new("token-wrong", 401, "not known", detail)
            .hint("`creel token show` prints the token of this machine's server; send it as `Authorization: Bearer TOKEN`")
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new("forbidden", 403, "not allowed", detail)
    }

    pub(crate) fn method(detail: impl Into<String>) -> Self {
        Self::new("method-not-allowed", 405, "this can't be done there", detail)
    }

    /// A refusal that came without a problem.
    pub(crate) fn foreign(status: u16, detail: &str) -> Self {
        let (word, title) = match status {
            413 => ("too-large", "the request is too large"),
            400..500 => ("bad-request", "the request can't be read"),
            _ => ("machine", "the server could not do it"),
        };
        Self::new(word, status, title, detail)
    }

    pub(crate) fn unready(detail: impl Into<String>) -> Self {
        Self::new("agent-not-ready", 503, "the agent is not ready", detail)
    }

    pub(crate) fn unreachable(detail: impl Into<String>) -> Self {
        Self::new("warden-silent", 503, "the agent's node is not heard", detail)
            .hint("`creel get nodes` shows what is heard; `creel up -d` starts the warden of this machine")
    }

    /// Something of this machine failed; `cause` is told and logged.
    pub(crate) fn machine(what: &str, cause: &dyn std::error::Error) -> Self {
        let cause = chain(cause);
        tracing::error!(%cause, "{what}");
        Self::new("machine", 500, "the server could not do it", format!("{what}: {cause}"))
            .hint("the server's log (`server.log` in the data folder) has more")
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::machine("the store failed", &fault)
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => {
                Self::conflict("another server changed the store at the same moment; nothing was done")
                    .hint("send the request again")
            }
            CommitError::Fault(fault) => fault.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        let mut response = (status, [kind], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
