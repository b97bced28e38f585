//! Mends what upstream's generator gets wrong in the schema, so that the rest of it can be used.
//!
//! A mended schema never accepts less than the release does. Four faults are known: `\0` in a pattern, which only
//! JavaScript reads as NUL; a `$ref` of a plugin's schema that was right before it was put into the whole; a key that
//! is called required and has a default, so that the release does without it; and a pattern that no other engine
//! understands.

use std::collections::BTreeSet;

use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

use super::SchemaError;

/// The most patterns that are given up before the schema is.
const PATTERNS_MOST: usize = 256;

/// Mends the schema and compiles it.
pub(super) fn compile(schema: &mut Value) -> Result<Validator, SchemaError> {
    mend_patterns(schema);
    mend_required(schema);
    let known = schema.clone();
    mend_references(schema, &known, &mut Vec::new());
    for _ in 0..PATTERNS_MOST {
        match jsonschema::options().build(schema) {
            Ok(validator) => return Ok(validator),
            Err(error) => give_up_pattern(schema, &error)?,
        }
    }
    Err(SchemaError::NotASchema(format!("more than {PATTERNS_MOST} of its patterns are not understood")))
}

/// Takes out the pattern that the compiler names.
fn give_up_pattern(schema: &mut Value, error: &ValidationError<'_>) -> Result<(), SchemaError> {
    let at = error.instance_path().as_str();
    let owner = at.strip_suffix("/pattern").and_then(|owner| schema.pointer_mut(owner));
    let removed = owner.and_then(Value::as_object_mut).and_then(|owner| owner.remove("pattern"));
    removed.map(drop).ok_or_else(|| SchemaError::NotASchema(error.to_string()))
}

fn mend_patterns(node: &mut Value) {
    match node {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(pattern) if key == "pattern" => *pattern = with_plain_nul(pattern),
                    value => mend_patterns(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mend_patterns),
        _ => {}
    }
}

/// The pattern with `\0` written as `\x00`.
fn with_plain_nul(pattern: &str) -> String {
    let mut mended = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        mended.push(character);
        if character == '\\' {
            match characters.next() {
                Some('0') => mended.push_str("x00"),
                Some(other) => mended.push(other),
                None => {}
            }
        }
    }
    mended
}

/// Takes out of `required` what has a default. A condition (`not`, `if`) is left as it is: there, asking for less
/// would refuse more.
fn mend_required(node: &mut Value) {
    match node {
        Value::Object(map) => {
            let with_default = with_default(map);
            if let Some(Value::Array(required)) = map.get_mut("required") {
                required.retain(|key| key.as_str().is_none_or(|key| !with_default.contains(key)));
            }
            let parts = map.iter_mut().filter(|(key, _)| !matches!(key.as_str(), "not" | "if"));
            parts.for_each(|(_, part)| mend_required(part));
        }
        Value::Array(items) => items.iter_mut().for_each(mend_required),
        _ => {}
    }
}

fn with_default(schema: &Map<String, Value>) -> BTreeSet<String> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.filter(|(_, part)| part.get("default").is_some()).map(|(key, _)| key.clone()).collect()
}

/// Points each dangling reference to the definition of that name that is nearest above it, or lets it accept
/// everything where there is none. `path` is where `node` is in `known`.
fn mend_references(node: &mut Value, known: &Value, path: &mut Vec<String>) {
    match node {
        Value::Object(map) => {
            mend_reference(map, known, path);
            for (key, value) in map.iter_mut() {
                path.push(key.clone());
                mend_references(value, known, path);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push(index.to_string());
                mend_references(item, known, path);
                path.pop();
            }
        }
        _ => {}
    }
}

fn mend_reference(map: &mut Map<String, Value>, known: &Value, path: &[String]) {
    let Some(pointer) = map.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#')) else {
        return;
    };
    if known.pointer(pointer).is_some() {
        return;
    }
    let owners = (0..=path.len()).rev().map(|depth| pointer_of(&path[..depth]));
    let found = owners.map(|owner| format!("{owner}{pointer}")).find(|place| known.pointer(place).is_some());
    match found {
        Some(place) => drop(map.insert("$ref".to_owned(), Value::String(format!("#{place}")))),
        None => drop(map.remove("$ref")),
    }
}

fn pointer_of(path: &[String]) -> String {
    path.iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_nul_is_rewritten() {
        assert_eq!(with_plain_nul(r"[^\0]\\0\d0"), r"[^\x00]\\0\d0");
    }

    #[test]
    fn what_has_a_default_is_not_required() {
        let mut schema = json!({"required": ["a", "b"], "properties": {"a": {"default": 1}, "b": {}}});
        mend_required(&mut schema);
        assert_eq!(schema["required"], json!(["b"]));
    }

    #[test]
    fn a_reference_finds_the_definition_nearest_above_it() {
        let mut schema = json!({
            "$defs": {"a": {"type": "string"}},
            "properties": {
                "p": {"$defs": {"b": {"type": "number"}}, "properties": {"x": {"$ref": "#/$defs/b"}, "y": {"$ref": "#/$defs/a"}}},
                "q": {"$ref": "#/$defs/nowhere"},
            },
        });
        let known = schema.clone();
        mend_references(&mut schema, &known, &mut Vec::new());
        let at = |pointer: &str| schema.pointer(pointer).cloned();
        assert_eq!(at("/properties/p/properties/x/$ref"), Some(json!("#/properties/p/$defs/b")));
        assert_eq!(at("/properties/p/properties/y/$ref"), Some(json!("#/$defs/a")));
        assert_eq!(at("/properties/q"), Some(json!({})));
    }
}
