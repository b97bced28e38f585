//! `creel up -d`: starts `creel up` in the background and waits until it is ready, or tells why it is not.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Args, START_MOST, child, lock};
use crate::data::Data;
use crate::failure::{Exit, Failure, While};
use crate::out;
use crate::progress::LOOK_EVERY;

/// Starts it unless it runs already. Both are a success.
pub(super) async fn run(args: &Args, data: &Data) -> Result<(), Failure> {
    if let Some(pid) = lock::holder(data) {
        return already(pid, data).await;
    }
    let log = data.log("up");
    let (file, from) = child::open_log(&log).during(format!("could not write {}", log.display()))?;
    let both = file.try_clone().during("could not write the log")?;
    let mut command = Command::new(std::env::current_exe().during("could not find the program itself")?);
    command.args(["up", "--background", "--listen", &args.listen.to_string()]);
    command.args(["--first-port", &args.first_port.to_string(), "--data"]).arg(data.path());
    command.current_dir("/").stdin(Stdio::null()).stdout(file).stderr(both);
    let mut process = command.spawn().during("could not start creel in the background")?;
    let began = Instant::now();
    loop {
        if process.try_wait().during("could not look after creel")?.is_some() {
            return ended(data, &child::last_words(&log, from)).await;
        }
        if let Some(client) = super::answering(data).await
            && super::is_node_heard(&client).await
        {
            out::line(format!("creel is up at {} (data in {})", client.address(), data.path().display()));
            out::note(format!(
                "next: {0} init, {0} apply -f FILE, {0} get agents, {0} down",
                super::program()
            ));
            return Ok(());
        }
        if began.elapsed() >= START_MOST {
            return Err(not_ready(data));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn already(pid: i32, data: &Data) -> Result<(), Failure> {
    let began = Instant::now();
    while began.elapsed() < START_MOST {
        if let Some(client) = super::answering(data).await {
            out::line(format!("creel is already up (pid {pid}) at {}", client.address()));
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Err(not_ready(data))
}

/// The background process ended at once: because another one was faster, or for a reason that it told.
async fn ended(data: &Data, words: &str) -> Result<(), Failure> {
    if let Some(pid) = lock::holder(data) {
        return already(pid, data).await;
    }
    let words = if words.is_empty() { "creel ended at once, without a word" } else { words };
    let (cause, cure) = words.split_once("\ncure: ").unwrap_or((words, ""));
    let failure = Failure::refused(cause.trim_start_matches("error: "));
    Err(if cure.is_empty() {
        failure.cure(format!("see {}", data.log("up").display()))
    } else {
        failure.cure(cure)
    })
}

fn not_ready(data: &Data) -> Failure {
    let last = |process| child::last_words(&data.log(process), 0);
    let cause = format!(
        "creel runs, but is not ready after {} s\n  server: {}\n  warden: {}",
        START_MOST.as_secs(),
        last("server"),
        last("warden")
    );
    Failure::new(Exit::TimedOut, cause).cure("see the logs in the data folder; `creel down` ends it")
}
