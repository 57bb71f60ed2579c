//! Tables for each type, one after the other.

use serde_json::{Value, json};

use crate::context::Context;
use crate::discovery::Resource;
use crate::error::{Error, Result};
use crate::print::sort;
use crate::print::table::{Header, Look};
use crate::resources::fetch::list_query;
use crate::resources::{Target, Wanted};
use crate::rest::{Ask, TABLE};
use crate::text;

/// The rows of one type.
struct Group {
    resource: Resource,
    header: Header,
    rows: Vec<Value>,
}

pub async fn run(cx: &Context, wanted: &Wanted, targets: Vec<Result<Target>>, wide: bool) -> Result {
    let (mut groups, mut errors) = (Vec::<Group>::new(), Vec::new());
    let mut types: Vec<String> = Vec::new();
    for target in targets {
        let target = target?;
        let resource = resource_of(&target).clone();
        if !types.contains(&resource.full_name()) {
            types.push(resource.full_name());
        }
        match tables(cx, wanted, target).await {
            Ok(tables) => tables.into_iter().for_each(|table| add(&mut groups, &resource, table)),
            Err(error) if error.is_not_found() && cx.flags.on("ignore-not-found") => {}
            Err(error) => errors.push(error),
        }
    }
    let by = cx.flags.text("sort-by");
    groups.retain(|group| !group.rows.is_empty());
    if groups.is_empty() {
        return nothing(cx, wanted, errors).await;
    }
    let with_kind = types.len() > 1 || cx.flags.on("show-kind");
    for (at, group) in groups.iter_mut().enumerate() {
        if !by.is_empty() {
            sort::sort_by(&mut group.rows, by, |row| &row["object"])?;
        }
        if at > 0 {
            crate::say("\n");
        }
        crate::say(&group.header.lay_out(&group.rows, &look(cx, wanted, &group.resource, wide, with_kind)));
    }
    Error::all(errors)
}

/// What is shown beside the server's columns.
pub fn look(cx: &Context, wanted: &Wanted, resource: &Resource, wide: bool, with_kind: bool) -> Look {
    Look {
        wide,
        no_headers: cx.flags.on("no-headers"),
        show_labels: cx.flags.on("show-labels"),
        label_columns: cx.flags.list("label-columns"),
        with_namespace: wanted.all_namespaces && resource.namespaced,
        kind: with_kind.then(|| resource.told_name()),
    }
}

pub fn resource_of(target: &Target) -> &Resource {
    match target {
        Target::File(info) => &info.resource,
        Target::Name { resource, .. } | Target::List { resource, .. } => resource,
    }
}

fn add(groups: &mut Vec<Group>, resource: &Resource, mut table: Value) {
    let rows = match table["rows"].take() {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    };
    match groups.last_mut().filter(|group| group.resource == *resource) {
        Some(group) => group.rows.extend(rows),
        None => {
            let mut header = Header::default();
            header.update(&table);
            groups.push(Group { resource: resource.clone(), header, rows });
        }
    }
}

async fn nothing(cx: &Context, wanted: &Wanted, errors: Vec<Error>) -> Result {
    if errors.is_empty() && !cx.flags.on("ignore-not-found") {
        let is_namespaced = !wanted.all_namespaces;
        let types = wanted.args.first().map(String::as_str).unwrap_or("");
        let all_cluster_wide = match crate::resources::args::resources(cx, types).await {
            Ok(found) => found.iter().all(|resource| !resource.namespaced),
            // Files and names: told below as namespaced.
            Err(_) => false,
        };
        if is_namespaced && !all_cluster_wide {
            eprintln!("No resources found in {} namespace.", cx.namespace().await?);
        } else {
            eprintln!("No resources found");
        }
    }
    Error::all(errors)
}

/// The tables of one target: one by name, or the chunks of a list.
async fn tables(cx: &Context, wanted: &Wanted, target: Target) -> Result<Vec<Value>> {
    let include = if cx.flags.text("sort-by").is_empty() { "" } else { "Object" };
    match target {
        Target::File(_) => Ok(Vec::new()),
        Target::Name { resource, namespace, name } => {
            let sub = if wanted.subresource.is_empty() {
                String::new()
            } else {
                format!("/{}", wanted.subresource)
            };
            let path = resource.object_path(namespace.as_deref(), &name)
                + &sub
                + &text::query(&[("includeObject", include)]);
            Ok(vec![as_table(cx.rest().await?.json(&Ask::get(path).accept(TABLE)).await?)])
        }
        Target::List { resource, namespace } => {
            let (mut tables, mut next) = (Vec::new(), String::new());
            loop {
                let mut query = list_query(wanted, &next);
                if !include.is_empty() {
                    query.push_str(if query.is_empty() {
                        "?includeObject=Object"
                    } else {
                        "&includeObject=Object"
                    });
                }
                let path = resource.path(namespace.as_deref()) + &query;
                let table = cx.rest().await?.json(&Ask::get(path).accept(TABLE)).await?;
                table["metadata"]["continue"].as_str().unwrap_or("").clone_into(&mut next);
                tables.push(as_table(table));
                if next.is_empty() {
                    return Ok(tables);
                }
            }
        }
    }
}

/// A server that makes no tables answers the objects.
fn as_table(answer: Value) -> Value {
    if answer["kind"] == "Table" {
        return answer;
    }
    let objects = match answer["items"].as_array() {
        Some(items) => items.clone(),
        None => vec![answer],
    };
    local_table(&objects)
}

fn local_table(objects: &[Value]) -> Value {
    let now = crate::now();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let age = text::since(object["metadata"]["creationTimestamp"].as_str().unwrap_or(""), now);
            json!({"cells": [object["metadata"]["name"], age], "object": object})
        })
        .collect();
    json!({
        "kind": "Table",
        "columnDefinitions": [{"name": "Name", "format": "name"}, {"name": "Age"}],
        "rows": rows,
    })
}

/// `--server-print=false`: names and ages.
pub fn local(cx: &Context, objects: &[Value]) -> Result {
    let table = local_table(objects);
    let mut header = Header::default();
    header.update(&table);
    let look = Look {
        no_headers: cx.flags.on("no-headers"),
        show_labels: cx.flags.on("show-labels"),
        label_columns: cx.flags.list("label-columns"),
        ..Look::default()
    };
    let rows = table["rows"].as_array().cloned().unwrap_or_default();
    crate::say(&header.lay_out(&rows, &look));
    Ok(())
}
