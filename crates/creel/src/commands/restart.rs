//! `creel restart`: ends a gateway in good order and starts it again.

use std::time::Duration;

use creel_api::agent::Agent;
use reqwest::Method;
use serde_json::Value;

use crate::args::Selected;
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::out;
use crate::select::{self, AgentName};
use crate::session::Session;
use crate::spans;
use crate::waiting::{self, Awaited};

/// Restart agents
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel restart first --wait      and wait until it answers again
  creel restart a b c
  creel restart -l team=sales     all agents with a label")]
pub(crate) struct Args {
    #[command(flatten)]
    selected: Selected,
    /// Wait until the new gateways answer
    #[arg(long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "SPAN", default_value = "5m", value_parser = spans::parse)]
    timeout: Duration,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let names = select::names(&client, session, &args.selected, false).await?;
    let mut awaited = Vec::new();
    for name in names {
        awaited.push(restart(&client, name).await?);
    }
    if args.wait { waiting::until_running(&client, &awaited, args.timeout).await } else { Ok(()) }
}

async fn restart(client: &Client, name: AgentName) -> Result<Awaited, Failure> {
    let before: Agent = client.get(&name.segments()).await?;
    let status = before.status.unwrap_or_default();
    let _: Value = client.json(Ask::new(Method::POST, &name.segments_of("restart"))).await?;
    out::line(format!("{} restarting", name.label()));
    Ok(Awaited { name, change: status.generation.map_or(0, |it| it.number), not_pid: status.pid })
}
