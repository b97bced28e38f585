//! `creel get`: the objects of a kind, as a table or exactly as the API gives them.

use creel_api::meta::List;
use creel_api::release::{Channel, Releases};
use jiff::Timestamp;
use serde_json::Value;

use super::kinds::{self, Kind};
use crate::args::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::out;
use crate::select::{self, Filter};
use crate::session::Session;
use crate::views::{self, Columns};

/// Show agents, tenants, secrets, releases or nodes
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel get agents                       those of the tenant `default`
  creel get agents -A -o wide            those of all tenants, with more columns
  creel get agents -l team=sales         those with a label
  creel get agent first -o yaml          one, as it was written and as it is
  creel get agents --deleted             those whose deletion can be taken back
  creel get agents -A -o json            for scripts: {\"apiVersion\",\"kind\":\"List\",\"items\":[…]}
  creel get releases
  creel get nodes -o wide")]
pub(crate) struct Args {
    /// agents, tenants, secrets, releases or nodes
    #[arg(value_parser = Kind::parse)]
    kind: Kind,
    /// Names; without one all are shown
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only agents with these labels: `team=sales,tier!=free`
    #[arg(short = 'l', long = "selector", value_name = "LABELS", conflicts_with = "names")]
    labels: Option<String>,
    /// Deleted agents whose state is still kept, instead of those that live
    #[arg(long, conflicts_with = "names")]
    deleted: bool,
}

impl Args {
    /// All objects of a kind.
    pub(super) fn all(kind: Kind) -> Self {
        Self { kind, names: vec![], labels: None, deleted: false }
    }
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    if args.kind != Kind::Agent && (args.labels.is_some() || args.deleted) {
        return Err(Failure::usage("only agents can be chosen by -l and --deleted"));
    }
    let client = session.client()?;
    let (raw, items) = match args.names.as_slice() {
        [] => all(args, session, &client).await?,
        names => named(args.kind, names, session, &client).await?,
    };
    if kinds::print_raw(&raw, session)? {
        return Ok(());
    }
    if items.is_empty() {
        out::note(nothing(args, session));
        return Ok(());
    }
    out::line(shown(args.kind, items, session)?);
    if args.kind == Kind::Release {
        kinds::typed::<Releases>(raw)?.channels.iter().for_each(|channel| out::note(told(channel)));
    }
    Ok(())
}

/// What a channel that agents follow resolves to, or why that is not known.
fn told(channel: &Channel) -> String {
    let fault = channel.fault.as_deref().map(|fault| format!(" ({fault})")).unwrap_or_default();
    match &channel.version {
        Some(version) => format!("channel {} is {version}{fault}", channel.name),
        None => format!("channel {} is not known yet{fault}", channel.name),
    }
}

/// What the API gave, and the objects in it.
async fn all(args: &Args, session: &Session, client: &Client) -> Result<(Value, Vec<Value>), Failure> {
    let raw = match args.kind {
        Kind::Agent => {
            let labels = args.labels.as_deref();
            select::list(client, Filter { deleted: args.deleted, ..Filter::of(session, labels) }).await?
        }
        Kind::Secret if session.global.all_tenants => secrets_of_all(client).await?,
        kind => client.get(&kind.segments(session.tenant())).await?,
    };
    let items = kinds::typed::<List<Value>>(raw.clone())?.items;
    Ok((raw, items))
}

async fn secrets_of_all(client: &Client) -> Result<Value, Failure> {
    let tenants: List<creel_api::tenant::Tenant> = client.get(&["tenants"]).await?;
    let mut items = Vec::new();
    for tenant in &tenants.items {
        let list: List<Value> = client.get(&Kind::Secret.segments(&tenant.metadata.name)).await?;
        items.extend(list.items);
    }
    Ok(kinds::list_of(&items))
}

async fn named(
    kind: Kind,
    names: &[String],
    session: &Session,
    client: &Client,
) -> Result<(Value, Vec<Value>), Failure> {
    let mut items = Vec::new();
    for name in names {
        items.push(one(kind, name, session, client).await?);
    }
    let raw = if let [only] = items.as_slice() { only.clone() } else { kinds::list_of(&items) };
    Ok((raw, items))
}

/// One object exactly as the API gives it. Where the API has only a list, it is looked up there.
pub(crate) async fn one(
    kind: Kind,
    name: &str,
    session: &Session,
    client: &Client,
) -> Result<Value, Failure> {
    let (tenant, name) = kinds::place_of(kind, name, session.tenant());
    let mut segments = kind.segments(tenant);
    if matches!(kind, Kind::Agent | Kind::Tenant) {
        segments.push(name);
        return client.get(&segments).await;
    }
    let list: List<Value> = client.get(&segments).await?;
    let found = list.items.into_iter().find(|item| item["metadata"]["name"] == name);
    found.ok_or_else(|| {
        Failure::new(crate::failure::Exit::NotFound, format!("there is no {} `{name}`", kind.word()))
            .cure(format!("see all with `creel get {}s`", kind.word()))
    })
}

fn shown(kind: Kind, items: Vec<Value>, session: &Session) -> Result<String, Failure> {
    let (now, items) = (Timestamp::now(), Value::Array(items));
    let columns = Columns { tenants: session.global.all_tenants, wide: session.output() == Output::Wide };
    Ok(match kind {
        Kind::Agent => views::agents(&kinds::typed::<Vec<_>>(items)?, columns, now),
        Kind::Tenant => views::tenants(&kinds::typed::<Vec<_>>(items)?, now),
        Kind::Secret => views::secrets(&kinds::typed::<Vec<_>>(items)?, columns, now),
        Kind::Release => views::releases(&kinds::typed::<Vec<_>>(items)?, now),
        Kind::Node => views::nodes(&kinds::typed::<Vec<_>>(items)?, columns, now),
    })
}

fn nothing(args: &Args, session: &Session) -> String {
    let word = args.kind.word();
    let place = match args.kind {
        Kind::Agent | Kind::Secret if !session.global.all_tenants => {
            format!(" in the tenant `{}` (all tenants: -A)", session.tenant())
        }
        _ => String::new(),
    };
    let which = if args.labels.is_some() { " with these labels" } else { "" };
    let which = if args.deleted { " that was deleted" } else { which };
    format!("there is no {word}{which}{place}")
}
