//! The connection to one keeper. The keeper sends its whole state whenever that changes and as the answer to every
//! ask, so that a link only ever knows the newest state; what was asked is done when the state shows it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use creel_api::keeper::{KeeperAsk, KeeperState};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, watch};

/// How long a keeper may take to answer. It decides nothing and waits for nothing, so this is generous.
const ANSWER: Duration = Duration::from_secs(10);

/// A keeper's newest state; `None` once the connection has ended.
type Seen = Option<KeeperState>;

/// See the module.
#[derive(Debug)]
pub(crate) struct KeeperLink {
    write: OwnedWriteHalf,
    seen: watch::Receiver<Seen>,
    refusals: watch::Receiver<Option<String>>,
}

/// Why a keeper did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the keeper's connection broke")]
    Broken(#[source] io::Error),
    #[error("the keeper ended")]
    Ended,
    #[error("the keeper refused: {0}")]
    Refused(String),
    #[error("the keeper did not answer within {} s", ANSWER.as_secs())]
    Silent,
}

impl KeeperLink {
    /// Connects to the keeper of the agent in `folder` and waits for its first state. `wake` is rung at each change.
    pub(crate) async fn connect(folder: &Path, wake: Arc<Notify>) -> io::Result<Self> {
        let (_folder, path) = short_path(folder, "keeper.sock")?;
        let (read, write) = UnixStream::connect(path).await?.into_split();
        let (tell, seen) = watch::channel(None);
        let (refuse, refusals) = watch::channel(None);
        tokio::spawn(listen(read, tell, refuse, wake));
        let mut link = Self { write, seen, refusals };
        link.say(&KeeperAsk::State).await?;
        let first =
            tokio::time::timeout(ANSWER, link.seen.wait_for(Option::is_some)).await.map(|seen| seen.is_ok());
        match first {
            Ok(true) => Ok(link),
            Ok(false) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The newest state; none once the keeper is gone.
    pub(crate) fn state(&self) -> Option<KeeperState> {
        self.seen.borrow().clone()
    }

    /// Says this without waiting for anything.
    pub(crate) async fn say(&mut self, ask: &KeeperAsk) -> io::Result<()> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        self.write.write_all(&line).await
    }

    /// Says this and waits until the state shows that it is done, or the keeper refuses.
    pub(crate) async fn ask(
        &mut self,
        ask: &KeeperAsk,
        done: impl Fn(&KeeperState) -> bool,
    ) -> Result<(), AskError> {
        self.refusals.mark_unchanged();
        self.say(ask).await.map_err(AskError::Broken)?;
        let (seen, refusals) = (&mut self.seen, &mut self.refusals);
        let outcome = async {
            tokio::select! {
                biased;
                refused = refused(refusals) => refused,
                seen = seen.wait_for(|seen| seen.as_ref().is_none_or(&done)) => match seen {
                    Ok(seen) if seen.is_some() => Ok(()),
                    _ => Err(AskError::Ended),
                },
            }
        };
        tokio::time::timeout(ANSWER, outcome).await.unwrap_or(Err(AskError::Silent))
    }

    /// Tells the keeper to end and waits until it has.
    pub(crate) async fn quit(mut self) -> Result<(), AskError> {
        match self.ask(&KeeperAsk::Quit, |_| false).await {
            Ok(()) | Err(AskError::Ended | AskError::Broken(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }
}

async fn refused(refusals: &mut watch::Receiver<Option<String>>) -> Result<(), AskError> {
    loop {
        if refusals.changed().await.is_err() {
            return Err(AskError::Ended);
        }
        if let Some(why) = refusals.borrow().clone() {
            return Err(AskError::Refused(why));
        }
    }
}

async fn listen(
    read: OwnedReadHalf,
    tell: watch::Sender<Seen>,
    refuse: watch::Sender<Option<String>>,
    wake: Arc<Notify>,
) {
    let mut lines = BufReader::with_capacity(1024, read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<KeeperState>(&line) {
            Ok(state) => {
                if state.refused.is_some() {
                    refuse.send_replace(state.refused.clone());
                }
                tell.send_replace(Some(KeeperState { refused: None, ..state }));
            }
            Err(error) => tracing::warn!(%error, "a keeper said something that is not a state"),
        }
        wake.notify_one();
    }
    tell.send_replace(None);
    wake.notify_one();
}

/// A path to `name` in `folder` that is short enough for a socket address (108 bytes), whatever the folder's own
/// length. It holds for as long as the returned file is open.
pub(crate) fn short_path(folder: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let folder = File::open(folder)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
    Ok((folder, path))
}
