//! Chores of the project: `cargo run -p xtask -- openapi` writes the API's document to `docs/openapi.json`, and with
//! `--check` only compares, so that the document that is checked in is always that of the code.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

const USAGE: &str = "usage: cargo run -p xtask -- openapi [--check]";

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["openapi"] => write(&document(), &creel_server::openapi()),
        ["openapi", "--check"] => check(&document(), &creel_server::openapi()),
        _ => bail!("{USAGE}"),
    }
}

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    std::fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

fn check(path: &Path, text: &str) -> anyhow::Result<()> {
    let kept = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    if kept != text {
        bail!(
            "docs/openapi.json is not the API's document any more; `cargo run -p xtask -- openapi` writes it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_differs_fails_and_says_how_to_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs/openapi.json");
        write(&path, "{}\n").unwrap();
        check(&path, "{}\n").unwrap();
        assert!(check(&path, "{\"new\":1}\n").unwrap_err().to_string().contains("xtask -- openapi"));
    }
}
