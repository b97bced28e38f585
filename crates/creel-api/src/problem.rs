//! An error as the API tells it: problem details (RFC 9457), with a cure.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a request was refused or failed. Sent as `application/problem+json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A stable word for scripts, as `urn:creel:problem:WORD`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What went wrong, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The cause, in a sentence.
    pub detail: String,
    /// What to do about it, if creel knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The single faults, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<Issue>,
}

/// One fault at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// Where, as a dotted path: `spec.config.gateway.portt`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl Problem {
    /// A problem of this word, status, title and cause, with no hint yet.
    pub fn new(word: &str, status: u16, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:creel:problem:{word}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// The same problem with a cure.
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The stable word in its type.
    pub fn word(&self) -> &str {
        self.kind.rsplit(':').next().unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        self.issues.iter().try_for_each(|issue| write!(f, "\n  {}: {}", issue.path, issue.message))
    }
}

impl std::error::Error for Problem {}
