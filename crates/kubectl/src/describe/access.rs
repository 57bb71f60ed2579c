//! Roles and bindings.

use serde_json::Value;

use super::Page;
use super::page::{items, plain, text_at};

pub fn role(page: &mut Page, object: &Value) {
    page.field(0, "Name", text_at(&object["metadata"], "name"));
    page.labels(&object["metadata"]);
    page.line(0, "PolicyRule:\n  Resources\tNon-Resource URLs\tResource Names\tVerbs\n  ---------\t-----------------\t--------------\t-----");
    for row in rules(&object["rules"]) {
        page.line(1, row.join("\t"));
    }
}

/// A line for each resource of each rule, those of the same resource together.
pub fn rules(list: &Value) -> Vec<[String; 4]> {
    let mut rows: Vec<(String, [String; 4])> = Vec::new();
    let shown = |value: &Value| if value.is_null() { "[]".to_owned() } else { plain(value) };
    for rule in items(list) {
        let tail = [shown(&rule["nonResourceURLs"]), shown(&rule["resourceNames"]), shown(&rule["verbs"])];
        let mut add = |name: String| {
            let [urls, names, verbs] = tail.clone();
            rows.push((name.clone(), [name, urls, names, verbs]));
        };
        for group in items(&rule["apiGroups"]) {
            for resource in items(&rule["resources"]) {
                let (resource, group) = (resource.as_str().unwrap_or(""), group.as_str().unwrap_or(""));
                let (plain, sub) =
                    resource.split_once('/').map_or((resource, None), |(plain, sub)| (plain, Some(sub)));
                let full = if group.is_empty() { plain.to_owned() } else { format!("{plain}.{group}") };
                add(sub.map_or(full.clone(), |sub| format!("{full}/{sub}")));
            }
        }
        if items(&rule["nonResourceURLs"]).next().is_some() {
            add(String::new());
        }
    }
    rows.sort_by(|a, b| (&a.1[1], &a.1[2]).cmp(&(&b.1[1], &b.1[2])).then_with(|| a.0.cmp(&b.0)));
    rows.into_iter().map(|(_, row)| row).collect()
}

pub fn binding(page: &mut Page, object: &Value) {
    page.field(0, "Name", text_at(&object["metadata"], "name"));
    page.labels(&object["metadata"]);
    page.line(0, "Role:");
    page.field(1, "Kind", text_at(&object["roleRef"], "kind"));
    page.field(1, "Name", text_at(&object["roleRef"], "name"));
    page.line(0, "Subjects:\n  Kind\tName\tNamespace\n  ----\t----\t---------");
    for subject in items(&object["subjects"]) {
        page.line(
            1,
            format!(
                "{}\t{}\t{}",
                text_at(subject, "kind"),
                text_at(subject, "name"),
                text_at(subject, "namespace")
            ),
        );
    }
}
