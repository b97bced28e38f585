//! A stand-in for OpenClaw's gateway, for tests that need a hundred of them or need one that misbehaves: same command
//! line, environment, exit codes, probes and chat endpoint, at a thousandth of the memory. It never does more than
//! the real one promises; what it does wrong, it does because it was told to (see `stunts`).

mod chat;
mod config;
mod gateway;
mod http;
mod stunts;

use std::process::exit;

use nix::sys::signal::{SigSet, Signal};

use crate::gateway::Gateway;
use crate::stunts::{Pace, Stunts};

/// The config is refused, or the state belongs to somebody else.
const REFUSED: i32 = 78;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(role) = args.get(1).and_then(|arg| arg.strip_prefix(stunts::LEAKED)) {
        stunts::leak(role);
    }
    if args.ends_with(&["config", "validate", "--json"].map(str::to_owned)) {
        println!("{}", serde_json::json!({"valid": true, "issues": []}));
        exit(0);
    }
    // Blocked before the first thread exists, so that every thread inherits it and only `wait` below takes signals.
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR2].into_iter().collect();
    if let Err(error) = signals.thread_block() {
        end(1, &format!("signals can't be blocked: {error}"));
    }
    let place = config::Place::read(&args).unwrap_or_else(|why| end(REFUSED, &why));
    let stunts = Stunts::read(&place.state);
    stunts.begin(&place.state);
    let gateway = Gateway::open(place);
    gateway.listen(&Pace::of(&stunts));
    obey(&gateway, &signals);
}

/// Waits for signals and does what OpenClaw does with each.
fn obey(gateway: &Gateway, signals: &SigSet) -> ! {
    loop {
        match signals.wait() {
            // With an external supervisor, a restart is an exit that somebody else answers.
            Ok(Signal::SIGUSR2) => end(0, "restart requested: handing over to the supervisor"),
            Ok(signal) if gateway.stunts().ignore_term => log("warn", &format!("{signal} ignored")),
            Ok(signal) => {
                log("info", &format!("received {signal}; draining"));
                gateway.drain();
                end(0, "shutdown complete");
            }
            Err(error) => end(1, &format!("signals can't be waited for: {error}")),
        }
    }
}

/// Says why, and ends.
fn end(code: i32, why: &str) -> ! {
    log(if code == 0 { "info" } else { "error" }, why);
    exit(code)
}

/// A line of the console log, in the form that OpenClaw gives it with `consoleStyle: json`.
fn log(level: &str, message: &str) {
    println!("{}", serde_json::json!({"level": level, "subsystem": "gateway", "message": message}));
}
