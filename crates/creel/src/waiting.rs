//! Waiting until agents run: what counts as there, what as refused, and what as not known yet.

use std::time::{Duration, Instant};

use creel_api::agent::{Agent, AgentStatus, Phase};

use crate::client::Client;
use crate::failure::{Exit, Failure};
use crate::progress::{LOOK_EVERY, Progress, Step};
use crate::select::AgentName;

/// An agent that is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Awaited {
    pub(crate) name: AgentName,
    /// The revision of the change that is to be seen at work.
    pub(crate) change: u64,
    /// The gateway that is to be gone.
    pub(crate) not_pid: Option<u32>,
}

/// What an agent's status means for someone who waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is as wanted.
    There(Option<String>),
    /// It will not be so by waiting.
    Refused(String),
    /// Not yet.
    NotYet,
}

/// After this long without a new assignment the change was one that needs none (only labels, say).
const ASSIGNED_MOST: Duration = Duration::from_secs(3);

/// Reasons to wait that waiting does not cure.
const REFUSALS: [&str; 3] = ["ConfigRefused", "ConfigImpossible", "ReleaseFailed"];

/// Waits until all of them run; fails with the first that will not, or when the time is over.
pub(crate) async fn until_running(
    client: &Client,
    awaited: &[Awaited],
    most: Duration,
) -> Result<(), Failure> {
    let mut progress = Progress::new();
    let result = watch(client, awaited, most, &mut progress).await;
    progress.clear();
    result.inspect(|notes| notes.iter().for_each(crate::out::note)).map(|_| ())
}

async fn watch(
    client: &Client,
    awaited: &[Awaited],
    most: Duration,
    progress: &mut Progress,
) -> Result<Vec<String>, Failure> {
    let began = Instant::now();
    let mut open: Vec<&Awaited> = awaited.iter().collect();
    let mut notes = Vec::new();
    loop {
        let mut late = Vec::new();
        for one in open {
            let status = status(client, &one.name).await?;
            let is_stale = is_stale(one, &status, began.elapsed());
            progress.show(&one.name.label(), &if is_stale { handed_over() } else { step(&status) });
            match verdict(&status, is_stale) {
                Verdict::There(note) => notes.push(told(&one.name, &status, note)),
                Verdict::Refused(why) => return Err(refused(&one.name, &why)),
                Verdict::NotYet => late.push((one, status)),
            }
        }
        if late.is_empty() {
            return Ok(notes);
        }
        if began.elapsed() >= most {
            return Err(timed_out(&late, most));
        }
        open = late.into_iter().map(|(one, _)| one).collect();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How an agent is now.
pub(crate) async fn status(client: &Client, name: &AgentName) -> Result<AgentStatus, Failure> {
    let agent: Agent = client.get(&name.segments()).await?;
    Ok(agent.status.unwrap_or_default())
}

/// Whether the status still is that of before the change.
fn is_stale(one: &Awaited, status: &AgentStatus, waited: Duration) -> bool {
    let assigned = status.generation.is_some_and(|generation| generation.number > one.change);
    let settled = status.reason != "Assigned" && (assigned || waited >= ASSIGNED_MOST);
    !settled || (status.phase == Phase::Running && one.not_pid.is_some() && status.pid == one.not_pid)
}

fn verdict(status: &AgentStatus, is_stale: bool) -> Verdict {
    if is_stale {
        return Verdict::NotYet;
    }
    let refusal = status.waiting.iter().find(|waiting| REFUSALS.contains(&waiting.reason.as_str()));
    match (status.phase, refusal) {
        (_, Some(refusal)) => Verdict::Refused(refusal.message.clone()),
        (Phase::Failed, None) => Verdict::Refused(status.message.clone()),
        (Phase::Running, None) if status.waiting.is_empty() => Verdict::There(None),
        (Phase::Degraded, None) => Verdict::There(Some(status.message.clone())),
        _ => Verdict::NotYet,
    }
}

fn told(name: &AgentName, status: &AgentStatus, note: Option<String>) -> String {
    let note = note.map_or(String::new(), |note| format!(", but degraded: {note}"));
    format!("{} runs (release {}){note}", name.label(), status.release.as_deref().unwrap_or("unknown"))
}

fn handed_over() -> Step {
    Step { word: "handed over".into(), sentence: "the change was handed over".into(), permille: None }
}

fn step(status: &AgentStatus) -> Step {
    let first = status.waiting.first();
    let (reason, message) = match first {
        Some(waiting) => (waiting.reason.as_str(), waiting.message.as_str()),
        None => (status.reason.as_str(), status.message.as_str()),
    };
    let between = if message.is_empty() { "" } else { ": " };
    Step {
        word: format!("{:?} {reason}", status.phase),
        sentence: format!("{:?}{between}{message}", status.phase),
        permille: None,
    }
}

fn refused(name: &AgentName, why: &str) -> Failure {
    Failure::refused(format!("{} does not come up: {why}", name.label()))
        .cure(format!("see `creel explain {0}` and `creel logs {0}`", name.typed()))
}

fn timed_out(late: &[(&Awaited, AgentStatus)], most: Duration) -> Failure {
    let each = late.iter().map(|(one, status)| format!("{} ({})", one.name.label(), step(status).sentence));
    let names: Vec<String> = each.collect();
    let first = late.first().map_or(String::new(), |(one, _)| one.name.typed());
    Failure::new(Exit::TimedOut, format!("not running after {} s: {}", most.as_secs(), names.join(", ")))
        .cure(format!("creel goes on by itself; see `creel explain {first}`, or wait longer with --timeout"))
}

#[cfg(test)]
mod tests {
    use creel_api::agent::WaitingView;
    use creel_api::meta::Generation;

    use super::*;

    fn awaited(change: u64, not_pid: Option<u32>) -> Awaited {
        Awaited { name: AgentName::parse("a", "default"), change, not_pid }
    }

    fn running(generation: u64) -> AgentStatus {
        let generation = Some(Generation { epoch: 1, number: generation });
        AgentStatus { phase: Phase::Running, generation, pid: Some(7), ..AgentStatus::default() }
    }

    fn judge(one: &Awaited, status: &AgentStatus, waited: Duration) -> Verdict {
        verdict(status, is_stale(one, status, waited))
    }

    #[test]
    fn an_agent_that_still_runs_what_it_ran_before_is_not_there_yet() {
        let soon = Duration::from_millis(5);
        assert_eq!(judge(&awaited(9, None), &running(8), soon), Verdict::NotYet);
        assert_eq!(judge(&awaited(9, None), &running(10), soon), Verdict::There(None));
        let assigned = AgentStatus { reason: "Assigned".into(), ..running(10) };
        assert_eq!(judge(&awaited(9, None), &assigned, soon), Verdict::NotYet);
    }

    #[test]
    fn a_change_that_needs_no_assignment_is_there_after_a_while() {
        assert_eq!(judge(&awaited(9, None), &running(8), ASSIGNED_MOST), Verdict::There(None));
    }

    #[test]
    fn a_restart_is_there_when_the_old_gateway_is_gone() {
        assert_eq!(judge(&awaited(9, Some(7)), &running(10), ASSIGNED_MOST), Verdict::NotYet);
        assert_eq!(judge(&awaited(9, Some(6)), &running(10), ASSIGNED_MOST), Verdict::There(None));
    }

    #[test]
    fn a_refused_config_is_never_waited_for_although_the_old_one_runs() {
        let waiting =
            WaitingView { reason: "ConfigRefused".into(), message: "gateway.portt".into(), until: None };
        let status = AgentStatus { waiting: vec![waiting], ..running(10) };
        assert_eq!(
            judge(&awaited(9, None), &status, Duration::ZERO),
            Verdict::Refused("gateway.portt".into())
        );
    }

    #[test]
    fn a_timeout_names_what_is_waited_for() {
        let status = AgentStatus { message: "no node".into(), ..AgentStatus::default() };
        let failure = timed_out(&[(&awaited(1, None), status)], Duration::from_secs(5));
        assert_eq!(failure.exit, Exit::TimedOut);
        assert!(failure.text().contains("agent/a (Pending: no node)"), "{}", failure.text());
    }
}
