//! What this machine allows, found out by doing it and undoing it again.
//!
//! Invariants: a part is tried in a process of its own, so that no namespace is entered for good; nothing that was
//! made is left; a part that hangs is given up after a deadline.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use creel_api::keeper::ProbedPart;
use rustix::mount::MountFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::thread::UnshareFlags;

use crate::cgroup::{self, AgentCgroups, Limits};
use crate::spawner::SELF;
use crate::{birth, complain, process};

/// How long one try may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long between two looks whether it is over.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// One redirect like the one that a wall needs. `nft` wants each closing brace on its own line.
const RULE: &str = "table ip creel_probe {\n chain out {\n  type nat hook output priority -100;\n  \
    meta l4proto tcp redirect to :1\n }\n}\n";

/// What is known about a part before it is tried.
struct Part {
    name: &'static str,
    trial: fn() -> io::Result<String>,
    cost: &'static str,
    cure: &'static str,
}

const PARTS: [Part; 8] = [
    Part {
        name: "userNamespace",
        trial: || tried_apart("userNamespace", "made a user namespace and mapped this user into it"),
        cost: "agents are not walled off: no sandbox can be made without privileges",
        cure: "sysctl -w user.max_user_namespaces=15000; on Debian also sysctl -w kernel.unprivileged_userns_clone=1; \
            on Ubuntu sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    },
    Part {
        name: "mountProc",
        trial: || tried_apart("mountProc", "mounted proc in new pid and mount namespaces"),
        cost: "a sandbox can't have a pid namespace, so an agent sees the machine's processes",
        cure: "in a container: run it with --security-opt systempaths=unconfined",
    },
    Part {
        name: "bubblewrap",
        trial: try_bubblewrap,
        cost: "agents run without a sandbox: they see this machine's files",
        cure: "apt-get install bubblewrap",
    },
    Part {
        name: "netRule",
        trial: || tried_apart("netRule", "loaded a redirect rule in a network namespace"),
        cost: "agents share this machine's network: no egress policy, and ports must be allocated",
        cure: "apt-get install nftables; modprobe nft_redir",
    },
    Part {
        name: "cgroupKill",
        trial: try_cgroup_kill,
        cost: "what an agent leaves behind is found by its lock and its descent only",
        cure: "run creel as root, or in a systemd unit with Delegate=yes",
    },
    Part {
        name: "memoryLimit",
        trial: || try_limit(Limits { memory_bytes: 64 << 20, pids: 0 }, "limited memory to 64 MiB"),
        cost: "one agent can take all memory of this machine",
        cure: "run creel as root, or in a systemd unit with Delegate=memory pids cpu",
    },
    Part {
        name: "pidsLimit",
        trial: || try_limit(Limits { memory_bytes: 0, pids: 64 }, "limited processes to 64"),
        cost: "one agent can use up all process numbers of this machine",
        cure: "run creel as root, or in a systemd unit with Delegate=memory pids cpu",
    },
    Part {
        name: "pidfd",
        trial: try_pidfd,
        cost: "a signal may reach a process that took over the number of a dead one",
        cure: "a kernel of 5.3 or newer, and a seccomp profile that allows pidfd_open",
    },
];

/// `probe` prints every part as JSON; `probe PART` tries one in this very process.
pub fn main(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match words.next().as_ref().and_then(|word| word.to_str()) {
        None => print_all(),
        Some("userNamespace") => enter_user_namespace(UnshareFlags::empty()),
        Some("mountProc") => enter_pid_namespace(),
        Some("mountProcInside") => mount_proc(),
        Some("netRule") => load_rule(),
        Some("stay") => stay(),
        Some(other) => Err(io::Error::other(format!("there is no part {other:?} to try by itself"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Tries every part, in a fixed order.
pub fn all() -> Vec<ProbedPart> {
    PARTS.iter().map(try_part).collect()
}

fn try_part(part: &Part) -> ProbedPart {
    let outcome = (part.trial)();
    let works = outcome.is_ok();
    ProbedPart {
        part: part.name.to_owned(),
        works,
        detail: outcome.unwrap_or_else(|error| error.to_string()),
        cost: part.cost.to_owned(),
        cure: part.cure.to_owned(),
    }
}

fn print_all() -> io::Result<()> {
    let text = serde_json::to_string_pretty(&all())?;
    writeln!(io::stdout(), "{text}")
}

fn tried_apart(part: &str, done: &str) -> io::Result<String> {
    run(own(part), None).map(|_| done.to_owned())
}

fn own(part: &str) -> Command {
    let mut command = Command::new(SELF);
    command.arg0("creel-keeper").args(["probe", part]);
    command
}

fn enter_user_namespace(more: UnshareFlags) -> io::Result<()> {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    birth::unshare(UnshareFlags::NEWUSER | more)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1\n"))
}

fn enter_pid_namespace() -> io::Result<()> {
    enter_user_namespace(UnshareFlags::NEWPID | UnshareFlags::NEWNS)?;
    run(own("mountProcInside"), None).map(drop)
}

/// In a mount namespace of our own, so that nobody else sees it and nothing is to be removed.
fn mount_proc() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None).map_err(|error| named("mount proc", error))
}

fn load_rule() -> io::Result<()> {
    enter_user_namespace(UnshareFlags::NEWNET)?;
    let mut nft = Command::new("nft");
    nft.args(["-f", "-"]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    run(nft, Some(RULE)).map(drop)
}

/// Until nobody holds the other end of standard input.
fn stay() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

fn try_bubblewrap() -> io::Result<String> {
    let mut version = Command::new("bwrap");
    version.arg("--version");
    let version = run(version, None)?;
    let mut sandbox = Command::new("bwrap");
    sandbox.args(["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]);
    run(sandbox, None)?;
    Ok(format!("{} made a sandbox", version.trim()))
}

/// Runs it to its end; its output if it succeeded, its complaint if not.
fn run(mut command: Command, input: Option<&str>) -> io::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| named(&program, e))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // A program that does not read it says why by itself.
        let _ = stdin.write_all(text.as_bytes());
    }
    if !ended_in_time(&mut child)? {
        child.kill()?;
        child.wait()?;
        return Err(named(&program, io::Error::from(io::ErrorKind::TimedOut)));
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint =
        complaint.lines().next().unwrap_or("it did not say why").trim_start_matches("creel-keeper: ");
    Err(io::Error::other(complaint.to_owned()))
}

fn ended_in_time(child: &mut Child) -> io::Result<bool> {
    let until = Instant::now() + DEADLINE;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            return Ok(false);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(true)
}

fn named(what: &str, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Does something with cgroups that are removed again.
fn with_cgroups(trial: impl FnOnce(&AgentCgroups) -> io::Result<String>) -> io::Result<String> {
    let trees = cgroup::trees();
    if trees.is_empty() {
        return Err(io::Error::other("no cgroup tree may be written by this user"));
    }
    let cgroups = AgentCgroups::new(trees, &format!("creel-probe-{}", process::own_pid()), "probe")?;
    cgroups.make(Limits::default());
    let outcome = trial(&cgroups);
    cgroups.remove(Instant::now() + DEADLINE)?;
    outcome
}

fn try_cgroup_kill() -> io::Result<String> {
    with_cgroups(|cgroups| {
        let files = cgroups.procs_files("run");
        let doors = cgroup::open_procs(&files)?;
        let mut command = own("stay");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let birth = birth::Birth { cgroups: doors, ..birth::Birth::default() };
        let mut child = birth::spawn(&mut command, birth)?;
        cgroups.kill();
        let dead = ended_in_time(&mut child)?;
        if !dead {
            child.kill()?;
        }
        child.wait()?;
        let at_once =
            files.iter().filter_map(|file| file.parent()).any(|dir| dir.join("cgroup.kill").exists());
        let how = if at_once { "in one step" } else { "one by one" };
        if dead {
            Ok(format!("killed a cgroup {how}"))
        } else {
            Err(io::Error::other("a killed cgroup lives on"))
        }
    })
}

fn try_limit(limits: Limits, done: &str) -> io::Result<String> {
    with_cgroups(|cgroups| match cgroups.make(limits).into_iter().next() {
        Some(why) => Err(io::Error::other(why)),
        None => read_back(cgroups, limits).map(|file| format!("{done} ({file})")),
    })
}

/// The file that says what was set.
fn read_back(cgroups: &AgentCgroups, limits: Limits) -> io::Result<String> {
    let (names, value): (&[&str], u64) = match limits.pids {
        0 => (&["memory.max", "memory.limit_in_bytes"], limits.memory_bytes),
        pids => (&["pids.max"], u64::from(pids)),
    };
    let dirs = cgroups.procs_files("run");
    let mut files =
        dirs.iter().filter_map(|file| file.parent()).flat_map(|dir| names.iter().map(|n| dir.join(n)));
    let says = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.trim() == value.to_string());
    let found = files.find(|path| says(path)).ok_or_else(|| io::Error::other("the limit did not stay"))?;
    Ok(found.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

fn try_pidfd() -> io::Result<String> {
    let mut child = own("stay").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let outcome = kill_by_pidfd(child.id().cast_signed());
    if outcome.is_err() {
        child.kill()?;
    }
    child.wait()?;
    outcome.map(|()| "ended a process by its descriptor".to_owned())
}

fn kill_by_pidfd(pid: i32) -> io::Result<()> {
    let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other("a child without a pid"))?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    Ok(rustix::process::pidfd_send_signal(&pidfd, Signal::KILL)?)
}
