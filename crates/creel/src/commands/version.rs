//! `creel version`: this program's version, and that of the server if one answers.

use serde_json::{Value, json};

use super::kinds;
use crate::failure::Failure;
use crate::out;
use crate::session::Session;

/// Show the version of this program and of the server
#[derive(clap::Args, Debug)]
#[command(after_long_help = "EXAMPLES\n  creel version\n  creel version -o json")]
pub(crate) struct Args {}

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) async fn run(_args: &Args, session: &Session) -> Result<(), Failure> {
    let server = server(session).await;
    let raw = json!({"client": VERSION, "server": server});
    if kinds::print_raw(&raw, session)? {
        return Ok(());
    }
    out::line(format!("creel {VERSION}"));
    match server.as_ref().map(|server| server["version"].as_str().unwrap_or("of unknown version")) {
        Some(version) => out::line(format!("server {version}")),
        None => out::line("no server answers"),
    }
    Ok(())
}

/// What the server says of itself. That none does is no failure here.
async fn server(session: &Session) -> Option<Value> {
    session.client().ok()?.get(&["version"]).await.ok()
}
