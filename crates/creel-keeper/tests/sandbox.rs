//! A keeper and its gateway in a bubblewrap sandbox, where pids differ and the sandbox flattens how it ended.

mod kit;

use creel_api::keeper::KeeperAsk;
use kit::{Agent, eventually, lives, signal};

/// What `/proc/PID/status` says of a process in each of its namespaces.
fn pids_of(pid: i32) -> Vec<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    line.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[test]
fn the_gateway_is_named_as_the_machine_sees_it() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let pid = warden.start(agent.sandboxed(1, "exec sleep 1000"));
    let pids = pids_of(pid);
    assert_eq!((pids.len(), pids[0]), (2, pid));
    let init = creel_keeper::process::parent_of(pid).unwrap();
    assert_eq!(pids_of(init)[1], 1);
}

#[test]
fn an_exit_in_a_sandbox_is_exact() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    assert_eq!(warden.run(agent.sandboxed(1, "exit 9")).code, Some(9));
    let killed = warden.run(agent.sandboxed(2, "kill -KILL $$"));
    assert_eq!((killed.code, killed.signal), (None, Some(9)));
    let coded = warden.run(agent.sandboxed(3, "exit 137"));
    assert_eq!((coded.code, coded.signal), (Some(137), None));
}

#[test]
fn a_sandbox_that_fails_says_why_in_its_own_words() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let mut start = agent.sandboxed(1, "exit 0");
    start.argv.splice(1..1, ["--ro-bind", "/no/such/release", "/release"].map(str::to_owned));
    let exit = warden.run(start);
    assert_eq!(exit.code, Some(1));
    let why = exit.never_started.unwrap();
    assert!(why.contains("bwrap") && why.contains("/no/such/release"), "{why}");
}

#[test]
fn a_signal_reaches_the_gateway_and_not_the_sandbox() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    warden.start(agent.sandboxed(1, "trap 'exit 33' TERM; echo ready; while :; do sleep 0.02; done"));
    eventually("it listens", || agent.log().contains("ready"));
    warden.send(&KeeperAsk::Signal { run: 1, signal: 15 });
    assert_eq!(warden.exit(1).code, Some(33));
}

#[test]
fn nothing_of_a_sandbox_outlives_the_gateway_or_a_kill() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let script = "(setsid sh -c 'exec sleep 1000' &) ; (setsid sh -c 'exec sleep 1000' &); echo ready; exec sleep 1000";
    for run in 1..=2 {
        let pid = warden.start(agent.sandboxed(run, script));
        eventually("it has strays", || agent.log().matches("ready").count() as u64 == run);
        let keeper = warden.state().keeper.pid;
        let tree = creel_keeper::process::descendants_of(keeper);
        assert!(tree.len() >= 4, "{tree:?}");
        match run {
            1 => signal(pid, "-KILL"),
            _ => warden.send(&KeeperAsk::Kill { run }),
        }
        assert_eq!(warden.exit(run).signal, Some(9));
        assert!(tree.into_iter().all(|pid| !lives(pid)));
        warden.send(&KeeperAsk::Acknowledge { run });
        warden.until("the exit is forgotten", |state| state.run.is_none());
    }
}

#[test]
fn a_sandbox_dies_with_its_keeper() {
    let mut agent = Agent::alive();
    let mut warden = agent.connect();
    let pid = warden.start(agent.sandboxed(1, "exec sleep 1000"));
    let keeper = warden.state().keeper.pid;
    signal(keeper, "-KILL");
    eventually("the gateway is gone", || !lives(pid));
    agent.sweep();
    agent.wake();
}

#[test]
fn neither_socket_nor_lock_reaches_a_sandboxed_gateway() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let script = "for fd in /proc/$$/fd/*; do readlink $fd; done; env";
    assert_eq!(warden.run(agent.sandboxed(1, script)).code, Some(0));
    let log = agent.log();
    assert!(!log.contains("socket:") && !log.contains("claim") && !log.contains("CREEL"), "{log}");
}
