//! The options of LIST and WATCH, checked as upstream checks them.
//!
//! Upstream: apimachinery/pkg/apis/meta/internalversion/validation, apiserver/pkg/storage/util.go.

use crate::error::{ApiError, Result};
use crate::request_info::{form_pairs, is_true};

/// `ListOptions`, as the query has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    pub label_selector: String,
    pub field_selector: String,
    pub watch: bool,
    pub allow_watch_bookmarks: bool,
    pub resource_version: String,
    pub resource_version_match: String,
    pub timeout_seconds: Option<u64>,
    pub limit: usize,
    pub continue_token: String,
    pub send_initial_events: Option<bool>,
}

/// Which state a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The newest.
    Consistent,
    /// Whatever is there.
    Any,
    /// This revision or a newer one.
    NotOlderThan(u64),
    /// This revision.
    Exact(u64),
}

impl ListOptions {
    /// # Errors
    /// 400 for values of the wrong type.
    pub fn parse(query: &str) -> Result<Self> {
        let mut options = Self::default();
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "labelSelector" => options.label_selector = value,
                "fieldSelector" => options.field_selector = value,
                "watch" => options.watch = is_true(&value),
                "allowWatchBookmarks" => options.allow_watch_bookmarks = is_true(&value),
                "resourceVersion" => options.resource_version = value,
                "resourceVersionMatch" => options.resource_version_match = value,
                "timeoutSeconds" => options.timeout_seconds = Some(number(&value)?),
                "limit" => options.limit = number(&value)? as usize,
                "continue" => options.continue_token = value,
                "sendInitialEvents" => options.send_initial_events = Some(is_true(&value)),
                _ => {}
            }
        }
        Ok(options)
    }

    /// # Errors
    /// 422 for combinations that make no sense.
    pub fn check(&self) -> Result<()> {
        let errors = if self.watch { self.watch_errors() } else { self.list_errors() };
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &errors))
    }

    fn list_errors(&self) -> Vec<FieldProblem> {
        let mut errors = Vec::new();
        let matching = self.resource_version_match.as_str();
        if !matching.is_empty() {
            if self.resource_version.is_empty() {
                errors.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.continue_token.is_empty() {
                errors.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !matches!(matching, "Exact" | "NotOlderThan") {
                errors.push(unsupported(matching, r#""", "Exact", "NotOlderThan""#));
            }
            if matching == "Exact" && self.resource_version == "0" {
                errors.push(forbidden(
                    "resourceVersionMatch",
                    r#"resourceVersionMatch "exact" is forbidden for resourceVersion "0""#,
                ));
            }
        }
        if self.send_initial_events.is_some() {
            errors.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn watch_errors(&self) -> Vec<FieldProblem> {
        let mut errors = Vec::new();
        let matching = self.resource_version_match.as_str();
        if self.send_initial_events.is_some() && matching != "NotOlderThan" {
            errors.push(forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !matching.is_empty() {
            if self.send_initial_events.is_none() {
                errors.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if matching != "NotOlderThan" {
                errors.push(unsupported(matching, r#""NotOlderThan""#));
            }
            if !self.continue_token.is_empty() {
                errors.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
        }
        errors
    }

    /// What a list (without a continue token) asks for.
    ///
    /// # Errors
    /// 422 if resourceVersion is no number.
    pub fn freshness(&self) -> Result<Freshness> {
        let revision = self.revision()?;
        Ok(match (self.resource_version_match.as_str(), revision) {
            (_, None) => Freshness::Consistent,
            ("Exact", Some(revision)) => Freshness::Exact(revision),
            ("NotOlderThan", Some(0)) | (_, Some(0)) => Freshness::Any,
            ("NotOlderThan", Some(revision)) => Freshness::NotOlderThan(revision),
            // Upstream's legacy rule: with a limit, a bare resourceVersion is an exact one.
            (_, Some(revision)) if self.limit > 0 => Freshness::Exact(revision),
            (_, Some(revision)) => Freshness::NotOlderThan(revision),
        })
    }

    /// resourceVersion as a number, if there is one.
    ///
    /// # Errors
    /// 422 if it is no number.
    pub fn revision(&self) -> Result<Option<u64>> {
        parse_revision(&self.resource_version)
    }
}

/// # Errors
/// 422 if it is no number.
pub fn parse_revision(text: &str) -> Result<Option<u64>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let message = format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
        let problem = ("FieldValueInvalid".into(), message, "resourceVersion".into());
        ApiError::invalid("meta.k8s.io", "ListOptions", "", &[problem])
    })
}

/// Reason, message, field.
type FieldProblem = (String, String, String);

fn forbidden(field: &str, why: &str) -> FieldProblem {
    ("FieldValueForbidden".into(), format!("Forbidden: {why}"), field.into())
}

fn unsupported(value: &str, supported: &str) -> FieldProblem {
    let message = format!("Unsupported value: {value:?}: supported values: {supported}");
    ("FieldValueNotSupported".into(), message, "resourceVersionMatch".into())
}

fn number(text: &str) -> Result<u64> {
    text.parse()
        .map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(query: &str, expected: Expect) {
        let options = ListOptions::parse(query).expect("parses");
        let got = match options.check().and_then(|()| options.freshness()) {
            Ok(freshness) => format!("{freshness:?}"),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&got);
    }

    #[test]
    fn the_matrix() {
        check("", expect!["Consistent"]);
        check("limit=5", expect!["Consistent"]);
        check("resourceVersion=0", expect!["Any"]);
        check("resourceVersion=0&limit=5", expect!["Any"]);
        check("resourceVersion=7", expect!["NotOlderThan(7)"]);
        check("resourceVersion=7&limit=5", expect!["Exact(7)"]);
        check("resourceVersion=7&limit=5&resourceVersionMatch=NotOlderThan", expect!["NotOlderThan(7)"]);
        check("resourceVersion=7&resourceVersionMatch=Exact", expect!["Exact(7)"]);
        check(
            "resourceVersionMatch=Exact",
            expect![[
                r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"#
            ]],
        );
        check(
            "resourceVersion=0&resourceVersionMatch=Exact",
            expect![[
                r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0""#
            ]],
        );
        check(
            "watch=1&sendInitialEvents=true",
            expect![[
                r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"#
            ]],
        );
        check(
            "watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=3",
            expect![[
                r#"ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"#
            ]],
        );
        check(
            "resourceVersion=x",
            expect![[
                r#"ListOptions.meta.k8s.io "" is invalid: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax"#
            ]],
        );
    }
}
