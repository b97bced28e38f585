//! The tiny program that belongs to one agent, and the spawner that starts it. It decides nothing: it holds the
//! claim's lock, is the parent of the gateway's tree, and keeps the exit status until a warden acknowledged it.
//!
//! Invariants: every execution of it is single-threaded, so a fork is always safe; the lock on an agent's state is
//! free only when nothing that was started for the agent lives; nothing here knows OpenClaw.

pub mod cgroup;
pub mod claim;
pub mod folder;
pub mod init;
pub mod keeper;
pub mod log;
pub mod probe;
pub mod process;
pub mod spawner;

mod birth;
mod gateway;
mod lines;
mod sweep;
mod wardens;
mod words;

use std::io::Write;
use std::process::ExitCode;

/// Prints the version of creel that this program is of, and of its protocol.
pub fn print_version() -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    let printed =
        writeln!(std::io::stdout(), "creel-keeper {version} (protocol {})", creel_api::keeper::PROTOCOL);
    ExitCode::from(u8::from(printed.is_err()))
}

/// Tells a human what this program is; the status is that of a wrong usage.
pub fn print_usage() -> ExitCode {
    complain(
        "creel-keeper keeper|init|spawner|probe: started by creel itself; `creel-keeper probe` may be run by hand",
    );
    ExitCode::from(2)
}

/// One line on standard error; where even that fails there is nobody left to tell.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "creel-keeper: {line}");
}
