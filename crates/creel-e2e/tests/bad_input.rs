//! What people and scripts hand over, and how it is refused: by cause, place and cure, and nothing is half done.

use std::fs;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use creel_e2e::{Creel, Ran, pid_of, stub_agent, tells};
use serde_json::json;

fn refusal(creel: &Creel, manifest: &str) -> Result<String> {
    Ok(creel.apply(manifest, &[])?.with_code(1)?.stderr)
}

fn agents(creel: &Creel) -> Result<Vec<String>> {
    let list = creel.json(&["get", "agents", "-A"])?;
    let items = list["items"].as_array().context("no items")?;
    Ok(items.iter().filter_map(|agent| agent["metadata"]["name"].as_str().map(str::to_owned)).collect())
}

#[test]
fn a_manifest_with_a_fault_is_refused_with_its_place_and_nothing_is_applied() -> Result<()> {
    let creel = Creel::with_stub()?;
    let good = stub_agent("good", "");
    let typo = stub_agent("a", "priorty: 5");
    tells(
        &refusal(&creel, &format!("{good}---\n{typo}"))?,
        &["manifest.yaml:9:27:", "`priorty`", "`priority`", "nothing was applied"],
    )?;
    for (wrong, wanted) in [
        ("priority: [1]", "a single value"),
        ("priority: high", "a whole number from 0 to"),
        ("env: [A]", "a mapping"),
        ("agentMayEdit: 'yes'", "true or false"),
        ("resources: {memoryBytes: lots}", "is not a size"),
    ] {
        tells(
            &refusal(&creel, &format!("{good}---\n{}", stub_agent("a", wrong)))?,
            &["manifest.yaml:9:", wanted],
        )?;
    }
    tells(&refusal(&creel, &format!("{good}---\n{good}"))?, &["agent/good is written twice", ":3", ":8"])?;
    let huge = format!("{good}# {}\n", "x".repeat(10 << 20));
    tells(&refusal(&creel, &huge)?, &["MiB that a manifest may have"])?;
    tells(&refusal(&creel, &stub_agent("UPPER", ""))?, &["UPPER", "metadata.name"])?;
    assert_eq!(agents(&creel)?, [""; 0]);
    Ok(())
}

#[test]
fn applying_twice_changes_nothing_and_a_change_is_shown_as_a_difference() -> Result<()> {
    let creel = Creel::with_stub()?;
    let apply = |spec: &str, more: &[&str]| creel.apply(&stub_agent("a", spec), more)?.done();
    assert_eq!(apply("", &["--dry-run"])?, "agent/a created (dry run)\n");
    assert_eq!(agents(&creel)?, [""; 0]);
    assert_eq!(apply("", &["--wait"])?, "agent/a created\n");
    let before = creel.agent("a")?;
    assert_eq!(apply("", &[])?, "agent/a unchanged\n");
    tells(
        &apply("priority: 7", &["--dry-run"])?,
        &["agent/a changed (dry run)", "spec.priority: (nothing) -> 7"],
    )?;
    assert_eq!(apply("", &["--wait"])?, "agent/a unchanged\n");
    let after = creel.agent("a")?;
    assert_eq!(after["metadata"], before["metadata"]);
    assert_eq!(pid_of(&after)?, pid_of(&before)?);
    tells(&apply("priority: 7", &[])?, &["agent/a changed\n", "spec.priority: (nothing) -> 7"])
}

#[test]
fn identical_applies_at_once_make_one_agent_with_one_process() -> Result<()> {
    let creel = Creel::with_stub()?;
    let file = creel.scratch().join("same.yaml");
    fs::write(&file, stub_agent("a", ""))?;
    let file = file.to_string_lossy();
    let apply = || creel.run(&["apply", "--wait", "-f", &file]).and_then(Ran::done);
    let told: Vec<Result<String>> = thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(apply)).collect();
        all.into_iter().filter_map(|one| one.join().ok()).collect()
    });
    let told = told.into_iter().collect::<Result<Vec<String>>>()?;
    let created = told.iter().filter(|told| told.contains("created")).count();
    assert_eq!((told.len(), created), (4, 1), "{told:?}");
    assert_eq!(agents(&creel)?, ["a"]);
    let keepers = creel.processes().into_iter().filter(|process| process.command.contains("keeper keeper"));
    assert_eq!(keepers.count(), 1);
    assert_eq!(creel.record("a")?["run"], 1);
    Ok(())
}

#[test]
fn one_bot_token_is_for_one_agent_and_the_refusal_names_both() -> Result<()> {
    let creel = Creel::with_stub()?;
    creel.set_secret("one", "123:same")?;
    creel.set_secret("two", "123:same")?;
    creel.set_secret("three", "123:other")?;
    let with = |name: &str, secret: &str| {
        stub_agent(name, &format!("secrets: {{channels.telegram.botToken: {secret}}}"))
    };
    creel.apply(&with("first", "one"), &["--wait"])?.done()?;
    tells(&refusal(&creel, &with("second", "two"))?, &["second", "first", "bot token"])?;
    creel.apply(&with("second", "three"), &["--wait"])?.done()?;
    let file = creel.scratch().join("value");
    fs::write(&file, "123:same")?;
    let set = creel.run(&["secret", "set", "three", "--from-file", &file.to_string_lossy()])?.with_code(1)?;
    tells(&set.stderr, &["first", "second", "bot token"])?;
    assert_eq!(agents(&creel)?, ["first", "second"]);
    Ok(())
}

fn labelled(name: &str, team: &str) -> String {
    stub_agent(name, "").replace("}\nspec", &format!(", labels: {{team: {team}}}}}\nspec"))
}

#[test]
fn labels_select_and_pruning_takes_away_what_is_not_written() -> Result<()> {
    let creel = Creel::with_stub()?;
    let all = [labelled("a", "x"), labelled("b", "x"), labelled("c", "y")].join("---\n");
    creel.apply(&all, &["--wait"])?.done()?;
    let selected = creel.json(&["get", "agents", "-l", "team=x"])?;
    assert_eq!(selected["items"].as_array().map(Vec::len), Some(2));
    let before = creel.pid("c")?;
    let restarted = creel.done(&["restart", "-l", "team!=x", "--wait"])?;
    assert_eq!(restarted, "agent/c restarting\n");
    ensure!(creel.pid("c")? != before, "it was not restarted");
    tells(
        &creel.done(&["chat", "-l", "team=x", "hello"])?,
        &["agent/a:", "agent/b:", "You said: \"hello\"."],
    )?;
    creel.done(&["delete", "agents", "-l", "team=y"])?;
    assert_eq!(agents(&creel)?, ["a", "b"]);
    let only = labelled("a", "x");
    tells(&creel.apply(&only, &["--prune", "--dry-run"])?.done()?, &["agent/b deleted (dry run)"])?;
    tells(&creel.apply(&only, &["--prune"])?.with_code(1)?.stderr, &["agent/b", "--yes"])?;
    assert_eq!(agents(&creel)?, ["a", "b"]);
    tells(&creel.apply(&only, &["--prune", "--yes"])?.done()?, &["agent/a unchanged", "agent/b deleted"])?;
    assert_eq!(agents(&creel)?, ["a"]);
    Ok(())
}

#[test]
fn scripts_find_every_kind_in_the_same_shape() -> Result<()> {
    let creel = Creel::with_stub()?;
    creel.start("a", "")?;
    creel.set_secret("s", "v")?;
    for (kinds, kind) in [
        ("agents", "Agent"),
        ("tenants", "Tenant"),
        ("secrets", "Secret"),
        ("releases", "Release"),
        ("nodes", "Node"),
    ] {
        let list = creel.json(&["get", kinds])?;
        assert_eq!((&list["apiVersion"], &list["kind"]), (&json!("creel.dev/v1"), &json!("List")), "{list}");
        let item = &list["items"][0];
        assert_eq!((&item["apiVersion"], &item["kind"]), (&json!("creel.dev/v1"), &json!(kind)), "{item}");
        ensure!(item["metadata"]["name"].is_string(), "{item}");
        let yaml = creel.done(&["get", kinds, "-o", "yaml"])?;
        tells(&yaml, &["apiVersion: creel.dev/v1", "kind: List"])?;
    }
    let status = creel.agent("a")?["status"].clone();
    for key in ["phase", "reason", "message", "since", "node", "generation", "release", "readyAt"] {
        ensure!(status[key].is_string(), "{key}: {status}");
    }
    for key in ["pid", "restarts", "memoryBytes"] {
        ensure!(status[key].is_u64(), "{key}: {status}");
    }
    assert_eq!(status["waiting"], json!([]));
    let table = creel.done(&["get", "agents", "-o", "wide"])?;
    tells(&table, &["NAME", "PHASE", "Running"])?;
    let written = creel.done(&["get", "agent", "a", "-o", "yaml"])?;
    assert_eq!(creel.apply(&written, &[])?.done()?, "agent/a unchanged\n");
    Ok(())
}

#[test]
fn whoever_is_nobody_is_told_so_by_exit_code_and_cure() -> Result<()> {
    let creel = Creel::new()?;
    tells(&creel.run(&["get", "agents"])?.with_code(4)?.stderr, &["creel up -d"])?;
    creel.up(&[])?;
    let wrong = creel.run(&["--token", "creel_wrong", "get", "agents"])?.with_code(1)?;
    tells(&wrong.stderr, &["token", "creel token show"])?;
    tells(&creel.run(&["get", "agent", "nobody"])?.with_code(3)?.stderr, &["nobody", "creel get agents"])?;
    tells(&creel.chat("nobody", "hello")?.with_code(3)?.stderr, &["nobody"])?;
    creel.run(&["get", "boats"])?.with_code(2)?;
    creel.down()?;
    creel.run(&["get", "agents"])?.with_code(4).map(drop)
}

/// Made up; long enough to be found by chance nowhere.
const SECRET: &str = "8412667:e2e-7c1e52d90ab34f";

#[test]
fn a_secrets_value_is_nowhere_but_in_the_vault_and_in_the_agents_own_file() -> Result<()> {
    let creel = Creel::with_stub()?;
    creel.set_secret("bot", SECRET)?;
    creel.start("a", "secrets: {channels.telegram.botToken: bot}")?;
    creel.say("a", "hello")?;
    for args in [
        &["get", "secrets", "-o", "yaml"][..],
        &["get", "agents", "-o", "yaml"],
        &["describe", "agent", "a"],
        &["describe", "secret", "bot"],
        &["logs", "a"],
    ] {
        let told = creel.run(args)?;
        ensure!(!(told.stdout + &told.stderr).contains(SECRET), "{args:?}");
    }
    ensure!(!creel.api("/api/v1/history")?.to_string().contains(SECRET), "the history");
    for process in creel.processes() {
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            ensure!(!has(&text), "{file} of {process:?}");
        }
    }
    let own = creel.agent_folder("a")?.join("agent/run/secrets.json");
    ensure!(has(&fs::read(&own)?), "the agent needs it in {}", own.display());
    let found = files_with_it(creel.data())?;
    let vault = creel.data().join("secrets");
    let elsewhere: Vec<_> = found.iter().filter(|path| **path != own && !path.starts_with(&vault)).collect();
    ensure!(elsewhere.is_empty(), "{elsewhere:?}");
    Ok(())
}

fn has(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes())
}

fn files_with_it(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files_with_it(&entry.path())?);
        } else if kind.is_file() && has(&fs::read(entry.path())?) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[test]
fn secrets_in_clear_are_refused_in_a_manifest() -> Result<()> {
    let creel = Creel::with_stub()?;
    let clear = format!("config: {{channels: {{telegram: {{botToken: '{SECRET}'}}}}}}");
    let told = refusal(&creel, &stub_agent("a", &clear))?;
    tells(&told, &["channels.telegram.botToken", "creel secret set"])?;
    ensure!(!told.contains(SECRET), "{told}");
    Ok(())
}
