//! The gateway's config file: rendered from its layers, checked against the release's own schema in a child, and put
//! in place whole. A config that the release refuses never reaches a start.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;

use creel_api::node::Revision;
use creel_api::problem::Issue;
use creel_openclaw::config::{self, Layers, Rendered};
use creel_openclaw::paths::Paths;
use creel_release::Installed;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::children::{CheckAnswer, CheckTask, chain};
use crate::folder::{AgentFolder, write_whole};
use crate::record::Record;

/// What came of rendering and checking.
#[derive(Debug)]
pub(crate) enum Checked {
    /// The release takes it.
    Good(Box<Rendered>),
    /// The release refuses it.
    Refused(Vec<Issue>),
    /// It could not be made, or not be checked.
    Impossible(String),
}

/// What rendering needs besides the agent's own record and files.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) release: &'a Installed,
    pub(crate) paths: &'a Paths,
    pub(crate) port: u16,
    /// Where the practice model listens, if it does.
    pub(crate) practice: Option<&'a str>,
    /// The program whose child checks.
    pub(crate) program: &'a Path,
}

/// Renders the revision's config and asks the release what it says. What was changed at run time is kept field by
/// field; if it is just that which the release refuses, it is left out instead, and the file set aside at the start.
pub(crate) async fn check(
    revision: &Revision,
    record: &Record,
    folder: &AgentFolder,
    around: &Surroundings<'_>,
    accepted: Option<&Value>,
) -> Checked {
    let current = fs::read_to_string(folder.config()).ok().and_then(|text| config::parse(&text).ok());
    let with_drift = render(revision, record, current.as_ref(), around);
    let checked = ask(with_drift, around, accepted).await;
    match checked {
        Checked::Refused(_) if current.is_some() => {
            ask(render(revision, record, None, around), around, accepted).await
        }
        other => other,
    }
}

fn render(
    revision: &Revision,
    record: &Record,
    current: Option<&Value>,
    around: &Surroundings<'_>,
) -> Result<Rendered, config::RenderError> {
    let secrets = revision.secrets.iter().map(|(path, used)| (path.clone(), used.name.clone())).collect();
    config::render(&Layers {
        overlay: &revision.config,
        secrets: &secrets,
        port: around.port,
        paths: around.paths,
        practice: around.practice,
        agent_may_edit: revision.agent_may_edit,
        base: record.rendered.as_ref(),
        current,
    })
}

async fn ask(
    rendered: Result<Rendered, config::RenderError>,
    around: &Surroundings<'_>,
    accepted: Option<&Value>,
) -> Checked {
    let rendered = match rendered {
        Ok(rendered) => rendered,
        Err(error) => return Checked::Impossible(chain(&error)),
    };
    let schema = around.release.folder.join("schema.json");
    // A release from before `config schema` can't be asked; what it accepted once it accepts again.
    if accepted == Some(&rendered.config) || !schema.exists() {
        return Checked::Good(Box::new(rendered));
    }
    let task = CheckTask { schema, config: rendered.config.clone() };
    match run_child(around.program, &task).await {
        Ok(CheckAnswer::Issues(issues)) if issues.is_empty() => Checked::Good(Box::new(rendered)),
        Ok(CheckAnswer::Issues(issues)) => Checked::Refused(issues),
        Ok(CheckAnswer::Failed(message)) => Checked::Impossible(message),
        Err(error) => Checked::Impossible(format!("its check could not be run: {error}")),
    }
}

async fn run_child(program: &Path, task: &CheckTask) -> io::Result<CheckAnswer> {
    let mut child = Command::new(program)
        .args(["internal", "check-config"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(task)?).await?;
    }
    let output = child.wait_with_output().await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Puts the config in place. A file that nobody can read is kept beside it, never overwritten unseen; and what
/// OpenClaw would silently start with instead is moved out of its way.
pub(crate) fn put(folder: &AgentFolder, config: &Value, now: Timestamp) -> io::Result<()> {
    let path = folder.config();
    if let Ok(text) = fs::read_to_string(&path)
        && config::parse(&text).is_err()
    {
        fs::rename(&path, path.with_extension(format!("json.clobbered.{}", now.as_millisecond())))?;
    }
    for backup in Paths::at(folder.tree(), "").config_backups() {
        match fs::remove_file(backup) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    write_whole(&path, &serde_json::to_vec_pretty(config)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_that_nobody_can_read_is_kept_beside_the_new_one() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = AgentFolder { root: scratch.path().to_owned() };
        folder.make().unwrap();
        fs::write(folder.config(), "{ broken").unwrap();
        put(&folder, &json!({"a": 1}), Timestamp::UNIX_EPOCH).unwrap();
        let kept = fs::read_to_string(folder.tree().join("state/openclaw.json.clobbered.0")).unwrap();
        assert_eq!(kept, "{ broken");
        put(&folder, &json!({"a": 2}), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(fs::read_dir(folder.tree().join("state")).unwrap().count(), 2);
    }
}
