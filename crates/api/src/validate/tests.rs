use super::*;
use expect_test::{Expect, expect};
use serde_json::json;

fn subject(package: &'static str, plural: &'static str, kind: &'static str) -> Subject<'static> {
    Subject { package, plural, kind, namespaced: true, kept: true, builtin: true }
}

const DEPLOYMENT: (&str, &str, &str) = ("apps/v1", "deployments", "Deployment");
const SERVICE: (&str, &str, &str) = ("core/v1", "services", "Service");

/// One error a line.
fn lines(errors: FieldErrors) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn with_metadata(mut object: Value) -> Value {
    if object.get("metadata").is_none() {
        object["metadata"] = json!({"name": "x", "namespace": "default"});
    }
    object
}

fn check((package, plural, kind): (&'static str, &'static str, &'static str), object: Value, want: Expect) {
    want.assert_eq(&lines(create(subject(package, plural, kind), &with_metadata(object))));
}

fn check_update(
    (package, plural, kind): (&'static str, &'static str, &'static str),
    new: Value,
    old: Value,
    want: Expect,
) {
    let (new, old) = (with_metadata(new), with_metadata(old));
    want.assert_eq(&lines(update(subject(package, plural, kind), &new, &old, None)));
}

fn template(labels: Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]}})
}

fn deployment() -> Value {
    json!({"spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}, "template": template(json!({"app": "web"}))}})
}

#[test]
fn metadata_of_new_objects() {
    check(
        ("core/v1", "configmaps", "ConfigMap"),
        json!({"metadata": {}}),
        expect![[r#"
        metadata.name: Required value: name or generateName is required
        metadata.namespace: Required value
    "#]],
    );
    check(
        ("core/v1", "configmaps", "ConfigMap"),
        json!({"metadata": {"name": "a", "namespace": "n", "labels": {"a": "-"}, "annotations": {"b c": ""}, "finalizers": ["x"], "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}}),
        expect![[r#"
            metadata.labels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')
            metadata.annotations: Invalid value: "b c": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            metadata.ownerReferences.uid: Invalid value: "": uid must not be empty
            metadata.finalizers[0]: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified
        "#]],
    );
    check(
        SERVICE,
        json!({"metadata": {"name": "1a", "namespace": "n"}, "spec": {"type": "ClusterIP", "sessionAffinity": "None", "ports": [{"port": 1, "targetPort": 1, "protocol": "TCP"}]}}),
        expect![[r#"
        metadata.name: Invalid value: "1a": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')
    "#]],
    );
}

#[test]
fn deployments() {
    check(DEPLOYMENT, deployment(), expect![""]);
    let mut bad = deployment();
    bad["spec"]["replicas"] = json!(-3);
    bad["spec"]["template"] = template(json!({"app": "other"}));
    check(
        DEPLOYMENT,
        bad,
        expect![[r#"
        spec.replicas: Invalid value: -3: must be greater than or equal to 0
        spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template `labels`
    "#]],
    );
    check(
        DEPLOYMENT,
        json!({"spec": {}}),
        expect![[r#"
        spec.selector: Required value
        spec.template.spec.containers: Required value
    "#]],
    );
    let mut moved = deployment();
    moved["spec"]["selector"] = json!({"matchLabels": {"app": "new"}});
    moved["spec"]["template"] = template(json!({"app": "new"}));
    check_update(
        DEPLOYMENT,
        moved,
        deployment(),
        expect![[r#"
        spec.selector: Invalid value: {"matchLabels":{"app":"new"}}: field is immutable
    "#]],
    );
}

#[test]
fn services() {
    check(
        SERVICE,
        json!({"spec": {"type": "ClusterIP", "sessionAffinity": "None"}}),
        expect![[r#"
        spec.ports: Required value
    "#]],
    );
    check(
        SERVICE,
        json!({"spec": {"type": "Odd", "sessionAffinity": "None", "ports": [{"port": 0, "targetPort": "x_", "protocol": "tcp"}, {"name": "a", "port": 70000, "targetPort": 1, "protocol": "TCP"}]}}),
        expect![[r#"
            spec.ports[0].name: Required value
            spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"
            spec.ports[0].targetPort: Invalid value: "x_": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.ports[1].port: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"
        "#]],
    );
    let service = |ip: &str| json!({"spec": {"type": "ClusterIP", "sessionAffinity": "None", "clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 1, "targetPort": 1, "protocol": "TCP"}]}});
    check_update(
        SERVICE,
        service("10.96.0.2"),
        service("10.96.0.1"),
        expect![[r#"
        spec.clusterIPs[0]: Invalid value: ["10.96.0.2"]: may not change once set
    "#]],
    );
}

#[test]
fn small_kinds() {
    let map = ("core/v1", "configmaps", "ConfigMap");
    check(
        map,
        json!({"data": {"..": "x"}}),
        expect![[r#"
        data[..]: Invalid value: "..": must not be '..'
    "#]],
    );
    check_update(
        map,
        json!({"immutable": true, "data": {"a": "2"}}),
        json!({"immutable": true, "data": {"a": "1"}}),
        expect![[r#"
        data: Forbidden: field is immutable when `immutable` is set
    "#]],
    );
    let secret = ("core/v1", "secrets", "Secret");
    check(
        secret,
        json!({"type": "kubernetes.io/tls", "data": {"tls.crt": "YQ=="}}),
        expect![[r#"
        data[tls.key]: Required value
    "#]],
    );
    check_update(
        secret,
        json!({"type": "a"}),
        json!({"type": "b"}),
        expect![[r#"
        type: Invalid value: "a": field is immutable
    "#]],
    );
    let binding = ("rbac/v1", "rolebindings", "RoleBinding");
    let role = |name: &str| json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}});
    check_update(
        binding,
        role("b"),
        role("a"),
        expect![[r#"
        roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"b"}: cannot change roleRef
    "#]],
    );
    check(
        ("rbac/v1", "roles", "Role"),
        json!({"rules": [{"verbs": ["get"]}]}),
        expect![[r#"
        rules[0].apiGroups: Required value: resource rules must supply at least one api group
        rules[0].resources: Required value: resource rules must supply at least one resource
    "#]],
    );
    check(
        ("batch/v1", "cronjobs", "CronJob"),
        json!({"spec": {"schedule": "* *", "concurrencyPolicy": "Allow", "jobTemplate": {"spec": {"template": {"spec": {"containers": [], "dnsPolicy": "ClusterFirst", "restartPolicy": "Never"}}}}}}),
        expect![[r#"
        spec.schedule: Invalid value: "* *": expected exactly 5 fields, found 2: [* *]
        spec.jobTemplate.spec.template.spec.containers: Required value
    "#]],
    );
}
