use super::*;
use expect_test::{Expect, expect};
use serde_json::json;

/// The object with its defaults, one line.
fn check((group, version, kind): (&str, &str, &str), mut object: Value, want: Expect) {
    apply_defaults(Schema::builtin().kind(group, version, kind).expect("described"), &mut object);
    want.assert_eq(&object.to_string());
}

#[test]
fn constants_are_json() {
    assert_eq!(PLANS.len(), Schema::builtin().types().count());
}

#[test]
fn pods() {
    check(
        ("", "v1", "Pod"),
        json!({"spec": {"containers": [{"name": "c", "image": "busybox", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}, "livenessProbe": {"httpGet": {"port": 80}}}], "volumes": [{"name": "v"}]}}),
        expect![[
            r#"{"spec":{"containers":[{"image":"busybox","imagePullPolicy":"Always","livenessProbe":{"failureThreshold":3,"httpGet":{"path":"/","port":80,"scheme":"HTTP"},"periodSeconds":10,"successThreshold":1,"timeoutSeconds":1},"name":"c","ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{"limits":{"cpu":"1"},"requests":{"cpu":"1"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","enableServiceLinks":true,"restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30,"volumes":[{"emptyDir":{},"name":"v"}]}}"#
        ]],
    );
}

#[test]
fn workloads() {
    check(
        ("apps", "v1", "Deployment"),
        json!({"spec": {"template": {"spec": {"containers": []}}}}),
        expect![[
            r#"{"spec":{"progressDeadlineSeconds":600,"replicas":1,"revisionHistoryLimit":10,"strategy":{"rollingUpdate":{"maxSurge":"25%","maxUnavailable":"25%"},"type":"RollingUpdate"},"template":{"spec":{"containers":[],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}}}"#
        ]],
    );
    check(
        ("batch", "v1", "Job"),
        json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never"}}}}),
        expect![[
            r#"{"metadata":{"labels":{"a":"b"}},"spec":{"backoffLimit":6,"completionMode":"NonIndexed","completions":1,"manualSelector":false,"parallelism":1,"podReplacementPolicy":"TerminatingOrFailed","suspend":false,"template":{"metadata":{"labels":{"a":"b"}},"spec":{"dnsPolicy":"ClusterFirst","restartPolicy":"Never","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}}}}"#
        ]],
    );
    check(
        ("apps", "v1", "StatefulSet"),
        json!({"spec": {"template": {}, "volumeClaimTemplates": [{"metadata": {"name": "d"}}]}}),
        expect![[
            r#"{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":"Retain"},"podManagementPolicy":"OrderedReady","replicas":1,"revisionHistoryLimit":10,"template":{"spec":{"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":30}},"updateStrategy":{"rollingUpdate":{"partition":0},"type":"RollingUpdate"},"volumeClaimTemplates":[{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"d"},"spec":{"volumeMode":"Filesystem"},"status":{"phase":"Pending"}}]}}"#
        ]],
    );
}

#[test]
fn services_and_more() {
    check(
        ("", "v1", "Service"),
        json!({"spec": {"ports": [{"port": 80}]}}),
        expect![[
            r#"{"spec":{"internalTrafficPolicy":"Cluster","ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None","type":"ClusterIP"}}"#
        ]],
    );
    check(
        ("", "v1", "Service"),
        json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP", "ports": [{"port": 80, "targetPort": "web"}]}}),
        expect![[
            r#"{"spec":{"allocateLoadBalancerNodePorts":true,"externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster","ports":[{"port":80,"protocol":"TCP","targetPort":"web"}],"sessionAffinity":"ClientIP","sessionAffinityConfig":{"clientIP":{"timeoutSeconds":10800}},"type":"LoadBalancer"}}"#
        ]],
    );
    check(("", "v1", "Secret"), json!({}), expect![[r#"{"type":"Opaque"}"#]]);
    check(
        ("", "v1", "Namespace"),
        json!({"metadata": {"name": "a"}}),
        expect![[r#"{"metadata":{"labels":{"kubernetes.io/metadata.name":"a"},"name":"a"}}"#]],
    );
    check(
        ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
        json!({"subjects": [{"kind": "User", "name": "u"}], "roleRef": {"kind": "Role", "name": "r"}}),
        expect![[
            r#"{"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"u"}]}"#
        ]],
    );
    check(
        ("networking.k8s.io", "v1", "NetworkPolicy"),
        json!({"spec": {"podSelector": {}}}),
        expect![[r#"{"spec":{"podSelector":{},"policyTypes":["Ingress"]}}"#]],
    );
}
