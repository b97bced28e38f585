//! `creel explain`: what an agent waits for, and why; in sentences.

use creel_api::agent::{Agent, AgentStatus};
use jiff::Timestamp;
use serde_json::Value;

use super::kinds;
use crate::args::Selected;
use crate::client::Client;
use crate::failure::Failure;
use crate::out;
use crate::select::{self, AgentName};
use crate::session::Session;
use crate::spans;

/// Say why an agent is as it is
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel explain first             what it waits for, and what is missing around it
  creel explain -l team=sales     the same for several agents
  creel explain first -o json     for scripts")]
pub(crate) struct Args {
    #[command(flatten)]
    selected: Selected,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let names = select::names(&client, session, &args.selected, false).await?;
    let mut raw = Vec::new();
    for name in &names {
        let agent = fetch(&client, name).await?;
        if session.is_for_scripts() {
            raw.push(agent["status"].clone());
        } else {
            explain(name, kinds::typed(agent)?);
        }
    }
    match raw.as_slice() {
        [] => Ok(()),
        [only] => kinds::print_raw(only, session).map(drop),
        _ => kinds::print_raw(&Value::Array(raw), session).map(drop),
    }
}

async fn fetch(client: &Client, name: &AgentName) -> Result<Value, Failure> {
    client.get(&name.segments()).await
}

fn explain(name: &AgentName, agent: Agent) {
    let status = agent.status.unwrap_or_default();
    lines(name, &status, Timestamp::now()).iter().for_each(out::line);
}

/// What is told of an agent, line by line.
fn lines(name: &AgentName, status: &AgentStatus, now: Timestamp) -> Vec<String> {
    let since = status.since.map_or(String::new(), |since| format!(" for {}", spans::age(since, now)));
    let mut lines = vec![format!("{} is {:?}{since}{}", name.label(), status.phase, because(status))];
    if let Some(deadline) = status.deadline {
        lines.push(format!("  it has until {deadline}; then creel does something else"));
    }
    if let Some(exit) = &status.last_exit {
        let how = match (exit.code, exit.signal) {
            (Some(code), _) => format!("with exit code {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => "in a way that nobody saw".into(),
        };
        lines.push(format!("  its gateway ended {how} {} ago", spans::age(exit.at, now)));
    }
    lines.push(if status.waiting.is_empty() { "it waits for nothing" } else { "it waits:" }.into());
    for waiting in &status.waiting {
        let until = waiting.until.map_or(String::new(), |until| format!(" (until {until})"));
        lines.push(format!("  {}: {}{until}", waiting.reason, waiting.message));
    }
    if !status.conditions.is_empty() {
        lines.push("what is missing around it:".into());
    }
    for condition in &status.conditions {
        lines.push(format!("  {}: {}", condition.reason, condition.message));
    }
    lines
}

fn because(status: &AgentStatus) -> String {
    match (status.reason.is_empty(), status.message.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(" ({})", status.reason),
        (true, false) => format!(": {}", status.message),
        (false, false) => format!(" ({}): {}", status.reason, status.message),
    }
}

#[cfg(test)]
mod tests {
    use creel_api::agent::{Condition, LastExit, Phase, WaitingView};

    use super::*;

    #[test]
    fn an_explanation_has_each_waiting_and_each_condition_in_a_sentence() {
        let at = Timestamp::UNIX_EPOCH;
        let status = AgentStatus {
            phase: Phase::Recovering,
            reason: "BackOff".into(),
            message: "it ended twice".into(),
            since: Some(at),
            last_exit: Some(LastExit { code: None, signal: Some(9), at }),
            waiting: vec![WaitingView {
                reason: "BackOff".into(),
                message: "the next start".into(),
                until: None,
            }],
            conditions: vec![Condition { reason: "NoCgroup".into(), message: "limits do not hold".into() }],
            ..AgentStatus::default()
        };
        let told = lines(&AgentName::parse("a", "default"), &status, Timestamp::from_second(60).unwrap());
        assert_eq!(
            told.join("\n"),
            "agent/a is Recovering for 1m (BackOff): it ended twice\n  its gateway ended by signal 9 1m ago\n\
             it waits:\n  BackOff: the next start\nwhat is missing around it:\n  NoCgroup: limits do not hold"
        );
        let quiet = lines(&AgentName::parse("a", "default"), &AgentStatus::default(), at);
        assert_eq!(quiet, ["agent/a is Pending", "it waits for nothing"]);
    }
}
