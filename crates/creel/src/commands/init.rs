//! `creel init`: writes a first manifest, by asking or from flags, and puts secrets where they belong. A secret goes
//! from a file, the environment or the keyboard straight to the server; it is never shown and never written down here.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use creel_openclaw::provider::Provider;

use super::secret;
use crate::client::Client;
use crate::failure::{Failure, While};
use crate::out;
use crate::session::Session;
use crate::up;

/// Write a manifest for a first agent
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel init                                             asks for what it needs
  creel init --name first --provider practice            without a key, to practise with
  creel init --name sales --provider anthropic           the key from ANTHROPIC_API_KEY
  creel init --name sales --provider openai --provider-key-file key.txt
  creel init --name shop --provider anthropic --telegram --bot-token-file token.txt
  creel apply -f first.yaml --wait                       what to do with it")]
pub(crate) struct Args {
    /// The agent's name [default: first]
    #[arg(long)]
    name: Option<String>,
    /// Whose model it uses
    #[arg(long, value_enum)]
    provider: Option<Choice>,
    /// Which model, as OpenClaw names it (`anthropic/…`) [default: the provider's own]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// A file with the provider's key [default: the provider's variable in the environment]
    #[arg(long, value_name = "FILE")]
    provider_key_file: Option<PathBuf>,
    /// Put it on Telegram
    #[arg(long)]
    telegram: bool,
    /// A file with the token of the Telegram bot
    #[arg(long, value_name = "FILE", requires = "telegram")]
    bot_token_file: Option<PathBuf>,
    /// The file to write [default: NAME.yaml]
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// Whose model an agent uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// anthropic.com
    Anthropic,
    /// openai.com
    Openai,
    /// openrouter.ai
    Openrouter,
    /// creel's own practice model: no AI, no key
    Practice,
}

impl Choice {
    fn provider(self) -> Option<Provider> {
        match self {
            Self::Anthropic => Some(Provider::Anthropic),
            Self::Openai => Some(Provider::OpenAi),
            Self::Openrouter => Some(Provider::OpenRouter),
            Self::Practice => None,
        }
    }

    fn of(provider: Provider) -> Self {
        match provider {
            Provider::Anthropic => Self::Anthropic,
            Provider::OpenAi => Self::Openai,
            Provider::OpenRouter => Self::Openrouter,
        }
    }
}

/// What the manifest is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    name: String,
    tenant: String,
    choice: Choice,
    model: String,
    telegram: bool,
}

impl Plan {
    /// The names of the secrets that the manifest refers to, and what each is.
    fn secrets(&self) -> Vec<(String, String)> {
        let key = self
            .choice
            .provider()
            .map(|provider| (key_name(provider), format!("key of {}", provider.title())));
        let token = self.telegram.then(|| (token_name(&self.name), "token of the Telegram bot".to_owned()));
        key.into_iter().chain(token).collect()
    }
}

fn key_name(provider: Provider) -> String {
    format!("{}-api-key", provider.id())
}

/// A bot's token is one agent's own: two agents on one bot would steal each other's messages.
fn token_name(agent: &str) -> String {
    let name: String = agent.chars().take(48).collect();
    format!("{}-telegram-token", name.trim_end_matches('-'))
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let plan = plan(args, session)?;
    let file = args.file.clone().unwrap_or_else(|| format!("{}.yaml", plan.name).into());
    write(&file, &manifest(&plan), args.force)?;
    out::line(format!("{} written", file.display()));
    let client = reachable(session).await;
    let missing = store_secrets(args, &plan, client.as_ref()).await?;
    tell_next(&plan, &file, &missing, client.is_some());
    Ok(())
}

/// Asks for what the flags leave open, if somebody is there to answer.
fn plan(args: &Args, session: &Session) -> Result<Plan, Failure> {
    let asks = out::is_interactive();
    let name = match &args.name {
        Some(name) => name.clone(),
        None if asks => answer("Name of the agent", "first")?,
        None => "first".into(),
    };
    creel_core::spec::check_name(&name).map_err(|fault| Failure::usage(format!("the name {fault}")))?;
    let choice = match args.provider {
        Some(choice) => choice,
        None if asks => ask_choice()?,
        None => found_choice(),
    };
    let usual = choice.provider().map_or_else(up::practice_model, |provider| provider.default_model().into());
    let model = match &args.model {
        Some(model) => model.clone(),
        None if asks && choice != Choice::Practice => answer("Model", &usual)?,
        None => usual,
    };
    if model.is_empty() || model.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return Err(Failure::usage(format!("`{model}` is not the name of a model")));
    }
    let telegram = args.telegram || (asks && args.name.is_none() && out::agrees("Put it on Telegram?"));
    Ok(Plan { name, tenant: session.tenant().to_owned(), choice, model, telegram })
}

fn answer(question: &str, default: &str) -> Result<String, Failure> {
    out::ask(&format!("{question} [{default}]:"));
    let typed = out::typed().during("could not read what was typed")?.unwrap_or_default();
    Ok(if typed.trim().is_empty() { default.to_owned() } else { typed.trim().to_owned() })
}

fn ask_choice() -> Result<Choice, Failure> {
    let usual = found_choice().to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
    let typed = answer("Provider: anthropic, openai, openrouter or practice", &usual)?;
    Choice::from_str(&typed, true).map_err(|_| Failure::usage(format!("there is no provider `{typed}`")))
}

/// The provider whose key is in the environment, or the practice model.
fn found_choice() -> Choice {
    let set =
        |provider: &Provider| std::env::var(provider.key_variable()).is_ok_and(|key| !key.trim().is_empty());
    Provider::ALL.into_iter().find(set).map_or(Choice::Practice, Choice::of)
}

fn manifest(plan: &Plan) -> String {
    let mut secrets = Vec::new();
    if let Some(provider) = plan.choice.provider() {
        secrets.push(format!("    {}: {}\n", provider.key_path(), key_name(provider)));
    }
    let channels = if plan.telegram {
        secrets.push(format!("    channels.telegram.botToken: {}\n", token_name(&plan.name)));
        TELEGRAM
    } else {
        ""
    };
    let secrets = if secrets.is_empty() {
        "  # secrets: {models.providers.anthropic.apiKey: anthropic-api-key}\n".to_owned()
    } else {
        format!("  secrets:\n{}", secrets.concat())
    };
    let practice = if plan.choice == Choice::Practice { PRACTICE } else { "" };
    format!(
        "# An agent for creel. Hand it over with `creel apply -f` and this file; change it and apply it again.\n\
         apiVersion: creel.dev/v1\nkind: Agent\nmetadata:\n  name: {name}\n  tenant: {tenant}\n  \
         # Words to select by: creel get agents -l team=sales\n  # labels: {{team: sales}}\nspec:\n  \
         # `stable`, `daily`, `beta`, or an exact OpenClaw version such as 2026.9.6.\n  release: stable\n  \
         # Laid over OpenClaw's own config, and checked against the schema of the release before it is used.\n  \
         config:\n    agents:\n      defaults:\n        model: \"{model}\"\n{practice}{channels}  \
         # Where in the config which secret goes. Only names stand here; values: `creel secret set NAME`.\n{secrets}  \
         # resources: {{memoryBytes: 2Gi, pids: 512, logBytes: 50Mi}}\n",
        name = plan.name,
        tenant = plan.tenant,
        model = plan.model,
    )
}

const PRACTICE: &str = "        # The practice model is no AI: it repeats what it is told. `creel up -d --practice-model` runs it.\n";

const TELEGRAM: &str = "    channels:\n      telegram:\n        enabled: true\n        \
    # Strangers are answered with a pairing code; approve it in the agent's own chat commands.\n        dmPolicy: pairing\n";

fn write(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut open = OpenOptions::new();
    open.write(true).create_new(!force).create(force).truncate(force);
    let opened: std::io::Result<File> = open.open(file);
    let mut opened = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::refused(format!("{} is there already", file.display()))
                .cure("choose another with --file, or replace it with --force"));
        }
        opened => opened.during(format!("could not write {}", file.display()))?,
    };
    opened.write_all(text.as_bytes()).during(format!("could not write {}", file.display()))
}

async fn reachable(session: &Session) -> Option<Client> {
    let client = session.client().ok()?;
    client.answers().await.then_some(client)
}

/// Hands the secrets that can be had to the server; the names of the others.
async fn store_secrets(args: &Args, plan: &Plan, client: Option<&Client>) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    for (name, what) in plan.secrets() {
        let is_token = name == token_name(&plan.name);
        let value = match client {
            Some(_) if is_token => from_file_or_keyboard(args.bot_token_file.as_deref(), None, &what)?,
            Some(_) => {
                let variable = plan.choice.provider().map(Provider::key_variable);
                from_file_or_keyboard(args.provider_key_file.as_deref(), variable, &what)?
            }
            None => None,
        };
        match (client, value) {
            (Some(client), Some(value)) => {
                let outcome = secret::set(client, &plan.tenant, &name, value).await?;
                out::line(format!("secret/{name} {outcome}"));
            }
            _ => missing.push(name),
        }
    }
    Ok(missing)
}

fn from_file_or_keyboard(
    file: Option<&Path>,
    variable: Option<&str>,
    what: &str,
) -> Result<Option<String>, Failure> {
    if let Some(path) = file {
        let open = File::open(path).during(format!("could not read {}", path.display()))?;
        return secret::read(open, &path.display().to_string()).map(Some);
    }
    let set = variable.and_then(|name| std::env::var(name).ok()).map(|value| value.trim().to_owned());
    if let Some(value) = set.filter(|value| !value.is_empty()) {
        return Ok(Some(value));
    }
    if !out::is_interactive() {
        return Ok(None);
    }
    Ok(Some(secret::asked(&format!("The {what} (not shown; empty for later): "))?)
        .filter(|value| !value.is_empty()))
}

fn tell_next(plan: &Plan, file: &Path, missing: &[String], is_up: bool) {
    out::line("next:");
    if !is_up {
        let practice = if plan.choice == Choice::Practice { " --practice-model" } else { "" };
        out::line(format!("  creel up -d{practice}"));
    } else if plan.choice == Choice::Practice {
        out::line("  creel up -d --practice-model     # switches it on if it is not");
    }
    for name in missing {
        out::line(format!(
            "  creel secret set -t {} {name}     # asks for it, or reads it from stdin",
            plan.tenant
        ));
    }
    out::line(format!("  creel apply -f {} --wait", file.display()));
    out::line(format!("  creel chat -t {} {}", plan.tenant, plan.name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Object, load};

    fn plan(choice: Choice, telegram: bool) -> Plan {
        let (name, model) = ("sales".to_owned(), "practice/practice-1".to_owned());
        Plan { name, tenant: "default".into(), choice, model, telegram }
    }

    fn agent(plan: &Plan) -> creel_api::agent::Agent {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        write(&file, &manifest(plan), false).unwrap();
        let found = load(std::slice::from_ref(&file), false, "default").unwrap();
        match found.into_iter().next().unwrap().object {
            Object::Agent(agent) => *agent,
            Object::Tenant(_) => unreachable!("init writes an agent"),
        }
    }

    #[test]
    fn every_manifest_it_writes_is_understood_and_refers_to_secrets_by_name() {
        for choice in Choice::value_variants() {
            for telegram in [false, true] {
                let plan = plan(*choice, telegram);
                let agent = agent(&plan);
                let names: Vec<&String> = agent.spec.secrets.values().collect();
                assert_eq!(names.len(), plan.secrets().len());
                assert!(plan.secrets().iter().all(|(name, _)| names.contains(&name)));
                assert_eq!(agent.spec.config["agents"]["defaults"]["model"], "practice/practice-1");
                assert_eq!(agent.spec.config.contains_key("channels"), telegram);
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_not_replaced_unless_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        write(&file, "1", false).unwrap();
        assert!(write(&file, "2", false).unwrap_err().text().contains("--force"));
        write(&file, "3", true).unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), "3");
    }
}
