//! The standard functions.

use std::sync::{Arc, LazyLock};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use parking_lot::Mutex;
use regex::Regex;

use crate::interpreter::failed;
use crate::libraries;
use crate::value::{EvalError, Value};

pub(crate) type Outcome<'a> = Result<Value<'a>, EvalError>;

const NANOS: i64 = 1_000_000_000;

pub(crate) fn type_named(name: &str) -> Option<&'static str> {
    Some(match name {
        "bool" => "bool",
        "int" => "int",
        "uint" => "uint",
        "double" => "double",
        "string" => "string",
        "bytes" => "bytes",
        "list" => "list",
        "map" => "map",
        "null_type" => "null_type",
        "type" => "type",
        "optional_type" => "optional_type",
        _ => return None,
    })
}

/// What a call costs, by the sizes of what it works on.
pub(crate) fn cost(function: &str, args: &[Value<'_>]) -> u64 {
    let size = |index: usize| args.get(index).and_then(Value::size).unwrap_or(0) as u64;
    let tenth = |size: u64| size.div_ceil(10);
    match function {
        "matches" | "find" | "findAll" => (tenth(size(0)) * (size(1) / 4).max(1)).max(1),
        "contains" | "indexOf" | "lastIndexOf" if args.len() > 1 => (tenth(size(0)) * tenth(size(1))).max(1),
        "sets.contains" | "sets.equivalent" | "sets.intersects" => (size(0) * size(1)).max(1),
        "distinct" | "sort" => size(0) * size(0).max(2).ilog2() as u64 + 1,
        "_==_" | "_!=_" => 1 + tenth(deep(&args[0], 0).min(deep(&args[1], 0))),
        "@in" => 1 + size(1),
        _ => 1 + tenth(size(0)) + if function == "_+_" { tenth(size(1)) } else { 0 },
    }
}

/// The number of values within a value, so far as it is looked at.
fn deep(value: &Value<'_>, depth: usize) -> u64 {
    let own = value.size().unwrap_or(1) as u64;
    if depth > 8 || matches!(value, Value::Text(_) | Value::Bytes(_)) {
        return own;
    }
    if let Some(items) = value.items() {
        return own + items.iter().map(|item| deep(item, depth + 1)).sum::<u64>();
    }
    match value.entries() {
        Some(entries) => own + entries.iter().map(|(_, item)| deep(item, depth + 1)).sum::<u64>(),
        None => own,
    }
}

pub(crate) fn call<'a>(function: &str, args: &[Value<'a>], is_method: bool) -> Outcome<'a> {
    if is_method && let Some(Value::Host(host)) = args.first() {
        return host.call(function, &args[1..]).map_err(EvalError::Failed);
    }
    match (function, args) {
        ("_==_", [a, b]) => Ok(Value::Bool(a.is_same(b))),
        ("_!=_", [a, b]) => Ok(Value::Bool(!a.is_same(b))),
        ("!_", [Value::Bool(flag)]) => Ok(Value::Bool(!flag)),
        ("_<_" | "_<=_" | "_>_" | "_>=_", [a, b]) => compare(function, a, b),
        ("-_", [Value::Int(int)]) => checked(int.checked_neg()),
        ("-_", [Value::Double(double)]) => Ok(Value::Double(-double)),
        ("_+_" | "_-_" | "_*_" | "_/_" | "_%_", [a, b]) => arithmetic(function, a, b),
        ("@in", [item, range]) => is_in(item, range),
        ("_[_]", [of, index]) => at(of, index),
        ("_[?_]", [Value::Optional(None), _]) => Ok(Value::Optional(None)),
        ("_[?_]", [Value::Optional(Some(of)), index]) => {
            Ok(Value::Optional(at(of, index).ok().map(Arc::new)))
        }
        ("_[?_]", [of, index]) => Ok(Value::Optional(at(of, index).ok().map(Arc::new))),
        ("size", [of]) => of.size().map_or_else(|| none("size", args), |len| Ok(Value::Int(len as i64))),
        (
            "int" | "uint" | "double" | "string" | "bytes" | "bool" | "timestamp" | "duration" | "dyn"
            | "type",
            [of],
        ) => convert(function, of),
        ("matches", [Value::Text(text), Value::Text(pattern)]) => {
            Ok(Value::Bool(regex(pattern)?.is_match(text)))
        }
        ("contains", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.contains(&**part))),
        ("startsWith", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.starts_with(&**part))),
        ("endsWith", [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.ends_with(&**part))),
        ("optional.of", [of]) => Ok(Value::some(of.clone())),
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.ofNonZeroValue", [of]) => {
            Ok(Value::Optional((!is_zero(of)).then(|| Arc::new(of.clone()))))
        }
        ("hasValue", [Value::Optional(inner)]) => Ok(Value::Bool(inner.is_some())),
        ("value", [Value::Optional(Some(inner))]) => Ok((**inner).clone()),
        ("value", [Value::Optional(None)]) => failed("optional.none() dereference"),
        _ if function.starts_with("get") => time_part(function, args),
        _ => libraries::call(function, args),
    }
}

/// No function of that name for these.
pub(crate) fn none<'a>(function: &str, args: &[Value<'_>]) -> Outcome<'a> {
    let kinds: Vec<&str> = args.iter().map(Value::type_name).collect();
    failed(format!("no such overload: {function}({})", kinds.join(", ")))
}

fn checked<'a>(int: Option<i64>) -> Outcome<'a> {
    int.map_or_else(|| failed("return error for overflow"), |int| Ok(Value::Int(int)))
}

fn compare<'a>(function: &str, a: &Value<'_>, b: &Value<'_>) -> Outcome<'a> {
    let Some(order) = a.compare(b) else {
        // Not a number compares with nothing.
        let numbers = matches!(a, Value::Double(_)) || matches!(b, Value::Double(_));
        return if numbers { Ok(Value::Bool(false)) } else { none(function, &[a.clone(), b.clone()]) };
    };
    Ok(Value::Bool(match function {
        "_<_" => order.is_lt(),
        "_<=_" => order.is_le(),
        "_>_" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

fn arithmetic<'a>(function: &str, a: &Value<'a>, b: &Value<'a>) -> Outcome<'a> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => match function {
            "_+_" => checked(a.checked_add(*b)),
            "_-_" => checked(a.checked_sub(*b)),
            "_*_" => checked(a.checked_mul(*b)),
            "_/_" if *b == 0 => failed("division by zero"),
            "_/_" => checked(a.checked_div(*b)),
            _ if *b == 0 => failed("modulus by zero"),
            _ => checked(a.checked_rem(*b)),
        },
        (Value::Uint(a), Value::Uint(b)) => {
            let result = match function {
                "_+_" => a.checked_add(*b),
                "_-_" => a.checked_sub(*b),
                "_*_" => a.checked_mul(*b),
                "_/_" if *b == 0 => return failed("division by zero"),
                "_/_" => a.checked_div(*b),
                _ if *b == 0 => return failed("modulus by zero"),
                _ => a.checked_rem(*b),
            };
            result.map_or_else(|| failed("return error for overflow"), |uint| Ok(Value::Uint(uint)))
        }
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(match function {
            "_+_" => a + b,
            "_-_" => a - b,
            "_*_" => a * b,
            "_/_" => a / b,
            _ => return none(function, &[Value::Double(*a), Value::Double(*b)]),
        })),
        (Value::Text(a), Value::Text(b)) if function == "_+_" => Ok(Value::text(&format!("{a}{b}"))),
        (Value::Bytes(a), Value::Bytes(b)) if function == "_+_" => {
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        (Value::Timestamp(_) | Value::Duration(_), Value::Timestamp(_) | Value::Duration(_)) => {
            times(function, a, b)
        }
        _ => match (function, a.items(), b.items()) {
            ("_+_", Some(mut a), Some(b)) => {
                a.extend(b);
                Ok(Value::list(a))
            }
            _ => none(function, &[a.clone(), b.clone()]),
        },
    }
}

fn times<'a>(function: &str, a: &Value<'_>, b: &Value<'_>) -> Outcome<'a> {
    let overflow = || EvalError::Failed("return error for overflow".into());
    let span = SignedDuration::from_nanos;
    let moved =
        |at: &Timestamp, by: SignedDuration| at.checked_add(by).map(Value::Timestamp).map_err(|_| overflow());
    match (function, a, b) {
        ("_+_", Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).map(Value::Duration).ok_or_else(overflow)
        }
        ("_-_", Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration).ok_or_else(overflow)
        }
        ("_+_", Value::Timestamp(at), Value::Duration(by))
        | ("_+_", Value::Duration(by), Value::Timestamp(at)) => moved(at, span(*by)),
        ("_-_", Value::Timestamp(at), Value::Duration(by)) => moved(at, -span(*by)),
        ("_-_", Value::Timestamp(a), Value::Timestamp(b)) => {
            let nanos = a.as_nanosecond() - b.as_nanosecond();
            i64::try_from(nanos).map(Value::Duration).map_err(|_| overflow())
        }
        _ => failed("no such overload"),
    }
}

fn is_in<'a>(item: &Value<'a>, range: &Value<'a>) -> Outcome<'a> {
    if let Some(items) = range.items() {
        return Ok(Value::Bool(items.iter().any(|own| own.is_same(item))));
    }
    match range.entries_possible() {
        true => Ok(Value::Bool(range.get(item).is_some())),
        false => none("@in", &[item.clone(), range.clone()]),
    }
}

fn at<'a>(of: &Value<'a>, index: &Value<'a>) -> Outcome<'a> {
    if of.entries_possible() {
        return of.get(index).map_or_else(|| failed(format!("no such key: {}", shown(index))), Ok);
    }
    let position = match index {
        Value::Int(int) => usize::try_from(*int).ok(),
        Value::Uint(uint) => usize::try_from(*uint).ok(),
        Value::Double(double) if double.fract() == 0.0 && *double >= 0.0 => Some(*double as usize),
        _ => None,
    };
    let item = match (of, position) {
        (Value::List(items), Some(position)) => items.get(position).cloned(),
        (Value::Data(serde_json::Value::Array(items), kind), Some(position)) => {
            items.get(position).map(|item| Value::of(item, crate::value::item_type(kind)))
        }
        (Value::List(_) | Value::Data(..), None) => None,
        _ => return none("_[_]", &[of.clone(), index.clone()]),
    };
    item.map_or_else(|| failed(format!("index out of bounds: {}", shown(index))), Ok)
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) | Value::Optional(None) => true,
        Value::Double(double) => *double == 0.0,
        Value::Duration(nanos) => *nanos == 0,
        other => other.size() == Some(0),
    }
}

pub(crate) fn shown(value: &Value<'_>) -> String {
    to_text(value).unwrap_or_else(|| value.type_name().to_owned())
}

/// As `string(…)` has it.
pub(crate) fn to_text(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Uint(uint) => uint.to_string(),
        Value::Double(double) => double.to_string(),
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok()?, // the caller tells
        Value::Timestamp(at) => at.to_string(),
        Value::Duration(nanos) => duration_text(*nanos),
        Value::Quantity(quantity) => quantity.to_string(),
        Value::Ip(ip) => ip.to_string(),
        Value::Cidr(ip, length) => format!("{ip}/{length}"),
        Value::Type(name) => name.clone(),
        Value::Null => "null".into(),
        _ => return None,
    })
}

fn duration_text(nanos: i64) -> String {
    let (whole, part) = (nanos / NANOS, (nanos % NANOS).abs());
    match part {
        0 => format!("{whole}s"),
        part => {
            let sign = if nanos < 0 && whole == 0 { "-" } else { "" };
            format!("{sign}{whole}.{}s", format!("{part:09}").trim_end_matches('0'))
        }
    }
}

/// Go's durations: `1h30m`, `-1.5s`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?; // not a number: no duration
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .map_or(rest.len(), |end| digits + end);
        nanos += value
            * match &rest[digits..unit_end] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 6e10,
                "h" => 3.6e12,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    (nanos < 9.2e18).then_some((sign * nanos) as i64)
}

fn convert<'a>(to: &str, of: &Value<'a>) -> Outcome<'a> {
    let range = || EvalError::Failed("range error".into());
    let wrong =
        |text: &str| EvalError::Failed(format!("type conversion error from 'string' to '{to}': {text:?}"));
    Ok(match (to, of) {
        ("dyn", of) => of.clone(),
        ("type", of) => Value::Type(of.type_name().to_owned()),
        ("int", Value::Int(_)) | ("uint", Value::Uint(_)) | ("double", Value::Double(_)) => of.clone(),
        ("string", Value::Text(_)) | ("bytes", Value::Bytes(_)) | ("bool", Value::Bool(_)) => of.clone(),
        ("timestamp", Value::Timestamp(_)) | ("duration", Value::Duration(_)) => of.clone(),
        ("int", Value::Uint(uint)) => Value::Int(i64::try_from(*uint).map_err(|_| range())?),
        ("int", Value::Double(double)) if double.abs() < 9.2e18 => Value::Int(*double as i64),
        ("int", Value::Text(text)) => Value::Int(text.parse().map_err(|_| wrong(text))?),
        ("int", Value::Timestamp(at)) => Value::Int(at.as_second()),
        ("uint", Value::Int(int)) => Value::Uint(u64::try_from(*int).map_err(|_| range())?),
        ("uint", Value::Double(double)) if *double >= 0.0 && *double < 1.8e19 => Value::Uint(*double as u64),
        ("uint", Value::Text(text)) => Value::Uint(text.parse().map_err(|_| wrong(text))?),
        ("double", Value::Int(int)) => Value::Double(*int as f64),
        ("double", Value::Uint(uint)) => Value::Double(*uint as f64),
        ("double", Value::Text(text)) => Value::Double(text.parse().map_err(|_| wrong(text))?),
        ("bytes", Value::Text(text)) => Value::Bytes(text.as_bytes().into()),
        ("bool", Value::Text(text)) => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Value::Bool(true),
            "false" | "False" | "FALSE" | "f" | "0" => Value::Bool(false),
            _ => return Err(wrong(text)),
        },
        ("timestamp", Value::Text(text)) => Value::Timestamp(text.parse().map_err(|_| wrong(text))?),
        ("timestamp", Value::Int(seconds)) => {
            Value::Timestamp(Timestamp::from_second(*seconds).map_err(|_| range())?)
        }
        ("duration", Value::Text(text)) => Value::Duration(parse_duration(text).ok_or_else(|| wrong(text))?),
        ("duration", Value::Int(seconds)) => Value::Duration(seconds.checked_mul(NANOS).ok_or_else(range)?),
        ("string", of) => match to_text(of) {
            Some(text) => Value::text(&text),
            None => return none(to, std::slice::from_ref(of)),
        },
        ("int" | "uint", Value::Double(_)) => return Err(range()),
        _ => return none(to, std::slice::from_ref(of)),
    })
}

fn time_part<'a>(function: &str, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Duration(nanos)] => {
            let whole = match function {
                "getHours" => nanos / NANOS / 3600,
                "getMinutes" => nanos / NANOS / 60,
                "getSeconds" => nanos / NANOS,
                "getMilliseconds" => nanos / 1_000_000 % 1000,
                _ => return none(function, args),
            };
            Ok(Value::Int(whole))
        }
        [Value::Timestamp(at)] => {
            let at = at.to_zoned(TimeZone::UTC);
            Ok(Value::Int(match function {
                "getFullYear" => i64::from(at.year()),
                "getMonth" => i64::from(at.month()) - 1,
                "getDate" => i64::from(at.day()),
                "getDayOfMonth" => i64::from(at.day()) - 1,
                "getDayOfWeek" => i64::from(at.weekday().to_sunday_zero_offset()),
                "getDayOfYear" => i64::from(at.day_of_year()) - 1,
                "getHours" => i64::from(at.hour()),
                "getMinutes" => i64::from(at.minute()),
                "getSeconds" => i64::from(at.second()),
                "getMilliseconds" => i64::from(at.millisecond()),
                _ => return none(function, args),
            }))
        }
        _ => libraries::call(function, args),
    }
}

/// Compiled patterns that are kept; expressions use few, and use them often.
const KEPT: usize = 128;

pub(crate) fn regex(pattern: &str) -> Result<Regex, EvalError> {
    static COMPILED: LazyLock<Mutex<Vec<(String, Regex)>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock();
    if let Some((_, regex)) = compiled.iter().find(|(own, _)| own == pattern) {
        return Ok(regex.clone());
    }
    let regex = api::custom::go_regex(pattern)
        .map_err(|error| EvalError::Failed(format!("error parsing regexp: {error}")))?;
    if compiled.len() == KEPT {
        compiled.remove(0);
    }
    compiled.push((pattern.to_owned(), regex.clone()));
    Ok(regex)
}
