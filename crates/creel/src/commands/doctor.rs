//! `creel doctor`: tries what agents need on this machine by doing it, and says what each missing part costs and the
//! command that mends it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use creel_api::keeper::ProbedPart;
use creel_api::meta::List;
use creel_api::node::Node;
use serde_json::{Value, json};

use super::bodies;
use super::kinds;
use crate::data::Data;
use crate::failure::Failure;
use crate::out;
use crate::session::Session;
use crate::spans;
use crate::table;

/// A registry that takes longer is not one to install from.
const REGISTRY_MOST: Duration = Duration::from_secs(10);

/// One release takes this much, and npm as much again while it installs.
const DISK_LEAST: u64 = 3 << 30;

/// One gateway peaks at 1.1 GB after turns.
const MEMORY_LEAST: u64 = 2 << 30;

/// Check this machine: what works, what does not, and what to do about it
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
EXAMPLES
  creel doctor                  on the machine that agents are to run on
  creel doctor -o json          for scripts; exit code 1 if something essential is missing
  creel doctor --data /srv/creel")]
pub(crate) struct Args {}

/// Parts without which no agent can run at all; the rest costs safety or comfort.
const ESSENTIAL: [&str; 4] = ["keeper", "dataFolder", "diskSpace", "pidfd"];

pub(crate) async fn run(_args: &Args, session: &Session) -> Result<(), Failure> {
    let data = session.data()?;
    let mut parts = probe_machine();
    parts.extend([data_folder(&data), disk_space(&data), memory(), cores()]);
    parts.push(registry().await);
    parts.extend(server(session).await);
    if !kinds::print_raw(&json(&parts), session)? {
        out::line(text(&parts));
    }
    let missing: Vec<&str> =
        parts.iter().filter(|part| !part.works && is_essential(part)).map(name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::refused(format!("agents cannot run here without {}", missing.join(", ")))
        .cure("see the cures above, then run `creel doctor` again"))
}

fn name(part: &ProbedPart) -> &str {
    &part.part
}

fn is_essential(part: &ProbedPart) -> bool {
    ESSENTIAL.contains(&part.part.as_str())
}

fn json(parts: &[ProbedPart]) -> Value {
    json!({ "parts": parts, "ok": parts.iter().all(|part| part.works || !is_essential(part)) })
}

fn text(parts: &[ProbedPart]) -> String {
    let row = |part: &ProbedPart| {
        vec![part.part.clone(), if part.works { "yes" } else { "NO" }.into(), part.detail.clone()]
    };
    let mut text = table::render(&["PART", "WORKS", "DETAIL"], &parts.iter().map(row).collect::<Vec<_>>());
    for part in parts.iter().filter(|part| !part.works) {
        text.push_str(&format!("\n\n{}: {}\n  cost: {}", part.part, part.detail, part.cost));
        if !part.cure.is_empty() {
            text.push_str(&format!("\n  cure: {}", part.cure));
        }
    }
    text
}

fn part(part: &str, works: bool, detail: String, cost: &str, cure: &str) -> ProbedPart {
    ProbedPart { part: part.into(), works, detail, cost: cost.into(), cure: cure.into() }
}

/// What the keeper program finds by trying.
fn probe_machine() -> Vec<ProbedPart> {
    match run_keeper() {
        Ok(mut parts) => {
            parts.insert(0, part("keeper", true, "creel-keeper answers".into(), "", ""));
            parts
        }
        Err(cause) => {
            let cost = "no agent can be started";
            vec![part("keeper", false, cause, cost, "put creel-keeper beside the creel program")]
        }
    }
}

fn run_keeper() -> Result<Vec<ProbedPart>, String> {
    let program = bodies::beside("creel-keeper").map_err(|failure| failure.problem.detail)?;
    let output = Command::new(&program).arg("probe").stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{} probe: {error}", program.display()))
}

fn data_folder(data: &Data) -> ProbedPart {
    let folder = existing(data.path());
    let probe = folder.join(format!(".creel-doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, "x").and_then(|()| std::fs::remove_file(&probe));
    let detail = match &written {
        Ok(()) => format!("{} can be written", folder.display()),
        Err(error) => format!("{}: {error}", folder.display()),
    };
    let cure = "mend its rights, make room, or choose another folder with --data";
    part("dataFolder", written.is_ok(), detail, "creel cannot run on it", cure)
}

/// The folder itself, or the nearest one above it that is there: that is where it would be made.
fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn disk_space(data: &Data) -> ProbedPart {
    let free =
        rustix::fs::statvfs(existing(data.path())).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    let (works, detail) = match free {
        Ok(bytes) => (bytes >= DISK_LEAST, format!("{} free for the data folder", spans::size(bytes))),
        Err(error) => (false, error.to_string()),
    };
    let cost = "a release of OpenClaw cannot be installed: it takes about 1 GB, and twice that on the way";
    part("diskSpace", works, detail, cost, "make at least 3 GB free, or choose another folder with --data")
}

fn memory() -> ProbedPart {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo(&text, "MemTotal:");
    let detail =
        format!("{}, {} available", spans::size(total), spans::size(meminfo(&text, "MemAvailable:")));
    let cost = "the kernel may kill a gateway after its first turns: one peaks at 1.1 GB";
    part("memory", total >= MEMORY_LEAST, detail, cost, "use a machine with at least 2 GB")
}

/// A line of `/proc/meminfo` in bytes.
fn meminfo(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn cores() -> ProbedPart {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    part("cores", true, cores.to_string(), "", "")
}

async fn registry() -> ProbedPart {
    let options = creel_release::Options::from_env();
    let asked = tokio::time::timeout(REGISTRY_MOST, creel_release::published(&options)).await;
    let (works, detail) = match asked {
        Ok(Ok(versions)) => (true, format!("{} versions of openclaw", versions.len())),
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("no answer within {} s", REGISTRY_MOST.as_secs())),
    };
    let cure = "check the network, and npm's settings: registry, proxy and cafile in ~/.npmrc are respected";
    part(
        "registry",
        works,
        detail,
        "releases that are not installed yet cannot be, and channels do not resolve",
        cure,
    )
}

/// Whether the server answers, and what is missing on its nodes.
async fn server(session: &Session) -> Vec<ProbedPart> {
    let cost = "agents that run go on, but nothing can be changed or seen";
    let nodes = match session.client() {
        Ok(client) => client.get::<List<Node>>(&["nodes"]).await.map(|nodes| (client, nodes)),
        Err(failure) => Err(failure),
    };
    match nodes {
        Ok((client, nodes)) => {
            let up = part("server", true, format!("answers at {}", client.address()), "", "");
            std::iter::once(up).chain(nodes.items.iter().flat_map(node)).collect()
        }
        Err(failure) => {
            let cure = failure.problem.hint.unwrap_or_else(|| "creel up -d".into());
            vec![part("server", false, failure.problem.detail, cost, &cure)]
        }
    }
}

/// A node and what is missing on it. What is missing on this machine was found by trying just now, with its cure.
fn node(node: &Node) -> Vec<ProbedPart> {
    let name = format!("node {}", node.metadata.name);
    let conditions = &node.status.conditions;
    let detail = format!("{} agents, {} conditions", node.status.agents, conditions.len());
    let cure = "is its warden running? creel up -d";
    let ready = part(&name, node.status.ready, detail, "nothing new happens on it", cure);
    let is_here = node.metadata.name == bodies::node_name();
    let elsewhere = conditions.iter().filter(|_| !is_here);
    let found = elsewhere.map(|found| part(&name, false, found.reason.clone(), &found.message, ""));
    std::iter::once(ready).chain(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_cost_and_cure() {
        let parts = [
            part(
                "bubblewrap",
                false,
                "not found".into(),
                "agents are not kept apart",
                "apt-get install bubblewrap",
            ),
            part("cores", true, "2".into(), "", ""),
        ];
        let told = text(&parts);
        assert!(told.contains("bubblewrap   NO      not found"), "{told}");
        assert!(
            told.ends_with("cost: agents are not kept apart\n  cure: apt-get install bubblewrap"),
            "{told}"
        );
        assert_eq!(json(&parts)["ok"], true);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(meminfo("MemTotal:        2048 kB\nMemAvailable: 1 kB\n", "MemTotal:"), 2 << 20);
        assert_eq!(meminfo("", "MemTotal:"), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data(folder.path().join("a/b"));
        assert!(data_folder(&data).works);
        assert_eq!(existing(data.path()), folder.path());
    }
}
