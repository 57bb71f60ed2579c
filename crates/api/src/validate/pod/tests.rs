use super::*;
use expect_test::{Expect, expect};
use serde_json::json;

fn container(extra: Value) -> Value {
    let mut container =
        json!({"name": "c", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"});
    merge(&mut container, extra);
    container
}

fn merge(target: &mut Value, extra: Value) {
    if let (Some(target), Value::Object(extra)) = (target.as_object_mut(), extra) {
        target.extend(extra);
    }
}

fn pod_with(extra: Value) -> Value {
    let mut spec = json!({"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30, "containers": [container(json!({}))]});
    merge(&mut spec, extra);
    json!({"metadata": {"name": "p"}, "spec": spec})
}

fn check(spec: Value, want: Expect) {
    let mut errors = FieldErrors::new();
    pod(&pod_with(spec), &Path::Root, &mut errors);
    want.assert_eq(&errors.iter().map(|error| format!("{error}\n")).collect::<String>());
}

#[test]
fn containers_need_much() {
    check(json!({}), expect![""]);
    check(
        json!({"containers": []}),
        expect![[r#"
        spec.containers: Required value
    "#]],
    );
    check(
        json!({"containers": [{"name": "A"}, container(json!({"ports": [{"containerPort": 0, "protocol": "TCP"}, {"containerPort": 80, "hostPort": 70000, "protocol": "X"}]})), container(json!({}))]}),
        expect![[r#"
            spec.containers[0].name: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.containers[0].image: Required value
            spec.containers[0].terminationMessagePolicy: Required value
            spec.containers[0].imagePullPolicy: Required value
            spec.containers[1].ports[0].containerPort: Required value
            spec.containers[1].ports[1].hostPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[1].ports[1].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"
            spec.containers[2].name: Duplicate value: "c"
        "#]],
    );
}

#[test]
fn volumes_and_mounts() {
    check(
        json!({"volumes": [{"name": "a"}, {"name": "a", "emptyDir": {}, "hostPath": {"path": "/"}}, {"name": "b", "secret": {"defaultMode": 512}}], "containers": [container(json!({"volumeMounts": [{"name": "a", "mountPath": "/x"}, {"name": "z", "mountPath": "/x", "subPath": "../y"}]}))]}),
        expect![[r#"
            spec.volumes[0]: Required value: must specify a volume type
            spec.volumes[1].name: Duplicate value: "a"
            spec.volumes[1].hostPath: Forbidden: may not specify more than 1 volume type
            spec.volumes[2].secret.secretName: Required value
            spec.volumes[2].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive
            spec.containers[0].volumeMounts[1].name: Not found: "z"
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/x": must be unique
            spec.containers[0].volumeMounts[1].subPath: Invalid value: "../y": must not contain '..'
        "#]],
    );
}

#[test]
fn probes_env_resources() {
    check(
        json!({"containers": [container(json!({
            "livenessProbe": {"successThreshold": 2, "httpGet": {"path": "/", "port": 0, "scheme": "HTTP"}},
            "env": [{"name": ""}, {"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}, {"name": "B", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.x"}}}],
            "resources": {"requests": {"cpu": "2", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        }))]}),
        expect![[r#"
            spec.containers[0].env[0].name: Required value
            spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty
            spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.x": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"
            spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
            spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1
        "#]],
    );
    check(
        json!({"initContainers": [container(json!({"name": "i", "readinessProbe": {}}))]}),
        expect![[r#"
        spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always
    "#]],
    );
}

#[test]
fn scheduling() {
    check(
        json!({"tolerations": [{"operator": "Equal"}, {"key": "a", "operator": "Exists", "effect": "Odd"}], "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}, "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
        expect![[r#"
            spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term
            spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty
            spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"
            spec.tolerations[1].effect: Unsupported value: "Odd": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule"
        "#]],
    );
}

#[test]
fn a_pod_changes_little() {
    let old = pod_with(json!({}));
    let updated = |extra: Value| {
        let mut errors = FieldErrors::new();
        pod_update(&pod_with(extra), &old, "", &mut errors);
        errors
            .iter()
            .map(|error| error.to_string().lines().next().unwrap_or("").to_owned() + "\n")
            .collect::<String>()
    };
    // an empty list is none, and resources that ask for nothing are no resources
    let same = json!({"containers": [container(json!({"resources": {}, "env": [], "stdin": false}))], "hostNetwork": false});
    expect![""].assert_eq(&updated(same));
    expect![""].assert_eq(&updated(
        json!({"containers": [container(json!({"image": "other"}))], "tolerations": [{"key": "a"}]}),
    ));
    expect![[r#"
        spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)
    "#]].assert_eq(&updated(json!({"nodeName": "n"})));
    expect![[r#"
        spec.containers: Forbidden: pod updates may not add or remove containers
    "#]]
    .assert_eq(&updated(json!({"containers": []})));
}
