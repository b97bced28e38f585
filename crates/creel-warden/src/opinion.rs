//! The release's own opinion of a config: `openclaw config validate` in a sandbox, on a folder made for the occasion.
//! It knows rules that are not in the schema, and takes 1 to 3 s, so only a change of what already runs is put before
//! it; never the live state.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use creel_api::problem::Issue;
use creel_openclaw::{launch, schema};
use creel_release::Installed;
use serde_json::Value;
use tokio::process::Command;

use crate::children::chain;
use crate::folder::{AgentFolder, write_whole};
use crate::node::Node;

/// A validation takes 1 to 3 s; ten times that on a machine that is busy.
const ANSWER: Duration = Duration::from_secs(60);

/// What is asked, after the release's own program.
const QUESTION: [&str; 3] = ["config", "validate", "--json"];

/// What the release refuses of this config; an error if it could not be asked.
pub(crate) async fn ask(
    node: &Node,
    uid: &str,
    release: &Installed,
    config: &Value,
) -> Result<Vec<Issue>, String> {
    let folder = AgentFolder { root: node.folder.run().join(format!("opinion-{uid}")) };
    let output = validate(node, &folder, release, config).await;
    // What is left of it is in nobody's way, and the next question clears it.
    drop(fs::remove_dir_all(&folder.root));
    let output = output.map_err(|error| format!("the release could not be asked: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    schema::verdict(&said).map_err(|error| {
        let words: String = String::from_utf8_lossy(&output.stderr).chars().take(300).collect();
        format!("{}: {}", chain(&error), words.trim())
    })
}

async fn validate(
    node: &Node,
    folder: &AgentFolder,
    release: &Installed,
    config: &Value,
) -> io::Result<Output> {
    folder.make()?;
    write_whole(&folder.config(), &serde_json::to_vec(config)?)?;
    write_whole(&folder.secrets(), b"{}")?;
    let paths = node.sandbox.paths(folder, &release.folder);
    let question: Vec<String> = release.argv.iter().cloned().chain(QUESTION.map(str::to_owned)).collect();
    let argv = node.sandbox.command(node.spawner.program(), folder, &release.folder, &question);
    let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    // A token has to be there, and any will do: nothing listens.
    let environment = launch::environment(&paths, 0, "none", true, &BTreeMap::new(), None);
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.variables)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    tokio::time::timeout(ANSWER, child).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
