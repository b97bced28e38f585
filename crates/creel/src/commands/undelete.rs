//! `creel undelete`: takes the deletion of an agent back.

use reqwest::Method;
use serde_json::Value;

use super::kinds::Kind;
use crate::args::Selected;
use crate::client::Ask;
use crate::failure::Failure;
use crate::out;
use crate::select;
use crate::session::Session;

/// Bring a deleted agent back, with its memory
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel undelete agent first            within seven days after `creel delete agent first`
  creel undelete agents -l team=sales   every deleted agent with a label
  creel get agents --deleted            what can be brought back")]
pub(crate) struct Args {
    /// agent
    #[arg(value_parser = Kind::parse)]
    kind: Kind,
    /// Names
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All deleted agents with these labels: `team=sales,tier!=free`
    #[arg(short = 'l', long = "selector", value_name = "LABELS", conflicts_with = "names")]
    labels: Option<String>,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    if args.kind != Kind::Agent {
        let cause = format!("a {} cannot be brought back", args.kind.word());
        return Err(Failure::usage(cause).cure("creel undelete agent NAME"));
    }
    let client = session.client()?;
    let selected = Selected { agents: args.names.clone(), labels: args.labels.clone() };
    for name in select::names(&client, session, &selected, true).await? {
        let _: Value = client.json(Ask::new(Method::POST, &name.segments_of("undelete"))).await?;
        out::line(format!("{} is wanted again", name.label()));
    }
    Ok(())
}
