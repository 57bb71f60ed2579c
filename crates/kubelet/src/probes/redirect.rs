//! Where a redirect leads.
//!
//! Upstream: pkg/probe/http/http.go, RedirectChecker: redirects are followed within the host that is probed.

use http::Uri;

use super::action::Answer;

/// As many requests are made at most.
pub(super) const MOST: usize = 10;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    /// With the query.
    pub path: String,
}

/// `None` if the answer is no redirect, or leads nowhere that is understood.
pub(super) fn next(from: &Target, answer: &Answer) -> Option<Target> {
    if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.location.as_deref()?;
    if let Some(rest) = location.strip_prefix("//") {
        let scheme = if from.secure { "https" } else { "http" };
        return absolute(&format!("{scheme}://{rest}"));
    }
    if location.contains("://") {
        return absolute(location);
    }
    let path = if location.starts_with('/') {
        location.to_owned()
    } else {
        let plain = from.path.split('?').next().unwrap_or_default();
        let folder = plain.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    Some(Target { path, ..from.clone() })
}

fn absolute(location: &str) -> Option<Target> {
    // What cannot be read leads nowhere.
    let uri: Uri = location.parse().ok()?;
    let secure = uri.scheme_str() == Some("https");
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(Target { secure, host, port, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(location: &str, expected: Expect) {
        let from = Target { secure: false, host: "10.0.0.1".into(), port: 8080, path: "/a/b?c".into() };
        let answer = Answer { status: 302, location: Some(location.into()), body: String::new() };
        let shown = next(&from, &answer).map_or("nowhere".to_owned(), |to| {
            format!("{} {}:{} {}", if to.secure { "https" } else { "http" }, to.host, to.port, to.path)
        });
        expected.assert_eq(&shown);
    }

    #[test]
    fn places_are_relative_or_whole() {
        check("/x?y", expect!["http 10.0.0.1:8080 /x?y"]);
        check("x", expect!["http 10.0.0.1:8080 /a/x"]);
        check("https://10.0.0.1/ok", expect!["https 10.0.0.1:443 /ok"]);
        check("//else.where", expect!["http else.where:80 /"]);
        check("http://[::1]:1/", expect!["http ::1:1 /"]);
        check("http://", expect!["nowhere"]);
    }
}
