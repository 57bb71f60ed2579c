//! What makes a name, a label, a port or a path valid: each answers with upstream's sentences.
//!
//! Upstream: apimachinery/pkg/util/validation.

use regex::Regex;
use std::sync::LazyLock;

/// Why a value is not valid; empty when it is.
pub type Messages = Vec<String>;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const CONFIG_KEY: &str = "[-._a-zA-Z0-9]+";
const PERCENT: &str = "[0-9]+%";
const HEADER: &str = "[-A-Za-z0-9]+";

const SUBDOMAIN_TEXT: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";

fn whole(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).expect("a constant pattern of this file")
}

macro_rules! patterns {
    ($($name:ident = $pattern:expr;)*) => { $(static $name: LazyLock<Regex> = LazyLock::new(|| whole($pattern));)* };
}

patterns! {
    IS_LABEL = LABEL;
    IS_SUBDOMAIN = SUBDOMAIN;
    IS_DNS1035 = DNS1035;
    IS_QUALIFIED = QUALIFIED;
    IS_LABEL_VALUE = LABEL_VALUE;
    IS_CONFIG_KEY = CONFIG_KEY;
    IS_PERCENT = PERCENT;
    IS_HEADER = HEADER;
}

/// A sentence with the examples and the expression that it stands for.
pub fn regex_error(text: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{text} (regex used for validation is '{pattern}')");
    }
    let quoted: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{text} (e.g. {}regex used for validation is '{pattern}')", quoted.join(" or "))
}

pub fn max_len(bytes: usize) -> String {
    format!("must be no more than {bytes} bytes")
}

pub fn in_range(value: i64, min: i64, max: i64) -> Messages {
    if (min..=max).contains(&value) {
        Vec::new()
    } else {
        vec![format!("must be between {min} and {max}, inclusive")]
    }
}

fn too_long(value: &str, max: usize) -> Messages {
    if value.len() > max { vec![max_len(max)] } else { Vec::new() }
}

/// For kinds that leave their names to others.
pub fn anything(_: &str) -> Messages {
    Vec::new()
}

pub fn dns1123_label(value: &str) -> Messages {
    let mut found = too_long(value, 63);
    if !IS_LABEL.is_match(value) {
        found.push(match IS_SUBDOMAIN.is_match(value) {
            true => "must not contain dots".into(),
            false => regex_error("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character", LABEL, &["my-name", "123-abc"]),
        });
    }
    found
}

pub fn dns1123_subdomain(value: &str) -> Messages {
    let mut found = too_long(value, 253);
    if !IS_SUBDOMAIN.is_match(value) {
        found.push(regex_error(SUBDOMAIN_TEXT, SUBDOMAIN, &["example.com"]));
    }
    found
}

pub fn dns1035_label(value: &str) -> Messages {
    let mut found = too_long(value, 63);
    if !IS_DNS1035.is_match(value) {
        found.push(regex_error("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character", DNS1035, &["my-name", "abc-123"]));
    }
    found
}

/// A name that can stand between the slashes of an URL.
pub fn path_segment(value: &str) -> Messages {
    if matches!(value, "." | "..") {
        return vec![format!("may not be '{value}'")];
    }
    let illegal = ["/", "%"].into_iter().filter(|part| value.contains(part));
    illegal.map(|part| format!("may not contain '{part}'")).collect()
}

pub fn wildcard_subdomain(value: &str) -> Messages {
    let pattern = format!(r"\*\.{SUBDOMAIN}");
    match value.strip_prefix("*.").is_some_and(|rest| IS_SUBDOMAIN.is_match(rest)) {
        true => too_long(value, 253),
        false => vec![regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &pattern,
            &["*.example.com"],
        )],
    }
}

/// `name` or `prefix/name`: label keys, finalizers, resource names.
pub fn qualified_name(value: &str) -> Messages {
    let mut found = Vec::new();
    let parts: Vec<&str> = value.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        ["", name] => {
            found.push("prefix part must be non-empty".into());
            name
        }
        [prefix, name] => {
            found.extend(dns1123_subdomain(prefix).into_iter().map(|text| format!("prefix part {text}")));
            name
        }
        _ => {
            let text = qualified_regex("a qualified name must consist of");
            return vec![format!(
                "{text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        found.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        found.push(format!("name part {}", max_len(63)));
    }
    if !IS_QUALIFIED.is_match(name) {
        found.push(qualified_regex("name part must consist of"));
    }
    found
}

fn qualified_regex(start: &str) -> String {
    let text = format!(
        "{start} alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    );
    regex_error(&text, QUALIFIED, &["MyName", "my.name", "123-abc"])
}

pub fn label_value(value: &str) -> Messages {
    let mut found = too_long(value, 63);
    if !IS_LABEL_VALUE.is_match(value) {
        found.push(regex_error("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character", LABEL_VALUE, &["MyValue", "my_value", "12345"]));
    }
    found
}

/// A key of a ConfigMap or a Secret.
pub fn config_map_key(value: &str) -> Messages {
    let mut found = too_long(value, 253);
    if !IS_CONFIG_KEY.is_match(value) {
        found.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            CONFIG_KEY,
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match value {
        "." => found.push("must not be '.'".into()),
        ".." => found.push("must not be '..'".into()),
        _ if value.starts_with("..") => found.push("must not start with '..'".into()),
        _ => {}
    }
    found
}

pub fn env_var_name(value: &str) -> Messages {
    let printable = |character: char| (' '..='~').contains(&character) && character != '=';
    match () {
        _ if value.is_empty() => vec!["environment variable name must be non-empty".into()],
        _ if !value.chars().all(printable) => vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".into()],
        _ => Vec::new(),
    }
}

pub fn port_name(value: &str) -> Messages {
    let allowed =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let mut found = too_long(value, 15);
    if value.is_empty() || !value.chars().all(allowed) {
        found.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !value.contains(|character: char| character.is_ascii_lowercase()) {
        found.push("must contain at least one letter (a-z)".into());
    }
    if value.contains("--") {
        found.push("must not contain consecutive hyphens".into());
    }
    if value.starts_with('-') || value.ends_with('-') {
        found.push("must not begin or end with a hyphen".into());
    }
    found
}

pub fn port_number(value: i64) -> Messages {
    in_range(value, 1, 65535)
}

pub fn user_id(value: i64) -> Messages {
    in_range(value, 0, 0xffff_ffff)
}

pub fn percent(value: &str) -> Messages {
    if IS_PERCENT.is_match(value) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid percent string must be a numeric string followed by an ending '%'",
        PERCENT,
        &["1%", "93%"],
    )]
}

pub fn header_name(value: &str) -> Messages {
    if IS_HEADER.is_match(value) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        HEADER,
        &["X-Header-Name"],
    )]
}

pub fn ip_address(value: &str) -> Messages {
    match value.parse::<std::net::IpAddr>() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()], // the text says all
    }
}

pub fn cidr(value: &str) -> Messages {
    let valid = value.split_once('/').is_some_and(|(address, bits)| {
        let max = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false, // not an address: not a CIDR
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= max)
    });
    if valid {
        Vec::new()
    } else {
        vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn sentences() {
        let found = [
            dns1123_label("A"),
            dns1123_label("a.b"),
            dns1123_subdomain("-"),
            dns1035_label("1a"),
            path_segment("a/b"),
            qualified_name("a/b/c"),
            qualified_name("/x"),
            label_value("-"),
            config_map_key(".."),
            port_name("8"),
            percent("x"),
        ];
        expect![[r#"
            a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            must not contain dots
            a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
            may not contain '/'
            a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')
            prefix part must be non-empty
            a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            must not be '..'
            must contain at least one letter (a-z)
            a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#]]
        .assert_eq(&found.map(|messages| messages.join("\n")).join("\n"));
    }
}
