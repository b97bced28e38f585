//! Tokens: 256 random bits with a prefix. Only their SHA-256 is kept in memory and compared, in constant time.

use std::fmt::Write;
use std::io;
use std::path::Path;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

use crate::file::write_private;

/// What every token of creel begins with, so that a leak scanner can find one.
const PREFIX: &str = "creel_";

/// A token that a request may show.
pub(crate) struct Token {
    digest: Vec<u8>,
}

impl Token {
    /// The token in this file; a new one is made there if there is none.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) if !text.trim().is_empty() => text,
            Ok(_) => create(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(error) => return Err(error),
        };
        Ok(Self { digest: hash(text.trim()) })
    }

    /// Whether this is the token.
    pub(crate) fn matches(&self, shown: &str) -> bool {
        verify_slices_are_equal(&self.digest, &hash(shown)).is_ok()
    }
}

fn create(path: &Path) -> io::Result<String> {
    let text = format!("{PREFIX}{}", hex(&random()?));
    write_private(path, format!("{text}\n").as_bytes())?;
    Ok(text)
}

fn hash(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().to_vec()
}

/// 256 random bits.
pub(crate) fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_matches_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let first = Token::at(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().trim().to_owned();
        let again = Token::at(&path).unwrap();
        assert!(text.starts_with("creel_") && text.len() == PREFIX.len() + 64);
        assert!(first.matches(&text) && again.matches(&text));
        assert!(!first.matches("") && !first.matches(&text[1..]));
    }
}
