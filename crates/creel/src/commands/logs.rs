//! `creel logs`: what an agent's gateway wrote, and goes on writing.

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use reqwest::Method;

use crate::args::Selected;
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::out;
use crate::select::{self, AgentName};
use crate::session::Session;

/// Show an agent's log
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel logs first                    the last lines
  creel logs first -f                 and those that come, until Ctrl-C
  creel logs first --tail 1000
  creel logs -l team=sales --tail 5   of several agents, each line with its agent's name")]
pub(crate) struct Args {
    #[command(flatten)]
    selected: Selected,
    /// Go on with the lines that come
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines
    #[arg(long, value_name = "LINES", default_value_t = 200)]
    tail: u32,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let names = select::names(&client, session, &args.selected, false).await?;
    if let [only] = names.as_slice() {
        return show(&client, only, args, None).await;
    }
    if args.follow {
        let all = names.iter().map(|name| show(&client, name, args, Some(name)));
        return try_join_all(all).await.map(drop);
    }
    for name in &names {
        show(&client, name, args, Some(name)).await?;
    }
    Ok(())
}

async fn show(
    client: &Client,
    name: &AgentName,
    args: &Args,
    prefix: Option<&AgentName>,
) -> Result<(), Failure> {
    let tail = args.tail.to_string();
    let follow = if args.follow { "true" } else { "false" };
    let query = [("tail", tail.as_str()), ("follow", follow)];
    let segments = name.segments_of("logs");
    let response = client.stream(Ask::new(Method::GET, &segments).query(&query)).await?;
    let mut lines = Lines { prefix: prefix.map(|name| format!("{}: ", name.typed())), rest: Vec::new() };
    let mut bytes = response.bytes_stream();
    while let Some(chunk) = bytes.next().await {
        lines.push(&chunk.map_err(|error| client.lost(&error))?);
    }
    lines.end();
    Ok(())
}

/// The most that is held back of a line that does not end.
const LINE_BYTES_MOST: usize = 64 << 10;

/// Whole lines, because those of several agents are printed side by side.
struct Lines {
    prefix: Option<String>,
    rest: Vec<u8>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        if self.prefix.is_none() {
            return out::write(bytes);
        }
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.print(&line);
        }
        if self.rest.len() > LINE_BYTES_MOST {
            self.end();
        }
    }

    fn end(&mut self) {
        if !self.rest.is_empty() {
            let mut line = std::mem::take(&mut self.rest);
            line.push(b'\n');
            self.print(&line);
        }
    }

    fn print(&self, line: &[u8]) {
        let prefix = self.prefix.as_deref().unwrap_or_default().as_bytes();
        out::write(&[prefix, line].concat());
    }
}
