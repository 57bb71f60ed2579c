//! `--sort-by`: objects in the order of one of their fields.

use std::cmp::Ordering;

use serde_json::Value;

use super::jsonpath::JsonPath;
use crate::error::{Error, Result};

/// Sorts `items` by the field of the object that `object_of` shows; what lacks it comes first.
///
/// # Errors
/// A path that is none, or that none of the objects has.
pub fn sort_by<T>(items: &mut [T], field: &str, object_of: impl Fn(&T) -> &Value) -> Result {
    let path = JsonPath::parse_relaxed(field).map_err(Error::Said)?;
    let key = |item: &T| -> Option<Value> {
        // An index beyond a list's end is a missing field here.
        path.values(object_of(item), true).unwrap_or_default().into_iter().next()
    };
    if !items.is_empty() && items.iter().all(|item| key(item).is_none()) {
        return Err(Error::said(format!(
            "couldn't find any field with path {:?} in the list of objects",
            braced(field)
        )));
    }
    items.sort_by(|a, b| match (key(a), key(b)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => order(&a, &b),
    });
    Ok(())
}

fn braced(field: &str) -> String {
    let inner = field.trim_start_matches('{').trim_end_matches('}').trim_start_matches('.');
    format!("{{.{inner}}}")
}

fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => {
            match (a.parse::<api::Quantity>(), b.parse::<api::Quantity>()) {
                (Ok(a), Ok(b)) => a.milli_value().cmp(&b.milli_value()),
                _ => natural(a, b),
            }
        }
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (a, b) => a.to_string().cmp(&b.to_string()),
    }
}

/// Numbers inside texts count as numbers: `a2` before `a10`.
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (x, y) = (digits(a), digits(b));
        if x > 0 && y > 0 {
            let (m, n) = (a[..x].trim_start_matches('0'), b[..y].trim_start_matches('0'));
            let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n)).then_with(|| x.cmp(&y));
            if order.is_ne() {
                return order;
            }
            (a, b) = (&a[x..], &b[y..]);
            continue;
        }
        match (a.chars().next(), b.chars().next()) {
            (Some(x), Some(y)) if x == y => (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]),
            (x, y) => return x.cmp(&y),
        }
    }
}

fn digits(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}
