//! Image names: a missing tag, and the policy that follows from it.
//!
//! Upstream: pkg/util/parsers, pkg/apis/core/v1/defaults.go.

/// The name does not parse.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("couldn't parse image name {name:?}: {why}")]
pub(crate) struct NameError {
    pub name: String,
    pub why: &'static str,
}

/// The name with `:latest` if it has neither tag nor digest.
pub(crate) fn with_tag(name: &str) -> Result<String, NameError> {
    let fail = |why| Err(NameError { name: name.into(), why });
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return fail("invalid reference format");
    }
    let (rest, digest) = name.split_once('@').map_or((name, None), |(rest, digest)| (rest, Some(digest)));
    let (path, tag) = split_tag(rest);
    if digest.is_some_and(|d| !d.contains(':')) || tag.is_some_and(|t| !is_tag(t)) {
        return fail("invalid reference format");
    }
    if !path_is_fine(path) {
        let upper = path.chars().any(|c| c.is_ascii_uppercase());
        return fail(if upper {
            "invalid reference format: repository name must be lowercase"
        } else {
            "invalid reference format"
        });
    }
    Ok(if tag.is_none() && digest.is_none() { format!("{name}:latest") } else { name.to_owned() })
}

/// A colon after the last slash begins the tag; one before belongs to a port.
fn split_tag(rest: &str) -> (&str, Option<&str>) {
    match rest.rfind(':') {
        Some(at) if !rest[at..].contains('/') => (&rest[..at], Some(&rest[at + 1..])),
        _ => (rest, None),
    }
}

fn is_tag(tag: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !tag.is_empty() && tag.len() <= 128 && !tag.starts_with(['.', '-']) && tag.chars().all(fine)
}

fn path_is_fine(path: &str) -> bool {
    let mut parts = path.split('/');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let is_host = !rest.is_empty() && (first.contains(['.', ':']) || first == "localhost");
    let component = |part: &&str| {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        part.chars().all(fine) && edge(part.chars().next()) && edge(part.chars().last())
    };
    (is_host || component(&first)) && rest.iter().all(component)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Always,
    IfNotPresent,
    Never,
}

/// The policy as given, else by the tag: `latest` is always pulled.
pub(crate) fn policy(given: Option<&str>, tagged: &str) -> Policy {
    match given {
        Some("Always") => Policy::Always,
        Some("Never") => Policy::Never,
        Some("IfNotPresent") => Policy::IfNotPresent,
        _ if tagged.ends_with(":latest") => Policy::Always,
        _ => Policy::IfNotPresent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_a_tag_or_a_reason() {
        for (name, expected) in [
            ("busybox", Ok("busybox:latest")),
            ("busybox:1", Ok("busybox:1")),
            ("localhost:5000/a/b", Ok("localhost:5000/a/b:latest")),
            ("a.b/c@sha256:00", Ok("a.b/c@sha256:00")),
            ("Busybox", Err("invalid reference format: repository name must be lowercase")),
            ("a b", Err("invalid reference format")),
            ("a:", Err("invalid reference format")),
            ("", Err("invalid reference format")),
        ] {
            assert_eq!(with_tag(name).map_err(|e| e.why), expected.map(str::to_owned), "{name}");
        }
    }
}
