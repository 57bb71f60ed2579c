//! What a URL and a method mean: verb, group, version, namespace, resource, subresource, name.
//!
//! Upstream: apiserver/pkg/endpoints/request/requestinfo.go.

use http::Method;

/// A request, resolved. Travels as a request extension from the second layer on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// False for `/version`, `/openapi/v3`, `/apis/apps` …, which only have a path and a verb.
    pub is_resource_request: bool,
    pub path: String,
    /// get, list, watch, create, update, patch, delete, deletecollection, proxy; the lower-case method for
    /// paths that name no resource.
    pub verb: String,
    /// `api` or `apis`.
    pub api_prefix: String,
    pub api_group: String,
    pub api_version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// The path from the resource on: resource, name, subresource, and what a proxy path has behind it.
    pub parts: Vec<String>,
    pub field_selector: String,
    pub label_selector: String,
}

/// Subresources of `namespaces/NAME`; anything else behind the name is a resource in that namespace.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Resolves. Never fails: what makes no sense is a path that no handler knows.
    pub fn of(method: &Method, path: &str, query: Option<&str>) -> Self {
        let mut info =
            Self { path: path.into(), verb: method.as_str().to_ascii_lowercase(), ..Self::default() };
        let segments: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(percent_decode).collect();
        let mut rest: &[String] = &segments;
        if rest.len() < 3 || !matches!(rest[0].as_str(), "api" | "apis") {
            return info;
        }
        info.api_prefix = rest[0].clone();
        rest = &rest[1..];
        if info.api_prefix == "apis" {
            if rest.len() < 3 {
                return info;
            }
            info.api_group = rest[0].clone();
            rest = &rest[1..];
        }
        info.is_resource_request = true;
        info.api_version = rest[0].clone();
        rest = &rest[1..];

        let legacy_verb = match rest[0].as_str() {
            verb @ ("proxy" | "watch") if rest.len() > 1 => Some(verb.to_string()),
            _ => None,
        };
        if legacy_verb.is_some() {
            rest = &rest[1..];
        }
        info.verb = legacy_verb.unwrap_or_else(|| verb_of(method));
        info.take_resource(rest);
        info.refine_verb(query.unwrap_or(""));
        info
    }

    fn take_resource(&mut self, mut rest: &[String]) {
        if let ["namespaces", namespace, behind @ ..] = texts(rest).as_slice() {
            self.namespace = (*namespace).to_string();
            if behind.first().is_some_and(|third| !NAMESPACE_SUBRESOURCES.contains(third)) {
                rest = &rest[2..];
            }
        }
        self.parts = rest.to_vec();
        self.resource = rest.first().cloned().unwrap_or_default();
        self.name = rest.get(1).cloned().unwrap_or_default();
        if self.verb != "proxy" {
            self.subresource = rest.get(2).cloned().unwrap_or_default();
        }
    }

    /// A get or delete without a name is about the collection, and `?watch` makes a list a watch.
    fn refine_verb(&mut self, query: &str) {
        let mut watch = false;
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "watch" => watch = is_true(&value),
                "fieldSelector" => self.field_selector = value,
                "labelSelector" => self.label_selector = value,
                _ => {}
            }
        }
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if watch { "watch" } else { "list" }.into();
            if let Some(name) = name_in_selector(&self.field_selector) {
                self.name = name;
            }
        } else if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection".into();
        }
    }

    /// The name in the path: a name taken from a field selector serves authorization only.
    pub fn path_name(&self) -> &str {
        self.parts.get(1).map_or("", String::as_str)
    }

    /// Watches, proxies, logs and the like, which last as long as they last.
    pub fn is_long_running(&self) -> bool {
        matches!(self.verb.as_str(), "watch" | "proxy")
            || matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward")
    }
}

fn texts(segments: &[String]) -> Vec<&str> {
    segments.iter().map(String::as_str).collect()
}

fn verb_of(method: &Method) -> String {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
    .into()
}

/// As upstream's `Convert_Slice_string_To_bool`: anything but `false` and `0` is true, also nothing at all.
pub fn is_true(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "false" | "0")
}

/// `metadata.name=x` among the terms.
fn name_in_selector(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (!value.is_empty() && !value.contains('\\')).then(|| value.to_string())
    })
}

/// The pairs of a query string, decoded.
pub fn form_pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(&key.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        })
        .collect()
}

/// `%2F` → `/`. A broken escape stays as it is.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match escape_at(bytes, at) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = bytes.get(at..at + 3)? else { return None };
    let digit = |byte: &u8| (*byte as char).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved() {
        let cases = [
            ("GET", "/api/v1/pods", "list||v1||pods||"),
            ("GET", "/api/v1/pods?watch=true", "watch||v1||pods||"),
            ("GET", "/api/v1/pods?watch=0", "list||v1||pods||"),
            ("GET", "/api/v1/namespaces/a/pods/p", "get||v1|a|pods|p|"),
            ("GET", "/api/v1/namespaces/a/pods/p/log", "get||v1|a|pods|p|log"),
            ("PUT", "/apis/apps/v1/namespaces/a/deployments/d/scale", "update|apps|v1|a|deployments|d|scale"),
            ("GET", "/api/v1/namespaces/a", "get||v1|a|namespaces|a|"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update||v1|a|namespaces|a|finalize"),
            ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection||v1|a|pods||"),
            ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dn1", "list||v1||nodes|n1|"),
            ("POST", "/api/v1/namespaces/a/pods/p/exec", "create||v1|a|pods|p|exec"),
        ];
        for (method, uri, expected) in cases {
            let (path, query) = uri.split_once('?').map_or((uri, None), |(p, q)| (p, Some(q)));
            let info = RequestInfo::of(&method.parse().expect("method"), path, query);
            let got = [
                info.verb.as_str(),
                &info.api_group,
                &info.api_version,
                &info.namespace,
                &info.resource,
                &info.name,
                &info.subresource,
            ]
            .join("|");
            assert_eq!(got, expected, "{method} {uri}");
            assert!(info.is_resource_request);
        }
    }

    #[test]
    fn paths_without_a_resource_keep_their_method() {
        for path in ["/", "/version", "/api", "/apis/apps", "/apis/apps/v1", "/api/v1", "/openapi/v3"] {
            let info = RequestInfo::of(&Method::GET, path, None);
            assert!(!info.is_resource_request, "{path}");
            assert_eq!(info.verb, "get");
        }
    }
}
