//! `creel describe`: all that is known of an object, for a person.

use creel_api::event::HistoryEntry;
use jiff::Timestamp;
use serde_json::Value;

use super::get;
use super::kinds::{self, Kind};
use crate::args::Selected;
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::out;
use crate::select::{self, AgentName};
use crate::session::Session;
use crate::spans;
use crate::table;
use crate::yaml;

/// How many of the last changes are shown.
const HISTORY_LINES: usize = 10;

/// Show all that is known of an object
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel describe agent first             spec, status and the last changes
  creel describe agents -l team=sales
  creel describe tenant acme
  creel describe release 2026.9.6
  creel describe node $(hostname)")]
pub(crate) struct Args {
    /// agent, tenant, secret, release or node
    #[arg(value_parser = Kind::parse)]
    kind: Kind,
    /// Names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All agents with these labels: `team=sales,tier!=free`
    #[arg(short = 'l', long = "selector", value_name = "LABELS", conflicts_with = "names")]
    labels: Option<String>,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let names = names(args, session, &client).await?;
    let mut raw = Vec::new();
    for name in &names {
        let object = get::one(args.kind, name, session, &client).await?;
        if session.is_for_scripts() {
            raw.push(object);
            continue;
        }
        out::line(text(args.kind, &object));
        if args.kind == Kind::Agent {
            let name = AgentName::parse(name, session.tenant());
            out::line(history(&changes(&client, &name).await?, Timestamp::now()));
        }
    }
    match raw.as_slice() {
        [] => Ok(()),
        [only] => kinds::print_raw(only, session).map(drop),
        _ => kinds::print_raw(&kinds::list_of(&raw), session).map(drop),
    }
}

async fn names(args: &Args, session: &Session, client: &Client) -> Result<Vec<String>, Failure> {
    if args.kind == Kind::Agent {
        let selected = Selected { agents: args.names.clone(), labels: args.labels.clone() };
        let names = select::names(client, session, &selected, false).await?;
        return Ok(names.iter().map(|name| format!("{}/{}", name.tenant, name.name)).collect());
    }
    if args.labels.is_some() {
        return Err(Failure::usage("only agents can be chosen by -l"));
    }
    if args.names.is_empty() {
        return Err(Failure::usage("nothing is named").cure("creel describe KIND NAME"));
    }
    Ok(args.names.clone())
}

/// The object in sections, in the words of its API.
fn text(kind: Kind, object: &Value) -> String {
    let mut text = format!("{}/{}\n", kind.word(), object["metadata"]["name"].as_str().unwrap_or_default());
    for section in ["metadata", "spec", "status"] {
        let Some(value) = object.get(section).filter(|value| !value.is_null()) else { continue };
        text.push_str(&format!("\n{}\n", section.to_uppercase()));
        for line in yaml::write(value).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.trim_end().to_owned()
}

/// The last changes of an agent, newest first.
async fn changes(client: &Client, name: &AgentName) -> Result<Vec<HistoryEntry>, Failure> {
    let answer: Value = client.json(Ask::new(reqwest::Method::GET, &name.segments_of("history"))).await?;
    let list = answer.get("items").cloned().unwrap_or(answer);
    let mut entries: Vec<HistoryEntry> = kinds::typed(list)?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.revision));
    entries.truncate(HISTORY_LINES);
    Ok(entries)
}

fn history(entries: &[HistoryEntry], now: Timestamp) -> String {
    let row = |entry: &HistoryEntry| {
        vec![entry.revision.to_string(), spans::age(entry.at, now), entry.who.clone(), entry.why.clone()]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let table = table::render(&["REVISION", "AGO", "WHO", "WHY"], &rows);
    let lines: Vec<String> = table.lines().map(|line| format!("  {line}")).collect();
    format!("\nLAST CHANGES\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_shown_in_sections() {
        let object =
            json!({"kind": "Tenant", "metadata": {"name": "acme"}, "spec": {"a": 1}, "status": null});
        assert_eq!(text(Kind::Tenant, &object), "tenant/acme\n\nMETADATA\n  name: acme\n\nSPEC\n  a: 1");
    }
}
