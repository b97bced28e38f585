//! `creel up`: starts creel on this machine and keeps its processes alive. It decides nothing about agents: when it
//! ends, however it ends, the agents stay up and the next `creel up` takes them over.

mod child;
mod demo;
mod detach;
pub(crate) mod down;
mod lock;
pub(crate) mod practice;
mod supervisor;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use creel_api::meta::List;
use creel_api::node::Node;

use crate::client::Client;
use crate::data::Data;
use crate::failure::{Failure, While};
use crate::out;
use crate::place;
use crate::session::Session;
use crate::settings;

pub(crate) use demo::practice_model;

/// Where the API listens if nobody says otherwise: `creel` on a telephone's keys.
pub(crate) const LISTEN: &str = "127.0.0.1:27335";

/// How long a start may take until the API answers and the node is heard.
const START_MOST: Duration = Duration::from_secs(30);

/// Start creel on this machine
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel up -d                          in the background, until `creel down`
  creel up                             in this terminal, until Ctrl-C; the agents stay up
  creel up -d --data ~/creel           with its data in another folder
  creel up -d --listen 127.0.0.1:0     on any free port
  creel up -d --practice-model         with a model server that needs no key, to practise with
  creel up -d --demo                   and bring up a first agent and talk to it")]
pub(crate) struct Args {
    /// Go to the background once creel is ready
    #[arg(short, long)]
    detach: bool,
    /// Where the API listens
    #[arg(long, value_name = "ADDRESS", default_value = LISTEN)]
    listen: SocketAddr,
    /// Also run the practice model: it is no AI and needs no key. It stays on for this data folder
    #[arg(long)]
    practice_model: bool,
    /// Then bring up an agent named `first` and talk to it
    #[arg(long)]
    demo: bool,
    /// The first port for gateways on the shared network
    #[arg(long, hide = true, default_value_t = creel_core::limits::PORT_FIRST)]
    first_port: u16,
    /// This is the process in the background
    #[arg(long, hide = true)]
    background: bool,
}

pub(crate) async fn run(args: &Args, session: &Session) -> Result<(), Failure> {
    let data = session.data()?;
    prepare(&data)?;
    if args.practice_model || (args.demo && demo::key().is_none()) {
        practice::switch_on(&data)?;
    }
    if args.detach {
        detach::run(args, &data).await?;
        remember(&data);
        return if args.demo { demo::run(&data).await } else { Ok(()) };
    }
    foreground(args, data).await
}

async fn foreground(args: &Args, data: Data) -> Result<(), Failure> {
    if args.background {
        // Without a terminal of its own it survives the one it was started from.
        rustix::process::setsid().during("could not leave the terminal")?;
    }
    let lock = lock::take(&data)?;
    let announce = async {
        if let Err(failure) = announce(args, &data).await {
            out::note(failure.text());
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = supervisor::run(args, &data) => ended,
        () = announce => Ok(()),
    };
    lock.let_go();
    ended
}

/// Says that creel is up, once it is.
async fn announce(args: &Args, data: &Data) -> Result<(), Failure> {
    let client = until_ready(data).await?;
    if args.background {
        return Ok(());
    }
    out::line(format!("creel is up at {} (data in {})", client.address(), data.path().display()));
    remember(data);
    out::line("end it with Ctrl-C: the agents stay up; `creel down` stops them too");
    if args.demo { demo::run(data).await } else { Ok(()) }
}

/// What must be free at least: store, logs and locks of a creel that just starts.
const START_BYTES: usize = 1 << 20;

/// Makes the folders that creel's processes need before the server can make any, and tries to write there: a process
/// on a full disk could not even log why it ended.
fn prepare(data: &Data) -> Result<(), Failure> {
    let made = make_folders(data).and_then(|()| {
        let probe = data.run().join(format!(".probe-{}", std::process::id()));
        let written = fs::write(&probe, vec![0; START_BYTES]);
        // Whether it could be written is the answer; half of it may be there even if not.
        let _ = fs::remove_file(&probe);
        written
    });
    let made = made.during(format!("could not use the data folder {}", data.path().display()));
    made.map_err(|failure| failure.cure("mend its rights or make room, or choose another folder with --data"))
}

fn make_folders(data: &Data) -> std::io::Result<()> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    [data.path().to_owned(), data.run(), data.path().join("log")]
        .iter()
        .try_for_each(|folder| private.create(folder))
}

/// The API, once it answers and this machine's node is heard. Whoever calls bounds it in time.
async fn until_ready(data: &Data) -> Result<Client, Failure> {
    loop {
        if let Some(client) = answering(data).await
            && is_node_heard(&client).await
        {
            return Ok(client);
        }
        tokio::time::sleep(crate::progress::LOOK_EVERY).await;
    }
}

/// The API of this data folder, if it answers.
async fn answering(data: &Data) -> Option<Client> {
    let client = Client::new(place::of_data(data, None).ok()?).ok()?;
    client.answers().await.then_some(client)
}

async fn is_node_heard(client: &Client) -> bool {
    let nodes: Result<List<Node>, Failure> = client.get(&["nodes"]).await;
    nodes.is_ok_and(|nodes| nodes.items.iter().any(|node| node.status.ready))
}

/// Makes this data folder the one that commands mean from now on. That it cannot be written down is no reason not to
/// run.
fn remember(data: &Data) {
    let file = settings::file();
    let saved = settings::load(&file).and_then(|before| {
        let (after, name) = before.clone().with_data(data);
        if after != before {
            settings::save(&file, &after)?;
            out::note(format!("commands now mean this creel (context `{name}` in {})", file.display()));
        }
        Ok(())
    });
    if let Err(failure) = saved {
        out::note(format!("this creel is not remembered as the current one: {}", failure.problem.detail));
        out::note(format!("add --data {} to commands", data.path().display()));
    }
}

/// How to type this program: by name if the shell finds it, else by its path.
fn program() -> String {
    let Ok(own) = std::env::current_exe() else { return "creel".into() };
    // What the kernel says of a file that was replaced while it runs.
    let own = own.to_str().map_or(own.clone(), |own| own.trim_end_matches(" (deleted)").into());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("creel"));
    if on_path.into_iter().any(|found| fs::canonicalize(found).is_ok_and(|found| found == own)) {
        return "creel".into();
    }
    let here = std::env::current_dir().unwrap_or_default();
    own.strip_prefix(here).unwrap_or(&own).display().to_string()
}
