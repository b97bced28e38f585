//! `creel apply`: hands manifests over. Everything is checked by the server before anything is changed, so that one
//! fault does not leave half of a folder applied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use creel_api::agent::Agent;
use creel_api::apply::{Applied, Difference, Outcome};
use creel_api::meta::DEFAULT_TENANT;
use creel_api::problem::{Issue, Problem};
use creel_openclaw::version::ReleaseWish;
use reqwest::Method;
use serde_json::{Value, json};

use super::kinds;
use crate::client::{Ask, Client};
use crate::failure::{Exit, Failure};
use crate::manifest::{self, Manifest, Object};
use crate::out;
use crate::select::{self, AgentName, Filter};
use crate::session::Session;
use crate::spans;
use crate::waiting::{self, Awaited};

/// Create or change what manifests describe
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel apply -f first.yaml                    one file, with as many objects as you like
  creel apply -f fleet/ --wait                 every *.yaml of a folder; wait until all of it runs
  creel apply -f fleet/ --dry-run              what would change?
  creel apply -f fleet/ --prune                also delete agents of these tenants that are not written there
  creel get agents -o yaml | creel apply -f -  from stdin

A MANIFEST
  apiVersion: creel.dev/v1
  kind: Agent
  metadata: {name: first}
  spec:
    release: stable
    config: {agents: {defaults: {model: anthropic/claude-sonnet-5}}}
    secrets: {models.providers.anthropic.apiKey: anthropic-api-key}")]
pub(crate) struct Args {
    /// A manifest, a folder of them, or `-` for stdin
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Read folders inside folders too
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Delete the agents of the tenants named in the input that are not in it; their state is kept for seven days
    #[arg(long)]
    prune: bool,
    /// Do not ask before pruning
    #[arg(short, long, requires = "prune")]
    yes: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Wait until every agent runs
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "SPAN", default_value = "15m", value_parser = spans::parse)]
    timeout: Duration,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let manifests = manifest::load(&args.files, args.recursive, session.tenant())?;
    let client = session.client()?;
    let planned = check(&client, &manifests).await?;
    let to_prune = if args.prune { missing(&client, &manifests).await? } else { vec![] };
    if args.dry_run {
        return show(&planned, &to_prune, session, " (dry run)");
    }
    if !to_prune.is_empty() && !args.yes {
        agree_to_prune(&to_prune)?;
    }
    let mut done = Vec::new();
    for manifest in &manifests {
        let applied = put(&client, manifest, false).await.map_err(|failure| so_far(failure, &done))?;
        done.push((manifest.object.label(), applied));
    }
    for name in &to_prune {
        let _: Value = client.json(Ask::new(Method::DELETE, &name.segments())).await?;
    }
    show(&done, &to_prune, session, "")?;
    if args.wait { wait(&client, &done, args.timeout).await } else { Ok(()) }
}

/// What was, or would be, done to an object.
type Done = (String, Applied<Value>);

/// Lets the server judge everything first. An agent of a tenant that the same input creates is judged here, as far as
/// that can be done without the tenant.
async fn check(client: &Client, manifests: &[Manifest]) -> Result<Vec<Done>, Failure> {
    let mut created = BTreeSet::new();
    let mut planned: Vec<Done> = Vec::new();
    let mut refusals = Vec::new();
    for manifest in manifests {
        let label = manifest.object.label();
        if created.contains(manifest.object.tenant()) {
            match faults(&manifest.object) {
                issues if issues.is_empty() => planned.push((label, unjudged(&manifest.object))),
                issues => refusals.push((manifest, Failure::refused("it has faults").issues(issues))),
            }
            continue;
        }
        match put(client, manifest, true).await {
            Ok(applied) => {
                if let (Object::Tenant(tenant), Outcome::Created) = (&manifest.object, applied.outcome) {
                    created.insert(tenant.metadata.name.clone());
                }
                planned.push((label, applied));
            }
            Err(failure) if is_about_the_object(&failure.problem) => refusals.push((manifest, failure)),
            Err(failure) => return Err(failure),
        }
    }
    if refusals.is_empty() { Ok(planned) } else { Err(all_of(&refusals)) }
}

/// Whether a refusal says something of this object, and not of the token or the server.
fn is_about_the_object(problem: &Problem) -> bool {
    matches!(problem.status, 400 | 404 | 409 | 412 | 422)
}

/// What is wrong with an agent, as far as it can be said without asking anyone.
fn faults(object: &Object) -> Vec<Issue> {
    let Object::Agent(agent) = object else { return vec![] };
    let mut issues = creel_core::spec::check_agent(&agent.metadata, &agent.spec);
    let wish = agent.spec.release.as_ref().and_then(|text| text.parse::<ReleaseWish>().err());
    issues.extend(wish.map(|fault| Issue { path: "spec.release".into(), message: fault.to_string() }));
    issues
}

fn unjudged(object: &Object) -> Applied<Value> {
    Applied { outcome: Outcome::Created, differences: vec![], object: json_of(object) }
}

fn json_of(object: &Object) -> Value {
    let value = match object {
        Object::Tenant(tenant) => serde_json::to_value(tenant),
        Object::Agent(agent) => serde_json::to_value(agent),
    };
    value.unwrap_or_else(|_| json!({}))
}

/// One failure for all refusals: each with its place.
fn all_of(refusals: &[(&Manifest, Failure)]) -> Failure {
    let texts: Vec<String> = refusals
        .iter()
        .map(|(manifest, failure)| {
            format!("{} ({}): {}", manifest.object.label(), manifest.origin, failure.problem.detail)
        })
        .collect();
    let hint = refusals.iter().find_map(|(_, failure)| failure.problem.hint.clone());
    let issues = refusals.iter().flat_map(|(_, failure)| failure.problem.issues.clone()).collect();
    let failure = Failure::refused(texts.join("\n       ")).issues(issues);
    failure.cure(hint.unwrap_or_else(|| "mend it and apply again; nothing was applied".into()))
}

async fn put(client: &Client, manifest: &Manifest, dry_run: bool) -> Result<Applied<Value>, Failure> {
    let object = &manifest.object;
    let name = &object.metadata().name;
    let segments: Vec<&str> = match object {
        Object::Tenant(_) => vec!["tenants", name],
        Object::Agent(_) => vec!["tenants", object.tenant(), "agents", name],
    };
    let query: &[(&str, &str)] = if dry_run { &[("dryRun", "true")] } else { &[] };
    let ask = Ask::new(Method::PUT, &segments).query(query).body(&json_of(object))?;
    client.json(ask).await
}

/// Something failed in the middle, although all was judged before: says what was done until then.
fn so_far(failure: Failure, done: &[Done]) -> Failure {
    let labels: Vec<&str> = done.iter().map(|(label, _)| label.as_str()).collect();
    let before = if labels.is_empty() { "nothing".to_owned() } else { labels.join(", ") };
    let mut failure = failure;
    failure.problem.detail = format!("{} (applied before that: {before})", failure.problem.detail);
    failure
}

/// The agents of the tenants in the input that are not in it.
async fn missing(client: &Client, manifests: &[Manifest]) -> Result<Vec<AgentName>, Failure> {
    let written: BTreeSet<String> = manifests.iter().map(|manifest| manifest.object.label()).collect();
    let tenants: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.object.tenant()).collect();
    let mut found = Vec::new();
    for tenant in tenants {
        let filter = Filter { tenant: Some(tenant), ..Filter::default() };
        let agents = match select::agents(client, filter).await {
            Err(failure) if failure.exit == Exit::NotFound => vec![], // the input creates this tenant
            agents => agents?,
        };
        found.extend(agents.iter().map(AgentName::of).filter(|name| !written.contains(&name.label())));
    }
    Ok(found)
}

fn agree_to_prune(names: &[AgentName]) -> Result<(), Failure> {
    for name in names {
        out::note(format!("{} is not in the input", name.label()));
    }
    let question = format!("Delete {} (state is kept for seven days)?", count(names.len()));
    if out::agrees(&question) {
        return Ok(());
    }
    Err(Failure::refused("pruning was not agreed to; nothing was applied").cure("agree, or add --yes"))
}

fn count(agents: usize) -> String {
    if agents == 1 { "this agent".into() } else { format!("these {agents} agents") }
}

fn show(done: &[Done], pruned: &[AgentName], session: &Session, note: &str) -> Result<(), Failure> {
    let items = || done.iter().map(|(_, applied)| serde_json::to_value(applied).unwrap_or_default());
    if session.is_for_scripts() {
        return kinds::print_raw(&kinds::list_of(&items().collect::<Vec<_>>()), session).map(drop);
    }
    for (label, applied) in done {
        let word = match applied.outcome {
            Outcome::Created => "created",
            Outcome::Changed => "changed",
            Outcome::Unchanged => "unchanged",
        };
        out::line(format!("{label} {word}{note}"));
        if applied.outcome == Outcome::Changed {
            applied.differences.iter().for_each(|difference| out::line(line_of(difference)));
        }
    }
    pruned.iter().for_each(|name| out::line(format!("{} deleted{note}", name.label())));
    Ok(())
}

fn line_of(difference: &Difference) -> String {
    let text = |value: &Option<Value>| value.as_ref().map_or("(nothing)".to_owned(), Value::to_string);
    format!("    {}: {} -> {}", difference.path, text(&difference.from), text(&difference.to))
}

fn revision_of(object: &Value) -> u64 {
    object["metadata"]["revision"].as_u64().unwrap_or(0)
}

async fn wait(client: &Client, done: &[Done], most: Duration) -> Result<(), Failure> {
    let mut awaited = Vec::new();
    let mut defaults = BTreeMap::new();
    for (label, applied) in done {
        let change = if applied.outcome == Outcome::Unchanged { 0 } else { revision_of(&applied.object) };
        if let Some(tenant) = label.strip_prefix("tenant/") {
            defaults.insert(tenant, change);
            continue;
        }
        let agent: Agent = kinds::typed(applied.object.clone())?;
        // New defaults of its tenant change an agent whose own spec is as it was.
        let tenant = agent.metadata.tenant.as_deref().unwrap_or(DEFAULT_TENANT);
        let change = change.max(defaults.get(tenant).copied().unwrap_or(0));
        awaited.push(Awaited { name: AgentName::of(&agent), change, not_pid: None });
    }
    waiting::until_running(client, &awaited, most).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_reads_from_old_to_new() {
        let difference = Difference { path: "spec.release".into(), from: Some(json!("a")), to: None };
        assert_eq!(line_of(&difference), "    spec.release: \"a\" -> (nothing)");
    }

    #[test]
    fn a_failure_in_the_middle_says_what_was_done_before() {
        let done = [(
            "agent/a".to_owned(),
            Applied { outcome: Outcome::Created, differences: vec![], object: json!({}) },
        )];
        let failure = so_far(Failure::refused("the disk is full"), &done);
        assert_eq!(failure.problem.detail, "the disk is full (applied before that: agent/a)");
    }
}
