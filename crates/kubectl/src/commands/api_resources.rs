//! `kubectl api-resources` and `kubectl api-versions`: what the server serves.

use serde_json::{Value, json};

use crate::cli::shared::PRINT;
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::discovery::{self, Resource};
use crate::error::{Error, Result};
use crate::text;

pub const RESOURCES: Command = Command::new("api-resources", "List what the server serves", "[flags]")
    .examples("# All\nkubectl api-resources\n\n# What lives in no namespace\nkubectl api-resources --namespaced=false")
    .flags(&[
        PRINT,
        &[
            Flag::text("api-group", "Only resources of this group."),
            Flag::switch("cached", "What was asked before is good enough."),
            Flag::list("categories", "Only resources in these categories."),
            Flag::switch("namespaced", "Only what lives in namespaces; if false, only what does not.").default("true"),
            Flag::switch("no-headers", "No line of headers."),
            Flag::text("sort-by", "name or kind."),
            Flag::list("verbs", "Only resources with all of these verbs."),
        ],
    ])
    .run(|cx| Box::pin(resources(cx)));

pub const VERSIONS: Command = Command::new("api-versions", "List the API's groups and versions", "[flags]")
    .run(|cx| Box::pin(versions(cx)));

async fn versions(cx: Context) -> Result {
    if !cx.args.is_empty() {
        return Err(cx.usage(format!("unexpected arguments: [{}]", cx.args.join(" "))));
    }
    discovery::forget(cx.rest().await?, cx.flags.text("cache-dir"));
    let mut versions = cx.discovery().await?.versions.clone();
    versions.sort();
    crate::say(&(versions.join("\n") + "\n"));
    Ok(())
}

async fn resources(cx: Context) -> Result {
    if !cx.args.is_empty() {
        return Err(cx.usage(format!("unexpected arguments: [{}]", cx.args.join(" "))));
    }
    let output = cx.flags.text("output");
    if !matches!(output, "" | "wide" | "name" | "json" | "yaml") {
        return Err(Error::said(format!("--output {output} is not available")));
    }
    let sort = cx.flags.text("sort-by");
    if !matches!(sort, "" | "name" | "kind") {
        return Err(Error::said("--sort-by accepts only name or kind"));
    }
    if !cx.flags.on("cached") {
        discovery::forget(cx.rest().await?, cx.flags.text("cache-dir"));
    }
    let mut found = preferred(&cx.discovery().await?.resources);
    found.retain(|resource| is_wanted(&cx, resource));
    match sort {
        "name" => found.sort_by(|a, b| a.plural.cmp(&b.plural)),
        "kind" => found.sort_by(|a, b| a.kind.cmp(&b.kind)),
        _ => found.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural))),
    }
    show(&cx, &found);
    Ok(())
}

/// Each resource once, in its preferred version.
fn preferred(all: &[Resource]) -> Vec<Resource> {
    let mut found: Vec<Resource> = Vec::new();
    for resource in all {
        if found.iter().all(|known| (&known.group, &known.plural) != (&resource.group, &resource.plural)) {
            found.push(resource.clone());
        }
    }
    found
}

fn is_wanted(cx: &Context, resource: &Resource) -> bool {
    let flags = &cx.flags;
    !resource.verbs.is_empty()
        && (!flags.has("api-group") || resource.group == flags.text("api-group"))
        && (!flags.has("namespaced") || resource.namespaced == flags.on("namespaced"))
        && flags.list("verbs").iter().all(|verb| resource.has_verb(verb))
        && flags.list("categories").iter().all(|category| resource.categories.contains(category))
}

fn show(cx: &Context, found: &[Resource]) {
    let text = match cx.flags.text("output") {
        "name" => found.iter().map(|resource| resource.full_name() + "\n").collect(),
        "json" => crate::print::json::pretty(&as_list(found)) + "\n",
        "yaml" => api::encode_yaml(&as_list(found)),
        output => table(found, output == "wide", !cx.flags.on("no-headers")),
    };
    crate::say(&text);
}

fn table(found: &[Resource], wide: bool, headers: bool) -> String {
    let mut rows = Vec::new();
    if headers {
        let mut names = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
        if wide {
            names.extend(["VERBS", "CATEGORIES"]);
        }
        rows.push(names.into_iter().map(str::to_owned).collect());
    }
    for resource in found {
        let mut row = vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ];
        if wide {
            row.extend([resource.verbs.join(","), resource.categories.join(",")]);
        }
        rows.push(row);
    }
    text::columns(&rows)
}

fn as_list(found: &[Resource]) -> Value {
    let resources: Vec<Value> = found
        .iter()
        .map(|r| {
            let mut value = json!({
                "name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind,
                "version": r.version, "verbs": r.verbs,
            });
            for (field, list) in [("shortNames", &r.short_names), ("categories", &r.categories)] {
                if !list.is_empty() {
                    value[field] = json!(list);
                }
            }
            if !r.group.is_empty() {
                value["group"] = json!(r.group);
            }
            value
        })
        .collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "", "resources": resources})
}
