//! From what was typed (names, labels) to the agents that are meant.

use creel_api::agent::Agent;
use creel_api::meta::{DEFAULT_TENANT, List};
use reqwest::Method;
use serde_json::Value;

use crate::args::Selected;
use crate::client::{Ask, Client};
use crate::failure::{Exit, Failure};
use crate::session::Session;

/// An agent by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AgentName {
    pub(crate) tenant: String,
    pub(crate) name: String,
}

impl AgentName {
    /// `NAME` in this tenant, or `TENANT/NAME`.
    pub(crate) fn parse(text: &str, tenant: &str) -> Self {
        let (tenant, name) = text.split_once('/').unwrap_or((tenant, text));
        Self { tenant: tenant.into(), name: name.into() }
    }

    /// The name of an agent that the API answered.
    pub(crate) fn of(agent: &Agent) -> Self {
        let tenant = agent.metadata.tenant.clone().unwrap_or_else(|| DEFAULT_TENANT.into());
        Self { tenant, name: agent.metadata.name.clone() }
    }

    /// As people write it.
    pub(crate) fn label(&self) -> String {
        if self.tenant == DEFAULT_TENANT {
            return format!("agent/{}", self.name);
        }
        format!("agent/{}/{}", self.tenant, self.name)
    }

    /// As it is typed in a command.
    pub(crate) fn typed(&self) -> String {
        if self.tenant == DEFAULT_TENANT {
            self.name.clone()
        } else {
            format!("{}/{}", self.tenant, self.name)
        }
    }

    /// The path of the agent in the API.
    pub(crate) fn segments(&self) -> [&str; 4] {
        ["tenants", &self.tenant, "agents", &self.name]
    }

    /// The path of something of the agent.
    pub(crate) fn segments_of<'a>(&'a self, what: &'a str) -> [&'a str; 5] {
        ["tenants", &self.tenant, "agents", &self.name, what]
    }
}

/// Which agents a list is to have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter<'a> {
    pub(crate) tenant: Option<&'a str>,
    pub(crate) labels: Option<&'a str>,
    pub(crate) deleted: bool,
}

impl<'a> Filter<'a> {
    /// The agents of the tenant that is meant, or of all with `-A`.
    pub(crate) fn of(session: &'a Session, labels: Option<&'a str>) -> Self {
        let tenant = (!session.global.all_tenants).then(|| session.tenant());
        Self { tenant, labels, deleted: false }
    }

    fn query(&self) -> Vec<(&'a str, &'a str)> {
        let tenant = self.tenant.map(|tenant| ("tenant", tenant));
        let labels = self.labels.map(|labels| ("labelSelector", labels));
        let deleted = self.deleted.then_some(("deleted", "true"));
        tenant.into_iter().chain(labels).chain(deleted).collect()
    }
}

/// The list of these agents, exactly as the API gives it.
pub(crate) async fn list(client: &Client, filter: Filter<'_>) -> Result<Value, Failure> {
    client.json(Ask::new(Method::GET, &["agents"]).query(&filter.query())).await
}

/// These agents.
pub(crate) async fn agents(client: &Client, filter: Filter<'_>) -> Result<Vec<Agent>, Failure> {
    let list: List<Agent> = client.json(Ask::new(Method::GET, &["agents"]).query(&filter.query())).await?;
    Ok(list.items)
}

/// The names that were typed, without asking whether there are such agents; or those of all agents that the labels
/// select. At least one.
pub(crate) async fn names(
    client: &Client,
    session: &Session,
    selected: &Selected,
    deleted: bool,
) -> Result<Vec<AgentName>, Failure> {
    if selected.labels.is_none() {
        return typed_names(session, selected);
    }
    if !selected.agents.is_empty() {
        return Err(Failure::usage("give names or -l, not both"));
    }
    let filter = Filter { deleted, ..Filter::of(session, selected.labels.as_deref()) };
    let found: Vec<AgentName> = agents(client, filter).await?.iter().map(AgentName::of).collect();
    if found.is_empty() {
        let labels = selected.labels.as_deref().unwrap_or_default();
        return Err(Failure::new(Exit::NotFound, format!("no agent has the labels `{labels}`"))
            .cure("see them all with `creel get agents -A -o wide`"));
    }
    Ok(found)
}

fn typed_names(session: &Session, selected: &Selected) -> Result<Vec<AgentName>, Failure> {
    if selected.agents.is_empty() {
        return Err(Failure::usage("no agent is named").cure("name one, or select some with -l KEY=VALUE"));
    }
    Ok(selected.agents.iter().map(|text| AgentName::parse(text, session.tenant())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_carry_its_tenant() {
        let (plain, full) = (AgentName::parse("a", "default"), AgentName::parse("acme/a", "default"));
        assert_eq!((plain.label(), full.label()), ("agent/a".into(), "agent/acme/a".into()));
        assert_eq!(full.segments_of("logs"), ["tenants", "acme", "agents", "a", "logs"]);
        assert_eq!((plain.typed(), full.typed()), ("a".into(), "acme/a".into()));
    }

    #[test]
    fn a_filter_asks_for_one_tenant_unless_all_are_meant() {
        let mut session = Session::new(crate::args::Global::default());
        assert_eq!(
            Filter::of(&session, Some("a=b")).query(),
            [("tenant", "default"), ("labelSelector", "a=b")]
        );
        session.global.all_tenants = true;
        assert_eq!(Filter { deleted: true, ..Filter::of(&session, None) }.query(), [("deleted", "true")]);
    }
}
