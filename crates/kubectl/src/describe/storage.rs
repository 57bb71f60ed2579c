//! Volumes: what they are made of; claims, volumes and their classes.

use serde_json::Value;

use super::Page;
use super::page::{items, or_none, plain, text_at};
use crate::context::Context;
use crate::error::Result;
use crate::resources::{Info, Wanted, list_all};

/// What a volume is made of.
pub fn source(page: &mut Page, volume: &Value) {
    let at = |field: &str| &volume[field];
    let optional = |source: &Value| (source["optional"] == true).to_string();
    if at("configMap").is_object() {
        page.field(2, "Type", "ConfigMap (a volume populated by a ConfigMap)");
        page.field(2, "Name", text_at(at("configMap"), "name"));
        page.field(2, "Optional", optional(at("configMap")));
    } else if at("secret").is_object() {
        page.field(2, "Type", "Secret (a volume populated by a Secret)");
        page.field(2, "SecretName", text_at(at("secret"), "secretName"));
        page.field(2, "Optional", optional(at("secret")));
    } else if at("emptyDir").is_object() {
        page.field(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
        page.field(2, "Medium", text_at(at("emptyDir"), "medium"));
        let limit = plain(&at("emptyDir")["sizeLimit"]);
        page.field(2, "SizeLimit", if limit.is_empty() || limit == "0" { "<unset>" } else { &limit });
    } else if at("hostPath").is_object() {
        page.field(2, "Type", "HostPath (bare host directory volume)");
        page.field(2, "Path", text_at(at("hostPath"), "path"));
        page.field(2, "HostPathType", text_at(at("hostPath"), "type"));
    } else if at("persistentVolumeClaim").is_object() {
        page.field(
            2,
            "Type",
            "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)",
        );
        page.field(2, "ClaimName", text_at(at("persistentVolumeClaim"), "claimName"));
        page.field(2, "ReadOnly", (at("persistentVolumeClaim")["readOnly"] == true).to_string());
    } else if at("projected").is_object() {
        projected(page, at("projected"));
    } else if at("downwardAPI").is_object() {
        page.field(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
        page.line(2, "Items:");
        for item in items(&at("downwardAPI")["items"]) {
            let from = if item["fieldRef"].is_object() {
                text_at(&item["fieldRef"], "fieldPath")
            } else {
                text_at(&item["resourceFieldRef"], "resource")
            };
            page.line(3, format!("{from} -> {}", text_at(item, "path")));
        }
    } else {
        let kind = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .find(|name| *name != "name");
        page.field(2, "Type", kind.unwrap_or("<unknown>"));
    }
}

fn projected(page: &mut Page, projected: &Value) {
    page.field(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
    for source in items(&projected["sources"]) {
        if source["secret"].is_object() {
            page.field(2, "SecretName", text_at(&source["secret"], "name"));
            page.field(2, "Optional", (source["secret"]["optional"] == true).to_string());
        } else if source["downwardAPI"].is_object() {
            page.field(2, "DownwardAPI", "true");
        } else if source["configMap"].is_object() {
            page.field(2, "ConfigMapName", text_at(&source["configMap"], "name"));
            page.field(2, "Optional", (source["configMap"]["optional"] == true).to_string());
        } else if source["serviceAccountToken"].is_object() {
            page.field(
                2,
                "TokenExpirationSeconds",
                plain(&source["serviceAccountToken"]["expirationSeconds"]),
            );
        }
    }
}

/// `RWO,ROX`.
fn modes(list: &Value) -> String {
    let short: Vec<&str> = items(list)
        .map(|mode| match mode.as_str().unwrap_or("") {
            "ReadWriteOnce" => "RWO",
            "ReadOnlyMany" => "ROX",
            "ReadWriteMany" => "RWX",
            "ReadWriteOncePod" => "RWOP",
            other => other,
        })
        .collect();
    short.join(",")
}

pub async fn claim(cx: &Context, page: &mut Page, info: &Info) -> Result {
    let (metadata, spec, status) = (&info.object["metadata"], &info.object["spec"], &info.object["status"]);
    page.field(0, "Name", text_at(metadata, "name"));
    page.field(0, "Namespace", text_at(metadata, "namespace"));
    page.field(0, "StorageClass", text_at(spec, "storageClassName"));
    let phase = text_at(status, "phase");
    if metadata["deletionTimestamp"].is_string() {
        let since = crate::text::since(text_at(metadata, "deletionTimestamp"), crate::now());
        page.line(0, format!("Status:\tTerminating (lasts {since})"));
    } else {
        page.field(0, "Status", phase);
    }
    let volume = text_at(spec, "volumeName");
    page.field(0, "Volume", volume);
    page.labels(metadata);
    page.field(0, "Finalizers", list(&metadata["finalizers"]));
    let bound = !volume.is_empty();
    page.field(0, "Capacity", if bound { plain(&status["capacity"]["storage"]) } else { String::new() });
    page.field(0, "Access Modes", if bound { modes(&status["accessModes"]) } else { String::new() });
    page.field(0, "VolumeMode", text_at(spec, "volumeMode"));
    let pods = cx.resource("pods").await?;
    let all = list_all(cx, &pods, info.namespace.as_deref(), &Wanted::default()).await?;
    let uses = |pod: &Info| {
        items(&pod.object["spec"]["volumes"])
            .any(|volume| volume["persistentVolumeClaim"]["claimName"] == info.name.as_str())
    };
    page.listed("", "Used By", all.iter().filter(|pod| uses(pod)).map(|pod| pod.name.clone()).collect());
    Ok(())
}

fn list(value: &Value) -> String {
    if value.is_null() { "[]".into() } else { plain(value) }
}

pub fn volume(page: &mut Page, object: &Value) {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    page.field(0, "Name", text_at(metadata, "name"));
    page.labels(metadata);
    page.field(0, "Finalizers", list(&metadata["finalizers"]));
    page.field(0, "StorageClass", text_at(spec, "storageClassName"));
    page.field(0, "Status", text_at(status, "phase"));
    let claim = &spec["claimRef"];
    page.field(
        0,
        "Claim",
        if claim.is_object() {
            format!("{}/{}", text_at(claim, "namespace"), text_at(claim, "name"))
        } else {
            String::new()
        },
    );
    page.field(0, "Reclaim Policy", text_at(spec, "persistentVolumeReclaimPolicy"));
    page.field(0, "Access Modes", modes(&spec["accessModes"]));
    page.field(0, "VolumeMode", text_at(spec, "volumeMode"));
    page.field(0, "Capacity", plain(&spec["capacity"]["storage"]));
    let affinity = &spec["nodeAffinity"]["required"]["nodeSelectorTerms"];
    if affinity.is_array() {
        page.line(0, "Node Affinity:\t");
        page.line(1, "Required Terms:\t");
        for (at, term) in items(affinity).enumerate() {
            let all: Vec<String> = items(&term["matchExpressions"])
                .map(|e| {
                    format!(
                        "{} {} {}",
                        text_at(e, "key"),
                        text_at(e, "operator").to_lowercase(),
                        plain(&e["values"])
                    )
                })
                .collect();
            page.line(2, format!("Term {at}:\t{}", all.join(", ")));
        }
    } else {
        page.line(0, "Node Affinity:\t<none>");
    }
    page.field(0, "Message", text_at(status, "message"));
    page.line(0, "Source:");
    source(page, spec);
}

pub fn class(page: &mut Page, object: &Value) {
    let metadata = &object["metadata"];
    page.field(0, "Name", text_at(metadata, "name"));
    let is_default = metadata["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
    page.field(0, "IsDefaultClass", if is_default { "Yes" } else { "No" });
    page.annotations(metadata);
    page.field(0, "Provisioner", text_at(object, "provisioner"));
    page.field(0, "Parameters", super::page::selector(&object["parameters"]));
    page.field(
        0,
        "AllowVolumeExpansion",
        object["allowVolumeExpansion"]
            .as_bool()
            .map_or("<unset>".into(), |is| (if is { "True" } else { "False" }).to_owned()),
    );
    let options: Vec<&str> = items(&object["mountOptions"]).filter_map(Value::as_str).collect();
    page.listed("", "MountOptions", options.iter().map(|option| (*option).to_owned()).collect());
    page.field(0, "ReclaimPolicy", text_at(object, "reclaimPolicy"));
    page.field(0, "VolumeBindingMode", or_none(text_at(object, "volumeBindingMode")));
}
