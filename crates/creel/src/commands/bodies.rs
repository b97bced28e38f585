//! The bodies that `creel up` runs, each in a process of its own, and the short-lived children of the warden. Nobody
//! types these: they are hidden, and say nothing on how to be used.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::exit;

use rustix::process::{Pid, Signal};

use crate::failure::{Failure, While};
use crate::out;
use crate::session::Session;
use crate::up::practice;

/// `creel serve`
#[derive(clap::Args, Debug)]
pub(crate) struct ServeArgs {
    /// Where to listen
    #[arg(long, default_value = crate::up::LISTEN)]
    listen: SocketAddr,
    #[command(flatten)]
    child: ChildArgs,
}

/// `creel warden`
#[derive(clap::Args, Debug)]
pub(crate) struct WardenArgs {
    /// Stop every agent and end
    #[arg(long)]
    drain: bool,
    /// The first port for gateways on the shared network
    #[arg(long, default_value_t = creel_core::limits::PORT_FIRST)]
    first_port: u16,
    #[command(flatten)]
    child: ChildArgs,
}

/// `creel practice-model`
#[derive(clap::Args, Debug)]
pub(crate) struct PracticeArgs {
    #[command(flatten)]
    child: ChildArgs,
}

/// What each child of `creel up` is told.
#[derive(clap::Args, Debug)]
pub(crate) struct ChildArgs {
    /// The process of `creel up`: ends with it
    #[arg(long, value_name = "PID")]
    under: Option<i32>,
}

/// `creel internal`
#[derive(clap::Args, Debug)]
pub(crate) struct InternalArgs {
    #[command(subcommand)]
    verb: InternalVerb,
}

#[derive(clap::Subcommand, Debug)]
enum InternalVerb {
    /// Check a config against its release's schema
    CheckConfig,
    /// Install a release
    InstallRelease {
        /// Which
        version: String,
        /// The folder of all releases
        #[arg(long)]
        releases: PathBuf,
    },
}

/// Runs the server.
pub(crate) async fn serve(args: &ServeArgs, session: &Session) -> Result<(), Failure> {
    begin(&args.child)?;
    let data = session.data()?.0;
    let ended = creel_server::run(creel_server::Options { data, listen: args.listen }).await;
    ended.map_err(|error| told(&error))
}

/// Runs the warden.
pub(crate) async fn warden(args: &WardenArgs, session: &Session) -> Result<(), Failure> {
    begin(&args.child)?;
    let options = creel_warden::Options {
        data: session.data()?.0,
        node: node_name(),
        keeper: beside("creel-keeper")?,
        first_port: args.first_port,
        drain: args.drain,
    };
    creel_warden::run(options).await.map_err(|error| told(&error))
}

/// Runs the practice model on the port that its file names.
pub(crate) async fn practice(args: &PracticeArgs, session: &Session) -> Result<(), Failure> {
    begin(&args.child)?;
    let port = practice::port(&session.data()?)?;
    let doing = format!("could not listen on 127.0.0.1:{port} for the practice model");
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.during(doing)?;
    let options = creel_practice::Options::default();
    creel_practice::serve(listener, options, std::future::pending()).await.during("the practice model ended")
}

/// Runs a short-lived child of the warden.
pub(crate) async fn internal(args: &InternalArgs) -> Result<(), Failure> {
    let whole = match &args.verb {
        InternalVerb::CheckConfig => creel_warden::children::check_config().map(|()| true),
        InternalVerb::InstallRelease { version, releases } => {
            creel_warden::children::install_release(releases, version).await
        }
    };
    // What failed has been told on stdout, where the warden reads it.
    if whole.during("could not speak to the warden")? { Ok(()) } else { exit(1) }
}

/// Speaks to stderr, and ends when `creel up` does: a server that outlives it would hold the data folder.
fn begin(args: &ChildArgs) -> Result<(), Failure> {
    let filter = std::env::var("CREEL_LOG").unwrap_or_else(|_| "info".into());
    let filter = tracing_subscriber::EnvFilter::try_new(&filter).during("CREEL_LOG")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
    log.init();
    let Some(parent) = args.under else { return Ok(()) };
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
        .during("could not follow `creel up`")?;
    if rustix::process::getppid().map(Pid::as_raw_nonzero).map(std::num::NonZero::get) != Some(parent) {
        out::note("creel up has ended meanwhile");
        exit(0);
    }
    Ok(())
}

/// A failure of a body. Its own text says the cure.
fn told(error: &dyn Error) -> Failure {
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(below) = source {
        // Transparent errors repeat their source's words.
        if !cause.ends_with(&below.to_string()) {
            cause.push_str(&format!(": {below}"));
        }
        source = below.source();
    }
    Failure::refused(cause)
}

/// A program that is installed beside this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().during("could not find the program itself")?;
    Ok(own.with_file_name(name))
}

/// This machine's name as a node: its host name, in the letters that names may have.
pub(crate) fn node_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name_of(&host)
}

fn name_of(host: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = host.trim().chars().map(word).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "node".into() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_becomes_a_name_that_a_node_may_have() {
        assert_eq!(name_of("Web_01.Example.com\n"), "web-01-example-com");
        assert_eq!(name_of("(none)"), "none");
        assert_eq!(name_of("___"), "node");
        assert!(creel_core::spec::check_name(&node_name()).is_ok());
    }
}
