//! Turns what a JSON schema validator says into what a person needs: the key, what is wrong with it, what it should
//! be.
//!
//! Of a choice between variants only the one that was most likely meant is told about. No value of the config is
//! ever repeated.

use creel_api::problem::Issue;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::config::{join, kind as kind_of};

/// The most known keys or choices that are listed.
const NAMES_MOST: usize = 12;

/// Appends what `error` means.
pub(super) fn explain(schema: &Value, error: &ValidationError<'_>, issues: &mut Vec<Issue>) {
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = known_keys(schema, error);
            issues.extend(unexpected.iter().map(|key| unknown_key(&path_of(error), key, &known)));
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => choice(schema, error, context, issues),
        Kind::PropertyNames { error: name } => {
            let path = join(&path_of(error), name.instance().as_str().unwrap_or_default());
            issues
                .push(Issue { path, message: format!("is not a name that may stand here: {}", plain(name)) });
        }
        _ => issues.push(Issue { path: path_of(error), message: plain(error) }),
    }
}

/// What is wrong, in words, where no choice is involved.
fn plain(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Required { property } => format!("`{}` is missing", property.as_str().unwrap_or_default()),
        Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. } => {
            must_be(&expected(error), error.instance())
        }
        Kind::Pattern { pattern } => format!("does not match the pattern {pattern}"),
        Kind::OneOfMultipleValid { .. } => {
            "fits more than one of the variants that may stand here".to_owned()
        }
        _ => error.masked_with("this value").to_string(),
    }
}

fn must_be(choices: &[String], found: &Value) -> String {
    let types = choices.iter().all(|choice| choice.starts_with("a ") || choice.starts_with("an "));
    let not = if types { format!(", not {}", kind_of(found)) } else { String::new() };
    format!("must be {}{not}", listed(choices, "or"))
}

/// What could stand where `error` is.
fn expected(error: &ValidationError<'_>) -> Vec<String> {
    let mut choices: Vec<String> = match error.kind() {
        Kind::Type { kind: TypeKind::Single(one) } => vec![type_name(&one.to_string())],
        Kind::Type { kind: TypeKind::Multiple(set) } => {
            set.iter().map(|one| type_name(&one.to_string())).collect()
        }
        Kind::Constant { expected_value } => vec![expected_value.to_string()],
        Kind::Enum { options } => options.as_array().into_iter().flatten().map(Value::to_string).collect(),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let here = error.instance_path();
            context
                .iter()
                .flatten()
                .filter(|inner| inner.instance_path() == here)
                .flat_map(expected)
                .collect()
        }
        _ => Vec::new(),
    };
    let mut told = std::collections::BTreeSet::new();
    choices.retain(|choice| told.insert(choice.clone()));
    choices
}

fn type_name(name: &str) -> String {
    match name {
        "null" => "null".to_owned(),
        "array" => "a list".to_owned(),
        "integer" | "object" => format!("an {name}"),
        _ => format!("a {name}"),
    }
}

/// Tells of the variant that was most likely meant: one of the right shape, then one whose marks (`source: "file"`)
/// are as written, then the one with the fewest faults.
fn choice(
    schema: &Value,
    error: &ValidationError<'_>,
    variants: &[Vec<ValidationError<'static>>],
    issues: &mut Vec<Issue>,
) {
    let shaped = variants.iter().filter(|variant| !variant.iter().any(|fault| is_other_shape(fault, error)));
    let meant = shaped.clone().min_by_key(|variant| (marks_missed(variant, error), variant.len()));
    let Some(meant) = meant else {
        let message = must_be(&expected(error), error.instance());
        return issues.push(Issue { path: path_of(error), message });
    };
    if marks_missed(meant, error) == 0 {
        return meant.iter().for_each(|fault| explain(schema, fault, issues));
    }
    let missed = shaped.flatten().filter(|fault| is_mark(fault, error));
    issues.push(marks(missed));
}

/// Whether this fault says that the whole value is of another shape than its variant.
fn is_other_shape(fault: &ValidationError<'_>, choice: &ValidationError<'_>) -> bool {
    let here = fault.instance_path() == choice.instance_path();
    here && match fault.kind() {
        Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. } => true,
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            context.iter().all(|variant| variant.iter().any(|inner| is_other_shape(inner, choice)))
        }
        _ => false,
    }
}

/// Whether this fault is about a key of the value that marks the variant.
fn is_mark(fault: &ValidationError<'_>, choice: &ValidationError<'_>) -> bool {
    let depth = fault.instance_path().segments().count();
    matches!(fault.kind(), Kind::Constant { .. }) && depth == choice.instance_path().segments().count() + 1
}

fn marks_missed(variant: &[ValidationError<'_>], choice: &ValidationError<'_>) -> usize {
    variant.iter().filter(|fault| is_mark(fault, choice)).count()
}

/// One issue for the marks of all variants, at the first one's key.
fn marks<'a>(faults: impl Iterator<Item = &'a ValidationError<'static>>) -> Issue {
    let mut path = None;
    let mut choices: Vec<String> = Vec::new();
    for fault in faults {
        let at = path_of(fault);
        if *path.get_or_insert_with(|| at.clone()) == at {
            choices.extend(
                expected(fault).into_iter().filter(|choice| !choices.contains(choice)).collect::<Vec<_>>(),
            );
        }
    }
    Issue { path: path.unwrap_or_default(), message: format!("must be {}", listed(&choices, "or")) }
}

fn unknown_key(path: &str, key: &str, known: &[&str]) -> Issue {
    let message = match nearest(key, known) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None if known.is_empty() => "unknown key; nothing may stand here".to_owned(),
        None => {
            let known: Vec<_> = known.iter().map(|key| format!("`{key}`")).collect();
            format!("unknown key; known here are {}", listed(&known, "and"))
        }
    };
    Issue { path: join(path, key), message }
}

/// The keys that may stand where `error` found one too many.
fn known_keys<'a>(schema: &'a Value, error: &ValidationError<'_>) -> Vec<&'a str> {
    let place = error.schema_path().as_str();
    let owner = place.rsplit_once('/').and_then(|(owner, _)| schema.pointer(owner));
    let keys = owner.and_then(|owner| owner.get("properties")).and_then(Value::as_object);
    keys.into_iter().flat_map(|keys| keys.keys()).map(String::as_str).collect()
}

/// The known key that was probably meant.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = key.to_lowercase();
    let distance = |name: &str| strsim::osa_distance(&lower, &name.to_lowercase());
    let near = known.iter().map(|name| (distance(name), *name)).min();
    near.filter(|(distance, _)| *distance <= 1 + key.chars().count() / 4).map(|(_, name)| name)
}

fn path_of(error: &ValidationError<'_>) -> String {
    error.instance_path().segments().fold(String::new(), |path, segment| join(&path, &segment.to_string()))
}

/// `a, b or c`; the end of a long list is only counted.
fn listed(names: &[String], last: &str) -> String {
    let (shown, more) = names.split_at(names.len().min(NAMES_MOST));
    match shown {
        [] => "something else".to_owned(),
        _ if !more.is_empty() => format!("{} {last} {} more", shown.join(", "), more.len()),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}
