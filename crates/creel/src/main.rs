//! The one program: server, warden and command line. What is typed is parsed here, handed to a command, and the
//! command's end becomes an exit code. Commands use nothing but the API; only `up` and `down` touch processes.

mod args;
mod client;
mod commands;
mod data;
mod failure;
mod manifest;
mod out;
mod place;
mod progress;
mod select;
mod session;
mod settings;
mod spans;
mod sse;
mod table;
mod talk;
mod up;
mod views;
mod waiting;
mod yaml;

use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Failure, While};
use crate::session::Session;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let session = Session::new(cli.global);
    match run(cli.command, &session) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::note(if session.is_for_scripts() { failure.json() } else { failure.text() });
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(command: args::Command, session: &Session) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.during("could not begin")?.block_on(commands::run(command, session))
}
