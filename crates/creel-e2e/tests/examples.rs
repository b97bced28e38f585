//! What stands in `examples/` works as it stands there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use creel_e2e::{Creel, tells};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn path(name: &str) -> Result<String> {
    Ok(examples().join(name).to_str().context("no text")?.to_owned())
}

#[test]
fn every_example_would_be_applied() -> Result<()> {
    let creel = Creel::with_stub()?;
    for entry in fs::read_dir(examples())? {
        let file = entry?.path();
        let told = creel.done(&["apply", "--dry-run", "-f", &file.to_string_lossy()])?;
        tells(&told, &["created (dry run)"])?;
    }
    assert_eq!(creel.json(&["get", "agents", "-A"])?["items"], serde_json::json!([]));
    Ok(())
}

#[test]
fn the_practice_agent_runs() -> Result<()> {
    let creel = Creel::new()?;
    creel.up(&["--practice-model"])?;
    creel.add_stub()?;
    creel.done(&["apply", "-f", &path("practice.yaml")?, "--wait"])?;
    tells(&creel.say("practice", "one")?, &["You said: \"one\"."])?;
    creel.done(&["apply", "-f", &path("fleet.yaml")?, "--wait"])?;
    let sales = creel.json(&["get", "agents", "-l", "team=sales"])?;
    assert_eq!(sales["items"][0]["metadata"]["name"], "sales");
    assert_eq!(sales["items"][0]["status"]["phase"], "Running");
    Ok(())
}

#[test]
fn the_agent_on_telegram_runs_once_its_secrets_are_there() -> Result<()> {
    let creel = Creel::with_stub()?;
    // The channel `stable` is the registry's to say; here the agent stays on the stub.
    let written = fs::read_to_string(path("telegram.yaml")?)?;
    let manifest = written.replace("release: stable", "release: 2026.9.6");
    assert_ne!(manifest, written);
    creel.apply(&manifest, &[])?.done()?;
    tells(&creel.done(&["explain", "shop"])?, &["SecretMissing", "shop-telegram-token"])?;
    for (name, value) in [("shop-telegram-token", "123456:made-up"), ("anthropic-api-key", "sk-made-up")] {
        creel.set_secret(name, value)?;
    }
    creel.until_phase("shop", "Running")?;
    let config = creel.agent_folder("shop")?.join("agent/state/openclaw.json");
    let config: serde_json::Value = serde_json::from_str(&fs::read_to_string(config)?)?;
    assert_eq!(config["channels"]["telegram"]["botToken"]["source"], "file");
    tells(&creel.say("shop", "one")?, &["You said: \"one\"."])
}
