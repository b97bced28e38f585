//! Nothing happens, and so nothing is written: reports are not decisions.

use anyhow::Result;
use creel_e2e::{Creel, DEADLINE, until};
use serde_json::{Value, json};

/// A warden says at least this often that it is there, and with it what its agents have of memory.
const REPORTS: usize = 3;

#[test]
fn while_nothing_is_decided_the_store_stays_at_its_revision() -> Result<()> {
    let creel = Creel::with_stub()?;
    creel.start("a", "env: {STUB_EAT_MEMORY_BYTES: '20000000'}")?;
    let before = revisions(&creel)?;
    let mut heard: Vec<Value> = Vec::new();
    until("the node is heard again and again", DEADLINE, || {
        let node = creel.json(&["get", "nodes"]).map_err(|error| error.to_string())?;
        let now = node["items"][0]["status"]["heardAt"].clone();
        if !heard.contains(&now) {
            heard.push(now);
        }
        if heard.len() > REPORTS { Ok(()) } else { Err(node.to_string()) }
    })?;
    assert_eq!(revisions(&creel)?, before);
    Ok(())
}

/// The revision at which each object was changed last, and the newest line of the history.
fn revisions(creel: &Creel) -> Result<Value> {
    let agent = creel.agent("a")?;
    Ok(json!([agent["metadata"]["revision"], agent["status"]["generation"], creel.revision()?]))
}
