//! The API as the commands use it: a request, then JSON, a stream, or a [`Failure`] that says why not.

use std::time::Duration;

use creel_api::problem::Problem;
use reqwest::{Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::{Exit, Failure, While};
use crate::place::{self, Place};

/// What a request without a stream may take, long polls of the server aside.
const ANSWER_MOST: Duration = Duration::from_secs(60);

/// What making a connection may take.
const CONNECT_MOST: Duration = Duration::from_secs(5);

/// A server, and what opens it.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// One question to the API.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) segments: &'a [&'a str],
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) body: Option<Value>,
}

impl<'a> Ask<'a> {
    /// Of this method, on this path below `/api/v1`.
    pub(crate) fn new(method: Method, segments: &'a [&'a str]) -> Self {
        Self { method, segments, query: &[], body: None }
    }

    pub(crate) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    pub(crate) fn body(self, body: &impl Serialize) -> Result<Self, Failure> {
        Ok(Self { body: Some(serde_json::to_value(body).during("could not write the request")?), ..self })
    }
}

impl Client {
    /// A client of this server. Nothing is sent yet.
    pub(crate) fn new(place: Place) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            Failure::usage(format!("`{}` is not the address of a server: {why}", place.url))
                .cure("write it like http://127.0.0.1:27335")
        };
        let base = Url::parse(&place.url).map_err(|error| wrong(&error.to_string()))?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("it must begin with http:// or https://"));
        }
        Ok(Self { http: http(&base)?, base, token: place.token })
    }

    /// The address, without a slash at its end.
    pub(crate) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The answer as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Failure> {
        let response = self.send(ask, Some(ANSWER_MOST)).await?;
        let bytes = response.bytes().await.map_err(|error| self.lost(&error))?;
        let bytes = if bytes.is_empty() { b"null".as_slice() } else { &bytes };
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::refused(format!(
                "the server at {} answered what creel cannot read: {error}",
                self.address()
            ))
            .cure("is its version the same as that of this program? See `creel version`")
        })
    }

    /// The object or list at this path.
    pub(crate) async fn get<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, Failure> {
        self.json(Ask::new(Method::GET, segments)).await
    }

    /// The answer as it comes.
    pub(crate) async fn stream(&self, ask: Ask<'_>) -> Result<Response, Failure> {
        self.send(ask, None).await
    }

    /// Whether the server answers at all.
    pub(crate) async fn answers(&self) -> bool {
        let sent = self.http.get(self.address().to_owned() + "/healthz").timeout(CONNECT_MOST).send().await;
        sent.is_ok_and(|response| response.status().is_success())
    }

    async fn send(&self, ask: Ask<'_>, most: Option<Duration>) -> Result<Response, Failure> {
        let mut request = self.http.request(ask.method, self.url(ask.segments, ask.query));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &ask.body {
            request = request.json(body);
        }
        if let Some(most) = most {
            request = request.timeout(most);
        }
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// Each segment is escaped, so that a name with a slash cannot reach another path.
    fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1"]).extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let bytes = response.bytes().await.unwrap_or_default();
        let problem = serde_json::from_slice::<Problem>(&bytes).unwrap_or_else(|_| {
            let detail = format!("{} answered {status}, and not as a creel server does", self.address());
            Problem::new("not-creel", status.as_u16(), "Not a creel server", detail)
        });
        let needs_token = status == StatusCode::UNAUTHORIZED && problem.hint.is_none();
        let cure = "give the token with --token or CREEL_TOKEN; `creel token show` prints it on the server's machine";
        Failure::of(if needs_token { problem.with_hint(cure) } else { problem })
    }

    /// The failure behind a request that got no answer.
    pub(crate) fn lost(&self, error: &reqwest::Error) -> Failure {
        if error.is_connect() {
            return place::no_server(&format!("no creel server answers at {}", self.address()));
        }
        let timed_out = error.is_timeout();
        let exit = if timed_out { Exit::TimedOut } else { Exit::NoServer };
        let what = if timed_out { "did not answer in time" } else { "broke the connection off" };
        Failure::new(exit, format!("the server at {} {what}", self.address()))
            .cure("see `creel doctor`, and `log/server.log` in the data folder")
    }
}

fn http(base: &Url) -> Result<reqwest::Client, Failure> {
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT_MOST);
    if base.scheme() == "http" {
        // Without TLS no certificates are needed: a machine without any (a bare container) must do as well.
        builder = builder.tls_certs_only([]);
    }
    if matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        // A proxy of the network would look for creel on its own machine.
        builder = builder.no_proxy();
    }
    builder.build().during("could not prepare a connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, Failure> {
        Client::new(Place { url: url.into(), token: None })
    }

    #[test]
    fn a_name_can_never_reach_another_path() {
        let client = client("http://127.0.0.1:1/base/").unwrap();
        assert_eq!(
            client.url(&["agents", "../a b/ü"], &[("l", "a=b,c")]).as_str(),
            "http://127.0.0.1:1/base/api/v1/agents/..%2Fa%20b%2F%C3%BC?l=a%3Db%2Cc"
        );
    }

    #[test]
    fn an_address_that_is_none_is_wrong_usage() {
        assert_eq!(client("127.0.0.1:1").err().unwrap().exit, Exit::Usage);
        assert_eq!(client("ftp://x").err().unwrap().exit, Exit::Usage);
    }
}
