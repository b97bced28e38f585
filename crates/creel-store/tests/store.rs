//! The store as its users see it: what was acknowledged stays, whoever wrote second is told, and a report is not a
//! decision.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use creel_api::agent::{AgentSpec, Phase};
use creel_api::node::{AgentReport, Hold};
use creel_core::world::{AgentRecord, Change, Decision, ReleaseRecord, SecretRecord, World};
use creel_store::{CommitError, Filter, OpenError, ReportWriter, Store};
use jiff::{SignedDuration, Timestamp};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn release(version: &str) -> Decision {
    let record = ReleaseRecord { version: version.into(), wanted_at: NOW, unwanted: false };
    Decision { change: Change::Release(version.into(), Some(record)), why: format!("{version} is wanted") }
}

fn agent(uid: &str, name: &str) -> AgentRecord {
    AgentRecord {
        uid: uid.into(),
        name: name.into(),
        tenant: "default".into(),
        labels: [("team".to_owned(), "sales".to_owned())].into(),
        spec: AgentSpec::default(),
        created_at: NOW,
        revision: 1,
        deleted: None,
        restart: 0,
        revisions: vec![],
        assignment: None,
    }
}

fn report(agent: &str, seq: u64, message: &str) -> AgentReport {
    AgentReport {
        agent: agent.into(),
        node: "n1".into(),
        seq,
        at: NOW,
        hold: Hold::Held,
        generation: None,
        phase: Phase::Running,
        reason: "Ready".into(),
        message: message.into(),
        since: NOW,
        deadline: None,
        revision: None,
        release: None,
        refused: None,
        pid: Some(7),
        restarts: 0,
        memory_bytes: None,
        ready_at: None,
        last_exit: None,
        waiting: vec![],
        conditions: vec![],
    }
}

async fn open(folder: &Path) -> Store {
    Store::open(&folder.join("creel.db")).await.unwrap()
}

#[tokio::test]
async fn what_was_committed_is_loaded_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::empty();
    let secret = SecretRecord {
        tenant: "default".into(),
        name: "bot".into(),
        uid: "s1".into(),
        version: 1,
        set_at: NOW,
        hash: "abc".into(),
    };
    let changes = [
        Change::Agent("u1".into(), Some(Box::new(agent("u1", "first")))),
        Change::Secret(("default".into(), "bot".into()), Some(secret)),
        release("2026.9.6").change,
    ];
    let decisions: Vec<Decision> =
        changes.iter().map(|change| Decision { change: change.clone(), why: "a test".into() }).collect();
    let revision = open(folder.path()).await.commit(0, "admin", &decisions, NOW).await.unwrap();
    world.apply(revision, &changes);
    assert_eq!(open(folder.path()).await.load().await.unwrap(), world);
}

#[tokio::test]
async fn whoever_commits_second_on_the_same_revision_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    one.commit(0, "admin", &[release("2026.9.6")], NOW).await.unwrap();
    let refused = two.commit(0, "planner", &[release("2026.9.7")], NOW).await.unwrap_err();
    assert!(matches!(refused, CommitError::Conflict { found: 1 }), "{refused}");
    assert_eq!(two.load().await.unwrap().releases.len(), 1);
}

#[tokio::test]
async fn no_decisions_are_no_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    assert_eq!(store.commit(0, "planner", &[], NOW).await.unwrap(), 0);
    assert_eq!(store.load().await.unwrap().revision, 0);
}

#[tokio::test]
async fn a_store_lives_in_a_path_with_a_space_and_an_umlaut() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("Käfig Nr. 1?%23#");
    open(&odd).await.commit(0, "admin", &[release("2026.9.6")], NOW).await.unwrap();
    assert_eq!(open(&odd).await.load().await.unwrap().revision, 1);
    assert!(odd.join("creel.db").exists());
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("creel.db");
    let text = "not a database, but long enough to be looked at as one. ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    let refused = Store::open(&path).await.unwrap_err();
    assert!(matches!(refused, OpenError::NotAStore { .. }), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn the_history_tells_what_why_who_and_when_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let record = SecretRecord {
        tenant: "default".into(),
        name: "bot".into(),
        uid: "s1".into(),
        version: 1,
        set_at: NOW,
        hash: "the-hash".into(),
    };
    let change = Change::Secret(("default".into(), "bot".into()), Some(record));
    store.commit(0, "admin", &[Decision { change, why: "it was set".into() }], NOW).await.unwrap();
    let created = Change::Agent("u1".into(), Some(Box::new(agent("u1", "first"))));
    store.commit(1, "admin", &[Decision { change: created, why: "new".into() }], NOW).await.unwrap();
    let removed = Change::Agent("u1".into(), None);
    store.commit(2, "planner", &[Decision { change: removed, why: "gone".into() }], NOW).await.unwrap();

    let lines = store.history(&Filter::default(), 10).await.unwrap();
    let told: Vec<_> =
        lines.iter().map(|l| (l.revision, l.who.as_str(), l.key.as_str(), l.why.as_str())).collect();
    assert_eq!(
        told,
        [
            (3, "planner", "default/first", "gone"),
            (2, "admin", "default/first", "new"),
            (1, "admin", "default/bot", "it was set")
        ]
    );
    assert_eq!(lines[0].after, None);
    assert!(!serde_json::to_string(&lines).unwrap().contains("the-hash"));
    let only = Filter { kind: Some("Agent".into()), key: Some("default/first".into()) };
    assert_eq!(store.history(&only, 1).await.unwrap()[0].revision, 3);
}

#[tokio::test]
async fn old_history_goes_but_each_object_keeps_its_newest_lines() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let day = |n: i64| NOW + SignedDuration::from_hours(24 * n);
    for n in 0..6 {
        let version = if n == 0 { "2026.9.5" } else { "2026.9.6" };
        store.commit(n, "admin", &[release(version)], day(n.cast_signed())).await.unwrap();
    }
    assert_eq!(store.prune_history(2, day(5)).await.unwrap(), 3);
    let left = store.history(&Filter::default(), 100).await.unwrap();
    assert_eq!(left.iter().map(|line| line.revision).collect::<Vec<_>>(), [6, 5, 1]);
}

#[tokio::test]
async fn a_report_does_not_move_the_revision_and_an_older_one_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).await);
    let writer = ReportWriter::start(Arc::clone(&store));
    for (seq, message) in [(1, "one"), (3, "three"), (2, "two")] {
        writer.write(report("u1", seq, message));
    }
    writer.flush().await.unwrap();
    writer.write(report("u1", 2, "late"));
    writer.flush().await.unwrap();
    let reports = store.reports().await.unwrap();
    assert_eq!(reports.iter().map(|r| r.message.as_str()).collect::<Vec<_>>(), ["three"]);
    let world = store.load().await.unwrap();
    assert_eq!((world.revision, world), (0, World::empty()));
}

#[tokio::test]
async fn a_warden_that_lost_its_sequence_is_believed_by_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).await);
    let writer = ReportWriter::start(Arc::clone(&store));
    writer.write(report("u1", 900, "before"));
    writer.flush().await.unwrap();
    let later = AgentReport { at: NOW + SignedDuration::from_secs(1), ..report("u1", 1, "after") };
    writer.write(later);
    writer.flush().await.unwrap();
    assert_eq!(store.reports().await.unwrap()[0].message, "after");
}

#[tokio::test]
async fn reports_are_written_without_being_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).await);
    let writer = ReportWriter::start(Arc::clone(&store));
    writer.write(report("u1", 1, "one"));
    let written = async {
        while store.reports().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), written).await.unwrap();
}

#[tokio::test]
async fn the_report_of_a_removed_agent_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).await);
    let writer = ReportWriter::start(Arc::clone(&store));
    writer.write(report("u1", 1, "one"));
    writer.flush().await.unwrap();
    let removed = Decision { change: Change::Agent("u1".into(), None), why: "gone".into() };
    store.commit(0, "planner", &[removed], NOW).await.unwrap();
    assert_eq!(store.reports().await.unwrap(), []);
}

/// Names the folder for [`as_a_child`]; without it that test has nothing to do.
const CHILD_FOLDER: &str = "CREEL_STORE_TEST_FOLDER";
const CHILD_TASK: &str = "CREEL_STORE_TEST_TASK";

fn child(task: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "as_a_child", "--nocapture"]);
    command.env(CHILD_FOLDER, folder).env(CHILD_TASK, task).stdout(Stdio::piped());
    command
}

/// The part of the tests below that runs in a process of its own.
#[tokio::test]
async fn as_a_child() {
    let (Some(folder), Ok(task)) = (std::env::var_os(CHILD_FOLDER), std::env::var(CHILD_TASK)) else {
        return;
    };
    let opened = Store::open(&Path::new(&folder).join("creel.db")).await;
    match task.as_str() {
        "commit" => commit_until_killed(&opened.unwrap()).await,
        _ => println!("opened: {}", opened.map_or_else(|error| error.to_string(), |_| "yes".into())),
    }
}

async fn commit_until_killed(store: &Store) {
    let mut revision = store.load().await.unwrap().revision;
    loop {
        let decisions: Vec<Decision> = (0..5).map(|n| release(&format!("2026.{revision}.{n}"))).collect();
        revision = store.commit(revision, "admin", &decisions, NOW).await.unwrap();
        println!("acknowledged {revision}");
    }
}

/// Kills the child once it acknowledged `commits` more, and gives the last revision that it acknowledged.
fn kill_after(mut child: Child, commits: usize) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let number = |line: String| line.split_once("acknowledged ")?.1.parse::<u64>().ok();
    let mut last = lines.by_ref().filter_map(number).take(commits).last().unwrap();
    child.kill().unwrap();
    last = lines.filter_map(number).last().unwrap_or(last);
    child.wait().unwrap();
    last
}

#[tokio::test]
async fn all_that_was_acknowledged_survives_kill_9_in_mid_write() {
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=5 {
        let acknowledged = kill_after(child("commit", folder.path()).spawn().unwrap(), round * 3);
        let world = open(folder.path()).await.load().await.unwrap();
        assert!(world.revision == acknowledged || world.revision == acknowledged + 1);
        assert_eq!(world.releases.len() as u64, world.revision * 5, "a commit is whole or not at all");
    }
}

#[test]
fn a_read_only_folder_is_named_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    make_read_only(folder.path());
    make_read_only(&closed);
    let mut child = child("open", &closed);
    if is_root() {
        child.uid(65_534).gid(65_534); // rights do not bind root
    }
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("the folder is read-only for this user") && said.contains("--data"), "{said}");
}

fn make_read_only(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o555)).unwrap();
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
