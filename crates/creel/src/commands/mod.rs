//! The commands, one file each: what can be typed, and what is done then.

pub(crate) mod apply;
pub(crate) mod bodies;
pub(crate) mod chat;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod init;
pub(crate) mod kinds;
pub(crate) mod logs;
pub(crate) mod release;
pub(crate) mod restart;
pub(crate) mod secret;
pub(crate) mod token;
pub(crate) mod undelete;
pub(crate) mod version;

use crate::args::Command;
use crate::failure::Failure;
use crate::session::Session;
use crate::up;

/// Does what was typed.
pub(crate) async fn run(command: Command, session: &Session) -> Result<(), Failure> {
    match command {
        Command::Up(args) => up::run(&args, session).await,
        Command::Down(args) => up::down::run(&args, session).await,
        Command::Init(args) => init::run(&args, session).await,
        Command::Apply(args) => apply::run(&args, session).await,
        Command::Get(args) => get::run(&args, session).await,
        Command::Describe(args) => describe::run(&args, session).await,
        Command::Explain(args) => explain::run(&args, session).await,
        Command::Delete(args) => delete::run(&args, session).await,
        Command::Undelete(args) => undelete::run(&args, session).await,
        Command::Logs(args) => logs::run(&args, session).await,
        Command::Chat(args) => chat::run(&args, session).await,
        Command::Restart(args) => restart::run(&args, session).await,
        Command::Secret(args) => secret::run(&args, session).await,
        Command::Release(args) => release::run(&args, session).await,
        Command::Doctor(args) => doctor::run(&args, session).await,
        Command::Token(args) => token::run(&args, session),
        Command::Version(args) => version::run(&args, session).await,
        Command::Serve(args) => bodies::serve(&args, session).await,
        Command::Warden(args) => bodies::warden(&args, session).await,
        Command::PracticeModel(args) => bodies::practice(&args, session).await,
        Command::Internal(args) => bodies::internal(&args).await,
    }
}
