//! From an empty folder to a listening server, and its end. Everything that can be wrong with the machine is found
//! here, before anything is served.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use creel_api::meta::DEFAULT_TENANT;
use creel_core::world::{Change, Decision, TenantRecord};
use creel_store::{CommitError, Fault, OpenError, Store};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::channels::Registry;
use crate::file::{make_private_folder, remove, write_private};
use crate::lock::{Lock, NotLocked};
use crate::server::{Parts, Server};
use crate::token::Token;
use crate::turn::take_turns;
use crate::vault::Vault;
use crate::{http, refusal};

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// Where to listen. Port 0 lets the system pick one; `run/server.json` tells which.
    pub listen: SocketAddr,
}

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file or folder of the data folder can't be had.
    #[error("could not use {path}; mend its rights or make room, or choose another data folder (`--data`)")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two servers would fight over one store.
    #[error("a server{} runs on {data} already; stop it first (`creel down`), or choose another data folder (`--data`)", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    AlreadyRunning {
        /// The data folder.
        data: PathBuf,
        /// The other server.
        pid: Option<u32>,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The store can't be read.
    #[error("could not read the store")]
    Load(#[from] Fault),
    /// The store can't be written.
    #[error("could not make the first commit")]
    FirstCommit(#[from] CommitError),
    /// Another program listens there.
    #[error(
        "another program listens on {address} already; end it, or choose another address (`--listen 127.0.0.1:0` takes any free port)"
    )]
    PortTaken {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The address can't be listened on.
    #[error("could not listen on {address}; choose another address (`--listen`)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listening socket broke.
    #[error("the server's socket failed")]
    Serve(#[source] io::Error),
}

/// How long answers that are still being sent may take once the server is asked to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves until SIGTERM or SIGINT.
pub async fn run(options: Options) -> Result<(), ServeError> {
    let stop = until_told().map_err(ServeError::Serve)?;
    serve(&options, creel_release::Options::from_env(), stop).await
}

fn until_told() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// Serves until `stop` is done.
pub(crate) async fn serve(
    options: &Options,
    registry: creel_release::Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let _lock = lock(&options.data)?;
    let server = open(&options.data, registry).await?;
    let listener = listen(options.listen).await?;
    let address = listener.local_addr().map_err(ServeError::Serve)?;
    let told = tell(&options.data, address)?;
    tracing::info!(%address, data = %options.data.display(), "serving");

    let turns = tokio::spawn(take_turns(Arc::clone(&server)));
    let served = answer(listener, Arc::clone(&server), stop).await;
    turns.abort();
    if let Err(fault) = server.reports.flush().await {
        tracing::warn!(cause = %refusal::chain(&fault), "the last reports were not written; wardens say them again");
    }
    let _ = remove(&told); // a server.json that is left names a pid that is gone
    served
}

async fn answer(
    listener: TcpListener,
    server: Arc<Server>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let (told, mut stopping) = tokio::sync::watch::channel(false);
    let graceful = async move {
        stop.await;
        let _ = told.send(true); // the receiver lives below
    };
    let served = axum::serve(listener, http::router(server)).with_graceful_shutdown(graceful);
    tokio::select! {
        ended = std::future::IntoFuture::into_future(served) => ended.map_err(ServeError::Serve),
        () = async {
            let _ = stopping.wait_for(|stopping| *stopping).await;
            tokio::time::sleep(FAREWELL).await;
        } => Ok(()),
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> ServeError {
    move |source| ServeError::File { path: path.to_owned(), source }
}

fn lock(data: &Path) -> Result<Lock, ServeError> {
    let path = make_folders(data)?.join("server.lock");
    Lock::take(&path).map_err(|error| match error {
        NotLocked::Held(pid) => ServeError::AlreadyRunning { data: data.to_owned(), pid },
        NotLocked::File(source) => ServeError::File { path, source },
    })
}

/// Makes the data folder and those in it, for their owner only; gives `run`.
fn make_folders(data: &Path) -> Result<PathBuf, ServeError> {
    let (run, store) = (data.join("run"), data.join("store"));
    for folder in [data, &run, &store] {
        make_private_folder(folder).map_err(file_error(folder))?;
    }
    Ok(run)
}

/// Opens everything in the data folder; the first time it is made.
pub(crate) async fn open(data: &Path, registry: creel_release::Options) -> Result<Arc<Server>, ServeError> {
    let run = make_folders(data)?;
    let store = Store::open(&data.join("store").join("creel.db")).await?;
    let (secrets, admin, node) = (data.join("secrets"), data.join("token"), run.join("node.token"));
    let server = Server::load(Parts {
        store,
        vault: Vault::open(&secrets).map_err(file_error(&secrets))?,
        admin: Token::at(&admin).map_err(file_error(&admin))?,
        node: Token::at(&node).map_err(file_error(&node))?,
        registry: Registry::new(registry),
    })
    .await?;
    make_default_tenant(&server).await?;
    Ok(server)
}

async fn make_default_tenant(server: &Arc<Server>) -> Result<(), CommitError> {
    let turn = server.take_turn().await;
    if turn.world.tenants.contains_key(DEFAULT_TENANT) {
        return Ok(());
    }
    let record = TenantRecord {
        name: DEFAULT_TENANT.into(),
        uid: uuid::Uuid::now_v7().to_string(),
        labels: std::collections::BTreeMap::new(),
        spec: creel_api::tenant::TenantSpec::default(),
        created_at: turn.now,
        revision: turn.world.revision + 1,
    };
    let change = Change::Tenant(record.name.clone(), Some(record));
    let why = "there is always a default tenant".to_owned();
    turn.commit("creel".into(), vec![Decision { change, why }]).await.map(drop)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::PortTaken { address, source },
        _ => ServeError::Listen { address, source },
    })
}

/// Tells clients and wardens of this machine where the server is.
fn tell(data: &Path, address: SocketAddr) -> Result<PathBuf, ServeError> {
    let path = data.join("run").join("server.json");
    let content = serde_json::json!({
        "url": format!("http://{}", reachable(address)),
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    write_private(&path, format!("{content}\n").as_bytes()).map_err(file_error(&path))?;
    Ok(path)
}

/// A server that listens everywhere is reached on this machine through loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
