//! JSON bodies, read strictly: a fault is named with its line, its column, its field, and for an unknown key the
//! nearest one that is known.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use creel_api::problem::Issue;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// A JSON body of this shape and nothing else.
pub(crate) struct Strict<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Strict<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = Bytes::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refusal(error.path().to_string(), error.inner()))?;
    deserializer.end().map_err(|error| refusal(String::new(), &error))?;
    Ok(value)
}

fn refusal(path: String, error: &serde_json::Error) -> Refusal {
    let said = error.to_string();
    let message = said.split(" at line ").next().unwrap_or(&said).to_owned();
    let (line, column) = (error.line(), error.column());
    let refusal = if error.is_data() {
        let place = format!("line {line}, column {column}: {message}");
        Refusal::invalid(place, vec![Issue { path, message: message.clone() }])
    } else {
        Refusal::bad_request(format!("the body is not JSON: line {line}, column {column}: {message}"))
    };
    match nearest(&message) {
        Some(key) => refusal.hint(format!("did you mean `{key}`?")),
        None => refusal,
    }
}

/// Of "unknown field `a`, expected one of `b`, `c`" the known one that `a` was probably meant to be.
fn nearest(message: &str) -> Option<&str> {
    let mut quoted = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let unknown = quoted.next()?;
    let scored = quoted.map(|known| (strsim::damerau_levenshtein(unknown, known), known));
    scored.min().filter(|(distance, known)| *distance <= known.len().max(3) / 3).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use creel_api::agent::Agent;

    use super::*;

    fn refused(text: &str) -> creel_api::problem::Problem {
        *parse::<Agent>(text.as_bytes()).unwrap_err().0
    }

    #[test]
    fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
        let problem = refused(
            "{\"apiVersion\":\"creel.dev/v1\",\"kind\":\"Agent\",\"metadata\":{\"name\":\"a\"},\n\"spec\":{\"relase\":\"daily\"}}",
        );
        assert_eq!(problem.status, 422);
        assert!(
            problem.detail.contains("line 2, column 16") && problem.detail.contains("`relase`"),
            "{problem:?}"
        );
        assert_eq!(problem.hint.as_deref(), Some("did you mean `release`?"));
        assert_eq!(problem.issues[0].path, "spec.relase");
    }

    #[test]
    fn a_wrong_type_is_named_at_its_path() {
        let problem = refused(
            "{\"apiVersion\":\"creel.dev/v1\",\"kind\":\"Agent\",\"metadata\":{\"name\":\"a\"},\"spec\":{\"priority\":\"x\"}}",
        );
        assert_eq!(problem.issues[0].path, "spec.priority");
        assert!(problem.detail.contains("invalid type: string \"x\", expected u16"), "{problem:?}");
        assert_eq!(problem.hint, None);
    }

    #[test]
    fn what_is_not_json_is_told_with_line_and_column() {
        let problem = refused("{\n  nonsense");
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains("line 2, column 3"), "{problem:?}");
        assert_eq!(refused("").status, 400);
    }
}
