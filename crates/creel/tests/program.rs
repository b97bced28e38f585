//! The program as people start it: exit codes, errors and help, without any server.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program with nothing of this machine's settings around it.
fn creel(home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_creel"));
    command.args(words).current_dir(home).stdin(Stdio::null());
    for name in ["CREEL_DATA", "CREEL_SERVER", "CREEL_TOKEN"] {
        command.env_remove(name);
    }
    command
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("XDG_STATE_HOME", home.join("state"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn check(output: &Output, code: i32, told: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for words in told {
        assert!(stderr.contains(words), "`{words}` is not in:\n{stderr}");
    }
}

/// An address where nobody listens.
fn dead_address() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn without_a_server_the_exit_code_is_4_and_the_cure_is_named() {
    let home = tempfile::tempdir().unwrap();
    let url = dead_address();
    let output = creel(home.path(), &["get", "agents", "--server", &url, "--token", "x"]);
    check(&output, 4, &["error: no creel server answers at http://127.0.0.1:", "cure: ", "creel up -d"]);
    let data = home.path().join("dä ta");
    let output = creel(home.path(), &["get", "agents", "--data", data.to_str().unwrap()]);
    check(&output, 4, &["dä ta", "creel up -d"]);
    assert!(output.stdout.is_empty());
}

#[test]
fn wrong_usage_is_2() {
    let home = tempfile::tempdir().unwrap();
    check(&creel(home.path(), &["gte"]), 2, &["gte"]);
    check(&creel(home.path(), &["get", "agnets"]), 2, &["did you mean `agents`"]);
    check(&creel(home.path(), &["get", "nodes", "-l", "a=b"]), 2, &["error: only agents"]);
    check(&creel(home.path(), &["delete"]), 2, &[]);
    check(&creel(home.path(), &["secret", "set", "key", "the-value"]), 2, &[]);
    check(&creel(home.path(), &["get", "agents", "--context", "none"]), 2, &["there is no context `none`"]);
}

#[test]
fn a_typo_in_a_manifest_is_told_before_any_server_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("agents.yaml");
    let manifest = "apiVersion: creel.dev/v1\nkind: Agent\nmetadata:\n  name: a\nspec:\n  relase: stable\n";
    fs::write(&file, manifest).unwrap();
    let output = creel(home.path(), &["apply", "-f", "agents.yaml", "--server", &dead_address()]);
    check(&output, 1, &["error: agents.yaml:6:3: unknown key `relase`: did you mean `release`?", "cure: "]);
}

#[test]
fn scripts_get_errors_as_problems() {
    let home = tempfile::tempdir().unwrap();
    let output = creel(home.path(), &["get", "agents", "-o", "json", "--server", &dead_address()]);
    assert_eq!(output.status.code(), Some(4));
    let problem: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(problem["type"], "urn:creel:problem:no-server");
    assert!(problem["hint"].as_str().unwrap().contains("creel up -d"));
}

#[test]
fn the_help_of_every_command_has_examples() {
    let home = tempfile::tempdir().unwrap();
    let help = text(&creel(home.path(), &["--help"]).stdout);
    let commands = help.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"apply") && !names.contains(&"serve"), "{names:?}");
    for name in names {
        let help = text(&creel(home.path(), &[name, "--help"]).stdout);
        assert!(help.contains("EXAMPLES\n  creel "), "{name}:\n{help}");
    }
}

#[test]
fn down_says_that_nothing_runs_where_nothing_ever_ran() {
    let home = tempfile::tempdir().unwrap();
    let output = creel(home.path(), &["down", "--data", "none"]);
    check(&output, 0, &[]);
    assert!(text(&output.stdout).contains("nothing runs"), "{}", text(&output.stdout));
}

#[test]
fn a_fault_in_the_settings_is_told_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("config/creel")).unwrap();
    fs::write(home.path().join("config/creel/config.yaml"), "contexts: []\ncurentContext: a\n").unwrap();
    let output = creel(home.path(), &["get", "agents"]);
    check(&output, 1, &["config.yaml:2:1: unknown key `curentContext`: did you mean `currentContext`?"]);
}

#[test]
fn init_writes_a_manifest_and_the_commands_for_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let words = ["init", "--name", "shop", "--provider", "openai", "--telegram"];
    let output = creel(home.path(), &words);
    check(&output, 0, &[]);
    let told = text(&output.stdout);
    for words in ["shop.yaml written", "creel secret set -t default openai-api-key", "shop-telegram-token"] {
        assert!(told.contains(words), "{told}");
    }
    check(&creel(home.path(), &words), 1, &["shop.yaml is there already", "--force"]);
}
