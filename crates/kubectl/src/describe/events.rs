//! What happened to an object.

use serde_json::Value;

use super::Page;
use super::page::text_at;
use crate::context::Context;
use crate::error::Result;
use crate::resources::Info;
use crate::rest::Ask;
use crate::text::{query, since};

pub async fn write(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let object = &info.object;
    let mut terms = vec![
        format!("involvedObject.name={}", info.name),
        format!("involvedObject.kind={}", info.resource.kind),
    ];
    if let Some(namespace) = &info.namespace {
        terms.push(format!("involvedObject.namespace={namespace}"));
    }
    // A node's events are recorded under its name in place of its uid.
    if info.resource.kind != "Node" {
        terms.push(format!("involvedObject.uid={}", text_at(&object["metadata"], "uid")));
    }
    let namespace = info.namespace.as_deref().unwrap_or("default");
    let path = if info.namespace.is_some() {
        format!("/api/v1/namespaces/{namespace}/events")
    } else {
        "/api/v1/events".to_owned()
    };
    let list = cx
        .rest()
        .await?
        .json(&Ask::get(format!("{path}{}", query(&[("fieldSelector", &terms.join(",")), ("limit", "500")]))))
        .await?;
    let mut events: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
    if events.is_empty() {
        page.field(0, "Events", "<none>");
        return Ok(());
    }
    events.sort_by(|a, b| last(a).cmp(last(b)));
    page.line(0, "Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------");
    for event in &events {
        let source = match text_at(&event["source"], "component") {
            "" => text_at(event, "reportingComponent"),
            component => component,
        };
        let message = text_at(event, "message").trim();
        page.line(
            1,
            format!(
                "{}\t{}\t{}\t{source}\t{message}",
                text_at(event, "type"),
                text_at(event, "reason"),
                age(event)
            ),
        );
    }
    Ok(())
}

/// When it happened last.
pub fn last(event: &Value) -> &str {
    let stamps = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["firstTimestamp"],
    ];
    stamps.into_iter().find_map(Value::as_str).unwrap_or("")
}

/// `3s (x2 over 1m)`.
pub fn age(event: &Value) -> String {
    let now = crate::now();
    let first = match event["firstTimestamp"].as_str() {
        Some(first) => first,
        None => event["eventTime"].as_str().unwrap_or(""),
    };
    let count = event["series"]["count"].as_i64().or(event["count"].as_i64()).unwrap_or(1);
    if count > 1 {
        return format!("{} (x{count} over {})", since(last(event), now), since(first, now));
    }
    since(if first.is_empty() { last(event) } else { first }, now)
}
