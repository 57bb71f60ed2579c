//! Objects from the server: one by name, or a whole collection in chunks.

use serde_json::Value;

use super::{Info, Wanted};
use crate::context::Context;
use crate::discovery::Resource;
use crate::error::Result;
use crate::rest::Ask;
use crate::text::query;

/// # Errors
/// The server does not have it, or is not reached.
pub async fn get_one(cx: &Context, resource: &Resource, namespace: Option<&str>, name: &str) -> Result<Info> {
    let object = cx.rest().await?.json(&Ask::get(resource.object_path(namespace, name))).await?;
    let mut info = Info::of(resource, object);
    if info.name.is_empty() {
        info.name = name.to_owned();
        info.namespace = namespace.map(str::to_owned);
    }
    Ok(info)
}

/// All that the selectors let through.
///
/// # Errors
/// The server refuses, or is not reached.
pub async fn list_all(
    cx: &Context,
    resource: &Resource,
    namespace: Option<&str>,
    wanted: &Wanted,
) -> Result<Vec<Info>> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("{}{}", resource.path(namespace), list_query(wanted, &next));
        let mut list = cx.rest().await?.json(&Ask::get(path)).await?;
        if let Value::Array(items) = list["items"].take() {
            all.extend(items.into_iter().map(|item| Info::of(resource, item)));
        }
        list["metadata"]["continue"].as_str().unwrap_or("").clone_into(&mut next);
        if next.is_empty() {
            return Ok(all);
        }
    }
}

/// Selectors, chunk and where to go on.
pub fn list_query(wanted: &Wanted, next: &str) -> String {
    let limit = if wanted.chunk > 0 { wanted.chunk.to_string() } else { String::new() };
    query(&[
        ("continue", next),
        ("fieldSelector", &wanted.fields),
        ("labelSelector", &wanted.labels),
        ("limit", &limit),
    ])
}
