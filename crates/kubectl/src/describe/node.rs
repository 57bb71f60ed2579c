//! A node: its state, what it has, and who uses it.

use api::Quantity;
use serde_json::Value;

use super::Page;
use super::page::{items, plain, text_at};
use crate::context::Context;
use crate::error::Result;
use crate::resources::{Info, Wanted, list_all};
use crate::rest::Ask;
use crate::text::{date, since};

pub async fn write(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    page.field(0, "Name", &info.name);
    let roles: Vec<&str> = metadata["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, _)| name.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    page.field(0, "Roles", if roles.is_empty() { "<none>".into() } else { roles.join(",") });
    page.labels(metadata);
    page.field(0, "CreationTimestamp", date(text_at(metadata, "creationTimestamp")));
    let taints: Vec<String> = items(&spec["taints"])
        .map(|taint| match text_at(taint, "value") {
            "" => format!("{}:{}", text_at(taint, "key"), text_at(taint, "effect")),
            value => format!("{}={value}:{}", text_at(taint, "key"), text_at(taint, "effect")),
        })
        .collect();
    page.listed("", "Taints", taints);
    page.field(0, "Unschedulable", (spec["unschedulable"] == true).to_string());
    lease(cx, page, &info.name).await?;
    conditions(page, &status["conditions"]);
    page.line(0, "Addresses:");
    items(&status["addresses"])
        .for_each(|address| page.field(1, text_at(address, "type"), text_at(address, "address")));
    for (title, amounts) in [("Capacity", &status["capacity"]), ("Allocatable", &status["allocatable"])] {
        page.line(0, format!("{title}:"));
        amounts
            .as_object()
            .into_iter()
            .flatten()
            .for_each(|(name, amount)| page.field(1, name, plain(amount)));
    }
    system(page, &status["nodeInfo"]);
    for (title, field) in [("PodCIDR", "podCIDR"), ("ProviderID", "providerID")] {
        if !text_at(spec, field).is_empty() {
            page.field(0, title, text_at(spec, field));
        }
    }
    if spec["podCIDRs"].is_array() {
        let all: Vec<&str> = items(&spec["podCIDRs"]).filter_map(Value::as_str).collect();
        page.field(0, "PodCIDRs", all.join(","));
    }
    pods(cx, page, info).await
}

async fn lease(cx: &Context, page: &mut Page, name: &str) -> Result {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}");
    let lease = match cx.rest().await?.json(&Ask::get(path)).await {
        Ok(lease) => lease["spec"].clone(),
        Err(error) if error.is_not_found() => Value::Null,
        Err(error) => return Err(error),
    };
    page.line(0, "Lease:");
    let or_unset =
        |field: &str| if text_at(&lease, field).is_empty() { "<unset>" } else { text_at(&lease, field) };
    page.field(1, "HolderIdentity", or_unset("holderIdentity"));
    page.field(1, "AcquireTime", date(text_at(&lease, "acquireTime")));
    page.field(1, "RenewTime", date(text_at(&lease, "renewTime")));
    Ok(())
}

fn conditions(page: &mut Page, list: &Value) {
    page.line(0, "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n  ----\t------\t-----------------\t------------------\t------\t-------");
    for c in items(list) {
        page.line(
            1,
            format!(
                "{} \t{} \t{} \t{} \t{} \t{}",
                text_at(c, "type"),
                text_at(c, "status"),
                date(text_at(c, "lastHeartbeatTime")),
                date(text_at(c, "lastTransitionTime")),
                text_at(c, "reason"),
                text_at(c, "message")
            ),
        );
    }
}

fn system(page: &mut Page, info: &Value) {
    page.line(0, "System Info:");
    for (title, field) in [
        ("Machine ID", "machineID"),
        ("System UUID", "systemUUID"),
        ("Boot ID", "bootID"),
        ("Kernel Version", "kernelVersion"),
        ("OS Image", "osImage"),
        ("Operating System", "operatingSystem"),
        ("Architecture", "architecture"),
        ("Container Runtime Version", "containerRuntimeVersion"),
        ("Kubelet Version", "kubeletVersion"),
    ] {
        page.field(1, title, text_at(info, field));
    }
}

/// What a pod asks for (`requests`) or may use (`limits`), of one resource: the containers together, or the greediest
/// init container.
fn amount(pod: &Value, what: &str, name: &str) -> i128 {
    let of = |container: &Value| quantity(&container["resources"][what][name]);
    let together: i128 = items(&pod["spec"]["containers"]).map(of).sum();
    let first: i128 = items(&pod["spec"]["initContainers"]).map(of).max().unwrap_or(0);
    together.max(first)
}

/// In thousandths.
fn quantity(value: &Value) -> i128 {
    // What is no quantity counts nothing.
    plain(value).parse::<Quantity>().map_or(0, |quantity| {
        i128::from(quantity.value()) * 1000 + i128::from(quantity.milli_value().rem_euclid(1000))
            - if quantity.milli_value().rem_euclid(1000) > 0 { 1000 } else { 0 }
    })
}

fn told(name: &str, thousandths: i128) -> String {
    if name == "cpu" {
        return if thousandths % 1000 == 0 {
            (thousandths / 1000).to_string()
        } else {
            format!("{thousandths}m")
        };
    }
    let bytes = thousandths / 1000;
    for (unit, size) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes > 0 && bytes % size == 0 {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

async fn pods(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let wanted = Wanted {
        fields: format!("spec.nodeName={},status.phase!=Failed,status.phase!=Succeeded", info.name),
        ..Wanted::default()
    };
    let pods = list_all(cx, &cx.resource("pods").await?, None, &wanted).await?;
    let allocatable = &info.object["status"]["allocatable"];
    let part = |name: &str, amount: i128| {
        let all = quantity(&allocatable[name]);
        if all == 0 { 0 } else { amount * 100 / all }
    };
    page.line(0, format!("Non-terminated Pods:\t({} in total)", pods.len()));
    page.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge\n  ---------\t----\t\t------------\t----------\t---------------\t-------------\t---");
    for pod in &pods {
        let cell = |name: &str, what: &str| {
            let amount = amount(&pod.object, what, name);
            format!("{} ({}%)", told(name, amount), part(name, amount))
        };
        page.line(
            1,
            format!(
                "{}\t{}\t\t{}\t{}\t{}\t{}\t{}",
                pod.namespace.as_deref().unwrap_or(""),
                pod.name,
                cell("cpu", "requests"),
                cell("cpu", "limits"),
                cell("memory", "requests"),
                cell("memory", "limits"),
                since(text_at(&pod.object["metadata"], "creationTimestamp"), crate::now())
            ),
        );
    }
    page.line(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)\n  Resource\tRequests\tLimits\n  --------\t--------\t------");
    let mut names = vec!["cpu", "memory", "ephemeral-storage"];
    names.extend(
        allocatable
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .filter(|name| name.starts_with("hugepages-")),
    );
    for name in names {
        let sum = |what: &str| pods.iter().map(|pod| amount(&pod.object, what, name)).sum::<i128>();
        let (requests, limits) = (sum("requests"), sum("limits"));
        page.line(
            1,
            format!(
                "{name}\t{} ({}%)\t{} ({}%)",
                told(name, requests),
                part(name, requests),
                told(name, limits),
                part(name, limits)
            ),
        );
    }
    Ok(())
}
