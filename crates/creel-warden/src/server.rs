//! The link to the server: the warden asks what is desired, brings its reports, and fetches secrets. The server may
//! be away for any time; the last wish is kept on disk and goes on to hold.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use creel_api::meta::Generation;
use creel_api::node::{Desired, Heard, NodeReport, SecretValues, WardenInfo};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::folder::{NodeFolder, write_whole};
use crate::node::Node;

/// How long the server may hold an unchanged question.
const HOLD: Duration = Duration::from_secs(30);

/// The longest any other request may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The pause after the server was not reached.
const AGAIN: Duration = Duration::from_millis(500);

/// A warden is heard at least this often.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Reports are gathered for this long, so that a burst is one request.
const GATHER: Duration = Duration::from_millis(20);

/// Why the server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("no server has written its address here yet")]
    Unknown(#[source] io::Error),
    #[error("its address can't be read")]
    Address(#[source] serde_json::Error),
    #[error("it was not reached")]
    Unreached(#[source] reqwest::Error),
    #[error("it answered {status}: {text}")]
    Refused { status: u16, text: String },
}

/// Where the server of this machine is, as it wrote it down itself.
#[derive(Deserialize)]
struct Address {
    url: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ServerLink {
    folder: NodeFolder,
    node: String,
    client: reqwest::Client,
}

impl ServerLink {
    pub(crate) fn new(folder: NodeFolder, node: String) -> Self {
        // The server is on this machine or named by its administrator; a proxy for the internet must not stand between.
        let client = reqwest::Client::builder().no_proxy().build().unwrap_or_default();
        Self { folder, node, client }
    }

    /// What is desired, once it differs from what was read at `after`.
    async fn desired(&self, after: Generation) -> Result<Desired, ServerError> {
        let path = format!("desired?after={after}&waitMs={}", HOLD.as_millis());
        let request = self.request(reqwest::Method::GET, &path)?.timeout(HOLD + ANSWER);
        answer(request).await
    }

    async fn report(&self, report: &NodeReport) -> Result<Heard, ServerError> {
        answer(self.request(reqwest::Method::POST, "report")?.timeout(ANSWER).json(report)).await
    }

    /// The values of an agent's secrets.
    pub(crate) async fn secrets(&self, uid: &str) -> Result<SecretValues, ServerError> {
        answer(self.request(reqwest::Method::GET, &format!("agents/{uid}/secrets"))?.timeout(ANSWER)).await
    }

    /// Address and token are read each time: a server that was started anew may have others.
    fn request(&self, method: reqwest::Method, path: &str) -> Result<reqwest::RequestBuilder, ServerError> {
        let run = self.folder.run();
        let address = fs::read(run.join("server.json")).map_err(ServerError::Unknown)?;
        let address: Address = serde_json::from_slice(&address).map_err(ServerError::Address)?;
        let token = fs::read_to_string(run.join("node.token")).map_err(ServerError::Unknown)?;
        let url = format!("{}/api/v1/nodes/{}/{path}", address.url.trim_end_matches('/'), self.node);
        Ok(self.client.request(method, url).bearer_auth(token.trim()))
    }
}

async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, ServerError> {
    sent(request).await?.json().await.map_err(ServerError::Unreached)
}

async fn sent(request: reqwest::RequestBuilder) -> Result<reqwest::Response, ServerError> {
    let response = request.send().await.map_err(ServerError::Unreached)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.unwrap_or_default();
    Err(ServerError::Refused { status: status.as_u16(), text: text.chars().take(300).collect() })
}

/// What the server wanted when this node last heard from it.
pub(crate) fn last_desired(folder: &NodeFolder) -> Option<Desired> {
    let text = fs::read(folder.desired()).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(%error, "the last wish can't be read"))
        .ok()
}

/// Asks for ever what is desired, keeps it on disk, and passes it on.
pub(crate) async fn follow(node: Arc<Node>, mut pass_on: impl FnMut(&Desired)) {
    let mut at = Generation::default();
    let mut reached = true;
    loop {
        match node.server.desired(at).await {
            Ok(desired) => {
                reached = true;
                if desired.at != at {
                    at = desired.at;
                    keep(&node.folder, &desired);
                    pass_on(&desired);
                }
            }
            Err(error) => {
                if reached {
                    tracing::warn!(error = %crate::children::chain(&error), "no server; agents go on as they are");
                }
                reached = false;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

fn keep(folder: &NodeFolder, desired: &Desired) {
    let kept = serde_json::to_vec(desired).map_err(io::Error::from);
    let kept = kept.and_then(|text| write_whole(&folder.desired(), &text));
    if let Err(error) = kept {
        tracing::warn!(%error, "the wish could not be kept for a start without a server");
    }
}

/// Brings reports for ever: news at once, everything once the server was away, a sign of life in any case.
pub(crate) async fn bring_reports(node: Arc<Node>, socket: String) {
    let started_at = Some(Timestamp::now());
    let warden =
        WardenInfo { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").into(), started_at, socket };
    let mut complete = true;
    let mut releases = node.releases.subscribe();
    loop {
        releases.mark_unchanged();
        let report = NodeReport {
            warden: warden.clone(),
            capacity: node.capacity.clone(),
            conditions: node.conditions.clone(),
            agents: node.reports(complete),
            complete,
            releases: node.releases.all(),
        };
        match node.server.report(&report).await {
            Ok(heard) => {
                node.sent(&report.agents);
                complete = heard.complete_wanted || !news(&node, &mut releases).await;
            }
            Err(_) => {
                complete = true;
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Waits for news; false when there was none for so long that everything is said again, as a sign of life.
async fn news(node: &Node, releases: &mut tokio::sync::watch::Receiver<()>) -> bool {
    tokio::select! {
        () = node.news.notified() => {}
        _ = releases.changed() => {}
        () = tokio::time::sleep(REPORT_EVERY) => return false,
    }
    tokio::time::sleep(GATHER).await;
    true
}
