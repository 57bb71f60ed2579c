//! `kubectl expose`: a service for what is there. `kubectl autoscale`: a size that follows the load.

use serde_json::{Value, json};

use crate::change::{Changes, DryRun, save_config};
use crate::cli::shared::{DRY_RUN, FILES, PRINT, SAVE_CONFIG, manager};
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::{Info, Wanted, for_each};

pub const EXPOSE: Command = Command::new(
    "expose",
    "Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service",
    "(-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] [--target-port=number-or-name] [--name=name] [--external-ip=external-ip-of-service] [--type=type]",
)
.flags(&[
    PRINT,
    DRY_RUN,
    FILES,
    SAVE_CONFIG,
    manager!("kubectl-expose"),
    &[
        Flag::text("cluster-ip", "An address of your own choice, or None."),
        Flag::text("external-ip", "An address outside that leads to the service too."),
        Flag::text("labels", "Labels of the service (a=b,c=d).").short('l'),
        Flag::text("load-balancer-ip", "The load balancer's address."),
        Flag::text("name", "Name of the service; that of the object if empty."),
        Flag::text("port", "Port of the service."),
        Flag::text("protocol", "TCP, UDP or SCTP."),
        Flag::text("selector", "Labels of the pods; the object's own if empty."),
        Flag::text("session-affinity", "None or ClientIP."),
        Flag::text("target-port", "Port of the containers, by number or name."),
        Flag::text("type", "ClusterIP, NodePort, LoadBalancer or ExternalName."),
    ],
])
.run(|cx| Box::pin(expose(cx)));

pub const AUTOSCALE: Command = Command::new(
    "autoscale",
    "Auto-scale a deployment, replica set, stateful set, or replication controller",
    "(-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu=CPU] [--memory=MEMORY]",
)
.flags(&[
    PRINT,
    DRY_RUN,
    FILES,
    SAVE_CONFIG,
    manager!("kubectl-autoscale"),
    &[
        Flag::text("cpu", "The target: a percentage of requests (70%) or an amount (500m)."),
        Flag::text("memory", "The target: a percentage of requests (70%) or an amount (1Gi)."),
        Flag::int("max", "-1", "At most so many pods."),
        Flag::int("min", "-1", "At least so many pods."),
        Flag::text("name", "Name of the autoscaler; that of the object if empty."),
    ],
])
.run(|cx| Box::pin(autoscale(cx)));

fn number_or_text(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}

async fn expose(cx: Context) -> Result {
    let mut changes = Changes::of(&cx)?;
    let cx = &cx;
    for_each(cx, &Wanted::of(cx).latest(), async |info| {
        let service = service(cx, &info)?;
        make(cx, &mut changes, &info, service, "services", "exposed").await
    })
    .await?;
    Ok(())
}

fn service(cx: &Context, info: &Info) -> Result<Value> {
    let flags = &cx.flags;
    let spec = &info.object["spec"];
    let selector = match (flags.text("selector"), info.resource.kind.as_str()) {
        ("", "Pod") => info.object["metadata"]["labels"].clone(),
        ("", "Service" | "ReplicationController") => spec["selector"].clone(),
        ("", "Deployment" | "ReplicaSet") => spec["selector"]["matchLabels"].clone(),
        ("", kind) => return Err(Error::said(format!("cannot expose a {kind}"))),
        (text, _) => super::create::pairs(&text.split(',').map(str::to_owned).collect::<Vec<_>>())?,
    };
    if !selector.is_object() {
        return Err(Error::said(
            "couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be exposed",
        ));
    }
    let mut ports = Vec::new();
    let protocol = if flags.text("protocol").is_empty() { "TCP" } else { flags.text("protocol") };
    let target = |port: &Value| {
        if flags.text("target-port").is_empty() {
            port.clone()
        } else {
            number_or_text(flags.text("target-port"))
        }
    };
    let wanted: Vec<Value> = if flags.text("port").is_empty() {
        known_ports(info)
    } else {
        flags.text("port").split(',').map(number_or_text).collect()
    };
    if wanted.is_empty() {
        return Err(Error::said("couldn't find port via --port flag or introspection"));
    }
    let is_several = wanted.len() > 1;
    for (at, port) in wanted.iter().enumerate() {
        let mut entry = json!({"port": port, "protocol": protocol, "targetPort": target(port)});
        if is_several {
            entry["name"] = format!("port-{}", at + 1).into();
        }
        ports.push(entry);
    }
    let mut spec = json!({"selector": selector, "ports": ports});
    for (flag, field) in [
        ("type", "type"),
        ("cluster-ip", "clusterIP"),
        ("session-affinity", "sessionAffinity"),
        ("load-balancer-ip", "loadBalancerIP"),
    ] {
        if !flags.text(flag).is_empty() {
            spec[field] = flags.text(flag).into();
        }
    }
    if !flags.text("external-ip").is_empty() {
        spec["externalIPs"] = json!([flags.text("external-ip")]);
    }
    let name = if flags.text("name").is_empty() { &info.name } else { flags.text("name") };
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec, "status": {"loadBalancer": {}}});
    match flags.text("labels") {
        "" if info.object["metadata"]["labels"].is_object() => {
            object["metadata"]["labels"] = info.object["metadata"]["labels"].clone()
        }
        "" => {}
        labels => {
            object["metadata"]["labels"] =
                super::create::pairs(&labels.split(',').map(str::to_owned).collect::<Vec<_>>())?
        }
    }
    Ok(object)
}

fn known_ports(info: &Info) -> Vec<Value> {
    let spec = &info.object["spec"];
    if info.resource.kind == "Service" {
        return spec["ports"].as_array().into_iter().flatten().map(|port| port["port"].clone()).collect();
    }
    let containers = if info.resource.kind == "Pod" {
        &spec["containers"]
    } else {
        &spec["template"]["spec"]["containers"]
    };
    let containers = containers.as_array().into_iter().flatten();
    containers
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
        .map(|port| port["containerPort"].clone())
        .collect()
}

async fn make(
    cx: &Context,
    changes: &mut Changes,
    owner: &Info,
    mut object: Value,
    kind: &str,
    done: &str,
) -> Result {
    let resource = cx.resource(kind).await?;
    if changes.dry_run != DryRun::Client || cx.access().await?.namespace_is_given {
        object["metadata"]["namespace"] = owner.namespace.clone().into();
    }
    if cx.flags.on("save-config") {
        save_config(&mut object);
    }
    let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
    let info = Info { resource, namespace: owner.namespace.clone(), name, object, source: String::new() };
    let made = changes.create(cx, &info).await?;
    changes.tell(&made, done)
}

async fn autoscale(cx: Context) -> Result {
    if !cx.flags.has("max") {
        return Err(Error::said("required flag(s) \"max\" not set"));
    }
    let (least, most) = (cx.flags.int("min"), cx.flags.int("max"));
    if most < 1 {
        return Err(Error::said(
            "--max=MAXPODS is required and must be at least 1, max: ".to_owned() + &most.to_string(),
        ));
    }
    if most < least {
        return Err(Error::said(format!(
            "--max=MAXPODS must be larger or equal to --min=MINPODS, max: {most}, min: {least}"
        )));
    }
    let mut changes = Changes::of(&cx)?;
    let cx = &cx;
    for_each(cx, &Wanted::of(cx).latest(), async |info| {
        let name = if cx.flags.text("name").is_empty() { &info.name } else { cx.flags.text("name") };
        let mut spec = json!({
            "scaleTargetRef": {"apiVersion": info.resource.api_version(), "kind": info.resource.kind, "name": info.name},
            "maxReplicas": most,
        });
        if least > 0 {
            spec["minReplicas"] = least.into();
        }
        let metrics: Vec<Value> = ["cpu", "memory"].iter().filter(|name| !cx.flags.text(name).is_empty()).map(|name| metric(name, cx.flags.text(name))).collect();
        if !metrics.is_empty() {
            spec["metrics"] = Value::Array(metrics);
        }
        let object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec});
        make(cx, &mut changes, &info, object, "horizontalpodautoscalers.v2.autoscaling", "autoscaled").await
    })
    .await?;
    Ok(())
}

fn metric(name: &str, target: &str) -> Value {
    let target = match target.strip_suffix('%').unwrap_or(target).parse::<i64>() {
        Ok(percent) if target.ends_with('%') => json!({"type": "Utilization", "averageUtilization": percent}),
        _ => json!({"type": "AverageValue", "averageValue": target}),
    };
    json!({"type": "Resource", "resource": {"name": name, "target": target}})
}
