//! What runs in short-lived children of the warden, because it costs memory that the warden should not keep: a
//! compiled schema takes 37 MB, an installation unpacks hundreds. Each reads its task and prints lines of JSON.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use creel_api::problem::Issue;
use creel_release::{Options, Progress};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The task of a child that checks a config, on its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckTask {
    /// The release's schema.
    pub(crate) schema: PathBuf,
    /// The whole config.
    pub(crate) config: Value,
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum CheckAnswer {
    /// What the release refuses; empty if it takes the config.
    Issues(Vec<Issue>),
    /// It could not be checked.
    Failed(String),
}

/// A line of a child that installs a release.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "camelCase")]
pub(crate) enum InstallLine {
    /// It goes on.
    Progress { step: String, permille: u16 },
    /// It is there.
    Installed,
    /// It is not; nothing of it is left behind.
    Failed { message: String },
}

/// The body of `creel internal check-config`: reads one task from standard input, prints one answer.
///
/// # Errors
/// When standard input or output fails; a config that can't be checked is an answer.
pub fn check_config() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let answer = serde_json::from_str::<CheckTask>(&text)
        .map_err(|error| format!("the task can't be read: {error}"))
        .and_then(|task| check(&task));
    let answer = answer.map_or_else(CheckAnswer::Failed, CheckAnswer::Issues);
    print_line(&answer)
}

fn check(task: &CheckTask) -> Result<Vec<Issue>, String> {
    let schema = std::fs::read_to_string(&task.schema)
        .map_err(|error| format!("the schema {} can't be read: {error}", task.schema.display()))?;
    creel_openclaw::schema::check(&schema, &task.config).map_err(|error| chain(&error))
}

/// The body of `creel internal install-release`: installs, printing its progress; returns whether it went well.
///
/// # Errors
/// When standard output fails; a release that can't be installed is an answer.
pub async fn install_release(releases: &Path, version: &str) -> io::Result<bool> {
    let mut progress = |progress: Progress| {
        // A warden that has gone away must not stop the installation: the next one finds the release there.
        let line = InstallLine::Progress { step: progress.step, permille: progress.permille };
        drop(print_line(&line));
    };
    let outcome = creel_release::install(releases, version, &Options::from_env(), &mut progress).await;
    let line = match &outcome {
        Ok(_) => InstallLine::Installed,
        Err(error) => InstallLine::Failed { message: chain(error) },
    };
    print_line(&line)?;
    Ok(outcome.is_ok())
}

fn print_line(line: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, line)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// An error with its sources, from the outside in.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    let words: Vec<String> =
        std::iter::once(error.to_string()).chain(sources.map(ToString::to_string)).collect();
    words.join(": ")
}
