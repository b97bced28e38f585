//! The gateway itself: one holder of the state at a time, a listener, the probes, and a drain that finishes the turns
//! that have begun and takes no new ones.

use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chat::{self, Sessions};
use crate::config::Place;
use crate::http::{self, Request};
use crate::stunts::{Pace, Stunts, spawn};
use crate::{REFUSED, end, log};

/// How long a drain may take.
const DRAIN: Duration = Duration::from_secs(315);

/// How often a hanging gateway looks whether it still is to hang.
const HANG_LOOK: Duration = Duration::from_millis(50);

/// What the real gateway shows for every path that it does not know.
const CONTROL_UI: &str = "<!doctype html><title>OpenClaw Control</title>";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Started,
    Draining,
}

/// What moves.
struct Now {
    stage: Stage,
    turns: usize,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Inner>);

struct Inner {
    place: Place,
    version: String,
    sessions: Sessions,
    since: Instant,
    now: Mutex<Now>,
    turn_over: Condvar,
    /// Held as long as the process lives.
    _lock: File,
}

impl Gateway {
    /// Takes hold of the state, or ends as OpenClaw does when somebody else has it.
    pub(crate) fn open(place: Place) -> Self {
        if place.token.is_none() {
            end(1, "the gateway token is not resolved");
        }
        let lock = hold(&place);
        let sessions = Sessions::of(&place.state);
        let now = Mutex::new(Now { stage: Stage::Starting, turns: 0 });
        let (since, turn_over) = (Instant::now(), Condvar::new());
        Self(Arc::new(Inner { place, version: version(), sessions, since, now, turn_over, _lock: lock }))
    }

    /// What is asked of it now.
    pub(crate) fn stunts(&self) -> Stunts {
        Stunts::read(&self.0.place.state)
    }

    /// Comes up at this pace, on threads of its own.
    pub(crate) fn listen(&self, pace: &Pace) {
        let (gateway, start, sidecars) = (self.clone(), pace.start, pace.sidecars);
        spawn(move || {
            thread::sleep(start);
            let listener = gateway.bind();
            let accepting = gateway.clone();
            spawn(move || accepting.accept(&listener));
            thread::sleep(sidecars);
            gateway.ready();
        });
    }

    /// Takes nothing new and waits until the turns that have begun are over.
    pub(crate) fn drain(&self) {
        let mut now = self.now();
        now.stage = Stage::Draining;
        let busy = |now: &mut Now| now.turns > 0;
        let waited = self.0.turn_over.wait_timeout_while(now, DRAIN, busy);
        if waited.is_ok_and(|(_, timeout)| timeout.timed_out()) {
            log("warn", "drain took too long; ending anyway");
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bind(&self) -> TcpListener {
        let port = self.0.place.port;
        let listener = TcpListener::bind(("127.0.0.1", port))
            .unwrap_or_else(|error| end(1, &format!("port {port} can't be listened on: {error}")));
        log("info", &format!("http server listening on {port}"));
        self.tell_port(&listener);
        listener
    }

    /// With `--port 0` the system picks one, and a test reads it here. By rename, so that it reads all of it or nothing.
    fn tell_port(&self, listener: &TcpListener) {
        let new = self.0.place.state.join("stub-port.new");
        let told = listener.local_addr().and_then(|address| fs::write(&new, address.port().to_string()));
        if let Err(error) = told.and_then(|()| fs::rename(&new, new.with_extension(""))) {
            log("warn", &format!("the port can't be told: {error}"));
        }
    }

    fn ready(&self) {
        let mut now = self.now();
        if now.stage == Stage::Starting {
            now.stage = Stage::Started;
            log("info", "gateway ready");
        }
    }

    fn accept(&self, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            let gateway = self.clone();
            spawn(move || {
                if let Err(error) = gateway.serve(&stream) {
                    log("debug", &format!("a connection broke: {error}"));
                }
            });
        }
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        while self.stunts().hang {
            thread::sleep(HANG_LOOK);
        }
        let stunts = self.stunts();
        let request = Request::read(stream)?;
        if request.header("x-forwarded-for").is_some() {
            let refusal = chat::error("proxy_attribution_required", "proxy_attribution_required");
            return http::answer(stream, 403, &refusal);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/health" | "/healthz") => {
                http::answer(stream, 200, &json!({"ok": true, "status": "live"}))
            }
            ("GET", "/startup" | "/startupz") => self.startup(stream),
            ("GET", "/ready" | "/readyz") => self.readiness(stream, &stunts.failing),
            ("POST", "/v1/chat/completions") if self.0.place.chat => {
                self.chat(stream, &request, stunts.word_delay_ms)
            }
            ("POST", _) => http::answer(stream, 404, &chat::error("Not Found", "not_found")),
            _ => http::page(stream, CONTROL_UI),
        }
    }

    fn startup(&self, stream: &TcpStream) -> io::Result<()> {
        let (version, up) = (&self.0.version, self.up_ms());
        let (status, body) = match self.now().stage {
            Stage::Started => {
                (200, json!({"ok": true, "status": "started", "version": version, "uptimeMs": up}))
            }
            Stage::Starting => (
                503,
                json!({"ok": false, "status": "starting", "version": version, "pendingReason": "startup-sidecars"}),
            ),
            Stage::Draining => (503, json!({"ok": false, "status": "draining", "version": version})),
        };
        http::answer(stream, status, &body)
    }

    fn readiness(&self, stream: &TcpStream, failing: &[String]) -> io::Result<()> {
        let failing: Vec<&str> = match self.now().stage {
            Stage::Starting => vec!["startup-sidecars"],
            Stage::Draining => vec!["gateway-draining"],
            Stage::Started => failing.iter().map(String::as_str).collect(),
        };
        let ready = failing.is_empty();
        let event_loop = json!({"degraded": false, "delayP99Ms": 1.0, "utilization": 0.01});
        let body =
            json!({"ready": ready, "failing": failing, "uptimeMs": self.up_ms(), "eventLoop": event_loop});
        http::answer(stream, if ready { 200 } else { 503 }, &body)
    }

    fn chat(&self, stream: &TcpStream, request: &Request, word_delay_ms: u64) -> io::Result<()> {
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if bearer != self.0.place.token.as_deref() {
            return http::answer(stream, 401, &chat::error("Unauthorized", "unauthorized"));
        }
        let Some(_turn) = Turn::begin(self) else {
            return http::answer(
                stream,
                503,
                &chat::error("the gateway is not accepting work", "unavailable"),
            );
        };
        chat::answer(stream, request, &self.0.sessions, word_delay_ms)
    }

    fn up_ms(&self) -> Value {
        json!(u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// A turn that a drain waits for.
struct Turn<'a>(&'a Gateway);

impl<'a> Turn<'a> {
    fn begin(gateway: &'a Gateway) -> Option<Self> {
        let mut now = gateway.now();
        if now.stage != Stage::Started {
            return None;
        }
        now.turns += 1;
        Some(Self(gateway))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.now().turns -= 1;
        self.0.0.turn_over.notify_all();
    }
}

fn hold(place: &Place) -> File {
    let lock = File::create(place.state.join("stub-gateway.lock")).unwrap_or_else(|error| {
        end(REFUSED, &format!("the state folder can't be written: {error}"));
    });
    if lock.try_lock().is_err() {
        end(REFUSED, "another OpenClaw process owns gateway-lifecycle");
    }
    lock
}

/// As its release says.
fn version() -> String {
    let release = std::env::current_exe().ok().and_then(|me| Some(me.parent()?.join("release.json")));
    let text = release.and_then(|file| std::fs::read(file).ok()).unwrap_or_default();
    let release: Value = serde_json::from_slice(&text).unwrap_or_default();
    release.get("version").and_then(Value::as_str).unwrap_or("0.0.0").to_owned()
}
