//! Starting a server on a data folder, and what can be wrong with it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::no_registry;
use crate::serve::{Options, ServeError, serve};

struct Running {
    url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

fn options(data: &Path, listen: SocketAddr) -> Options {
    Options { data: data.into(), listen }
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

async fn start(data: &Path) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let (options, registry) = (options(data, anywhere()), no_registry(data.into()));
    let told = data.join("run/server.json");
    let task = tokio::spawn(async move { serve(&options, registry, async { drop(stopped.await) }).await });
    let reached = async {
        loop {
            if let Ok(text) = std::fs::read_to_string(&told) {
                return serde_json::from_str::<Value>(&text).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let json = tokio::time::timeout(Duration::from_secs(30), reached).await.expect("server.json is written");
    assert_eq!(json["pid"], std::process::id());
    Running { url: json["url"].as_str().unwrap().to_owned(), stop, task }
}

impl Running {
    fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_tells_where_it_is_keeps_its_token_and_takes_its_word_back_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("Käfig Nr. 1");
    let server = start(&data).await;
    tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let token = std::fs::read_to_string(data.join("token")).unwrap();
    for private in ["token", "run/node.token"] {
        let mode = data.join(private).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
    }
    server.end().await;
    assert!(!data.join("run/server.json").exists());
    start(&data).await.end().await;
    assert_eq!(std::fs::read_to_string(data.join("token")).unwrap(), token);
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_told_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path()).await;
    let second =
        serve(&options(folder.path(), anywhere()), no_registry(folder.path().into()), async {}).await;
    let refused = second.unwrap_err();
    assert!(
        matches!(refused, ServeError::AlreadyRunning { pid: Some(pid), .. } if pid == std::process::id())
    );
    assert!(refused.to_string().contains("creel down"), "{refused}");
    first.end().await;
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind(anywhere()).unwrap();
    let taken = other.local_addr().unwrap();
    let refused =
        serve(&options(folder.path(), taken), no_registry(folder.path().into()), async {}).await.unwrap_err();
    assert!(matches!(refused, ServeError::PortTaken { address, .. } if address == taken));
    assert!(refused.to_string().contains("--listen"), "{refused}");
    assert!(!folder.path().join("run/server.json").exists());
}

#[tokio::test]
async fn a_store_that_is_none_is_refused_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("store")).unwrap();
    std::fs::write(folder.path().join("store/creel.db"), "no database ".repeat(500)).unwrap();
    let refused = serve(&options(folder.path(), anywhere()), no_registry(folder.path().into()), async {})
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("is not a store of creel"), "{refused}");
}
