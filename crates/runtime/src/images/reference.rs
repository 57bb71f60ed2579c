//! Image names as people write them, and as registries know them.

use std::fmt;
use std::str::FromStr;

/// `docker.io/library/nginx:latest`, with a digest perhaps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("couldn't parse image name \"{name}\": invalid reference format")]
pub struct ReferenceError {
    name: String,
}

const DEFAULT_REGISTRY: &str = "docker.io";

impl Reference {
    /// The name without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What pulling by digest leaves: `name@sha256:…`.
    pub fn with_digest(&self, digest: &str) -> String {
        format!("{}@{digest}", self.name())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let error = || ReferenceError { name: text.to_owned() };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        if digest.as_ref().is_some_and(|digest| !is_digest(digest)) {
            return Err(error());
        }
        let (path, tag) = match rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) {
            Some((path, tag)) => (path, Some(tag.to_owned())),
            None => (rest, None),
        };
        if tag.as_ref().is_some_and(|tag| !is_tag(tag)) {
            return Err(error());
        }
        let (registry, repository) = split_registry(path);
        if !repository.split('/').all(is_component) || registry.is_empty() {
            return Err(error());
        }
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { registry, repository, tag, digest })
    }
}

/// A first part with a dot, a port or `localhost` is a registry; else it is Docker's.
fn split_registry(path: &str) -> (String, String) {
    match path.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            let first = if first == "index.docker.io" { DEFAULT_REGISTRY } else { first };
            let rest = if first == DEFAULT_REGISTRY && !rest.contains('/') {
                format!("library/{rest}")
            } else {
                rest.to_owned()
            };
            (first.to_owned(), rest)
        }
        Some(_) => (DEFAULT_REGISTRY.to_owned(), path.to_owned()),
        None => (DEFAULT_REGISTRY.to_owned(), format!("library/{path}")),
    }
}

fn is_component(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(part.chars().next())
        && edge(part.chars().last())
        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
}

fn is_tag(tag: &str) -> bool {
    let first = tag.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    first && tag.len() <= 128 && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

pub(super) fn is_digest(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("accept.test/busybox:1", "accept.test/busybox:1"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            (&format!("x.io/y@{digest}"), &format!("x.io/y@{digest}")),
        ] {
            assert_eq!(text.parse::<Reference>().map(|r| r.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "UPPER", "a b", "x:", "x@sha256:1", "a//b", "-x"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
