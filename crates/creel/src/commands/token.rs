//! `creel token`: the token that opens the API, for other programs.

use crate::failure::Failure;
use crate::out;
use crate::session::Session;

/// Show the token that opens the API
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel token show                                              print it
  export CREEL_TOKEN=$(creel token show)                        hand it to another program
  curl -H \"Authorization: Bearer $(creel token show)\" URL/api/v1/agents")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Print the token
    #[command(after_long_help = "EXAMPLES\n  creel token show\n  creel token show --data /srv/creel")]
    Show,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    match args.verb {
        Verb::Show => show(session),
    }
}

fn show(session: &Session) -> Result<(), Failure> {
    let token = session.place()?.token;
    let token = token.ok_or_else(|| {
        Failure::refused("no token is known for this server")
            .cure("run it on the server's machine with --data, or give a context a `tokenFile`")
    })?;
    out::line(token);
    Ok(())
}
