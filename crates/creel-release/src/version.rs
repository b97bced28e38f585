//! The order of versions, and what a version's name may be.

use std::cmp::Ordering;

use creel_openclaw::version::OpenClawVersion;

/// Orders names of OpenClaw versions; what is none comes before all that are.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    let parsed = |name: &str| name.parse::<OpenClawVersion>().ok();
    parsed(a).cmp(&parsed(b)).then_with(|| a.cmp(b))
}

/// Whether this may be the name of a release, and so of a folder: nothing that could leave its root.
pub(crate) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_digit())
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
}

/// The versions next to a missing one: the newest of all, and the newest that is not newer than the wanted one (or
/// the oldest, when all are newer).
pub(crate) fn neighbours(wanted: &str, published: &[String]) -> (Option<String>, Option<String>) {
    let mut sorted: Vec<&String> = published.iter().collect();
    sorted.sort_by(|a, b| order(a, b));
    let below = sorted.iter().rev().find(|name| order(name, wanted) != Ordering::Greater);
    (sorted.last().map(|name| (*name).clone()), below.or(sorted.first()).map(|name| (*name).clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_is_newer_and_a_beta_is_older() {
        let mut names = vec!["2026.7.1-1", "2026.10.1", "2026.7.1", "2026.7.1-beta.2", "odd"];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(names, vec!["odd", "2026.7.1-beta.2", "2026.7.1", "2026.7.1-1", "2026.10.1"]);
    }

    #[test]
    fn a_name_cannot_leave_its_folder() {
        assert!(is_plain("2026.7.1-beta.2"));
        for bad in ["", "..", "../x", "2026/9", ".files", "latest", "2026.9.6\n"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_missing_version_is_answered_with_its_neighbour() {
        let published = ["2026.9.6", "2026.7.1", "2026.8.2"].map(str::to_owned);
        let newest = Some("2026.9.6".to_owned());
        assert_eq!(neighbours("2026.8.9", &published), (newest.clone(), Some("2026.8.2".to_owned())));
        assert_eq!(neighbours("2025.1.1", &published), (newest, Some("2026.7.1".to_owned())));
    }
}
