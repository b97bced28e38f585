//! The columns of each kind of object.

use creel_api::agent::Agent;
use creel_api::meta::DEFAULT_TENANT;
use creel_api::node::Node;
use creel_api::release::{Release, ReleaseOnNode, ReleaseState};
use creel_api::secret::Secret;
use creel_api::tenant::Tenant;
use jiff::Timestamp;

use crate::spans;
use crate::table;

/// What a table is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// The tenant first.
    pub(crate) tenants: bool,
    /// More than fits a narrow window.
    pub(crate) wide: bool,
}

/// Agents.
pub(crate) fn agents(agents: &[Agent], columns: Columns, now: Timestamp) -> String {
    let mut headings = vec!["NAME", "PHASE", "REASON", "RELEASE", "RESTARTS", "MEMORY", "AGE"];
    if columns.tenants || columns.wide {
        headings.insert(0, "TENANT");
    }
    if columns.wide {
        headings.extend(["NODE", "PID", "GENERATION", "READY-AT", "MESSAGE"]);
    }
    let rows: Vec<Vec<String>> = agents.iter().map(|agent| agent_row(agent, columns, now)).collect();
    table::render(&headings, &rows)
}

fn agent_row(agent: &Agent, columns: Columns, now: Timestamp) -> Vec<String> {
    let status = agent.status.clone().unwrap_or_default();
    let metadata = &agent.metadata;
    let mut row = vec![
        metadata.name.clone(),
        format!("{:?}", status.phase),
        status.reason,
        status.release.unwrap_or_default(),
        status.restarts.to_string(),
        status.memory_bytes.map(spans::size).unwrap_or_default(),
        age(metadata.created_at, now),
    ];
    if columns.tenants || columns.wide {
        row.insert(0, metadata.tenant.clone().unwrap_or_else(|| DEFAULT_TENANT.into()));
    }
    if columns.wide {
        row.extend([
            status.node.unwrap_or_default(),
            text(status.pid),
            text(status.generation),
            text(status.ready_at.map(to_the_second)),
            status.message,
        ]);
    }
    row
}

/// Tenants.
pub(crate) fn tenants(tenants: &[Tenant], now: Timestamp) -> String {
    let row = |tenant: &Tenant| {
        let status = tenant.status.clone().unwrap_or_default();
        let (agents, running) = (status.agents.to_string(), status.running.to_string());
        vec![tenant.metadata.name.clone(), agents, running, age(tenant.metadata.created_at, now)]
    };
    table::render(&["NAME", "AGENTS", "RUNNING", "AGE"], &tenants.iter().map(row).collect::<Vec<_>>())
}

/// Secrets, never their values.
pub(crate) fn secrets(secrets: &[Secret], columns: Columns, now: Timestamp) -> String {
    let mut headings = vec!["NAME", "VERSION", "USED-BY", "SET"];
    if columns.tenants {
        headings.insert(0, "TENANT");
    }
    let row = |secret: &Secret| {
        let (status, name) = (&secret.status, secret.metadata.name.clone());
        let mut row =
            vec![name, status.version.to_string(), status.used_by.join(","), age(Some(status.set_at), now)];
        if columns.tenants {
            row.insert(0, secret.metadata.tenant.clone().unwrap_or_else(|| DEFAULT_TENANT.into()));
        }
        row
    };
    table::render(&headings, &secrets.iter().map(row).collect::<Vec<_>>())
}

/// Releases.
pub(crate) fn releases(releases: &[Release], now: Timestamp) -> String {
    let row = |release: &Release| {
        let status = &release.status;
        let first = status.nodes.first();
        vec![
            release.metadata.name.clone(),
            status.channels.join(","),
            release_state(&status.nodes),
            first.and_then(|node| node.node_version.clone()).unwrap_or_default(),
            first.and_then(|node| node.size_bytes).map(spans::size).unwrap_or_default(),
            status.used_by.join(","),
            age(first.and_then(installed_at), now),
        ]
    };
    let headings = ["VERSION", "CHANNELS", "STATE", "NODE.JS", "SIZE", "USED-BY", "AGE"];
    table::render(&headings, &releases.iter().map(row).collect::<Vec<_>>())
}

fn installed_at(on: &ReleaseOnNode) -> Option<Timestamp> {
    match &on.state {
        ReleaseState::Installed { at } => Some(*at),
        _ => None,
    }
}

/// How a release is on all its nodes, in a few words.
pub(crate) fn release_state(nodes: &[ReleaseOnNode]) -> String {
    let word = |on: &ReleaseOnNode| match &on.state {
        ReleaseState::Absent => "absent".to_owned(),
        ReleaseState::Installing { permille, .. } => format!("installing {} %", permille / 10),
        ReleaseState::Installed { .. } => "installed".to_owned(),
        ReleaseState::Failed { message, .. } => format!("failed: {message}"),
    };
    match nodes {
        [] => "absent".into(),
        [one] => word(one),
        many => many.iter().map(|on| format!("{}: {}", on.node, word(on))).collect::<Vec<_>>().join(", "),
    }
}

/// Nodes.
pub(crate) fn nodes(nodes: &[Node], columns: Columns, now: Timestamp) -> String {
    let mut headings = vec!["NAME", "READY", "AGENTS", "MEMORY", "CORES", "HEARD", "CONDITIONS"];
    if columns.wide {
        headings.extend(["WARDEN-PID", "WARDEN-VERSION"]);
    }
    let row = |node: &Node| {
        let status = &node.status;
        let conditions: Vec<&str> = status.conditions.iter().map(|found| found.reason.as_str()).collect();
        let mut row = vec![
            node.metadata.name.clone(),
            if status.ready { "yes" } else { "no" }.into(),
            status.agents.to_string(),
            spans::size(status.capacity.memory_bytes),
            status.capacity.cores.to_string(),
            age(status.heard_at, now),
            conditions.join(","),
        ];
        if columns.wide {
            let warden = status.warden.as_ref();
            row.extend([text(warden.map(|it| it.pid)), text(warden.map(|it| it.version.clone()))]);
        }
        row
    };
    table::render(&headings, &nodes.iter().map(row).collect::<Vec<_>>())
}

fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn age(since: Option<Timestamp>, now: Timestamp) -> String {
    since.map(|since| spans::age(since, now)).unwrap_or_default()
}

fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use creel_api::agent::{AgentSpec, AgentStatus, Phase};
    use creel_api::meta::Metadata;

    use super::*;

    fn agent() -> Agent {
        let metadata = Metadata {
            name: "sales".into(),
            tenant: Some("acme".into()),
            created_at: Some(Timestamp::UNIX_EPOCH),
            ..Metadata::default()
        };
        let status = AgentStatus {
            phase: Phase::Running,
            reason: "Ready".into(),
            message: "it answers".into(),
            release: Some("2026.9.6".into()),
            restarts: 2,
            memory_bytes: Some(512 << 20),
            ..AgentStatus::default()
        };
        let (api_version, kind) = (creel_api::API_VERSION.into(), "Agent".into());
        Agent { api_version, kind, metadata, spec: AgentSpec::default(), status: Some(status) }
    }

    #[test]
    fn agents_have_the_columns_that_people_know() {
        let now = Timestamp::from_second(180).unwrap();
        let shown = |tenants, wide| agents(&[agent()], Columns { tenants, wide }, now);
        assert_eq!(
            shown(false, false),
            "NAME    PHASE     REASON   RELEASE    RESTARTS   MEMORY   AGE\n\
             sales   Running   Ready    2026.9.6   2          512Mi    3m"
        );
        assert!(shown(true, false).starts_with("TENANT   NAME    PHASE"));
        let wide = shown(false, true);
        assert!(
            wide.lines().next().unwrap().ends_with("NODE   PID   GENERATION   READY-AT   MESSAGE"),
            "{wide}"
        );
        assert!(wide.contains("acme") && wide.ends_with("it answers"));
    }

    #[test]
    fn a_release_on_its_way_shows_how_far_it_is() {
        let state = ReleaseState::Installing { step: "downloading".into(), permille: 421 };
        let on = ReleaseOnNode { state, node: "n1".into(), ..ReleaseOnNode::default() };
        assert_eq!(release_state(std::slice::from_ref(&on)), "installing 42 %");
        assert_eq!(release_state(&[on, ReleaseOnNode::default()]), "n1: installing 42 %, : absent");
        assert_eq!(release_state(&[]), "absent");
    }
}
