//! `creel secret`: values that agents need and nobody is shown. A value comes from stdin or a file, never from the
//! command line, where every user of the machine could read it.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use creel_api::apply::{Applied, Outcome};
use creel_api::secret::SecretValue;
use reqwest::Method;
use serde_json::Value;

use super::get;
use super::kinds::{self, Kind};
use crate::client::{Ask, Client};
use crate::failure::{Failure, While};
use crate::out;
use crate::session::Session;

/// The most that a value may have; the API's own limit.
const VALUE_BYTES_MOST: u64 = 64 << 10;

/// Store, list and remove secrets
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel secret set openai-api-key                      asks, and does not show what is typed
  creel secret set openai-api-key --from-file key.txt
  pass show openai | creel secret set openai-api-key   from stdin
  creel secret list
  creel secret rm openai-api-key")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Store a value under a name; agents that use it get the new one
    #[command(after_long_help = "\
EXAMPLES
  creel secret set telegram-bot-token < token.txt
  creel secret set -t acme openai-api-key --from-file key.txt")]
    Set {
        /// Its name in manifests: lower-case letters, digits and `-`
        name: String,
        /// Read the value from this file instead of stdin
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// Show the names of secrets, never their values
    #[command(
        visible_alias = "ls",
        after_long_help = "EXAMPLES\n  creel secret list\n  creel secret list -A"
    )]
    List,
    /// Remove secrets
    #[command(
        visible_alias = "delete",
        after_long_help = "EXAMPLES\n  creel secret rm openai-api-key\n  creel secret rm old-key --force"
    )]
    Rm {
        /// Names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Even while an agent uses it
        #[arg(long)]
        force: bool,
    },
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    match &args.verb {
        Verb::Set { name, from_file } => {
            let value = value(name, from_file.as_deref())?;
            let (tenant, name) = kinds::place_of(Kind::Secret, name, session.tenant());
            let outcome = set(&session.client()?, tenant, name, value).await?;
            out::line(format!("secret/{name} {outcome}"));
            Ok(())
        }
        Verb::List => get::run(&get::Args::all(Kind::Secret), session).await,
        Verb::Rm { names, force } => remove(names, *force, session).await,
    }
}

/// Stores a value and says what that did.
pub(crate) async fn set(
    client: &Client,
    tenant: &str,
    name: &str,
    value: String,
) -> Result<&'static str, Failure> {
    let segments = ["tenants", tenant, "secrets", name];
    let ask = Ask::new(Method::PUT, &segments).body(&SecretValue { value })?;
    let applied: Applied<Value> = client.json(ask).await?;
    Ok(match applied.outcome {
        Outcome::Created => "created",
        Outcome::Changed => "changed",
        Outcome::Unchanged => "unchanged",
    })
}

fn value(name: &str, file: Option<&Path>) -> Result<String, Failure> {
    let stdin = std::io::stdin();
    let value = match file {
        Some(path) => {
            let open = File::open(path).during(format!("could not read {}", path.display()))?;
            read(open, &path.display().to_string())?
        }
        None if stdin.is_terminal() => asked(&format!("Value of {name} (not shown): "))?,
        None => read(stdin.lock(), "stdin")?,
    };
    if value.is_empty() {
        return Err(Failure::usage("the value is empty").cure("give it on stdin or with --from-file"));
    }
    Ok(value)
}

/// What a person typed without seeing it.
pub(crate) fn asked(question: &str) -> Result<String, Failure> {
    rpassword::prompt_password(question)
        .map(|value| value.trim().to_owned())
        .during("could not read what was typed")
}

/// The value in a file or pipe, without the line end that editors and `echo` put behind it.
pub(crate) fn read(from: impl Read, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    from.take(VALUE_BYTES_MOST + 3).read_to_end(&mut bytes).during(format!("could not read {name}"))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{name} is not UTF-8 text")))?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.len() as u64 > VALUE_BYTES_MOST {
        return Err(Failure::usage(format!("{name} has more than the 64 KiB a secret may have")));
    }
    Ok(value.to_owned())
}

async fn remove(names: &[String], force: bool, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let query: &[(&str, &str)] = if force { &[("force", "true")] } else { &[] };
    for name in names {
        let (tenant, name) = kinds::place_of(Kind::Secret, name, session.tenant());
        let segments = ["tenants", tenant, "secrets", name];
        let _: Value = client.json(Ask::new(Method::DELETE, &segments).query(query)).await?;
        out::line(format!("secret/{name} removed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_loses_one_line_end_and_nothing_else() {
        assert_eq!(read("sk-1\n".as_bytes(), "x").unwrap(), "sk-1");
        assert_eq!(read("sk-1\r\n".as_bytes(), "x").unwrap(), "sk-1");
        assert_eq!(read(" a\nb\n\n".as_bytes(), "x").unwrap(), " a\nb\n");
    }

    #[test]
    fn a_value_that_is_too_large_is_refused_without_being_shown() {
        let failure = read("s".repeat(70_000).as_bytes(), "stdin").unwrap_err();
        assert!(failure.text().contains("64 KiB") && !failure.text().contains("sss"));
    }
}
