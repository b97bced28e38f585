//! OpenClaw's version numbers: their order, its release channels, and which versions creel can run.
//!
//! The order is upstream's, not semver's: `2026.7.1-2` is a correction and newer than `2026.7.1`, while
//! `2026.7.2-beta.1` is older than `2026.7.2`.

use std::fmt;
use std::str::FromStr;

/// The lowest PATCH of a month's stable line (upstream's RFC 0001).
const STABLE_FROM: u32 = 33;

/// The oldest version that creel runs: the oldest that was seen to start, to answer `/readyz` with JSON, and to
/// take SecretRefs and `/v1/chat/completions` the way creel uses them.
pub const OLDEST: OpenClawVersion =
    OpenClawVersion { year: 2026, month: 3, patch: 24, suffix: Suffix::Release };

/// The first version that answers `/startupz`.
pub const FIRST_WITH_STARTUPZ: OpenClawVersion =
    OpenClawVersion { year: 2026, month: 8, patch: 1, suffix: Suffix::Beta(0) };

/// `YEAR.MONTH.PATCH`, with a suffix for betas and corrections. Ordered by age: the newest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenClawVersion {
    /// Four digits.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// Counts up within the month.
    pub patch: u32,
    /// What follows the three numbers.
    pub suffix: Suffix,
}

/// What follows the three numbers of a version, in order of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// `-beta.N`: before the release.
    Beta(u32),
    /// Nothing: the release.
    Release,
    /// `-N`: a correction, after the release.
    Correction(u32),
}

impl OpenClawVersion {
    /// Whether this is a beta.
    pub fn is_beta(&self) -> bool {
        matches!(self.suffix, Suffix::Beta(_))
    }

    /// Whether this belongs to the stable line of a month that was over in `year` and `month`.
    fn is_stable(&self, year: u16, month: u8) -> bool {
        !self.is_beta() && self.patch >= STABLE_FROM && (self.year, self.month) < (year, month)
    }
}

impl fmt::Display for OpenClawVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.year, self.month, self.patch)?;
        match self.suffix {
            Suffix::Beta(number) => write!(f, "-beta.{number}"),
            Suffix::Release => Ok(()),
            Suffix::Correction(number) => write!(f, "-{number}"),
        }
    }
}

/// Why a text is not an OpenClaw version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an OpenClaw version; write it as `2026.9.6`, `2026.7.1-2` or `2026.10.1-beta.1`")]
pub struct NotAVersion(String);

impl FromStr for OpenClawVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        parse(text).ok_or_else(|| NotAVersion(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<OpenClawVersion> {
    let (numbers, suffix) = text.split_once('-').map_or((text, None), |(n, s)| (n, Some(s)));
    let mut parts = numbers.split('.');
    let year = number(parts.next()?)?;
    let month = number(parts.next()?)?;
    let patch = number(parts.next()?)?;
    let whole = parts.next().is_none() && (2000..=9999).contains(&year) && (1..=12).contains(&month);
    whole.then_some(OpenClawVersion { year, month, patch, suffix: parse_suffix(suffix)? })
}

fn parse_suffix(text: Option<&str>) -> Option<Suffix> {
    match text {
        None => Some(Suffix::Release),
        Some(text) => match text.strip_prefix("beta.") {
            Some(beta) => number(beta).map(Suffix::Beta),
            None => number(text).map(Suffix::Correction),
        },
    }
}

/// A number as npm accepts it: digits without a leading zero, so that every version has one spelling.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A name that resolves to a version, anew as upstream releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The newest release of the stable line of a month that is over.
    Stable,
    /// The newest release.
    Daily,
    /// The newest of all, betas too.
    Beta,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Stable, Self::Daily, Self::Beta];

    /// Its name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Daily => "daily",
            Self::Beta => "beta",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A release as someone asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseWish {
    /// Whatever the channel resolves to.
    Channel(Channel),
    /// This one.
    Exact(OpenClawVersion),
}

impl fmt::Display for ReleaseWish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(channel) => channel.fmt(f),
            Self::Exact(version) => version.fmt(f),
        }
    }
}

/// Why a text names no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// Neither a channel nor a version.
    #[error("`{text}` names no release; write `stable`, `daily`, `beta` or an OpenClaw version such as `2026.9.6`{}", meant(.nearest))]
    Unknown {
        /// As written.
        text: String,
        /// A channel that is written nearly so.
        nearest: Option<Channel>,
    },
    /// A version that creel can't run.
    #[error("creel can't run OpenClaw {version}: it needs {OLDEST} or newer, which answers `/readyz`")]
    TooOld {
        /// As written.
        version: OpenClawVersion,
    },
}

fn meant(nearest: &Option<Channel>) -> String {
    nearest.map(|channel| format!(" (did you mean `{channel}`?)")).unwrap_or_default()
}

impl FromStr for ReleaseWish {
    type Err = WishError;

    fn from_str(text: &str) -> Result<Self, WishError> {
        if let Some(channel) = Channel::ALL.into_iter().find(|channel| channel.name() == text) {
            return Ok(Self::Channel(channel));
        }
        let plain = text.strip_prefix('v').unwrap_or(text);
        match plain.parse::<OpenClawVersion>() {
            Ok(version) if is_supported(&version) => Ok(Self::Exact(version)),
            Ok(version) => Err(WishError::TooOld { version }),
            Err(_) => Err(WishError::Unknown { text: text.to_owned(), nearest: nearest(text) }),
        }
    }
}

fn nearest(text: &str) -> Option<Channel> {
    let text = text.to_ascii_lowercase();
    let near = |channel: &Channel| strsim::osa_distance(channel.name(), &text) <= 2;
    Channel::ALL.into_iter().find(near)
}

/// What `channel` means among the `versions` that exist, in this `year` and `month`. None if there is none that
/// creel can run.
pub fn resolve(
    channel: Channel,
    versions: &[OpenClawVersion],
    year: u16,
    month: u8,
) -> Option<OpenClawVersion> {
    let fits = |version: &OpenClawVersion| match channel {
        Channel::Stable => version.is_stable(year, month),
        Channel::Daily => !version.is_beta(),
        Channel::Beta => true,
    };
    versions.iter().copied().filter(|version| is_supported(version) && fits(version)).max()
}

/// Whether creel can run this version.
pub fn is_supported(version: &OpenClawVersion) -> bool {
    *version >= OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> OpenClawVersion {
        text.parse().expect(text)
    }

    fn versions(text: &str) -> Vec<OpenClawVersion> {
        text.split_whitespace().map(version).collect()
    }

    fn any_version() -> impl Strategy<Value = OpenClawVersion> {
        let suffix = prop_oneof![
            Just(Suffix::Release),
            (0..40u32).prop_map(Suffix::Beta),
            (0..40u32).prop_map(Suffix::Correction)
        ];
        (2026..2028u16, 1..=12u8, 0..40u32, suffix).prop_map(|(year, month, patch, suffix)| OpenClawVersion {
            year,
            month,
            patch,
            suffix,
        })
    }

    #[test]
    fn corrections_are_newer_and_betas_older_than_their_release() {
        let oldest_first = versions("2026.7.1 2026.7.1-1 2026.7.1-2 2026.7.2-beta.1 2026.7.2 2026.10.0");
        assert!(oldest_first.is_sorted(), "{oldest_first:?}");
    }

    #[test]
    fn a_text_that_is_no_version_is_refused_with_examples() {
        for text in [
            "",
            "2026",
            "2026.9",
            "2026.9.6.1",
            "2026.09.6",
            "26.9.6",
            "2026.13.1",
            "2026.9.6-rc1",
            "2026.9.+6",
        ] {
            assert!(text.parse::<OpenClawVersion>().is_err(), "{text}");
        }
        assert!("next".parse::<OpenClawVersion>().unwrap_err().to_string().contains("2026.9.6"));
    }

    #[test]
    fn stable_is_the_newest_of_the_line_of_a_month_that_is_over() {
        let all = versions(
            "2026.6.35 2026.7.33 2026.7.34 2026.8.4 2026.9.6 2026.9.33 2026.10.1-beta.1 2026.7.35-beta.1",
        );
        assert_eq!(resolve(Channel::Stable, &all, 2026, 9), Some(version("2026.7.34")));
        assert_eq!(resolve(Channel::Stable, &all, 2026, 10), Some(version("2026.9.33")));
        assert_eq!(resolve(Channel::Daily, &all, 2026, 9), Some(version("2026.9.33")));
        assert_eq!(resolve(Channel::Beta, &all, 2026, 9), Some(version("2026.10.1-beta.1")));
    }

    #[test]
    fn a_channel_never_resolves_to_what_creel_cannot_run() {
        assert_eq!(resolve(Channel::Daily, &versions("2026.3.23 2026.2.1"), 2026, 9), None);
    }

    #[test]
    fn a_misspelt_channel_is_told_the_right_one() {
        let error = "stabel".parse::<ReleaseWish>().unwrap_err().to_string();
        assert!(error.contains("did you mean `stable`"), "{error}");
        assert!("2025.1.1".parse::<ReleaseWish>().unwrap_err().to_string().contains("2026.3.24"));
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(version in any_version()) {
            prop_assert_eq!(version.to_string().parse::<OpenClawVersion>(), Ok(version));
        }

        #[test]
        fn a_release_lies_between_its_betas_and_its_corrections(v in any_version(), n in 0..40u32) {
            let with = |suffix| OpenClawVersion { suffix, ..v };
            prop_assert!(with(Suffix::Beta(n)) < with(Suffix::Release));
            prop_assert!(with(Suffix::Release) < with(Suffix::Correction(n)));
            let next = OpenClawVersion { patch: v.patch + 1, suffix: Suffix::Beta(0), ..v };
            prop_assert!(with(Suffix::Correction(n)) < next);
        }

        #[test]
        fn a_channel_resolves_to_one_of_the_versions_and_none_is_newer(
            all in proptest::collection::vec(any_version(), 0..20), month in 1..=12u8,
        ) {
            for channel in Channel::ALL {
                if let Some(found) = resolve(channel, &all, 2027, month) {
                    prop_assert!(all.contains(&found));
                    prop_assert!(Some(found) <= resolve(Channel::Beta, &all, 2027, month));
                    prop_assert!(channel == Channel::Beta || !found.is_beta());
                }
            }
        }
    }
}
