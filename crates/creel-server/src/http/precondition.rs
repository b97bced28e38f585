//! Optimistic concurrency: `If-Match: 42` (or `"42"`) changes only the object as it was read at that revision.

use axum::http::{HeaderMap, header};

use crate::refusal::Refusal;

/// Refuses unless the object is still the one that the client read. `revision` is None if there is no such object.
pub(crate) fn check(headers: &HeaderMap, revision: Option<u64>) -> Result<(), Refusal> {
    let Some(header) = headers.get(header::IF_MATCH) else { return Ok(()) };
    let written = header.to_str().unwrap_or_default().trim();
    if written == "*" && revision.is_some() {
        return Ok(());
    }
    let Some(revision) = revision else {
        return Err(Refusal::changed_meanwhile("there is no such object, and If-Match wants one"));
    };
    let wanted: u64 = written.trim_matches('"').parse().map_err(|_| {
        Refusal::bad_request(format!("If-Match: `{written}` is not a revision"))
            .hint("send the object's metadata.revision, for example If-Match: 42")
    })?;
    if wanted == revision {
        return Ok(());
    }
    Err(Refusal::changed_meanwhile(format!("it is at revision {revision}, not {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(written: &str, revision: Option<u64>) -> u16 {
        let headers = HeaderMap::from_iter([(header::IF_MATCH, written.parse().unwrap())]);
        check(&headers, revision).map_or_else(|refusal| refusal.0.status, |()| 200)
    }

    #[test]
    fn only_the_revision_that_was_read_matches() {
        assert_eq!(check_one("42", Some(42)), 200);
        assert_eq!(check_one("\"42\"", Some(42)), 200);
        assert_eq!(check_one("*", Some(42)), 200);
        assert_eq!(check_one("41", Some(42)), 412);
        assert_eq!(check_one("42", None), 412);
        assert_eq!(check_one("*", None), 412);
        assert_eq!(check_one("x", Some(42)), 400);
        assert!(check(&HeaderMap::new(), None).is_ok());
    }
}
