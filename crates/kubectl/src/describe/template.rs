//! Containers, volumes and the rest of a pod's description, for pods and for templates.

use serde_json::Value;

use super::Page;
use super::page::{annotation_lines, items, or_none, plain, text_at};

/// A template under `Pod Template:`.
pub fn write(page: &mut Page, template: &Value) {
    page.line(0, "Pod Template:");
    body(page, template);
}

pub fn body(page: &mut Page, template: &Value) {
    if template.is_null() {
        page.line(1, "<unset>");
        return;
    }
    let (metadata, spec) = (&template["metadata"], &template["spec"]);
    page.pairs("  ", "Labels", &metadata["labels"], "=");
    if metadata["annotations"].as_object().is_some_and(|map| !map.is_empty()) {
        page.listed("  ", "Annotations", annotation_lines("", &metadata["annotations"]));
    }
    if !text_at(spec, "serviceAccountName").is_empty() {
        page.field(1, "Service Account", text_at(spec, "serviceAccountName"));
    }
    containers(page, "Init Containers", &spec["initContainers"], None, " ");
    containers(page, "Containers", &spec["containers"], None, " ");
    volumes(page, &spec["volumes"], " ");
    constraints(page, spec, "  ");
}

/// Where it may run.
pub fn constraints(page: &mut Page, spec: &Value, indent: &str) {
    let spread: Vec<String> = items(&spec["topologySpreadConstraints"])
        .map(|c| {
            let selector = super::page::selector(&c["labelSelector"]["matchLabels"]);
            format!(
                "{}:{} when max skew {} is exceeded for selector {selector}",
                text_at(c, "topologyKey"),
                text_at(c, "whenUnsatisfiable"),
                plain(&c["maxSkew"])
            )
        })
        .collect();
    if !spread.is_empty() {
        page.listed(indent, "Topology Spread Constraints", spread);
    }
    page.pairs(indent, "Node-Selectors", &spec["nodeSelector"], "=");
    let mut tolerations: Vec<String> = items(&spec["tolerations"]).map(toleration).collect();
    tolerations.sort();
    page.listed(indent, "Tolerations", tolerations);
}

fn toleration(toleration: &Value) -> String {
    let mut text = text_at(toleration, "key").to_owned();
    if !text_at(toleration, "value").is_empty() {
        text.push_str(&format!("={}", text_at(toleration, "value")));
    }
    if !text_at(toleration, "effect").is_empty() {
        text.push_str(&format!(":{}", text_at(toleration, "effect")));
    }
    if text_at(toleration, "operator") == "Exists" && text_at(toleration, "value").is_empty() {
        let blank = if text_at(toleration, "key").is_empty() && text_at(toleration, "effect").is_empty() {
            ""
        } else {
            " "
        };
        text.push_str(&format!("{blank}op=Exists"));
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        text.push_str(&format!(" for {seconds}s"));
    }
    text
}

/// `indent` is a space more than nothing in templates.
pub fn containers(page: &mut Page, title: &str, list: &Value, statuses: Option<&Value>, indent: &str) {
    if items(list).next().is_none() {
        if title == "Containers" {
            page.push(&format!("{indent} {title}: <none>\n"));
        }
        return;
    }
    let head = if indent.is_empty() { "" } else { "  " };
    page.push(&format!("{head}{title}:\n"));
    for container in items(list) {
        let name = text_at(container, "name");
        page.push(&format!("{}{name}:\n", if indent.is_empty() { "  " } else { "   " }));
        let status = statuses.and_then(|all| items(all).find(|status| status["name"] == name));
        one(page, container, status);
    }
}

fn one(page: &mut Page, container: &Value, status: Option<&Value>) {
    if let Some(status) = status {
        page.field(2, "Container ID", text_at(status, "containerID"));
    }
    page.field(2, "Image", text_at(container, "image"));
    if let Some(status) = status {
        page.field(2, "Image ID", text_at(status, "imageID"));
    }
    ports(page, &container["ports"]);
    for (title, list) in [("Command", &container["command"]), ("Args", &container["args"])] {
        if items(list).next().is_some() {
            page.line(2, format!("{title}:"));
            for word in items(list) {
                word.as_str().unwrap_or("").split('\n').for_each(|line| page.line(3, line));
            }
        }
    }
    if let Some(status) = status {
        super::pod::container_status(page, status);
    }
    for (title, amounts) in
        [("Limits", &container["resources"]["limits"]), ("Requests", &container["resources"]["requests"])]
    {
        if amounts.as_object().is_some_and(|map| !map.is_empty()) {
            page.line(2, format!("{title}:"));
            amounts
                .as_object()
                .into_iter()
                .flatten()
                .for_each(|(name, amount)| page.field(3, name, plain(amount)));
        }
    }
    for (title, field) in
        [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
    {
        if container[field].is_object() {
            page.line(2, format!("{title}:\t{}", probe(&container[field])));
        }
    }
    environment(page, container);
    mounts(page, &container["volumeMounts"]);
}

fn ports(page: &mut Page, list: &Value) {
    let told = |field: &str| -> Vec<String> {
        items(list)
            .map(|port| {
                let name = text_at(port, "name");
                let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
                let protocol =
                    if text_at(port, "protocol").is_empty() { "TCP" } else { text_at(port, "protocol") };
                format!("{}/{protocol}{name}", port[field].as_i64().unwrap_or(0))
            })
            .collect()
    };
    for (title, field) in [("Port", "containerPort"), ("Host Port", "hostPort")] {
        let all = told(field);
        let many = if all.len() > 1 { "s" } else { "" };
        page.line(2, format!("{title}{many}:\t{}", or_none(&all.join(", "))));
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str, default: i64| probe[field].as_i64().unwrap_or(default);
    let timing = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 0),
        number("periodSeconds", 0),
        number("successThreshold", 0),
        number("failureThreshold", 0)
    );
    let what = if probe["exec"].is_object() {
        format!("exec {}", plain(&probe["exec"]["command"]))
    } else if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        let scheme = text_at(get, "scheme").to_lowercase();
        let scheme = if scheme.is_empty() { "http".to_owned() } else { scheme };
        let path = text_at(get, "path");
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("http-get {scheme}://{}:{}{slash}{path}", text_at(get, "host"), plain(&get["port"]))
    } else if probe["tcpSocket"].is_object() {
        format!("tcp-socket {}:{}", text_at(&probe["tcpSocket"], "host"), plain(&probe["tcpSocket"]["port"]))
    } else if probe["grpc"].is_object() {
        format!("grpc <pod>:{} {}", plain(&probe["grpc"]["port"]), text_at(&probe["grpc"], "service"))
    } else {
        "unknown".into()
    };
    format!("{what} {timing}")
}

fn environment(page: &mut Page, container: &Value) {
    if items(&container["envFrom"]).next().is_some() {
        page.line(2, "Environment Variables from:");
        for from in items(&container["envFrom"]) {
            let (kind, source) = if from["configMapRef"].is_object() {
                ("ConfigMap", &from["configMapRef"])
            } else {
                ("Secret", &from["secretRef"])
            };
            let prefix = match text_at(from, "prefix") {
                "" => String::new(),
                prefix => format!(" with prefix '{prefix}'"),
            };
            page.line(
                3,
                format!(
                    "{}\t{kind}{prefix}\tOptional: {}",
                    text_at(source, "name"),
                    source["optional"] == true
                ),
            );
        }
    }
    if items(&container["env"]).next().is_none() {
        page.line(2, "Environment:\t<none>");
        return;
    }
    page.line(2, "Environment:");
    for variable in items(&container["env"]) {
        variable_line(page, variable);
    }
}

fn variable_line(page: &mut Page, variable: &Value) {
    let (name, from) = (text_at(variable, "name"), &variable["valueFrom"]);
    if !from.is_object() {
        for (at, line) in text_at(variable, "value").split('\n').enumerate() {
            page.line(3, if at == 0 { format!("{name}:\t{line}") } else { format!("\t{line}") });
        }
        return;
    }
    if from["fieldRef"].is_object() {
        let version = match text_at(&from["fieldRef"], "apiVersion") {
            "" => "v1",
            version => version,
        };
        page.line(3, format!("{name}:\t ({version}:{})", text_at(&from["fieldRef"], "fieldPath")));
    } else if from["resourceFieldRef"].is_object() {
        let field = text_at(&from["resourceFieldRef"], "resource");
        page.line(3, format!("{name}:\tnode allocatable ({field})"));
    } else {
        let (word, source) = if from["secretKeyRef"].is_object() {
            ("in secret", &from["secretKeyRef"])
        } else {
            ("of config map", &from["configMapKeyRef"])
        };
        let optional = source["optional"] == true;
        page.line(
            3,
            format!(
                "{name}:\t<set to the key '{}' {word} '{}'>\tOptional: {optional}",
                text_at(source, "key"),
                text_at(source, "name")
            ),
        );
    }
}

fn mounts(page: &mut Page, list: &Value) {
    if items(list).next().is_none() {
        page.line(2, "Mounts:\t<none>");
        return;
    }
    page.line(2, "Mounts:");
    let mut sorted: Vec<&Value> = items(list).collect();
    sorted.sort_by_key(|mount| text_at(mount, "mountPath"));
    for mount in sorted {
        let mut how = vec![if mount["readOnly"] == true { "ro".to_owned() } else { "rw".to_owned() }];
        if !text_at(mount, "subPath").is_empty() {
            how.push(format!("path={:?}", text_at(mount, "subPath")));
        }
        page.line(
            3,
            format!("{} from {} ({})", text_at(mount, "mountPath"), text_at(mount, "name"), how.join(",")),
        );
    }
}

pub fn volumes(page: &mut Page, list: &Value, indent: &str) {
    if items(list).next().is_none() {
        page.push(&format!("{}Volumes:\t<none>\n", if indent.is_empty() { "" } else { "  " }));
        return;
    }
    page.push(&format!("{}Volumes:\n", if indent.is_empty() { "" } else { "  " }));
    for volume in items(list) {
        page.push(&format!("{}{}:\n", if indent.is_empty() { "  " } else { "   " }, text_at(volume, "name")));
        super::storage::source(page, volume);
    }
}
