//! `creel down`: ends creel and every agent of a data folder. It works from whatever state things are in: creel may
//! run, may have been killed, or may never have run.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::lock;
use crate::data::Data;
use crate::failure::{Failure, While};
use crate::out;
use crate::session::Session;

/// What `creel up` gets to end in good order: its own processes get 10 s of it.
const UP_MOST: Duration = Duration::from_secs(20);

/// Stop creel and every agent; their state stays
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel down                   of the current context, or of the default data folder
  creel down --data ~/creel
  creel up -d                  brings the same agents back, with their memory")]
pub(crate) struct Args {}

pub(crate) async fn run(_args: &Args, session: &Session) -> Result<(), Failure> {
    let data = session.data()?;
    if !data.run().is_dir() {
        out::line(format!("nothing runs: there is no creel in {}", data.path().display()));
        return Ok(());
    }
    match lock::holder(&data) {
        Some(pid) => end_up(pid, &data).await?,
        None => out::line("creel is not up; looking for agents that still run"),
    }
    drain(&data)?;
    out::line(format!("creel is down; the state of all agents stays in {}", data.path().display()));
    Ok(())
}

async fn end_up(pid: i32, data: &Data) -> Result<(), Failure> {
    out::line(format!("ending creel (pid {pid})"));
    for (signal, most) in [(Signal::TERM, UP_MOST), (Signal::KILL, Duration::from_secs(5))] {
        if let Some(process) = Pid::from_raw(pid) {
            // It may have ended by itself since it was found.
            let _ = rustix::process::kill_process(process, signal);
        }
        let began = Instant::now();
        while began.elapsed() < most {
            if lock::holder(data) != Some(pid) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Err(Failure::refused(format!("creel (pid {pid}) does not end"))
        .cure("it may hang in the kernel: see `ps -o pid,stat,wchan`"))
}

/// A warden that does nothing but stop every agent. It waits for the one before it to be gone.
fn drain(data: &Data) -> Result<(), Failure> {
    let mut command = Command::new(std::env::current_exe().during("could not find the program itself")?);
    command.args(["warden", "--drain", "--data"]).arg(data.path()).stdin(Stdio::null());
    if std::env::var_os("CREEL_LOG").is_none() {
        command.env("CREEL_LOG", "warn");
    }
    let status = command.status().during("could not start the warden that stops the agents")?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::refused("not every agent could be stopped (see above)").cure("run `creel down` again"))
}
