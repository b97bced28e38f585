//! The spawner: at most one holder of an agent's state, whoever dies.

mod kit;

use creel_api::keeper::{SpawnerAnswer, SpawnerOutcome, SpawnerVerb};
use creel_keeper::{cgroup, claim, folder::Folder};
use kit::{Agent, Node, eventually, lives, pid_in, signal};

#[test]
fn a_second_launch_names_the_holder() {
    let mut agent = Agent::new();
    let keeper = agent.wake();
    let SpawnerOutcome::Held { holder } = agent.launch(2) else { panic!("it was launched twice") };
    assert!(holder.contains(&format!("process {keeper} (creel-keeper keeper")), "{holder}");
    assert_eq!(std::fs::read_to_string(agent.path("claim")).unwrap(), "1 1\n");
}

#[test]
fn an_older_generation_is_not_launched() {
    let mut agent = Agent::new();
    assert!(matches!(agent.launch(5), SpawnerOutcome::Launched { .. }));
    agent.sweep();
    assert_eq!(agent.launch(4), SpawnerOutcome::Older { epoch: 1, generation: 5 });
    assert!(matches!(agent.launch(5), SpawnerOutcome::Launched { .. }));
}

#[test]
fn a_keeper_outlives_its_spawner_and_is_found_by_the_next_warden() {
    let mut agent = Agent::new();
    let keeper = agent.wake();
    let pid = agent.connect().start(agent.script(1, "exec sleep 1000"));
    signal(agent.node.spawner.id().cast_signed(), "-KILL");
    agent.node.spawner.wait().unwrap();
    agent.node = Node::start();
    assert!(matches!(agent.launch(2), SpawnerOutcome::Held { .. }));
    let state = agent.connect().state();
    assert_eq!((state.keeper.pid, state.run.unwrap().gateway.unwrap().pid), (keeper, pid));
}

#[test]
fn a_spawner_ends_with_its_warden() {
    let status = Node::start().end();
    assert!(status.success());
}

#[test]
fn the_lock_is_held_while_a_stray_of_a_dead_keeper_lives() {
    let mut agent = Agent::new();
    let keeper = agent.wake();
    let script = "(setsid sh -c 'echo $$ > stray; exec sleep 1000' &) ; exec sleep 1000";
    let pid = agent.connect().start(agent.script(1, script));
    let stray = pid_in(&agent.path("stray"));
    signal(keeper, "-KILL");
    eventually("the gateway died with its keeper", || !lives(pid));
    let SpawnerOutcome::Held { holder } = agent.launch(2) else { panic!("it was launched twice") };
    assert!(holder.contains(&format!("process {stray} (sleep 1000)")), "{holder}");
    assert_eq!(agent.sweep(), SpawnerOutcome::Swept { killed: 1 });
    assert!(!lives(stray));
    assert!(claim::is_free(&Folder::open(&agent.folder).unwrap()).unwrap());
    assert!(matches!(agent.launch(2), SpawnerOutcome::Launched { .. }));
}

#[test]
fn a_sweep_ends_all_and_leaves_no_cgroup() {
    let mut agent = Agent::new();
    let keeper = agent.wake();
    let pid = agent.connect().start(agent.script(1, "sleep 1000 & echo $! > child; exec sleep 1000"));
    let child = pid_in(&agent.path("child"));
    let SpawnerOutcome::Swept { killed } = agent.sweep() else { panic!("not swept") };
    // Keeper, init, gateway and its child.
    assert_eq!(killed, 4);
    assert!([keeper, pid, child].into_iter().all(|pid| !lives(pid)));
    for tree in cgroup::trees() {
        assert!(!tree.base.join(&agent.launch.cgroup_root).exists());
    }
    assert_eq!(agent.sweep(), SpawnerOutcome::Swept { killed: 0 });
}

#[test]
fn a_dead_keeper_leaves_no_zombie() {
    let mut agent = Agent::new();
    let keeper = agent.wake();
    signal(keeper, "-KILL");
    eventually("it is reaped", || !std::path::Path::new(&format!("/proc/{keeper}")).exists());
}

#[test]
fn processes_are_in_their_cgroups_with_their_limits() {
    let mut agent = Agent::new();
    let keeper = agent.wake();
    let pid = agent.connect().start(agent.script(1, "exec sleep 1000"));
    for tree in cgroup::trees() {
        let own = tree.base.join(&agent.launch.cgroup_root).join(&agent.launch.agent);
        assert_eq!(cgroup::members(&own.join("keeper")), [keeper], "{tree:?}");
        assert!(cgroup::members(&own.join("run")).contains(&pid), "{tree:?}");
        for (file, value) in
            [("memory.limit_in_bytes", "1073741824"), ("memory.max", "1073741824"), ("pids.max", "200")]
        {
            if let Ok(text) = std::fs::read_to_string(own.join("run").join(file)) {
                assert_eq!(text.trim(), value, "{file}");
            }
        }
    }
}

#[test]
fn a_launch_that_fails_says_why_and_frees_the_lock() {
    let mut agent = Agent::new();
    std::fs::create_dir(agent.path("keeper.sock")).unwrap();
    let SpawnerOutcome::Failed { message } = agent.launch(1) else { panic!("it was launched") };
    assert!(message.contains("listen on the agent's socket"), "{message}");
    std::fs::remove_dir(agent.path("keeper.sock")).unwrap();
    let folder = Folder::open(&agent.folder).unwrap();
    eventually("the lock is free", || claim::is_free(&folder).unwrap());
    assert!(matches!(agent.launch(1), SpawnerOutcome::Launched { .. }));
}

#[test]
fn names_and_folders_that_lead_elsewhere_are_refused() {
    let mut agent = Agent::new();
    let launch = agent.launch.clone();
    agent.launch.agent = "../elsewhere".into();
    assert!(matches!(agent.launch(1), SpawnerOutcome::Failed { .. }));
    assert!(matches!(agent.sweep(), SpawnerOutcome::Failed { .. }));
    agent.launch = launch.clone();
    agent.launch.folder = "/no/such/folder".into();
    let SpawnerOutcome::Failed { message } = agent.launch(1) else { panic!("it was launched") };
    assert!(message.contains("/no/such/folder"), "{message}");
    agent.launch = launch;
}

#[test]
fn an_unknown_ask_is_answered_under_its_number() {
    let answer = Node::start().ask_line("{\"id\":77,\"ask\":{\"verb\":\"dance\"}}");
    let answer: SpawnerAnswer = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer.id, 77);
    assert!(matches!(answer.answer, SpawnerOutcome::Failed { .. }));
}

#[test]
fn a_probe_tries_every_part_and_leaves_nothing() {
    let mut node = Node::start();
    let SpawnerOutcome::Probed { parts } = node.ask(SpawnerVerb::Probe) else { panic!("not probed") };
    let names: Vec<&str> = parts.iter().map(|part| part.part.as_str()).collect();
    let expected = "userNamespace mountProc bubblewrap netRule cgroupKill memoryLimit pidsLimit pidfd";
    assert_eq!(names, expected.split(' ').collect::<Vec<_>>());
    assert!(parts.iter().all(|part| !part.detail.is_empty() && !part.cost.is_empty()), "{parts:#?}");
    for tree in cgroup::trees() {
        let left = std::fs::read_dir(&tree.base).unwrap().flatten();
        let name = format!("creel-probe-{}", node.spawner.id());
        assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy() == name).count(), 0);
    }
}
