//! How a command ends badly: an exit code that scripts can rely on, a cause, and a cure.
//!
//! Whatever goes wrong is told as the API tells it (a [`Problem`]), so that `-o json` prints one shape for all.

use std::fmt::Display;

use creel_api::problem::{Issue, Problem};

/// The exit codes of the program. Fixed: people script against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused or failed; the message says why.
    Refused = 1,
    /// The command line was wrong.
    Usage = 2,
    /// What was asked for does not exist.
    NotFound = 3,
    /// No server answers.
    NoServer = 4,
    /// What was waited for did not come in time.
    TimedOut = 5,
}

/// A bad end of a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Boxed, because nearly every result of the program carries it.
    pub(crate) problem: Box<Problem>,
}

impl Failure {
    /// A failure of this kind and cause.
    pub(crate) fn new(exit: Exit, cause: impl Into<String>) -> Self {
        let (word, title) = match exit {
            Exit::Refused => ("failed", "Failed"),
            Exit::Usage => ("usage", "Wrong usage"),
            Exit::NotFound => ("not-found", "Not found"),
            Exit::NoServer => ("no-server", "No server"),
            Exit::TimedOut => ("timed-out", "Timed out"),
        };
        Self { exit, problem: Box::new(Problem::new(word, 0, title, cause)) }
    }

    /// Refused or failed for this cause.
    pub(crate) fn refused(cause: impl Into<String>) -> Self {
        Self::new(Exit::Refused, cause)
    }

    /// The command line was wrong for this cause.
    pub(crate) fn usage(cause: impl Into<String>) -> Self {
        Self::new(Exit::Usage, cause)
    }

    /// The same failure with a cure.
    pub(crate) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.problem.hint = Some(cure.into());
        self
    }

    /// The same failure with its single faults.
    pub(crate) fn issues(mut self, issues: Vec<Issue>) -> Self {
        self.problem.issues = issues;
        self
    }

    /// The failure that an answer of the API stands for.
    pub(crate) fn of(problem: Problem) -> Self {
        let exit = match problem.status {
            404 => Exit::NotFound,
            504 => Exit::TimedOut,
            _ => Exit::Refused,
        };
        Self { exit, problem: Box::new(problem) }
    }

    /// What a person reads: `error: CAUSE`, the single faults, `cure: …`.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("error: {}", self.problem.detail);
        for issue in &self.problem.issues {
            text.push_str(&format!("\n  {}: {}", issue.path, issue.message));
        }
        if let Some(hint) = &self.problem.hint {
            text.push_str(&format!("\ncure: {hint}"));
        }
        text
    }

    /// What a script reads.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(&self.problem).unwrap_or_else(|_| self.text())
    }
}

/// Says what was being done when something failed.
pub(crate) trait While<T> {
    /// The failure `DOING: CAUSE`.
    fn during(self, doing: impl Display) -> Result<T, Failure>;
}

impl<T, E: std::error::Error> While<T> for Result<T, E> {
    fn during(self, doing: impl Display) -> Result<T, Failure> {
        self.map_err(|error| {
            let mut cause = format!("{doing}: {error}");
            let mut source = error.source();
            while let Some(below) = source {
                cause.push_str(&format!(": {below}"));
                source = below.source();
            }
            Failure::refused(cause)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_its_cause_its_faults_and_its_cure() {
        let issue = Issue { path: "spec.release".into(), message: "is no version".into() };
        let failure = Failure::refused("the agent was refused").issues(vec![issue]).cure("mend it");
        assert_eq!(
            failure.text(),
            "error: the agent was refused\n  spec.release: is no version\ncure: mend it"
        );
        let back: Problem = serde_json::from_str(&failure.json()).unwrap();
        assert_eq!(back, *failure.problem);
    }

    #[test]
    fn exit_codes_follow_the_status_of_the_problem() {
        let exit = |status| Failure::of(Problem::new("x", status, "X", "x")).exit as i32;
        assert_eq!([exit(404), exit(504), exit(409), exit(500), exit(401)], [3, 5, 1, 1, 1]);
        let ours = [Exit::Refused, Exit::Usage, Exit::NotFound, Exit::NoServer, Exit::TimedOut];
        assert_eq!(ours.map(|exit| exit as i32), [1, 2, 3, 4, 5]);
    }
}
