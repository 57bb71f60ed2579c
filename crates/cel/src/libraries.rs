//! Kubernetes' libraries, and the extensions of strings, lists, sets and math.
//!
//! Upstream: apiserver/pkg/cel/library; github.com/google/cel-go/ext.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use api::Quantity;

use crate::functions::{Outcome, none, regex, shown, to_text};
use crate::interpreter::failed;
use crate::value::{Semver, Url, Value};

pub(crate) fn call<'a>(function: &str, args: &[Value<'a>]) -> Outcome<'a> {
    match args.first() {
        Some(Value::Text(text)) => text_function(function, &text.clone(), args),
        Some(Value::Quantity(quantity)) => quantity_function(function, quantity, args),
        Some(Value::Url(url)) => url_function(function, url, args),
        Some(Value::Ip(ip)) => ip_function(function, *ip, args),
        Some(Value::Cidr(ip, length)) => cidr_function(function, *ip, *length, args),
        Some(Value::Semver(version)) => semver_function(function, version, args),
        Some(Value::Format(name)) => format_function(function, name, args),
        _ if function.starts_with("math.") => math(function, args),
        _ => list_function(function, args),
    }
}

fn int<'a>(value: usize) -> Outcome<'a> {
    Ok(Value::Int(value as i64))
}

fn texts<'a>(parts: impl Iterator<Item = String>) -> Outcome<'a> {
    Ok(Value::list(parts.map(|part| Value::text(&part)).collect()))
}

fn text_function<'a>(function: &str, text: &str, args: &[Value<'a>]) -> Outcome<'a> {
    let chars = || text.chars().collect::<Vec<char>>();
    let cut = |from: i64, to: i64| -> Outcome<'a> {
        let chars = chars();
        match (usize::try_from(from), usize::try_from(to)) {
            (Ok(from), Ok(to)) if from <= to && to <= chars.len() => {
                Ok(Value::text(&chars[from..to].iter().collect::<String>()))
            }
            _ => failed(format!("index out of range: {}", if from < 0 { from } else { to })),
        }
    };
    match (function, &args[1..]) {
        ("charAt", [Value::Int(index)]) => {
            let chars = chars();
            match usize::try_from(*index) {
                Ok(index) if index < chars.len() => Ok(Value::text(&chars[index].to_string())),
                Ok(index) if index == chars.len() => Ok(Value::text("")),
                _ => failed(format!("index out of range: {index}")),
            }
        }
        ("indexOf", [Value::Text(part), rest @ ..]) => find(text, part, rest.first(), true),
        ("lastIndexOf", [Value::Text(part), rest @ ..]) => find(text, part, rest.first(), false),
        ("lowerAscii", []) => Ok(Value::text(&text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Value::text(&text.to_ascii_uppercase())),
        ("trim", []) => Ok(Value::text(text.trim())),
        ("reverse", []) => Ok(Value::text(&text.chars().rev().collect::<String>())),
        ("replace", [Value::Text(from), Value::Text(to)]) => replace(text, from, to, -1),
        ("replace", [Value::Text(from), Value::Text(to), Value::Int(count)]) => {
            replace(text, from, to, *count)
        }
        ("split", [Value::Text(by)]) => split(text, by, -1),
        ("split", [Value::Text(by), Value::Int(count)]) => split(text, by, *count),
        ("substring", [Value::Int(from)]) => cut(*from, text.chars().count() as i64),
        ("substring", [Value::Int(from), Value::Int(to)]) => cut(*from, *to),
        ("find", [Value::Text(pattern)]) => {
            Ok(Value::text(regex(pattern)?.find(text).map_or("", |found| found.as_str())))
        }
        ("findAll", [Value::Text(pattern), rest @ ..]) => {
            let limit = match rest {
                [Value::Int(limit)] if *limit >= 0 => *limit as usize,
                _ => usize::MAX,
            };
            texts(regex(pattern)?.find_iter(text).take(limit).map(|found| found.as_str().to_owned()))
        }
        ("format", [list]) => format_text(text, &list.items().unwrap_or_default()),
        ("strings.quote", []) => Ok(Value::text(&format!("{text:?}"))),
        ("base64.decode", []) => {
            use base64::Engine;
            match base64::engine::general_purpose::STANDARD.decode(text) {
                Ok(bytes) => Ok(Value::Bytes(bytes.into())),
                Err(error) => failed(error.to_string()),
            }
        }
        ("quantity", []) => match text.parse::<Quantity>() {
            Ok(quantity) => Ok(Value::Quantity(quantity)),
            Err(error) => failed(error.to_string()),
        },
        ("isQuantity", []) => Ok(Value::Bool(text.parse::<Quantity>().is_ok())),
        ("url", []) => parse_url(text).map_or_else(
            || failed(format!("URL parse error during conversion from string: {text:?}")),
            |url| Ok(Value::Url(Arc::new(url))),
        ),
        ("isURL", []) => Ok(Value::Bool(parse_url(text).is_some())),
        ("ip", []) => match strict_ip(text) {
            Some(ip) => Ok(Value::Ip(ip)),
            None => failed(format!("IP Address {text:?} parse error during conversion from string")),
        },
        ("isIP", []) => Ok(Value::Bool(strict_ip(text).is_some())),
        ("isIP", [Value::Int(family)]) => {
            Ok(Value::Bool(strict_ip(text).is_some_and(|ip| ip.is_ipv4() == (*family == 4))))
        }
        ("ip.isCanonical", []) => match strict_ip(text) {
            Some(ip) => Ok(Value::Bool(ip.to_string() == text)),
            None => failed(format!("IP Address {text:?} parse error during conversion from string")),
        },
        ("cidr", []) => match parse_cidr(text) {
            Some((ip, length)) => Ok(Value::Cidr(ip, length)),
            None => failed(format!("network address parse error during conversion from string: {text:?}")),
        },
        ("isCIDR", []) => Ok(Value::Bool(parse_cidr(text).is_some())),
        ("semver", rest) => match parse_semver(text, matches!(rest, [Value::Bool(true)])) {
            Some(version) => Ok(Value::Semver(Arc::new(version))),
            None => failed(format!("invalid semantic version: {text:?}")),
        },
        ("isSemver", rest) => {
            Ok(Value::Bool(parse_semver(text, matches!(rest, [Value::Bool(true)])).is_some()))
        }
        ("format.named", []) => Ok(Value::Optional(
            FORMATS.iter().find(|name| **name == text).map(|name| Arc::new(Value::Format(name))),
        )),
        _ => none(function, args),
    }
}

fn find<'a>(text: &str, part: &str, from: Option<&Value<'a>>, first: bool) -> Outcome<'a> {
    let (text, part): (Vec<char>, Vec<char>) = (text.chars().collect(), part.chars().collect());
    let start = match from {
        Some(Value::Int(start)) => match usize::try_from(*start) {
            Ok(start) if start <= text.len() => Some(start),
            _ => return failed(format!("index out of range: {start}")),
        },
        _ => None,
    };
    let is_at = |at: &usize| text[*at..].starts_with(&part);
    let last = text.len().saturating_sub(part.len());
    if part.len() > text.len() {
        return Ok(Value::Int(-1));
    }
    let found = match first {
        true => (start.unwrap_or(0)..=last).find(is_at),
        false => (0..=start.unwrap_or(last).min(last)).rev().find(is_at),
    };
    Ok(Value::Int(found.map_or(-1, |at| at as i64)))
}

fn replace<'a>(text: &str, from: &str, to: &str, count: i64) -> Outcome<'a> {
    // Every place between characters could be replaced: what comes out must stay small.
    if from.is_empty() && text.len().saturating_mul(to.len() + 1) > 1 << 22 {
        return failed("result of replace is too large");
    }
    let grown = if from.is_empty() { 0 } else { text.len() / from.len() };
    if grown.saturating_mul(to.len()) > 1 << 22 {
        return failed("result of replace is too large");
    }
    Ok(Value::text(&match usize::try_from(count) {
        Ok(count) => text.replacen(from, to, count),
        Err(_) => text.replace(from, to),
    }))
}

fn split<'a>(text: &str, by: &str, count: i64) -> Outcome<'a> {
    let limit = usize::try_from(count).unwrap_or(usize::MAX); // negative: all
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    if by.is_empty() {
        let chars: Vec<char> = text.chars().collect();
        let cut = chars.len().min(limit.saturating_sub(1));
        let mut parts: Vec<String> = chars[..cut].iter().map(char::to_string).collect();
        let rest: String = chars[cut..].iter().collect();
        if !rest.is_empty() {
            parts.push(rest);
        }
        return texts(parts.into_iter());
    }
    texts(text.splitn(limit, by).map(str::to_owned))
}

/// `%s %d %f %e %b %x %X %o` and `%.3f`.
fn format_text<'a>(format: &str, args: &[Value<'a>]) -> Outcome<'a> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = None;
        if chars.next_if_eq(&'.').is_some() {
            let mut digits = 0usize;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                digits = (digits * 10 + digit as usize).min(100);
                chars.next();
            }
            precision = Some(digits);
        }
        let verb = chars.next().unwrap_or('%');
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(arg) = args.next() else { return failed(format!("index {} out of range", out.len())) };
        let fits = match (verb, arg) {
            ('s', arg) => Some(any_text(arg)),
            ('d', Value::Int(_) | Value::Uint(_) | Value::Double(_)) => to_text(arg),
            ('f', arg) => number(arg).map(|value| format!("{value:.0$}", precision.unwrap_or(6))),
            ('e', arg) => number(arg).map(|value| format!("{value:.0$e}", precision.unwrap_or(6))),
            ('b', Value::Int(int)) => Some(format!("{int:b}")),
            ('b', Value::Bool(flag)) => Some(u8::from(*flag).to_string()),
            ('o', Value::Int(int)) => Some(format!("{int:o}")),
            ('x', Value::Int(int)) => Some(format!("{int:x}")),
            ('X', Value::Int(int)) => Some(format!("{int:X}")),
            ('x', Value::Text(text)) => Some(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
            _ => None,
        };
        match fits {
            Some(text) => out.push_str(&text),
            None => {
                return failed(format!(
                    "error during formatting: clause %{verb} cannot be used with {}",
                    arg.type_name()
                ));
            }
        }
    }
    Ok(Value::text(&out))
}

fn any_text(value: &Value<'_>) -> String {
    if let Some(items) = value.items() {
        return format!("[{}]", items.iter().map(any_text).collect::<Vec<_>>().join(", "));
    }
    if let Some(entries) = value.entries() {
        let entry = |(key, value): &(Value<'_>, Value<'_>)| format!("{}: {}", any_text(key), any_text(value));
        return format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "));
    }
    shown(value)
}

fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(int) => Some(*int as f64),
        Value::Uint(uint) => Some(*uint as f64),
        Value::Double(double) => Some(*double),
        _ => None,
    }
}

fn list_function<'a>(function: &str, args: &[Value<'a>]) -> Outcome<'a> {
    use base64::Engine;
    if let ("base64.encode", [Value::Bytes(bytes)]) = (function, args) {
        return Ok(Value::text(&base64::engine::general_purpose::STANDARD.encode(bytes)));
    }
    if let ("lists.range", [Value::Int(count)]) = (function, args) {
        // Each item is paid for afterwards; not more than anybody could pay for are made.
        let count = (*count).clamp(0, 1_000_000);
        return Ok(Value::list((0..count).map(Value::Int).collect()));
    }
    let Some(items) = args.first().and_then(Value::items) else { return none(function, args) };
    let sorted = |mut items: Vec<Value<'a>>| {
        items.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
        items
    };
    let second = args.get(1).and_then(Value::items);
    let is_wanted = |item: &Value<'a>| args.get(1).is_some_and(|wanted| item.is_same(wanted));
    let place = |found: Option<usize>| Ok(Value::Int(found.map_or(-1, |at| at as i64)));
    match (function, &args[1..]) {
        ("isSorted", []) => Ok(Value::Bool(
            items.windows(2).all(|pair| pair[0].compare(&pair[1]).is_none_or(Ordering::is_le)),
        )),
        ("sum", []) => {
            let mut items = items.into_iter();
            let Some(first) = items.next() else { return Ok(Value::Int(0)) };
            items.try_fold(first, |sum, item| crate::functions::call("_+_", &[sum, item], false))
        }
        ("min" | "max", []) => match (sorted(items), function) {
            (sorted, "min") if !sorted.is_empty() => Ok(sorted[0].clone()),
            (sorted, _) if !sorted.is_empty() => Ok(sorted[sorted.len() - 1].clone()),
            _ => failed(format!("{function} called on empty list")),
        },
        ("indexOf", [_]) => place(items.iter().position(is_wanted)),
        ("lastIndexOf", [_]) => place(items.iter().rposition(is_wanted)),
        ("sort", []) => Ok(Value::list(sorted(items))),
        ("reverse", []) => Ok(Value::list(items.into_iter().rev().collect())),
        ("distinct", []) => {
            let mut out: Vec<Value<'a>> = Vec::new();
            for item in items.into_iter().take(10_000) {
                if !out.iter().any(|own| own.is_same(&item)) {
                    out.push(item);
                }
            }
            Ok(Value::list(out))
        }
        ("flatten", []) => {
            let flat = items.into_iter().flat_map(|item| item.items().unwrap_or_else(|| vec![item]));
            Ok(Value::list(flat.collect()))
        }
        ("slice", [Value::Int(from), Value::Int(to)]) => match (usize::try_from(*from), usize::try_from(*to))
        {
            (Ok(from), Ok(to)) if from <= to && to <= items.len() => {
                Ok(Value::list(items[from..to].to_vec()))
            }
            _ => failed(format!("cannot slice({from}, {to}), list is length {}", items.len())),
        },
        ("first", []) => Ok(Value::Optional(items.into_iter().next().map(Arc::new))),
        ("last", []) => Ok(Value::Optional(items.into_iter().next_back().map(Arc::new))),
        ("join", rest) => {
            let by = rest.first().and_then(Value::as_text).unwrap_or("");
            let parts: Option<Vec<&str>> = items.iter().map(Value::as_text).collect();
            parts.map_or_else(|| none(function, args), |parts| Ok(Value::text(&parts.join(by))))
        }
        ("sets.contains" | "sets.equivalent" | "sets.intersects", [_]) => {
            let Some(others) = second else { return none(function, args) };
            let has = |all: &[Value<'a>], one: &Value<'a>| all.iter().any(|own| own.is_same(one));
            Ok(Value::Bool(match function {
                "sets.contains" => others.iter().all(|one| has(&items, one)),
                "sets.intersects" => others.iter().any(|one| has(&items, one)),
                _ => others.iter().all(|one| has(&items, one)) && items.iter().all(|one| has(&others, one)),
            }))
        }
        ("math.greatest", []) | ("math.least", []) => math(function, &items),
        _ => none(function, args),
    }
}

fn math<'a>(function: &str, args: &[Value<'a>]) -> Outcome<'a> {
    let all: Vec<Value<'a>> = match args {
        [one] if one.items().is_some() => one.items().unwrap_or_default(),
        many => many.to_vec(),
    };
    let best = |wanted: Ordering| {
        all.iter()
            .cloned()
            .reduce(|best, next| if next.compare_numbers(&best) == Some(wanted) { next } else { best })
    };
    match (function, args) {
        ("math.greatest", _) => best(Ordering::Greater).map_or_else(|| none(function, args), Ok),
        ("math.least", _) => best(Ordering::Less).map_or_else(|| none(function, args), Ok),
        ("math.abs", [Value::Int(value)]) => {
            value.checked_abs().map_or_else(|| failed("integer overflow"), |value| Ok(Value::Int(value)))
        }
        ("math.abs", [Value::Double(value)]) => Ok(Value::Double(value.abs())),
        ("math.abs", [Value::Uint(value)]) => Ok(Value::Uint(*value)),
        ("math.sign", [Value::Int(value)]) => Ok(Value::Int(value.signum())),
        ("math.sign", [Value::Double(value)]) => {
            Ok(Value::Double(if *value == 0.0 { 0.0 } else { value.signum() }))
        }
        ("math.ceil", [Value::Double(value)]) => Ok(Value::Double(value.ceil())),
        ("math.floor", [Value::Double(value)]) => Ok(Value::Double(value.floor())),
        ("math.round", [Value::Double(value)]) => Ok(Value::Double(value.round())),
        ("math.trunc", [Value::Double(value)]) => Ok(Value::Double(value.trunc())),
        ("math.isNaN", [Value::Double(value)]) => Ok(Value::Bool(value.is_nan())),
        ("math.isInf", [Value::Double(value)]) => Ok(Value::Bool(value.is_infinite())),
        ("math.isFinite", [Value::Double(value)]) => Ok(Value::Bool(value.is_finite())),
        _ => none(function, args),
    }
}

fn quantity_function<'a>(function: &str, own: &Quantity, args: &[Value<'a>]) -> Outcome<'a> {
    let other = match args.get(1) {
        Some(Value::Quantity(other)) => Some(*other),
        Some(Value::Int(int)) => Some(Quantity::from_integer(*int, own.format())),
        _ => None,
    };
    let order = || other.map_or(Ordering::Equal, |other| own.cmp(&other));
    match (function, args.len()) {
        ("sign", 1) => Ok(Value::Int(if own.is_zero() {
            0
        } else if own.is_negative() {
            -1
        } else {
            1
        })),
        ("isInteger", 1) => Ok(Value::Bool(own.is_integer())),
        ("asInteger", 1) if own.is_integer() => Ok(Value::Int(own.value())),
        ("asInteger", 1) => failed("cannot convert value to integer"),
        ("asApproximateFloat", 1) => {
            let whole = if own.is_integer() { own.value() as f64 } else { own.milli_value() as f64 / 1000.0 };
            Ok(Value::Double(whole))
        }
        ("isLessThan", 2) => Ok(Value::Bool(order().is_lt())),
        ("isGreaterThan", 2) => Ok(Value::Bool(order().is_gt())),
        ("compareTo", 2) => Ok(Value::Int(order() as i64)),
        ("add" | "sub", 2) => {
            let Some(other) = other else { return none(function, args) };
            Ok(Value::Quantity(if function == "add" { *own + other } else { *own - other }))
        }
        _ => none(function, args),
    }
}

/// As Go's url.ParseRequestURI: a scheme and what follows it, or a path.
fn parse_url(text: &str) -> Option<Url> {
    if text.is_empty() || text.contains(|c: char| c.is_control() || c == ' ') {
        return None;
    }
    let mut url = Url::default();
    let mut rest = text;
    if !text.starts_with('/') {
        let (scheme, after) = text.split_once(':')?;
        let first = scheme.chars().next()?;
        let plain = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if !first.is_ascii_alphabetic() || !plain {
            return None;
        }
        url.scheme = scheme.to_ascii_lowercase();
        rest = after;
    }
    if let Some((before, query)) = rest.split_once('?') {
        url.query = query.to_owned();
        rest = before;
    }
    if let Some(after) = rest.strip_prefix("//").filter(|_| !url.scheme.is_empty()) {
        let end = after.find('/').unwrap_or(after.len());
        let host = &after[..end];
        url.host = host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned();
        let port = host.rsplit_once(':').map_or("", |(_, port)| port);
        if !host.ends_with(']') && !port.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
        rest = &after[end..];
    }
    url.path = rest.to_owned();
    Some(url)
}

fn url_function<'a>(function: &str, url: &Url, args: &[Value<'a>]) -> Outcome<'a> {
    let (name, port) = match url.host.rsplit_once(':') {
        Some((name, port)) if !url.host.ends_with(']') => (name, port),
        _ => (url.host.as_str(), ""),
    };
    let text = match function {
        "getScheme" => &url.scheme,
        "getHost" => &url.host,
        "getHostname" => name.trim_start_matches('[').trim_end_matches(']'),
        "getPort" => port,
        "getEscapedPath" => &url.path,
        "getQuery" => {
            let mut map: Vec<(Value<'a>, Vec<Value<'a>>)> = Vec::new();
            for pair in url.query.split('&').filter(|pair| !pair.is_empty()).take(10_000) {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let key = Value::text(key);
                match map.iter_mut().find(|(own, _)| own.is_same(&key)) {
                    Some((_, values)) => values.push(Value::text(value)),
                    None => map.push((key, vec![Value::text(value)])),
                }
            }
            return Ok(Value::Map(map.into_iter().map(|(key, values)| (key, Value::list(values))).collect()));
        }
        _ => return none(function, args),
    };
    Ok(Value::text(text))
}

/// No IPv4 in IPv6.
fn strict_ip(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().ok()?; // no address: none
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => None,
        ip => Some(ip),
    }
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/')?;
    let (ip, length) = (strict_ip(address)?, length.parse::<u8>().ok()?); // no number: none
    (length <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, length))
}

fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    }
}

fn masked(ip: IpAddr, length: u8) -> IpAddr {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    match ip {
        IpAddr::V4(_) => IpAddr::V4((((bits(ip).0 & mask) >> 96) as u32).into()),
        IpAddr::V6(_) => IpAddr::V6((bits(ip).0 & mask).into()),
    }
}

fn ip_function<'a>(function: &str, ip: IpAddr, args: &[Value<'a>]) -> Outcome<'a> {
    let flag = |v4: bool, v6: bool| Ok(Value::Bool(if ip.is_ipv4() { v4 } else { v6 }));
    let (four, six) = match ip {
        IpAddr::V4(v4) => (v4, std::net::Ipv6Addr::UNSPECIFIED),
        IpAddr::V6(v6) => (std::net::Ipv4Addr::UNSPECIFIED, v6),
    };
    match function {
        "family" => int(if ip.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Ok(Value::Bool(ip.is_unspecified())),
        "isLoopback" => Ok(Value::Bool(ip.is_loopback())),
        "isLinkLocalMulticast" => flag(four.octets()[..3] == [224, 0, 0], six.segments()[0] == 0xff02),
        "isLinkLocalUnicast" => flag(four.is_link_local(), six.segments()[0] & 0xffc0 == 0xfe80),
        "isGlobalUnicast" => {
            let link_local =
                if ip.is_ipv4() { four.is_link_local() } else { six.segments()[0] & 0xffc0 == 0xfe80 };
            let broadcast = ip.is_ipv4() && four.is_broadcast();
            Ok(Value::Bool(
                !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !link_local && !broadcast,
            ))
        }
        _ => none(function, args),
    }
}

fn cidr_function<'a>(function: &str, ip: IpAddr, length: u8, args: &[Value<'a>]) -> Outcome<'a> {
    let contains =
        |other: IpAddr| ip.is_ipv4() == other.is_ipv4() && masked(ip, length) == masked(other, length);
    match (function, &args[1..]) {
        ("containsIP", [Value::Ip(other)]) => Ok(Value::Bool(contains(*other))),
        ("containsIP", [Value::Text(text)]) => strict_ip(text).map_or_else(
            || failed(format!("IP Address {text:?} parse error")),
            |other| Ok(Value::Bool(contains(other))),
        ),
        ("containsCIDR", [Value::Cidr(other, long)]) => Ok(Value::Bool(*long >= length && contains(*other))),
        ("containsCIDR", [Value::Text(text)]) => parse_cidr(text).map_or_else(
            || failed(format!("network address parse error: {text:?}")),
            |(other, long)| Ok(Value::Bool(long >= length && contains(other))),
        ),
        ("ip", []) => Ok(Value::Ip(ip)),
        ("masked", []) => Ok(Value::Cidr(masked(ip, length), length)),
        ("prefixLength", []) => int(usize::from(length)),
        _ => none(function, args),
    }
}

fn parse_semver(text: &str, normalize: bool) -> Option<Semver> {
    let text = if normalize { text.trim_start_matches('v') } else { text };
    let (core, build) = text.split_once('+').map_or((text, None), |(core, build)| (core, Some(build)));
    let (core, pre) = core.split_once('-').map_or((core, None), |(core, pre)| (core, Some(pre)));
    let mut parts: Vec<&str> = core.split('.').collect();
    while normalize && parts.len() < 3 {
        parts.push("0");
    }
    let whole = |part: &&str| {
        let plain = !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let short = normalize || *part == "0" || !part.starts_with('0');
        (plain && short).then(|| part.parse::<u64>().ok()).flatten() // too large: none
    };
    let words = |text: Option<&str>| {
        text.is_none_or(|text| {
            text.split('.').all(|w| !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        })
    };
    let [major, minor, patch] = parts.as_slice() else { return None };
    (words(pre) && words(build)).then_some(())?;
    Some(Semver { numbers: [whole(major)?, whole(minor)?, whole(patch)?], pre: pre.unwrap_or("").to_owned() })
}

pub(crate) fn compare_semver(a: &Semver, b: &Semver) -> Ordering {
    let pre = || match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => {
            let part = |text: &str| {
                text.split('.')
                    .map(|w| (w.parse::<u64>().map_or((1, 0), |n| (0, n)), w.to_owned()))
                    .collect::<Vec<_>>()
            };
            part(&a.pre).cmp(&part(&b.pre))
        }
    };
    a.numbers.cmp(&b.numbers).then_with(pre)
}

fn semver_function<'a>(function: &str, own: &Semver, args: &[Value<'a>]) -> Outcome<'a> {
    let order = |other: &Semver| compare_semver(own, other);
    match (function, &args[1..]) {
        ("major", []) => Ok(Value::Int(own.numbers[0] as i64)),
        ("minor", []) => Ok(Value::Int(own.numbers[1] as i64)),
        ("patch", []) => Ok(Value::Int(own.numbers[2] as i64)),
        ("isLessThan", [Value::Semver(other)]) => Ok(Value::Bool(order(other).is_lt())),
        ("isGreaterThan", [Value::Semver(other)]) => Ok(Value::Bool(order(other).is_gt())),
        ("compareTo", [Value::Semver(other)]) => Ok(Value::Int(order(other) as i64)),
        _ => none(function, args),
    }
}

const FORMATS: [&str; 9] = [
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "qualifiedName",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
];

fn format_function<'a>(function: &str, name: &str, args: &[Value<'a>]) -> Outcome<'a> {
    use api::validate::names;
    let ("validate", [_, Value::Text(text)]) = (function, args) else { return none(function, args) };
    let wrong = match name {
        "dns1123Label" => names::dns1123_label(text),
        "dns1123Subdomain" => names::dns1123_subdomain(text),
        "dns1035Label" => names::dns1035_label(text),
        "qualifiedName" => names::qualified_name(text),
        "labelValue" => names::label_value(text),
        other if api::custom::is_format(other, text) => Vec::new(),
        other => vec![format!("invalid {other}")],
    };
    Ok(Value::Optional(
        (!wrong.is_empty())
            .then(|| Arc::new(Value::list(wrong.iter().map(|text| Value::text(text)).collect()))),
    ))
}
