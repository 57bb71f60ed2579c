//! The final list of variables of one container. Pure: the objects it names were fetched before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVar, Pod, Secret, Service};

use super::expand::expand;
use super::fields::{self, NodeFields};
use super::services::{self, Links};
use crate::pods;

/// What variables can come from.
pub(crate) struct Source<'a> {
    pub pod: &'a Pod,
    pub node: &'a NodeFields,
    pub services: &'a [Arc<Service>],
    /// Of the pod's namespace; absent ones do not exist.
    pub config_maps: &'a HashMap<String, Arc<ConfigMap>>,
    pub secrets: &'a HashMap<String, Arc<Secret>>,
}

/// Why a container cannot be configured. The text stands in the container's status.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum EnvError {
    #[error("{kind} {name:?} not found")]
    Absent { kind: &'static str, name: String },
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    Key { kind: &'static str, namespace: String, name: String, key: String },
    #[error("field path {path:?} is not supported")]
    Field { path: String },
    #[error("container resource {resource:?} is not supported")]
    Resource { resource: String },
}

/// Variables in the order in which they were defined; a later one replaces an earlier of the same name.
pub(crate) fn resolve(container: &Container, source: &Source<'_>) -> Result<Vec<(String, String)>, EnvError> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let mut set = |known: &mut BTreeMap<String, String>, name: &str, value: String| {
        if known.insert(name.to_owned(), value).is_none() {
            order.push(name.to_owned());
        }
    };
    for from in container.env_from.iter().flatten() {
        for (name, value) in whole_object(from, source)? {
            set(&mut known, &name, value);
        }
    }
    let links = if pods::spec(source.pod).enable_service_links.unwrap_or(true) {
        Links::All
    } else {
        Links::MasterOnly
    };
    let service_variables = services::variables(source.services, pods::namespace(source.pod), links);
    // Services may be referred to, yet what the pod itself says wins.
    let mut visible: BTreeMap<String, String> = service_variables.iter().cloned().collect();
    visible.extend(known.clone());
    for variable in container.env.iter().flatten() {
        if let Some(value) = one(variable, container, source, &visible)? {
            visible.insert(variable.name.clone(), value.clone());
            set(&mut known, &variable.name, value);
        }
    }
    for (name, value) in service_variables {
        if !known.contains_key(&name) {
            set(&mut known, &name, value);
        }
    }
    Ok(order
        .into_iter()
        .map(|name| (known.get(&name).cloned().unwrap_or_default(), name))
        .map(|(v, n)| (n, v))
        .collect())
}

fn whole_object(from: &EnvFromSource, source: &Source<'_>) -> Result<BTreeMap<String, String>, EnvError> {
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let mut out = BTreeMap::new();
    if let Some(reference) = &from.config_map_ref {
        match source.config_maps.get(&reference.name) {
            Some(map) => {
                out.extend(map.data.iter().flatten().map(|(k, v)| (format!("{prefix}{k}"), v.clone())))
            }
            None if reference.optional == Some(true) => {}
            None => return Err(EnvError::Absent { kind: "configmap", name: reference.name.clone() }),
        }
    }
    if let Some(reference) = &from.secret_ref {
        match source.secrets.get(&reference.name) {
            Some(secret) => {
                out.extend(secret.data.iter().flatten().map(|(k, v)| (format!("{prefix}{k}"), text(&v.0))))
            }
            None if reference.optional == Some(true) => {}
            None => return Err(EnvError::Absent { kind: "secret", name: reference.name.clone() }),
        }
    }
    Ok(out)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `None` for an optional reference to nothing.
fn one(
    variable: &EnvVar,
    container: &Container,
    source: &Source<'_>,
    visible: &BTreeMap<String, String>,
) -> Result<Option<String>, EnvError> {
    let Some(from) = &variable.value_from else {
        return Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), visible)));
    };
    if let Some(selector) = &from.field_ref {
        let value = fields::field(source.pod, &selector.field_path, source.node);
        return value.map(Some).ok_or_else(|| EnvError::Field { path: selector.field_path.clone() });
    }
    if let Some(selector) = &from.resource_field_ref {
        let other = selector.container_name.as_deref().filter(|name| !name.is_empty());
        let named = other.and_then(|name| pods::find_container(source.pod, name));
        let value = fields::resource(named.as_ref().unwrap_or(container), selector, source.node);
        return value.map(Some).ok_or_else(|| EnvError::Resource { resource: selector.resource.clone() });
    }
    if let Some(selector) = &from.config_map_key_ref {
        let data = source.config_maps.get(&selector.name).map(|map| map.data.clone().unwrap_or_default());
        return key("ConfigMap", "configmap", &selector.name, &selector.key, selector.optional, data, source);
    }
    if let Some(selector) = &from.secret_key_ref {
        let data = source.secrets.get(&selector.name).map(|secret| {
            secret.data.iter().flatten().map(|(k, v)| (k.clone(), text(&v.0))).collect::<BTreeMap<_, _>>()
        });
        return key("Secret", "secret", &selector.name, &selector.key, selector.optional, data, source);
    }
    Ok(Some(String::new()))
}

fn key(
    kind: &'static str,
    lower: &'static str,
    name: &str,
    key: &str,
    optional: Option<bool>,
    data: Option<BTreeMap<String, String>>,
    source: &Source<'_>,
) -> Result<Option<String>, EnvError> {
    let optional = optional == Some(true);
    match data {
        None if optional => Ok(None),
        None => Err(EnvError::Absent { kind: lower, name: name.to_owned() }),
        Some(data) => match data.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(EnvError::Key {
                kind,
                namespace: pods::namespace(source.pod).into(),
                name: name.into(),
                key: key.into(),
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    #[test]
    fn orders_and_expands_as_upstream() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
            "spec": {"nodeName": "node", "containers": []}
        }))
        .expect("a pod");
        let container: Container = serde_json::from_value(json!({
            "name": "c",
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "B", "value": "$(P_x)-$(DB_SERVICE_HOST)-$(LATER)"},
                {"name": "LATER", "value": "1"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "W", "valueFrom": {"secretKeyRef": {"name": "s", "key": "w"}}}
            ]
        }))
        .expect("a container");
        let map: ConfigMap = serde_json::from_value(json!({"data": {"x": "1"}})).expect("a map");
        let secret: Secret = serde_json::from_value(json!({"data": {"w": "c2VzYW1l"}})).expect("a secret");
        let service: Service = serde_json::from_value(json!({
            "metadata": {"name": "db", "namespace": "n"},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]}
        }))
        .expect("a service");
        let source = Source {
            pod: &pod,
            node: &NodeFields::default(),
            services: &[Arc::new(service)],
            config_maps: &HashMap::from([("m".to_owned(), Arc::new(map))]),
            secrets: &HashMap::from([("s".to_owned(), Arc::new(secret))]),
        };
        let lines: Vec<String> = resolve(&container, &source)
            .expect("resolves")
            .into_iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        expect![[r#"
            P_x=1
            B=1-10.0.0.1-$(LATER)
            LATER=1
            NODE=node
            A=b
            CPU=2
            MEM=64
            W=sesame
            DB_SERVICE_HOST=10.0.0.1
            DB_SERVICE_PORT=80
            DB_PORT=tcp://10.0.0.1:80
            DB_PORT_80_TCP=tcp://10.0.0.1:80
            DB_PORT_80_TCP_PROTO=tcp
            DB_PORT_80_TCP_PORT=80
            DB_PORT_80_TCP_ADDR=10.0.0.1"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn says_what_is_missing() {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}})).expect("a pod");
        let container = |key: &str| -> Container {
            serde_json::from_value(json!({"name": "c", "env": [
                {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "m", "key": key}}}]}))
            .expect("a container")
        };
        let maps = HashMap::from([("m".to_owned(), Arc::new(ConfigMap::default()))]);
        let none = HashMap::new();
        let check = |maps: &HashMap<String, Arc<ConfigMap>>| {
            let source = Source {
                pod: &pod,
                node: &NodeFields::default(),
                services: &[],
                config_maps: maps,
                secrets: &HashMap::new(),
            };
            resolve(&container("k"), &source).expect_err("must fail").to_string()
        };
        assert_eq!(check(&maps), "couldn't find key k in ConfigMap n/m");
        assert_eq!(check(&none), "configmap \"m\" not found");
    }
}
