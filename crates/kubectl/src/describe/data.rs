//! Config maps, secrets, namespaces, service accounts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Page;
use super::page::{items, plain, text_at};
use crate::context::Context;
use crate::error::Result;
use crate::resources::{Info, Wanted, list_all};

fn head(page: &mut Page, object: &Value) {
    page.field(0, "Name", text_at(&object["metadata"], "name"));
    page.field(0, "Namespace", text_at(&object["metadata"], "namespace"));
    page.labels(&object["metadata"]);
}

fn bytes(value: &Value) -> usize {
    // What is no base64 is no data.
    STANDARD.decode(value.as_str().unwrap_or("")).map_or(0, |bytes| bytes.len())
}

pub fn config_map(page: &mut Page, object: &Value) {
    head(page, object);
    page.line(0, "\nData\n====");
    for (name, value) in object["data"].as_object().into_iter().flatten() {
        page.line(0, format!("{name}:\n----\n{}\n", value.as_str().unwrap_or("")));
    }
    page.line(0, "\nBinaryData\n====");
    for (name, value) in object["binaryData"].as_object().into_iter().flatten() {
        page.line(0, format!("{name}: {} bytes", bytes(value)));
    }
    page.line(0, "");
}

pub fn secret(page: &mut Page, object: &Value) {
    head(page, object);
    page.line(0, format!("\nType:\t{}\n\nData\n====", text_at(object, "type")));
    for (name, value) in object["data"].as_object().into_iter().flatten() {
        if text_at(object, "type") == "kubernetes.io/service-account-token" && name == "token" {
            let token = STANDARD.decode(value.as_str().unwrap_or("")).unwrap_or_default();
            page.line(0, format!("{name}:\t{}", String::from_utf8_lossy(&token)));
        } else {
            page.line(0, format!("{name}:\t{} bytes", bytes(value)));
        }
    }
}

pub fn service_account(page: &mut Page, object: &Value) {
    head(page, object);
    let names: Vec<String> =
        items(&object["imagePullSecrets"]).map(|secret| text_at(secret, "name").to_owned()).collect();
    page.listed("", "Image pull secrets", names);
}

pub async fn namespace(cx: &Context, page: &mut Page, info: &Info) -> Result {
    page.field(0, "Name", &info.name);
    page.labels(&info.object["metadata"]);
    page.field(0, "Status", text_at(&info.object["status"], "phase"));
    let quotas =
        list_all(cx, &cx.resource("resourcequotas").await?, Some(&info.name), &Wanted::default()).await?;
    if quotas.is_empty() {
        page.line(0, "\nNo resource quota.");
    } else {
        page.line(0, "\nResource Quotas");
        for quota in quotas {
            page.line(1, format!("Name:\t{}", quota.name));
            page.line(1, "Resource\tUsed\tHard\n  --------\t---\t---");
            let (hard, used) = (&quota.object["status"]["hard"], &quota.object["status"]["used"]);
            hard.as_object().into_iter().flatten().for_each(|(name, hard)| {
                page.line(1, format!("{name}\t{}\t{}", plain(&used[name]), plain(hard)))
            });
        }
    }
    let limits =
        list_all(cx, &cx.resource("limitranges").await?, Some(&info.name), &Wanted::default()).await?;
    if limits.is_empty() {
        page.line(0, "\nNo LimitRange resource.");
        return Ok(());
    }
    page.line(0, "\nResource Limits\n Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio\n ----\t--------\t---\t---\t---------------\t-------------\t-----------------------");
    for range in limits {
        for limit in items(&range.object["spec"]["limits"]) {
            limit_lines(page, limit);
        }
    }
    Ok(())
}

fn limit_lines(page: &mut Page, limit: &Value) {
    const COLUMNS: [&str; 5] = ["min", "max", "defaultRequest", "default", "maxLimitRequestRatio"];
    let mut names: Vec<&String> = COLUMNS
        .iter()
        .flat_map(|column| limit[*column].as_object().into_iter().flatten().map(|(name, _)| name))
        .collect();
    names.sort();
    names.dedup();
    for name in names {
        let cell = |column: &&str| {
            if limit[*column][name].is_null() { "-".to_owned() } else { plain(&limit[*column][name]) }
        };
        let cells: Vec<String> = COLUMNS.iter().map(cell).collect();
        page.line(0, format!(" {}\t{name}\t{}", text_at(limit, "type"), cells.join("\t")));
    }
}
