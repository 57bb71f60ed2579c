//! Events, of both groups: their fields differ in names only.

use super::Context;
use crate::access::Access;
use crate::table::duration::since;
use serde_json::Value;

/// The first of these paths that holds a text.
fn first_text<'a>(object: &'a Value, paths: &[&str]) -> &'a str {
    paths.iter().map(|path| object.text(path)).find(|text| !text.is_empty()).unwrap_or("")
}

const FIRST: &[&str] = &["firstTimestamp", "deprecatedFirstTimestamp", "eventTime"];
const LAST: &[&str] = &[
    "series.lastObservedTime",
    "lastTimestamp",
    "deprecatedLastTimestamp",
    "firstTimestamp",
    "deprecatedFirstTimestamp",
    "eventTime",
];

pub(crate) fn event_first_seen(event: &Value, cx: Context) -> Value {
    since(first_text(event, FIRST), cx.now).into()
}

pub(crate) fn event_last_seen(event: &Value, cx: Context) -> Value {
    since(first_text(event, LAST), cx.now).into()
}

pub(crate) fn event_object(event: &Value, _: Context) -> Value {
    let of = |field: &str| {
        first_text(event, &[&format!("involvedObject.{field}"), &format!("regarding.{field}")]).to_owned()
    };
    let kind = of("kind").to_lowercase();
    match of("name").as_str() {
        "" => kind.into(),
        name => format!("{kind}/{name}").into(),
    }
}

pub(crate) fn event_source_text(event: &Value, _: Context) -> Value {
    let component = first_text(
        event,
        &["source.component", "deprecatedSource.component", "reportingComponent", "reportingController"],
    );
    match first_text(event, &["source.host", "deprecatedSource.host", "reportingInstance"]) {
        "" => component.into(),
        instance => format!("{component}, {instance}").into(),
    }
}

pub(crate) fn event_message(event: &Value, _: Context) -> Value {
    first_text(event, &["message", "note"]).trim().into()
}

pub(crate) fn event_count(event: &Value, _: Context) -> Value {
    let counts = ["series.count", "count", "deprecatedCount"];
    counts.iter().map(|path| event.int(path)).find(|count| *count != 0).unwrap_or(1).into()
}
