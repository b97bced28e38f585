use std::fs;

use super::*;

fn load_text(text: &str) -> Result<Vec<Manifest>, ManifestError> {
    parse(&[source::Source { name: "agents.yaml".into(), text: text.into() }], DEFAULT_TENANT)
}

fn refusal(text: &str) -> String {
    load_text(text).unwrap_err().to_string()
}

fn agent(name: &str, rest: &str) -> String {
    format!("apiVersion: creel.dev/v1\nkind: Agent\nmetadata:\n  name: {name}\n{rest}")
}

#[test]
fn a_typo_is_told_with_line_column_and_the_nearest_key() {
    let text = format!("# two\n---\n{}---\n{}", agent("a", ""), agent("b", "spec:\n  relase: stable\n"));
    assert_eq!(refusal(&text), "agents.yaml:13:3: unknown key `relase`: did you mean `release`?");
}

#[test]
fn a_wrong_type_is_told_with_line_and_column() {
    let told = refusal(&agent("a", "spec:\n  priority: high\n"));
    assert_eq!(told, "agents.yaml:6:13: this must be a whole number from 0 to 65535");
    let told = refusal(&agent("a", "spec:\n  config: [1]\n"));
    assert!(told.starts_with("agents.yaml:6:"), "{told}");
    let told = refusal(&agent("a", "spec:\n  resources:\n    memoryBytes: 2 GiB\n"));
    assert!(told.starts_with("agents.yaml:7:") && told.contains("2 GiB"), "{told}");
}

#[test]
fn each_faulty_document_is_told() {
    let text = format!("{}---\n{}", agent("a", "spc: {}\n"), agent("b", "metdata: {}\n"));
    let told = refusal(&text);
    assert!(told.contains("agents.yaml:5:1: unknown key `spc`: did you mean `spec`?"), "{told}");
    assert!(told.contains("agents.yaml:11:1: unknown key `metdata`"), "{told}");
}

#[test]
fn two_agents_of_one_name_are_told_with_both_places() {
    let told = refusal(&format!("{}---\n{}", agent("a", ""), agent("a", "")));
    assert_eq!(told, "agent/a is written twice: at agents.yaml:4 and at agents.yaml:9");
}

#[test]
fn one_name_in_two_tenants_is_two_agents() {
    let text = format!("{}---\n{}", agent("a", ""), agent("a", "  tenant: acme\n"));
    let labels: Vec<String> = load_text(&text).unwrap().iter().map(|found| found.object.label()).collect();
    assert_eq!(labels, ["agent/a", "agent/acme/a"]);
}

#[test]
fn a_kind_or_version_that_is_not_known_is_told() {
    assert!(refusal("apiVersion: creel.dev/v1\nkind: Agnet\n").contains("agents.yaml:2:7"));
    assert!(refusal("apiVersion: creel.dev/v1\nkind: Agnet\n").contains("did you mean `Agent`"));
    assert!(refusal("apiVersion: v2\nkind: Agent\n").contains("this creel reads creel.dev/v1"));
    assert!(refusal("kind: Agent\n").contains("`apiVersion` is missing"));
    assert!(refusal("just text\n").starts_with("agents.yaml:1:"));
}

#[test]
fn tenants_come_before_agents_and_a_file_may_end_documents_by_dots() {
    let tenant = "apiVersion: creel.dev/v1\nkind: Tenant\nmetadata: {name: acme}\n...\n# end\n";
    let text = format!("{}---\n{tenant}", agent("a", "  tenant: acme\n"));
    let labels: Vec<String> = load_text(&text).unwrap().iter().map(|found| found.object.label()).collect();
    assert_eq!(labels, ["tenant/acme", "agent/acme/a"]);
}

#[test]
fn what_get_printed_can_be_applied_again() {
    let item = "  - apiVersion: creel.dev/v1\n    kind: Agent\n    metadata: {name: a, uid: u, revision: 7}\n    spec: {}\n    status: {phase: Running, reason: '', message: '', restarts: 0}\n";
    let found = load_text(&format!("apiVersion: creel.dev/v1\nkind: List\nitems:\n{item}")).unwrap();
    let wished = found[0].object.metadata();
    assert_eq!((wished.name.as_str(), &wished.uid, wished.revision), ("a", &None, None));
    assert_eq!(found[0].origin.to_string(), "agents.yaml:6");
}

#[test]
fn a_manifest_of_ten_megabytes_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.yaml");
    fs::write(&file, "# x\n".repeat(10 << 18)).unwrap();
    let told = load(std::slice::from_ref(&file), false, DEFAULT_TENANT).unwrap_err().to_string();
    assert!(told.contains("more than the 4 MiB that"), "{told}");
}

#[test]
fn a_folder_gives_its_manifests_in_order_and_not_those_below_unless_asked() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, agent_name: &str| {
        fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
        fs::write(folder.path().join(name), agent(agent_name, "")).unwrap();
    };
    write("b.yaml", "b");
    write("a.yml", "a");
    write("notes.txt", "n");
    write("below/c.yaml", "c");
    let names = |recursive| -> Vec<String> {
        let found = load(&[folder.path().into()], recursive, DEFAULT_TENANT).unwrap();
        found.iter().map(|manifest| manifest.object.metadata().name.clone()).collect()
    };
    assert_eq!(names(false), ["a", "b"]);
    assert_eq!(names(true), ["a", "b", "c"]);
}

#[test]
fn input_without_an_object_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.yaml");
    fs::write(&file, "# nothing\n---\n").unwrap();
    assert!(matches!(load(&[file], false, DEFAULT_TENANT), Err(ManifestError::Empty(_))));
    let none = folder.path().join("none.yaml");
    assert!(matches!(load(&[none], false, DEFAULT_TENANT), Err(ManifestError::Read { .. })));
}

#[test]
fn every_example_is_understood() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let manifests = files.iter().filter(|file| file.extension().is_some_and(|end| end == "yaml"));
    let mut count = 0;
    for file in manifests {
        let found = load(std::slice::from_ref(file), false, DEFAULT_TENANT);
        assert!(found.is_ok(), "{}: {}", file.display(), found.unwrap_err());
        count += 1;
    }
    assert!(count >= 5, "{count} examples");
}
