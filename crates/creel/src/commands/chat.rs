//! `creel chat`: a message to an agent, or a conversation line by line.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use crate::args::{Output, Selected};
use crate::client::Client;
use crate::failure::{Failure, While};
use crate::out;
use crate::select::{self, AgentName};
use crate::session::Session;
use crate::spans;
use crate::talk::{self, Message};

/// The most that one message may have when it is read from stdin.
const MESSAGE_BYTES_MOST: u64 = 1 << 20;

/// Talk to an agent
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel chat first \"What is new?\"             one message; the answer is printed as it comes
  creel chat first                            a conversation, line by line; end it with Ctrl-D
  creel chat first --session plans \"Go on.\"   another conversation: the agent remembers each apart
  creel chat first < question.txt             the message from a file
  creel chat -l team=sales \"Good morning!\"    one message to several agents, one after the other")]
pub(crate) struct Args {
    /// The agent, then what is said; with -l only what is said
    #[arg(value_name = "AGENT [MESSAGE]", num_args = 0..=2)]
    words: Vec<String>,
    /// All agents with these labels: `team=sales,tier!=free`
    #[arg(short = 'l', long = "selector", value_name = "LABELS")]
    labels: Option<String>,
    /// Which conversation: letters, digits, `-` and `_`
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// How long to wait for an agent that is not ready yet
    #[arg(long, value_name = "SPAN", value_parser = spans::parse)]
    wait: Option<Duration>,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let (selected, typed) = sort_words(args)?;
    let client = session.client()?;
    let names = select::names(&client, session, &selected, false).await?;
    let raw = session.output() == Output::Json;
    let message = match typed {
        Some(text) => text,
        None if std::io::stdin().is_terminal() => {
            let [name] = names.as_slice() else {
                return Err(
                    Failure::usage("a conversation is with one agent").cure("give a message to send to all")
                );
            };
            return converse(&client, name, args).await;
        }
        None => from_stdin()?,
    };
    if message.trim().is_empty() {
        return Err(Failure::usage("there is nothing to say").cure("creel chat AGENT \"MESSAGE\""));
    }
    for name in &names {
        if names.len() > 1 {
            out::line(format!("{}:", name.label()));
        }
        send(&client, name, &message, args, raw).await?;
    }
    Ok(())
}

/// Which words name the agent and which is the message.
fn sort_words(args: &Args) -> Result<(Selected, Option<String>), Failure> {
    let mut words = args.words.iter().cloned();
    let agent = if args.labels.is_some() { None } else { words.next() };
    let message = words.next();
    if words.next().is_some() {
        return Err(Failure::usage("with -l only a message is given").cure("put the message in quotes"));
    }
    Ok((Selected { agents: agent.into_iter().collect(), labels: args.labels.clone() }, message))
}

async fn send(client: &Client, name: &AgentName, text: &str, args: &Args, raw: bool) -> Result<(), Failure> {
    let session = args.session.as_deref();
    talk::send(client, &Message { to: name, text, session, wait: args.wait, raw }).await
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MESSAGE_BYTES_MOST + 1).read_to_string(&mut text);
    let read = read.during("could not read the message from stdin")?;
    if read as u64 > MESSAGE_BYTES_MOST {
        return Err(Failure::usage("the message on stdin has more than 1 MiB"));
    }
    Ok(text.trim_end().to_owned())
}

/// Goes on until the input ends. An answer that fails does not end the conversation: the next one may work.
async fn converse(client: &Client, name: &AgentName, args: &Args) -> Result<(), Failure> {
    crate::waiting::status(client, name).await?;
    out::note(format!("talking to {}; end with Ctrl-D", name.label()));
    loop {
        out::ask("you>");
        let Some(text) = out::typed().during("could not read what was typed")? else { break };
        if text.trim().is_empty() {
            continue;
        }
        if let Err(failure) = send(client, name, &text, args, false).await {
            out::note(failure.text());
        }
    }
    out::note("");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(words: &[&str], labels: Option<&str>) -> Result<(Vec<String>, Option<String>), Failure> {
        let words = words.iter().map(ToString::to_string).collect();
        let args = Args { words, labels: labels.map(str::to_owned), session: None, wait: None };
        sort_words(&args).map(|(selected, message)| (selected.agents, message))
    }

    #[test]
    fn the_first_word_is_the_agent_unless_labels_select_them() {
        assert_eq!(sorted(&["a", "hi"], None), Ok((vec!["a".into()], Some("hi".into()))));
        assert_eq!(sorted(&["hi"], Some("t=s")), Ok((vec![], Some("hi".into()))));
        assert!(sorted(&["a", "hi"], Some("t=s")).is_err());
    }
}
