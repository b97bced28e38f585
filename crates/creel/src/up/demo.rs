//! `creel up --demo`: from nothing to an agent's first answer. With a provider's key in the environment a real model
//! answers; without one the practice model does, and says so.

use std::time::Duration;

use creel_api::API_VERSION;
use creel_api::agent::Agent;
use creel_api::apply::{Applied, Outcome};
use creel_api::meta::DEFAULT_TENANT;
use creel_openclaw::provider::Provider;
use reqwest::Method;
use serde_json::{Value, json};

use super::{START_MOST, program, until_ready};
use crate::client::{Ask, Client};
use crate::commands::{release, secret};
use crate::data::Data;
use crate::failure::{Exit, Failure};
use crate::out;
use crate::select::AgentName;
use crate::talk::{self, Message};
use crate::waiting::{self, Awaited};

/// An exact release, so that the first thing people see is one that was tried with this creel, whatever upstream
/// published this morning.
const RELEASE: &str = "2026.9.6";

/// The agent's name.
const NAME: &str = "first";

const QUESTION: &str = "Hello! Who are you?";

/// A release is ~900 MB: on a slow line this takes a while.
const INSTALL_MOST: Duration = Duration::from_secs(3600);

const RUN_MOST: Duration = Duration::from_secs(600);

/// The first provider whose key is in the environment, and the key.
pub(super) fn key() -> Option<(Provider, String)> {
    Provider::ALL.into_iter().find_map(|provider| {
        let key = std::env::var(provider.key_variable()).ok()?;
        (!key.trim().is_empty()).then(|| (provider, key.trim().to_owned()))
    })
}

/// Brings the agent up and talks to it. Run again, it finds the agent there and talks again.
pub(super) async fn run(data: &Data) -> Result<(), Failure> {
    let ready = tokio::time::timeout(START_MOST, until_ready(data)).await;
    let client = ready.map_err(|_| Failure::new(Exit::TimedOut, "creel is not ready"))??;
    let name = AgentName::parse(NAME, DEFAULT_TENANT);
    let before: Option<Agent> = found(client.get(&name.segments()).await)?;
    let release =
        before.as_ref().and_then(|agent| agent.spec.release.clone()).unwrap_or_else(|| RELEASE.into());
    if before.is_none() || release == RELEASE {
        release::install(&client, RELEASE, INSTALL_MOST).await?;
    }
    let change = wish(&client, &name, before.is_some()).await?;
    waiting::until_running(&client, &[Awaited { name: name.clone(), change, not_pid: None }], RUN_MOST)
        .await?;
    let agent: Agent = client.get(&name.segments()).await?;
    out::line(format!("\nyou> {QUESTION}"));
    if uses_practice(&agent) {
        out::line("(the practice model answers: it is no AI, it shows that all parts work together)");
    }
    out::write(b"first> ");
    talk::send(&client, &Message { to: &name, text: QUESTION, session: None, wait: None, raw: false })
        .await?;
    hints(&client, data, &agent);
    Ok(())
}

/// Absence is an answer here.
fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

/// Applies the agent; an agent that is there keeps its model unless a key says otherwise. The revision to wait for.
async fn wish(client: &Client, name: &AgentName, exists: bool) -> Result<u64, Failure> {
    let spec = match key() {
        Some((provider, key)) => {
            let secret = format!("{}-api-key", provider.id());
            secret::set(client, DEFAULT_TENANT, &secret, key).await?;
            out::note(format!("the model is {}'s (key from {})", provider.title(), provider.key_variable()));
            json!({"release": RELEASE, "config": provider.config(), "secrets": {provider.key_path(): secret}})
        }
        None if exists => return Ok(0),
        None => json!({"release": RELEASE, "config": {"agents": {"defaults": {"model": practice_model()}}}}),
    };
    let wished = json!({"apiVersion": API_VERSION, "kind": "Agent",
        "metadata": {"name": name.name, "tenant": name.tenant}, "spec": spec});
    let applied: Applied<Value> = client.json(Ask::new(Method::PUT, &name.segments()).body(&wished)?).await?;
    let revision = applied.object["metadata"]["revision"].as_u64().unwrap_or(0);
    Ok(if applied.outcome == Outcome::Unchanged { 0 } else { revision })
}

/// The practice model as agents name it.
pub(crate) fn practice_model() -> String {
    format!("practice/{}", creel_practice::MODEL)
}

fn uses_practice(agent: &Agent) -> bool {
    let model = agent.spec.config.get("agents").map(|agents| &agents["defaults"]["model"]);
    model.is_some_and(|model| model.to_string().contains("practice/"))
}

fn hints(client: &Client, data: &Data, agent: &Agent) {
    let creel = program();
    out::line(format!("\nAPI     {}   (token: {creel} token show)", client.address()));
    out::line(format!("data    {}", data.path().display()));
    out::line(format!("agents  {creel} get agents"));
    out::line(format!("talk    {creel} chat {NAME}"));
    out::line(format!("log     {creel} logs {NAME} -f"));
    out::line(format!("stop    {creel} down"));
    if uses_practice(agent) {
        let names: Vec<&str> = Provider::ALL.iter().map(|provider| provider.key_variable()).collect();
        out::line(format!("\nFor a real model, set {} and run this again.", names.join(" or ")));
    }
}
