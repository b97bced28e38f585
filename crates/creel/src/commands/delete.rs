//! `creel delete`: takes objects away. An agent's state is kept for seven days, unless it is purged.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::Value;

use super::kinds::{self, Kind};
use crate::args::Selected;
use crate::client::{Ask, Client};
use crate::failure::{Exit, Failure};
use crate::manifest::{self, Object};
use crate::out;
use crate::select::{self, AgentName};
use crate::session::Session;

/// Delete objects; an agent's state is kept for seven days
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel delete agent first             stop it; `creel undelete agent first` brings it back with its memory
  creel delete agent first --purge     stop it and remove its state for good; asks first
  creel delete agents -l team=sales
  creel delete -f fleet/               what these manifests describe, agents before tenants
  creel delete tenant acme")]
pub(crate) struct Args {
    /// agent, tenant, secret or release
    #[arg(value_parser = Kind::parse, required_unless_present = "files")]
    kind: Option<Kind>,
    /// Names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// What these manifests describe
    #[arg(short, long = "filename", value_name = "FILE", conflicts_with_all = ["kind", "names", "labels"])]
    files: Vec<PathBuf>,
    /// All agents with these labels: `team=sales,tier!=free`
    #[arg(short = 'l', long = "selector", value_name = "LABELS", conflicts_with = "names")]
    labels: Option<String>,
    /// Remove the state of the agents at once and for good; nothing brings it back
    #[arg(long)]
    purge: bool,
    /// Do not ask before purging
    #[arg(short, long, requires = "purge")]
    yes: bool,
}

/// What is to be deleted: a label for people, and its path in the API.
struct Target {
    kind: Kind,
    label: String,
    typed: String,
    segments: Vec<String>,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let targets = match args.kind {
        None => written(args, session)?,
        Some(Kind::Node) => return Err(Failure::usage("a node goes away by itself when its warden does")),
        Some(kind) => named(kind, args, session).await?,
    };
    if args.purge && !args.yes {
        agree_to_purge(&targets)?;
    }
    let client = session.client()?;
    for target in &targets {
        match delete(&client, target, args.purge).await {
            // What manifests describe is to be gone; that it is gone already is as good.
            Err(failure) if failure.exit == Exit::NotFound && args.kind.is_none() => {
                out::line(format!("{} is not there", target.label));
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

fn written(args: &Args, session: &Session) -> Result<Vec<Target>, Failure> {
    let mut manifests = manifest::load(&args.files, false, session.tenant())?;
    manifests.reverse();
    let target = |object: &Object| match object {
        Object::Tenant(tenant) => plain(Kind::Tenant, &tenant.metadata.name, session),
        Object::Agent(agent) => agent_target(&AgentName::of(agent)),
    };
    Ok(manifests.iter().map(|manifest| target(&manifest.object)).collect())
}

async fn named(kind: Kind, args: &Args, session: &Session) -> Result<Vec<Target>, Failure> {
    if kind == Kind::Agent {
        let selected = Selected { agents: args.names.clone(), labels: args.labels.clone() };
        let names = select::names(&session.client()?, session, &selected, false).await?;
        return Ok(names.iter().map(agent_target).collect());
    }
    if args.labels.is_some() || args.purge {
        return Err(Failure::usage("-l and --purge are for agents"));
    }
    if args.names.is_empty() {
        return Err(Failure::usage("nothing is named").cure("creel delete KIND NAME"));
    }
    Ok(args.names.iter().map(|name| plain(kind, name, session)).collect())
}

fn agent_target(name: &AgentName) -> Target {
    let segments = name.segments().map(str::to_owned).to_vec();
    Target { kind: Kind::Agent, label: name.label(), typed: name.typed(), segments }
}

fn plain(kind: Kind, name: &str, session: &Session) -> Target {
    let (tenant, bare) = kinds::place_of(kind, name, session.tenant());
    let mut segments: Vec<String> = kind.segments(tenant).iter().map(ToString::to_string).collect();
    segments.push(bare.to_owned());
    Target { kind, label: format!("{}/{name}", kind.word()), typed: name.to_owned(), segments }
}

fn agree_to_purge(targets: &[Target]) -> Result<(), Failure> {
    let labels: Vec<&str> = targets.iter().map(|target| target.label.as_str()).collect();
    let question = format!("Remove {} and all state for good? Nothing brings it back.", labels.join(", "));
    if out::agrees(&question) {
        return Ok(());
    }
    Err(Failure::new(Exit::Refused, "purging was not agreed to; nothing was deleted")
        .cure("agree, or add --yes"))
}

async fn delete(client: &Client, target: &Target, purge: bool) -> Result<(), Failure> {
    let segments: Vec<&str> = target.segments.iter().map(String::as_str).collect();
    let purge = purge && target.kind == Kind::Agent;
    let query: &[(&str, &str)] = if purge { &[("purge", "true")] } else { &[] };
    let _: Value = client.json(Ask::new(Method::DELETE, &segments).query(query)).await?;
    let note = match target.kind {
        Kind::Agent if purge => " with its state".into(),
        Kind::Agent => format!(" (its state is kept for seven days: creel undelete agent {})", target.typed),
        _ => String::new(),
    };
    out::line(format!("{} deleted{note}", target.label));
    Ok(())
}
