//! `create service …` and `create ingress`.

use serde_json::{Value, json};

use super::generate::{flags, make, name, pairs, required};
use super::policy::number_or_text;
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};

const TCP: Flag = Flag::list("tcp", "Port and target port (port or port:target).");

const CLUSTER_IP: Command =
    Command::new("clusterip", "Create a ClusterIP service", "NAME [--tcp=<port>:<targetPort>]")
        .flags(flags![TCP, Flag::text("clusterip", "An address of your own choice, or None.")])
        .run(|cx| Box::pin(service(cx, "ClusterIP")));
const NODE_PORT: Command =
    Command::new("nodeport", "Create a NodePort service", "NAME [--tcp=port:targetPort]")
        .flags(flags![TCP, Flag::int("node-port", "0", "The port on each node.")])
        .run(|cx| Box::pin(service(cx, "NodePort")));
const LOAD_BALANCER: Command =
    Command::new("loadbalancer", "Create a LoadBalancer service", "NAME [--tcp=port:targetPort]")
        .flags(flags![TCP])
        .run(|cx| Box::pin(service(cx, "LoadBalancer")));
const EXTERNAL_NAME: Command =
    Command::new("externalname", "Create an ExternalName service", "NAME --external-name external.name")
        .flags(flags![TCP, Flag::text("external-name", "The name outside.")])
        .run(|cx| Box::pin(service(cx, "ExternalName")));

pub const SERVICE: Command =
    Command::new("service", "Create a service using a specified subcommand", "[flags]")
        .aliases(&["svc"])
        .commands(&[CLUSTER_IP, EXTERNAL_NAME, LOAD_BALANCER, NODE_PORT]);

pub const INGRESS: Command = Command::new(
    "ingress",
    "Create an ingress with the specified name",
    "NAME --rule=host/path=service:port[,tls[=secret]] ",
)
.aliases(&["ing"])
.flags(flags![
    Flag::each("annotation", "An annotation (key=value)."),
    Flag::text("class", "Class of the ingress."),
    Flag::text("default-backend", "Service and port for everything else (service:port)."),
    Flag::each("rule", "host/path=service:port[,tls[=secret]]; a path that ends in * is a prefix."),
])
.run(|cx| Box::pin(ingress(cx)));

async fn service(cx: Context, kind: &str) -> Result {
    if kind == "ExternalName" {
        required(&cx, &["external-name"])?;
    }
    let name = name(&cx)?;
    let tcp = cx.flags.list("tcp");
    let is_headless = cx.flags.text("clusterip") == "None";
    if tcp.is_empty() && !is_headless && kind != "ExternalName" {
        return Err(Error::said("at least one tcp port specifier must be provided"));
    }
    let mut ports = Vec::new();
    for text in &tcp {
        let mut port = port(text)?;
        let node_port = cx.flags.int("node-port");
        if node_port != 0 {
            port["nodePort"] = node_port.into();
        }
        ports.push(port);
    }
    let labels = json!({"app": name});
    let mut spec = json!({"type": kind, "selector": labels});
    if !ports.is_empty() {
        spec["ports"] = Value::Array(ports);
    }
    if !cx.flags.text("clusterip").is_empty() {
        spec["clusterIP"] = cx.flags.text("clusterip").into();
    }
    if kind == "ExternalName" {
        spec["externalName"] = cx.flags.text("external-name").into();
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": spec,
        "status": {"loadBalancer": {}},
    });
    make(&cx, object).await
}

fn port(text: &str) -> Result<Value> {
    let (port, target) = text.split_once(':').unwrap_or((text, text));
    let number: u16 =
        port.parse().map_err(|_| Error::said(format!("invalid port specification: {port:?}")))?;
    Ok(
        json!({"name": text.replace(':', "-"), "port": number, "protocol": "TCP", "targetPort": number_or_text(target)}),
    )
}

async fn ingress(cx: Context) -> Result {
    let name = name(&cx)?;
    let (rules, backend) = (cx.flags.list("rule"), cx.flags.text("default-backend"));
    if rules.is_empty() && backend.is_empty() {
        return Err(Error::said(
            "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)",
        ));
    }
    let mut spec = json!({});
    if !cx.flags.text("class").is_empty() {
        spec["ingressClassName"] = cx.flags.text("class").into();
    }
    if !backend.is_empty() {
        spec["defaultBackend"] = self::backend(backend)?;
    }
    let (rules, tls) = all_rules(&rules)?;
    if !rules.is_empty() {
        spec["rules"] = Value::Array(rules);
    }
    if !tls.is_empty() {
        spec["tls"] = Value::Array(tls);
    }
    let mut object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": spec,
        "status": {"loadBalancer": {}},
    });
    let annotations = cx.flags.list("annotation");
    if !annotations.is_empty() {
        object["metadata"]["annotations"] = pairs(&annotations)?;
    }
    make(&cx, object).await
}

/// Rules by host, and the hosts that have a certificate.
fn all_rules(texts: &[String]) -> Result<(Vec<Value>, Vec<Value>)> {
    let (mut rules, mut tls) = (Vec::<Value>::new(), Vec::new());
    for text in texts {
        let invalid = || {
            Error::said(format!(
                "rule {text} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"
            ))
        };
        let (rule, secret) = match text.split_once(",tls") {
            Some((rule, secret)) => (rule, Some(secret.trim_start_matches('='))),
            None => (text.as_str(), None),
        };
        let (place, service) = rule.split_once('=').ok_or_else(invalid)?;
        let (host, path) = place.split_once('/').ok_or_else(invalid)?;
        let (path, kind) = match path.strip_suffix('*') {
            Some(path) => (path, "Prefix"),
            None => (path, "Exact"),
        };
        let path = json!({"path": format!("/{path}"), "pathType": kind, "backend": backend(service)?});
        match rules.iter_mut().find(|rule| rule["host"].as_str().unwrap_or("") == host) {
            Some(rule) => {
                if let Some(paths) = rule["http"]["paths"].as_array_mut() {
                    paths.push(path);
                }
            }
            None if host.is_empty() => rules.push(json!({"http": {"paths": [path]}})),
            None => rules.push(json!({"host": host, "http": {"paths": [path]}})),
        }
        if let Some(secret) = secret {
            let mut entry = json!({});
            if !host.is_empty() {
                entry["hosts"] = json!([host]);
            }
            if !secret.is_empty() {
                entry["secretName"] = secret.into();
            }
            tls.push(entry);
        }
    }
    Ok((rules, tls))
}

fn backend(text: &str) -> Result<Value> {
    let (name, port) = text
        .split_once(':')
        .ok_or_else(|| Error::said("default-backend should be in format servicename:serviceport"))?;
    let port = match port.parse::<i64>() {
        Ok(number) => json!({"number": number}),
        Err(_) => json!({"name": port}),
    };
    Ok(json!({"service": {"name": name, "port": port}}))
}
