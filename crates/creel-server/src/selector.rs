//! Selecting by labels: `team=sales,stage!=test,canary,!old`. All terms have to be true.

use std::collections::BTreeMap;

use crate::refusal::Refusal;

/// What the labels have to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Is(String, String),
    IsNot(String, String),
    Has(String),
    HasNot(String),
}

impl Selector {
    /// Reads what was written after `labelSelector=`; nothing selects everything.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let written = text.split(',').map(str::trim).filter(|term| !term.is_empty());
        let terms = written.map(term).collect::<Option<_>>();
        terms.map(|terms| Self { terms }).ok_or_else(|| {
            Refusal::bad_request(format!("`{text}` is not a label selector"))
                .hint("write it like team=sales,stage!=test,canary,!old")
        })
    }

    pub(crate) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.terms.iter().all(|term| match term {
            Term::Is(key, value) => labels.get(key) == Some(value),
            Term::IsNot(key, value) => labels.get(key) != Some(value),
            Term::Has(key) => labels.contains_key(key),
            Term::HasNot(key) => !labels.contains_key(key),
        })
    }
}

fn term(text: &str) -> Option<Term> {
    let word = |text: &str| {
        let text = text.trim();
        let good = !text.is_empty() && !text.contains(['=', '!', ' ']);
        good.then(|| text.to_owned())
    };
    let value = |text: &str| if text.trim().is_empty() { Some(String::new()) } else { word(text) };
    if let Some((key, rest)) = text.split_once("!=") {
        return Some(Term::IsNot(word(key)?, value(rest)?));
    }
    if let Some((key, rest)) = text.split_once('=') {
        return Some(Term::Is(word(key)?, value(rest.strip_prefix('=').unwrap_or(rest))?));
    }
    match text.strip_prefix('!') {
        Some(key) => word(key).map(Term::HasNot),
        None => word(text).map(Term::Has),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, labels: &[(&str, &str)], expected: bool) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(Selector::parse(selector).unwrap().selects(&labels), expected, "{selector}");
    }

    #[test]
    fn all_terms_have_to_be_true() {
        check("", &[], true);
        check("team=sales", &[("team", "sales")], true);
        check("team==sales", &[("team", "ops")], false);
        check("team!=sales", &[], true);
        check("team=sales,stage!=test", &[("team", "sales"), ("stage", "test")], false);
        check("canary, !old", &[("canary", "")], true);
        check("canary,!old", &[("canary", ""), ("old", "1")], false);
    }

    #[test]
    fn what_is_no_selector_is_refused_with_an_example() {
        for wrong in ["=x", "a=b=c", "!", "a b", "!a=b"] {
            let refused = Selector::parse(wrong).unwrap_err();
            assert!(refused.0.hint.unwrap().contains("team=sales"), "{wrong}");
        }
    }
}
