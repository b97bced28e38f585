//! `creel release`: which OpenClaw versions are on the nodes.

use std::time::{Duration, Instant};

use creel_api::release::{Release, ReleaseOnNode, ReleaseState};
use reqwest::Method;
use serde_json::Value;

use super::get;
use super::kinds::Kind;
use crate::client::{Ask, Client};
use crate::failure::{Exit, Failure};
use crate::out;
use crate::progress::{LOOK_EVERY, Progress, Step};
use crate::session::Session;
use crate::spans;

/// List, install and remove releases of OpenClaw
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel release list
  creel release install 2026.9.6           fetch it with the right Node.js, check it, show that it runs
  creel release install 2026.9.6 --no-wait
  creel release rm 2026.8.2                when no agent uses it")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Show the releases there are, and on which nodes
    #[command(
        visible_alias = "ls",
        after_long_help = "EXAMPLES\n  creel release list\n  creel release list -o json"
    )]
    List,
    /// Install a release on every node; it stays when no agent uses it
    #[command(
        after_long_help = "EXAMPLES\n  creel release install 2026.9.6\n  creel release install 2026.9.6 --timeout 1h"
    )]
    Install {
        /// An exact OpenClaw version
        version: String,
        /// Do not wait until it is there
        #[arg(long)]
        no_wait: bool,
        /// How long to wait at most
        #[arg(long, value_name = "SPAN", default_value = "30m", value_parser = spans::parse)]
        timeout: Duration,
    },
    /// Remove releases that no agent uses
    #[command(visible_alias = "delete", after_long_help = "EXAMPLES\n  creel release rm 2026.8.2")]
    Rm {
        /// Versions
        #[arg(required = true, value_name = "VERSION")]
        versions: Vec<String>,
    },
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    match &args.verb {
        Verb::List => get::run(&get::Args::all(Kind::Release), session).await,
        Verb::Install { version, no_wait, timeout } => {
            let client = session.client()?;
            if *no_wait {
                ask_for(&client, version).await?;
                out::line(format!("release/{version} will be installed"));
                return Ok(());
            }
            install(&client, version, *timeout).await?;
            out::line(format!("release/{version} installed"));
            Ok(())
        }
        Verb::Rm { versions } => remove(&session.client()?, versions).await,
    }
}

/// Says that the release is wanted.
async fn ask_for(client: &Client, version: &str) -> Result<(), Failure> {
    let _: Value = client.json(Ask::new(Method::PUT, &["releases", version])).await?;
    Ok(())
}

async fn remove(client: &Client, versions: &[String]) -> Result<(), Failure> {
    for version in versions {
        let _: Value = client.json(Ask::new(Method::DELETE, &["releases", version])).await?;
        out::line(format!("release/{version} will be removed"));
    }
    Ok(())
}

/// Wants the release and waits until it is on every node, showing how far it is.
pub(crate) async fn install(client: &Client, version: &str, most: Duration) -> Result<(), Failure> {
    let before = on_nodes(client, version).await?;
    ask_for(client, version).await?;
    let mut progress = Progress::new();
    let result = watch(client, version, most, &before, &mut progress).await;
    progress.clear();
    result
}

/// A failure that was there before it was asked for is not the answer: the nodes are about to try again.
async fn watch(
    client: &Client,
    version: &str,
    most: Duration,
    before: &[ReleaseOnNode],
    progress: &mut Progress,
) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let nodes = on_nodes(client, version).await?;
        for on in &nodes {
            progress.show(&format!("release/{version}"), &step(on));
        }
        if !nodes.is_empty() && nodes.iter().all(|on| matches!(on.state, ReleaseState::Installed { .. })) {
            return Ok(());
        }
        if let Some(failure) =
            nodes.iter().filter(|on| !before.contains(on)).find_map(|on| failed(version, on))
        {
            return Err(failure);
        }
        if began.elapsed() >= most {
            let cause = format!("release/{version} is not installed after {} s", most.as_secs());
            return Err(
                Failure::new(Exit::TimedOut, cause).cure("creel goes on by itself; see `creel release list`")
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn on_nodes(client: &Client, version: &str) -> Result<Vec<ReleaseOnNode>, Failure> {
    let list: creel_api::meta::List<Release> = client.get(&["releases"]).await?;
    let found = list.items.into_iter().find(|release| release.metadata.name == version);
    Ok(found.map(|release| release.status.nodes).unwrap_or_default())
}

fn step(on: &ReleaseOnNode) -> Step {
    match &on.state {
        ReleaseState::Absent => {
            Step { word: "absent".into(), sentence: "about to begin".into(), permille: None }
        }
        ReleaseState::Installing { step, permille } => {
            Step { word: step.clone(), sentence: step.clone(), permille: Some(*permille) }
        }
        ReleaseState::Installed { .. } => {
            Step { word: "installed".into(), sentence: "installed".into(), permille: Some(1000) }
        }
        ReleaseState::Failed { message, .. } => {
            Step { word: "failed".into(), sentence: message.clone(), permille: None }
        }
    }
}

fn failed(version: &str, on: &ReleaseOnNode) -> Option<Failure> {
    let ReleaseState::Failed { message, retry_at } = &on.state else { return None };
    let again = retry_at.map_or(String::new(), |at| format!("; creel tries again at {at}"));
    let failure =
        Failure::refused(format!("release/{version} could not be installed on {}: {message}", on.node));
    Some(
        failure
            .cure(format!("is the version right, and the npm registry reachable? See `creel doctor`{again}")),
    )
}
