//! YAML as people write it: faults are told with file, line, column and the nearest thing that would have been
//! right. Strict: `yes` is no boolean, a key may stand once, and an unknown key is a fault.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_saphyr::{Error, Location, Options};

/// The most that a manifest or a settings file may have.
pub(crate) const BYTES_MOST: usize = 4 << 20;

/// A fault in a file, as `FILE:LINE:COLUMN: WHAT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub(crate) struct Fault {
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) column: u64,
    pub(crate) what: String,
}

/// A value of one YAML document that starts after `lines_before` lines of `file`.
pub(crate) fn read<T: DeserializeOwned>(file: &str, lines_before: u64, text: &str) -> Result<T, Fault> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let at = error.location().unwrap_or(Location::UNKNOWN);
        Fault {
            file: file.to_owned(),
            line: lines_before + at.line().max(1),
            column: at.column().max(1),
            what: sentence(&error),
        }
    })
}

/// A value as YAML.
pub(crate) fn write(value: &impl serde::Serialize) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|error| format!("# cannot be shown as YAML: {error}\n"))
}

fn options() -> Options {
    serde_saphyr::options! { strict_booleans: true, with_snippet: false, no_schema: false }
}

fn sentence(error: &Error) -> String {
    match innermost(error) {
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown("value", variant, expected),
        Error::SerdeMissingField { field, .. } => format!("`{field}` is missing"),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` stands here a second time"),
        Error::InvalidScalar { ty, .. } => format!("this must be {}", wanted(ty)),
        Error::InvalidBooleanStrict { .. } => "this must be true or false".into(),
        Error::NullIntoString { .. } => "this is empty and must be text".into(),
        Error::Unexpected { expected, .. } => format!("this must be {}", shape(expected)),
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            format!("expected {expected}, not {unexpected}")
        }
        Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("expected {expected}, not {unexpected}")
        }
        other => without_place(&other.to_string(), other.location()),
    }
}

fn innermost(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => innermost(error),
        other => other,
    }
}

fn without_place(text: &str, at: Option<Location>) -> String {
    let Some(at) = at else { return text.to_owned() };
    text.replace(&format!(" at line {}, column {}", at.line(), at.column()), "")
}

fn wanted(ty: &'static str) -> Cow<'static, str> {
    match ty {
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" | "u64" => "a whole number, not negative".into(),
        "i16" | "i32" | "i64" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "bool" => "true or false".into(),
        other => other.into(),
    }
}

/// What the YAML reader calls the shape it wants, in a user's words.
fn shape(expected: &'static str) -> Cow<'static, str> {
    match expected {
        "string scalar" | "scalar" => "a single value, no list and no mapping".into(),
        "mapping start" => "a mapping: `key: value`".into(),
        "sequence start" => "a list".into(),
        other => other.into(),
    }
}

/// `unknown key `relase`: did you mean `release`?`, or else the names there are.
fn unknown(what: &str, found: &str, expected: &[&str]) -> String {
    let cure = match nearest(found, expected.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if expected.is_empty() => "none is expected here".to_owned(),
        None => format!("here may stand {}", expected.join(", ")),
    };
    format!("unknown {what} `{found}`: {cure}")
}

/// The name most like `found`, if one is alike enough to be meant.
pub(crate) fn nearest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    let near = names.map(|name| (strsim::damerau_levenshtein(&found, &name.to_lowercase()), name)).min()?;
    (near.0 <= 1 + found.chars().count() / 4).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Thing {
        #[allow(dead_code)]
        name: String,
        #[serde(default)]
        #[allow(dead_code)]
        priority: u16,
        #[serde(default)]
        #[allow(dead_code)]
        may_edit: bool,
    }

    fn fault(text: &str) -> String {
        read::<Thing>("a.yaml", 0, text).unwrap_err().to_string()
    }

    #[test]
    fn a_typo_is_told_with_its_place_and_the_nearest_key() {
        assert_eq!(
            fault("name: x\npriorty: 1\n"),
            "a.yaml:2:1: unknown key `priorty`: did you mean `priority`?"
        );
        assert_eq!(
            fault("name: x\ncolour: red\n"),
            "a.yaml:2:1: unknown key `colour`: here may stand name, priority, mayEdit"
        );
    }

    #[test]
    fn a_wrong_type_a_second_key_and_a_missing_one_are_told_with_their_place() {
        assert_eq!(
            fault("name: x\npriority: high\n"),
            "a.yaml:2:11: this must be a whole number from 0 to 65535"
        );
        assert_eq!(fault("name: x\nmayEdit: yes\n"), "a.yaml:2:10: this must be true or false");
        assert_eq!(fault("name: x\nname: y\n"), "a.yaml:2:1: `name` stands here a second time");
        assert_eq!(fault("priority: 1\n"), "a.yaml:1:1: `name` is missing");
    }

    #[test]
    fn broken_yaml_is_told_with_its_place() {
        let told = fault("name: \"x\npriority: 1\n");
        assert!(told.starts_with("a.yaml:"), "{told}");
        assert!(!told.contains(" at line "), "{told}");
    }

    #[test]
    fn the_nearest_name_is_only_named_when_it_is_near() {
        assert_eq!(nearest("agnet", ["agent", "tenant"].into_iter()), Some("agent"));
        assert_eq!(nearest("zebra", ["agent", "tenant"].into_iter()), None);
    }
}
