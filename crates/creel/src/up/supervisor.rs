//! Keeps creel's processes alive: looks, starts what should run and does not, and looks again. A start that never came
//! to an answering API is told and not repeated, because what spoils it (a port that is taken, a store of a newer
//! creel) does not go away by itself.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::child::Child;
use super::{Args, START_MOST, practice};
use crate::data::Data;
use crate::failure::{Failure, While};
use crate::out;

/// What creel's processes get to end in good order before they are killed.
const END_MOST: Duration = Duration::from_secs(10);

/// How often is looked without any event.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often is looked until the API answers.
const LOOK_AT_START: Duration = Duration::from_millis(100);

struct Supervisor<'a> {
    data: &'a Data,
    children: Vec<Child>,
    began: Instant,
    /// Whether the API has answered since this began.
    was_up: bool,
}

/// Runs creel's processes until SIGTERM or SIGINT.
pub(super) async fn run(args: &Args, data: &Data) -> Result<(), Failure> {
    let listening = "could not listen for signals";
    let mut term = signal(SignalKind::terminate()).during(listening)?;
    let mut int = signal(SignalKind::interrupt()).during(listening)?;
    let mut child = signal(SignalKind::child()).during(listening)?;
    let children = vec![server(data, &args.listen.to_string()), warden(args, data)];
    let mut supervisor = Supervisor { data, children, began: Instant::now(), was_up: false };
    let ended = loop {
        if let Err(failure) = supervisor.turn().await {
            break Err(failure);
        }
        tokio::select! {
            _ = term.recv() => break Ok(()),
            _ = int.recv() => break Ok(()),
            _ = child.recv() => {}
            () = tokio::time::sleep(supervisor.pause()) => {}
        }
    };
    supervisor.end(&mut child).await;
    if ended.is_ok() {
        out::note(
            "creel has ended; its agents stay up (`creel up -d` takes them over, `creel down` stops them)",
        );
    }
    ended
}

fn server(data: &Data, listen: &str) -> Child {
    Child::new("server", data.log("server"), arguments("serve", data, &["--listen", listen]))
}

fn warden(args: &Args, data: &Data) -> Child {
    let port = args.first_port.to_string();
    Child::new("warden", data.log("warden"), arguments("warden", data, &["--first-port", &port]))
}

fn arguments(command: &str, data: &Data, more: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![command.into(), "--data".into(), data.path().into()];
    arguments.extend(["--under".into(), std::process::id().to_string().into()]);
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

impl Supervisor<'_> {
    /// One look: what ended is noted, what should run is started.
    async fn turn(&mut self) -> Result<(), Failure> {
        self.note_ends()?;
        let has_practice = self.children.iter().any(|child| child.name == "practice");
        if practice::is_on(self.data) && !has_practice {
            let arguments = arguments("practice-model", self.data, &[]);
            self.children.push(Child::new("practice", self.data.log("practice"), arguments));
        }
        for child in &mut self.children {
            child.start_if_due().during(format!("could not start the {}", child.name))?;
        }
        if !self.was_up {
            self.look_at_start().await?;
        }
        Ok(())
    }

    fn note_ends(&mut self) -> Result<(), Failure> {
        for child in &mut self.children {
            let Some(status) = child.ended() else { continue };
            let words = child.last_words();
            if !self.was_up && child.name != "practice" {
                return Err(never_came_up(child.name, &words));
            }
            out::note(format!("the {} ended ({status}) and is started again: {words}", child.name));
        }
        Ok(())
    }

    async fn look_at_start(&mut self) -> Result<(), Failure> {
        let server = self.data.server().filter(|server| Some(server.pid) == self.children[0].pid());
        if let Some(server) = server
            && super::answering(self.data).await.is_some()
        {
            self.was_up = true;
            self.keep_address(&server.url);
        } else if self.began.elapsed() >= START_MOST {
            let words = self.children[0].last_words();
            return Err(never_came_up("server", &words));
        }
        Ok(())
    }

    /// A server that comes back must be where its clients know it, even if the port was the system's choice.
    fn keep_address(&mut self, url: &str) {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        if address.parse::<std::net::SocketAddr>().is_ok() {
            self.children[0].arguments = arguments("serve", self.data, &["--listen", address]);
        }
    }

    fn pause(&self) -> Duration {
        if !self.was_up {
            return LOOK_AT_START;
        }
        let due = self.children.iter().filter_map(Child::due).min();
        due.map_or(LOOK_EVERY, |due| due.saturating_duration_since(Instant::now()).min(LOOK_EVERY))
    }

    async fn end(&mut self, child: &mut tokio::signal::unix::Signal) {
        let until = tokio::time::Instant::now() + END_MOST;
        self.children.iter().for_each(|child| child.signal(Signal::TERM));
        while self.are_running() && tokio::time::Instant::now() < until {
            // A process may have ended between the look and this wait: look again soon.
            let _ = tokio::time::timeout(LOOK_AT_START, child.recv()).await;
        }
        self.children.iter().for_each(|child| child.signal(Signal::KILL));
    }

    fn are_running(&mut self) -> bool {
        for child in &mut self.children {
            child.ended();
        }
        self.children.iter().any(|child| child.pid().is_some())
    }
}

/// The failure that a process told in its log, as this program's own.
fn never_came_up(name: &str, words: &str) -> Failure {
    let mut cause = Vec::new();
    let mut cure = None;
    for line in words.lines() {
        match (line.strip_prefix("error: "), line.strip_prefix("cure: ")) {
            (Some(text), _) => cause.push(text),
            (None, Some(text)) => cure = Some(text),
            (None, None) => cause.push(line.trim()),
        }
    }
    let cause = if cause.is_empty() { "it wrote nothing on why".into() } else { cause.join("\n  ") };
    let failure = Failure::refused(format!("the {name} did not come up: {cause}"));
    match cure {
        Some(cure) => failure.cure(cure),
        None => failure.cure(format!("the whole log is log/{name}.log in the data folder")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_said_at_its_end_becomes_the_failure() {
        let failure = never_came_up("server", "error: the port is taken\ncure: --listen");
        assert_eq!(failure.text(), "error: the server did not come up: the port is taken\ncure: --listen");
        assert!(never_came_up("warden", "").text().contains("log/warden.log"));
    }
}
