//! The command line: what can be typed, and the help that teaches it. Nothing is done here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    apply, bodies, chat, delete, describe, doctor, explain, get, init, logs, release, restart, secret, token,
    undelete, version,
};
use crate::up;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "creel",
    version,
    about = "Keeps fleets of OpenClaw agents alive, versioned and observable.",
    long_about = "creel keeps fleets of OpenClaw agents alive, versioned and observable.\n\n\
        An agent is one OpenClaw gateway with its state. You write what you want of it in a manifest, `creel apply` \
        hands it over, and creel keeps it so.",
    after_long_help = EXAMPLES,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 110
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
EXAMPLES
  creel up -d                      start creel on this machine, in the background
  creel init --name first          write a manifest for an agent
  creel apply -f first.yaml --wait hand it over and wait until it runs
  creel chat first \"Hello!\"        talk to it
  creel get agents                 see how all agents are
  creel explain first              see what an agent waits for, and why
  creel down                       stop creel and every agent; their state stays

EXIT CODES
  0 done   1 refused or failed   2 wrong usage   3 not found   4 no server   5 timed out waiting";

/// What every command understands.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The data folder of a creel on this machine [env: CREEL_DATA]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// The address of the server [env: CREEL_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// The token that opens the API [env: CREEL_TOKEN]; others on this machine can see what is typed here
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true)]
    pub(crate) token: Option<String>,
    /// A context of the settings file, instead of the current one
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub(crate) context: Option<String>,
    /// The tenant that is meant when a name has none [default: default]
    #[arg(short, long, global = true, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// All tenants
    #[arg(short = 'A', long, global = true)]
    pub(crate) all_tenants: bool,
    /// How to print
    #[arg(short, long, global = true, value_enum, value_name = "FORM")]
    pub(crate) output: Option<Output>,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for people
    Table,
    /// More columns
    Wide,
    /// JSON, exactly as the API gives it
    Json,
    /// The same as YAML
    Yaml,
}

/// Which agents a command is for.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Selected {
    /// Names of agents; TENANT/NAME for one of another tenant
    #[arg(value_name = "AGENT")]
    pub(crate) agents: Vec<String>,
    /// All agents with these labels: `team=sales,tier!=free`
    #[arg(short = 'l', long = "selector", value_name = "LABELS")]
    pub(crate) labels: Option<String>,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Args),
    Down(up::down::Args),
    Init(init::Args),
    Apply(apply::Args),
    Get(get::Args),
    Describe(describe::Args),
    Explain(explain::Args),
    Delete(delete::Args),
    Undelete(undelete::Args),
    Logs(logs::Args),
    Chat(chat::Args),
    Restart(restart::Args),
    Secret(secret::Args),
    Release(release::Args),
    Doctor(doctor::Args),
    Token(token::Args),
    Version(version::Args),
    #[command(hide = true)]
    Serve(bodies::ServeArgs),
    #[command(hide = true)]
    Warden(bodies::WardenArgs),
    #[command(hide = true)]
    PracticeModel(bodies::PracticeArgs),
    #[command(hide = true)]
    Internal(bodies::InternalArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_after_the_command() {
        let cli = Cli::try_parse_from(["creel", "get", "agents", "-A", "-o", "json", "-t", "acme"]).unwrap();
        assert_eq!(cli.global.output, Some(Output::Json));
        assert!(cli.global.all_tenants);
        assert_eq!(cli.global.tenant.as_deref(), Some("acme"));
    }

    #[test]
    fn every_command_that_people_see_teaches_by_examples() {
        let root = Cli::command();
        let mut open: Vec<&clap::Command> =
            root.get_subcommands().filter(|command| !command.is_hide_set()).collect();
        let mut seen = 0;
        while let Some(command) = open.pop() {
            let examples = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("EXAMPLES\n  creel "), "{} has no examples", command.get_name());
            open.extend(command.get_subcommands());
            seen += 1;
        }
        assert!(seen > 17);
    }
}
