//! A keeper and its gateways, without a sandbox: shell scripts play the gateway.

mod kit;

use creel_api::keeper::{KeeperAsk, LogFile, Start};
use kit::{Agent, eventually, lives, pid_in, signal};

#[test]
fn an_exit_is_told_by_code_and_by_signal() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    assert_eq!(warden.run(agent.script(1, "exit 0")).code, Some(0));
    let seven = warden.run(agent.script(2, "exit 7"));
    assert_eq!((seven.code, seven.signal, seven.never_started), (Some(7), None, None));
    let killed = warden.run(agent.script(3, "kill -KILL $$"));
    assert_eq!((killed.code, killed.signal), (None, Some(9)));
    assert_eq!(warden.run(agent.script(4, "exit 137")).code, Some(137));
    assert_eq!(warden.run(agent.script(5, "kill -TERM $$")).signal, Some(15));
}

#[test]
fn what_was_started_is_told_to_the_next_warden() {
    let agent = Agent::alive();
    let pid = agent.connect().start(Start { restart: 3, port: 4711, ..agent.script(1, "exec sleep 1000") });
    let state = agent.connect().state();
    let run = state.run.unwrap();
    assert_eq!((run.run, run.revision, run.restart, run.port), (1, 7, 3, 4711));
    assert_eq!(run.release, "2026.9.6");
    assert_eq!(run.gateway.unwrap(), creel_keeper::process::name_of(pid).unwrap());
    assert!(run.started_us > 0);
    assert_eq!((state.protocol, state.agent), (1, agent.launch.agent.clone()));
    assert_eq!(state.keeper, creel_keeper::process::name_of(state.keeper.pid).unwrap());
}

#[test]
fn an_exit_is_kept_until_it_is_acknowledged() {
    let agent = Agent::alive();
    let mut first = agent.connect();
    first.send(&KeeperAsk::Start(Box::new(agent.script(1, "exit 3"))));
    assert_eq!(first.exit(1).code, Some(3));
    drop(first);
    let mut second = agent.connect();
    assert_eq!(second.state().run.unwrap().exit.unwrap().code, Some(3));
    let why = second.refusal(&KeeperAsk::Start(Box::new(agent.script(2, "exit 0"))));
    assert!(why.contains("nobody acknowledged"), "{why}");
    second.send(&KeeperAsk::Acknowledge { run: 1 });
    assert_eq!(second.next().run, None);
    let why = second.refusal(&KeeperAsk::Start(Box::new(agent.script(1, "exit 0"))));
    assert!(why.contains("not newer"), "{why}");
    assert_eq!(second.run(agent.script(2, "exit 0")).code, Some(0));
}

#[test]
fn every_change_reaches_every_warden() {
    let agent = Agent::alive();
    let (mut one, mut two) = (agent.connect(), agent.connect());
    one.state();
    two.state();
    let pid = one.start(agent.script(1, "exec sleep 1000"));
    two.until("the other's start is told", |s| s.run.as_ref().is_some_and(|r| r.gateway.is_some()));
    signal(pid, "-KILL");
    assert_eq!(one.exit(1).signal, Some(9));
    assert_eq!(two.exit(1).signal, Some(9));
}

#[test]
fn the_whole_tree_ends_with_the_gateway() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let script = "(setsid sh -c 'echo $$ > stray; exec sleep 1000' &) ; sleep 1000 & while [ ! -s stray ]; do :; done; exit 5";
    assert_eq!(warden.run(agent.script(1, script)).code, Some(5));
    assert!(!lives(pid_in(&agent.path("stray"))));
}

#[test]
fn a_kill_reaches_what_ignores_a_term_and_its_whole_tree() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let script = "(setsid sh -c 'trap \"\" TERM HUP; echo $$ > stray; sleep 1000; sleep 1000' &)
        trap 'echo $$ > asked' TERM; while :; do sleep 0.02; done";
    let pid = warden.start(agent.script(1, script));
    let stray = pid_in(&agent.path("stray"));
    eventually("it listens to a TERM", || {
        warden.send(&KeeperAsk::Signal { run: 1, signal: 15 });
        warden.next();
        agent.path("asked").exists()
    });
    assert!(lives(pid));
    warden.send(&KeeperAsk::Kill { run: 1 });
    assert_eq!(warden.exit(1).signal, Some(9));
    assert!(!lives(pid));
    assert!(!lives(stray));
}

#[test]
fn a_signal_for_another_run_goes_nowhere() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let pid = warden.start(agent.script(2, "exec sleep 1000"));
    warden.send(&KeeperAsk::Kill { run: 1 });
    warden.send(&KeeperAsk::Signal { run: 1, signal: 9 });
    assert!(warden.until("both are answered", |_| true).run.unwrap().exit.is_none());
    assert!(warden.next().run.unwrap().exit.is_none());
    assert!(lives(pid));
    let why = warden.refusal(&KeeperAsk::Signal { run: 2, signal: 12_345 });
    assert!(why.contains("not a signal"), "{why}");
}

#[test]
fn a_kill_of_init_is_an_end_too() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let pid = warden.start(agent.script(1, "exec sleep 1000"));
    signal(creel_keeper::process::parent_of(pid).unwrap(), "-KILL");
    assert_eq!(warden.exit(1).signal, Some(9));
    assert!(!lives(pid));
}

#[test]
fn an_older_generation_starts_nothing() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    warden.run(Start { epoch: 2, generation: 5, ..agent.script(1, "exit 0") });
    assert_eq!(std::fs::read_to_string(agent.path("claim")).unwrap(), "2 5\n");
    for (epoch, generation) in [(2, 4), (1, 900)] {
        let start = Start { epoch, generation, ..agent.script(2, "echo started > wrong") };
        let why = warden.refusal(&KeeperAsk::Start(Box::new(start)));
        assert!(why.contains("newer generation 2.5"), "{why}");
    }
    assert_eq!(warden.run(Start { epoch: 2, generation: 5, ..agent.script(2, "exit 0") }).code, Some(0));
    assert!(!agent.path("wrong").exists());
}

#[test]
fn a_second_start_is_refused_while_one_runs() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    warden.start(agent.script(1, "exec sleep 1000"));
    let why = warden.refusal(&KeeperAsk::Start(Box::new(agent.script(2, "exit 0"))));
    assert!(why.contains("has not ended"), "{why}");
    assert!(warden.refusal(&KeeperAsk::Acknowledge { run: 1 }).contains("has not ended"));
    assert!(warden.refusal(&KeeperAsk::Quit).contains("runs"));
}

#[test]
fn a_missing_program_never_started() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let inner = warden.run(agent.start(1, &["/no/such/node"]));
    let why = inner.never_started.unwrap();
    assert!(why.contains("/no/such/node") && why.contains("No such file"), "{why}");
    let outer = warden.run(Start { argv: vec!["no-such-sandbox".into()], ..agent.script(2, "") });
    let why = outer.never_started.unwrap();
    assert!(why.contains("no-such-sandbox") && why.contains("No such file"), "{why}");
    let nowhere = warden.run(Start { cwd: "/no/such/folder".into(), ..agent.script(3, "exit 0") });
    assert!(nowhere.never_started.is_some());
    let empty = warden.run(Start { argv: Vec::new(), ..agent.script(4, "") });
    assert!(empty.never_started.unwrap().contains("empty"));
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let mut start = agent.start(1, &["env"]);
    start.env.insert("GREETING".into(), "wörld with spaces".into());
    assert_eq!(warden.run(start).code, Some(0));
    let log = agent.log();
    let mut lines: Vec<&str> = log.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["GREETING=wörld with spaces", "PATH=/usr/bin:/bin"]);
}

#[test]
fn a_gateway_starts_with_default_signals_and_no_descriptor_but_the_lock() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let script = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status; for fd in /proc/self/fd/*; do readlink $fd; done; readlink /proc/self/cwd";
    assert_eq!(warden.run(agent.start(1, &["bash", "-c", script])).code, Some(0));
    let log = agent.log();
    for name in ["SigBlk:\t", "SigIgn:\t"] {
        let mask = log.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        // The C library keeps two of the real-time signals above these 31 for itself.
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff, 0, "{log}");
    }
    assert!(!log.contains("socket:"), "{log}");
    assert!(log.ends_with(&format!("{}\n", agent.folder.display())), "{log}");
}

#[test]
fn the_log_is_bounded_and_has_the_last_words() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let mut start = agent.script(1, "seq 1 20000; echo to stderr >&2; echo the end");
    start.log = LogFile { max_bytes: 30_000, files: 3, ..start.log };
    assert_eq!(warden.run(start).code, Some(0));
    let files = ["log", "log.1", "log.2"].map(|name| std::fs::read(agent.path(name)).unwrap());
    assert!(files.iter().map(Vec::len).sum::<usize>() <= 30_000);
    assert!(!agent.path("log.3").exists());
    assert!(agent.log().ends_with("20000\nto stderr\nthe end\n"));
    assert!(files.iter().all(|file| file.ends_with(b"\n")));
}

#[test]
fn a_gateway_that_closes_its_output_costs_nothing_and_still_ends() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    let pid = warden.start(agent.script(1, "exec >&- 2>&-; echo $$ > quiet; exec sleep 1000"));
    pid_in(&agent.path("quiet"));
    signal(pid, "-TERM");
    assert_eq!(warden.exit(1).signal, Some(15));
}

#[test]
fn only_a_quit_ends_a_keeper() {
    let mut agent = Agent::alive();
    let mut warden = agent.connect();
    let keeper = warden.state().keeper.pid;
    for name in ["-HUP", "-INT", "-TERM", "-QUIT", "-USR1"] {
        signal(keeper, name);
    }
    assert_eq!(warden.state().keeper.pid, keeper);
    warden.send(&KeeperAsk::Quit);
    assert!(warden.is_closed());
    eventually("the keeper is gone", || !lives(keeper));
    assert!(!agent.path("keeper.sock").exists());
    agent.wake();
}

#[test]
fn nonsense_is_refused_and_the_next_ask_is_heard() {
    let agent = Agent::alive();
    let mut warden = agent.connect();
    warden.send_line("{\"ask\":\"dance\"}");
    let state = warden.next();
    assert!(state.refused.unwrap().contains("protocol 1"));
    assert_eq!(warden.state().refused, None);
}

#[test]
fn a_socket_is_reached_in_a_deep_folder_with_a_space_and_an_umlaut() {
    let mut agent = Agent::below(&format!("a földer {}", "x".repeat(190)));
    agent.wake();
    let mut warden = agent.connect();
    assert_eq!(warden.run(agent.script(1, "exit 4")).code, Some(4));
}
