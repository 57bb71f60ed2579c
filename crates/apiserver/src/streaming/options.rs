//! What clients ask of a pod's containers, and the same in the words of a kubelet.
//!
//! Upstream: pkg/registry/core/pod/strategy.go, `LogLocation`, `streamLocation`; pkg/apis/core/validation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::ApiError;
use crate::auth::fields;
use crate::request_info::{form_pairs, is_true};

/// Which containers a name may mean.
pub(super) struct Container;

/// The lists of a pod's spec that hold containers.
const LISTS: [&str; 3] = ["/containers", "/initContainers", "/ephemeralContainers"];

impl Container {
    /// All lists.
    #[allow(non_upper_case_globals, reason = "reads as the choice that it is")]
    pub const Any: [&'static str; 3] = LISTS;

    /// The container that `wanted` names, or the only one.
    ///
    /// # Errors
    /// In upstream's words, when there is no such container or no name where one is needed.
    pub fn find(pod: &Value, wanted: &str, lists: [&str; 3]) -> Result<String, ApiError> {
        let spec = &pod["spec"];
        let names = |list: &str| -> Vec<&str> {
            fields::list(spec, list).iter().map(|container| fields::text(container, "/name")).collect()
        };
        let name = fields::name(pod);
        if !wanted.is_empty() {
            return match lists.iter().any(|list| names(list).contains(&wanted)) {
                true => Ok(wanted.to_owned()),
                false => {
                    Err(ApiError::bad_request(format!("container {wanted} is not valid for pod {name}")))
                }
            };
        }
        let mut message = format!("a container name must be specified for pod {name}");
        match names("/containers").as_slice() {
            [only] => return Ok((*only).to_owned()),
            [] => {}
            several => {
                let _ = write!(message, ", choose one of: [{}]", several.join(" "));
                let first = names("/initContainers");
                if !first.is_empty() {
                    let _ = write!(message, " or one of the init containers: [{}]", first.join(" "));
                }
            }
        }
        Err(ApiError::bad_request(message))
    }
}

/// PodLogOptions.
#[derive(Debug, Default)]
pub(super) struct LogOptions {
    pub container: String,
    flags: Vec<(&'static str, String)>,
}

/// One broken rule: reason, message, field.
type Cause = (String, String, String);

impl LogOptions {
    /// # Errors
    /// When a number is none, or out of its range.
    pub fn parse(query: &str, pod: &str) -> Result<Self, ApiError> {
        let pairs = form_pairs(query);
        let last = |wanted: &str| pairs.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
        let mut options = Self { container: last("container").unwrap_or_default(), flags: Vec::new() };
        for flag in ["follow", "previous", "timestamps"] {
            if last(flag).is_some_and(|value| is_true(&value)) {
                options.flags.push((flag, "true".to_owned()));
            }
        }
        let mut causes = Vec::new();
        for (number, least, why) in [
            ("sinceSeconds", 1, "must be greater than 0"),
            ("tailLines", 0, "must be greater than or equal to 0"),
            ("limitBytes", 1, "must be greater than 0"),
        ] {
            let Some(text) = last(number).filter(|text| !text.is_empty()) else { continue };
            let value: i64 = text.parse().map_err(|_| {
                ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
            })?;
            if value < least {
                causes.push(invalid(number, &value.to_string(), why));
            }
            options.flags.push((number, value.to_string()));
        }
        if let Some(time) = last("sinceTime").filter(|time| !time.is_empty()) {
            if last("sinceSeconds").is_some_and(|text| !text.is_empty()) {
                causes.push((
                    "FieldValueForbidden".to_owned(),
                    "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned(),
                    String::new(),
                ));
            }
            options.flags.push(("sinceTime", time));
        }
        if let Some(stream) = last("stream").filter(|stream| stream != "All" && !stream.is_empty()) {
            options.flags.push(("stream", stream));
        }
        match causes.is_empty() {
            true => Ok(options),
            false => Err(ApiError::invalid("", "PodLogOptions", pod, &causes)),
        }
    }

    pub fn kubelet_query(&self) -> String {
        let pairs: Vec<String> =
            self.flags.iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

fn invalid(field: &str, value: &str, why: &str) -> Cause {
    ("FieldValueInvalid".to_owned(), format!("Invalid value: {value}: {why}"), field.to_owned())
}

/// PodExecOptions, PodAttachOptions and PodPortForwardOptions in one.
#[derive(Debug, Default)]
pub(super) struct StreamOptions {
    kind: &'static str,
    pub container: String,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    command: Vec<String>,
    ports: Vec<String>,
}

impl StreamOptions {
    pub fn parse(subresource: &str, query: &str) -> Self {
        let kind = match subresource {
            "exec" => "PodExecOptions",
            "attach" => "PodAttachOptions",
            _ => "PodPortForwardOptions",
        };
        // Attaching shows output unless told otherwise.
        let shows = subresource == "attach";
        let mut options = Self { kind, stdout: shows, stderr: shows, ..Self::default() };
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "container" => options.container = value,
                "stdin" => options.stdin = is_true(&value),
                "stdout" => options.stdout = is_true(&value),
                "stderr" => options.stderr = is_true(&value),
                "tty" => options.tty = is_true(&value),
                "command" => options.command.push(value),
                "ports" | "port" => options.ports.push(value),
                _ => {}
            }
        }
        options
    }

    /// The options as admission sees them.
    pub fn object(&self) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": self.kind});
        if self.kind == "PodPortForwardOptions" {
            object["ports"] = json!(self.ports);
            return object;
        }
        let flags =
            [("stdin", self.stdin), ("stdout", self.stdout), ("stderr", self.stderr), ("tty", self.tty)];
        for (key, _) in flags.iter().filter(|(_, on)| *on) {
            object[key] = json!(true);
        }
        object["container"] = json!(self.container);
        object["command"] = json!(self.command);
        object
    }

    pub fn kubelet_query(&self) -> String {
        let flags =
            [("input", self.stdin), ("output", self.stdout), ("error", self.stderr), ("tty", self.tty)];
        let mut pairs: Vec<String> =
            self.command.iter().map(|word| format!("command={}", escape(word))).collect();
        match self.kind {
            "PodPortForwardOptions" if self.ports.is_empty() => {}
            "PodPortForwardOptions" => pairs.push(format!("port={}", escape(&self.ports.join(",")))),
            _ => pairs.extend(flags.iter().filter(|(_, on)| *on).map(|(key, _)| format!("{key}=1"))),
        }
        pairs.join("&")
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986).
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}
