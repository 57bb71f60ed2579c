use std::sync::Arc;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use stdx::{Clock, Random};

use super::defaults::{DefaultClass, STORAGE};
use super::*;
use crate::GroupResource;
use crate::auth::{Memory, Objects, UserInfo};

fn objects() -> Arc<dyn Objects> {
    let memory = Memory::default();
    memory.put("", "namespaces", json!({"metadata": {"name": "a"}}));
    memory.put("", "namespaces", json!({"metadata": {"name": "going"}, "status": {"phase": "Terminating"}}));
    memory.put(
        "",
        "serviceaccounts",
        json!({"metadata": {"namespace": "a", "name": "default"}, "imagePullSecrets": [{"name": "pull"}]}),
    );
    memory.put(
        "",
        "pods",
        json!({"metadata": {"namespace": "a", "name": "p", "uid": "1"}, "spec": {"nodeName": "n1"}}),
    );
    for (name, created) in [("old", "2026-01-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z")] {
        let annotations = json!({"storageclass.kubernetes.io/is-default-class": "true"});
        let metadata = json!({"name": name, "creationTimestamp": created, "annotations": annotations});
        memory.put("storage.k8s.io", "storageclasses", json!({"metadata": metadata}));
    }
    Arc::new(memory)
}

fn create(resource: &str, namespace: &str, object: Value) -> Request {
    Request {
        operation: Operation::Create,
        resource: GroupResource::new("", resource),
        version: "v1".into(),
        kind: String::new(),
        subresource: String::new(),
        namespace: namespace.into(),
        name: crate::auth::fields::name(&object).to_owned(),
        object: Some(object),
        old: None,
        options: Value::Null,
        user: UserInfo::new("bob", &[]),
        dry_run: false,
        warnings: Warnings::default(),
        rounds: Rounds::default(),
    }
}

fn node_creates(resource: &str, namespace: &str, object: Value) -> Request {
    Request { user: UserInfo::node("n1"), ..create(resource, namespace, object) }
}

async fn check(plugin: &dyn Admission, mut request: Request, expected: Expect) {
    let result = plugin.admit(&mut request).await;
    let outcome = match result {
        Ok(()) => serde_json::to_string(&request.object.unwrap()["spec"]).unwrap(),
        Err(error) => {
            let causes = error.details().map_or_else(Vec::new, |details| details.causes.clone());
            causes
                .iter()
                .fold(error.to_string(), |text, cause| format!("{text} [{} {}]", cause.reason, cause.field))
        }
    };
    expected.assert_eq(&outcome);
}

#[tokio::test]
async fn namespaces_come_first() {
    let plugin = namespace_lifecycle::NamespaceLifecycle { objects: objects() };
    let map = |namespace| create("configmaps", namespace, json!({"metadata": {"name": "c"}, "spec": 1}));
    check(&plugin, map("a"), expect!["1"]).await;
    check(&plugin, map("b"), expect![[r#"namespaces "b" not found"#]]).await;
    check(
        &plugin,
        map("going"),
        expect![[r#"configmaps "c" is forbidden: unable to create new content in namespace going because it is being terminated [NamespaceTerminating metadata.namespace]"#]],
    )
    .await;
    let delete = Request {
        operation: Operation::Delete,
        name: "default".into(),
        ..create("namespaces", "default", json!({}))
    };
    check(
        &plugin,
        delete,
        expect![[r#"namespaces "default" is forbidden: this namespace may not be deleted"#]],
    )
    .await;
}

fn accounts() -> service_account::ServiceAccount {
    let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
    service_account::ServiceAccount { objects: objects(), clock, random: Random::seeded(1) }
}

#[tokio::test]
async fn pods_get_an_account_and_its_token() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}});
    check(
        &accounts(),
        create("pods", "a", pod),
        expect![[r#"{"containers":[{"name":"c","volumeMounts":[{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access-zbsvz","readOnly":true}]}],"imagePullSecrets":[{"name":"pull"}],"serviceAccount":"default","serviceAccountName":"default","volumes":[{"name":"kube-api-access-zbsvz","projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"items":[{"key":"ca.crt","path":"ca.crt"}],"name":"kube-root-ca.crt"}},{"downwardAPI":{"items":[{"fieldRef":{"apiVersion":"v1","fieldPath":"metadata.namespace"},"path":"namespace"}]}}]}}]}"#]],
    )
    .await;
}

#[tokio::test]
async fn an_unknown_account_is_refused_and_automount_can_be_off() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"serviceAccountName": "none"}});
    check(
        &accounts(),
        create("pods", "a", pod),
        expect![[r#"pods "p" is forbidden: error looking up service account a/none: serviceaccount "none" not found"#]],
    )
    .await;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"automountServiceAccountToken": false, "imagePullSecrets": [{"name": "own"}]}});
    check(
        &accounts(),
        create("pods", "a", pod),
        expect![[r#"{"automountServiceAccountToken":false,"imagePullSecrets":[{"name":"own"}],"serviceAccount":"default","serviceAccountName":"default"}"#]],
    )
    .await;
}

#[tokio::test]
async fn priorities_are_numbers() {
    let plugin = priority::Priority { objects: objects() };
    let pod = |spec: Value| create("pods", "a", json!({"metadata": {"name": "p"}, "spec": spec}));
    check(&plugin, pod(json!({})), expect![[r#"{"preemptionPolicy":"PreemptLowerPriority","priority":0}"#]])
        .await;
    check(
        &plugin,
        pod(json!({"priorityClassName": "system-node-critical"})),
        expect![[r#"{"preemptionPolicy":"PreemptLowerPriority","priority":2000001000,"priorityClassName":"system-node-critical"}"#]],
    )
    .await;
    check(
        &plugin,
        pod(json!({"priorityClassName": "x"})),
        expect![[r#"pods "p" is forbidden: no PriorityClass with name x was found"#]],
    )
    .await;
    check(
        &plugin,
        pod(json!({"priority": 5})),
        expect![[r#"pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name"#]],
    )
    .await;
}

#[tokio::test]
async fn tolerations_taints_and_classes_are_defaulted() {
    let own = json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists"}]);
    check(
        &tolerations::DefaultTolerationSeconds,
        create("pods", "a", json!({"spec": {"tolerations": own}})),
        expect![[r#"{"tolerations":[{"key":"node.kubernetes.io/unreachable","operator":"Exists"},{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300}]}"#]],
    )
    .await;
    check(
        &taint_nodes::TaintNodesByCondition,
        create("nodes", "", json!({"metadata": {"name": "n"}})),
        expect![[r#"{"taints":[{"effect":"NoSchedule","key":"node.kubernetes.io/not-ready"}]}"#]],
    )
    .await;
    let plugin = DefaultClass { objects: objects(), kind: STORAGE };
    check(
        &plugin,
        create("persistentvolumeclaims", "a", json!({"spec": {}})),
        expect![[r#"{"storageClassName":"new"}"#]],
    )
    .await;
    check(
        &plugin,
        create("persistentvolumeclaims", "a", json!({"spec": {"storageClassName": ""}})),
        expect![[r#"{"storageClassName":""}"#]],
    )
    .await;
}

#[tokio::test]
async fn nodes_write_what_is_theirs() {
    let plugin = node_restriction::NodeRestriction { objects: objects() };
    check(
        &plugin,
        node_creates("pods", "a", json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1"}})),
        expect![[r#"pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods"#]],
    )
    .await;
    check(
        &plugin,
        node_creates("nodes", "", json!({"metadata": {"name": "n2"}})),
        expect![[r#"nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2""#]],
    )
    .await;
    let labels =
        json!({"kubernetes.io/hostname": "n1", "mine": "1", "node-role.kubernetes.io/control-plane": ""});
    check(
        &plugin,
        node_creates("nodes", "", json!({"metadata": {"name": "n1", "labels": labels}})),
        expect![[r#"nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-role.kubernetes.io/control-plane"#]],
    )
    .await;
    let token = |uid: &str| json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}}});
    let request = |uid| Request {
        subresource: "token".into(),
        name: "default".into(),
        ..node_creates("serviceaccounts", "a", token(uid))
    };
    check(
        &plugin,
        request("1"),
        expect![[r#"{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"p","uid":"1"}}"#]],
    )
    .await;
    check(
        &plugin,
        request(""),
        expect![[
            r#"serviceaccounts "default" is forbidden: node requested token with a pod binding without a uid"#
        ]],
    )
    .await;
}

#[tokio::test]
async fn limit_ranges_fill_in_and_bound() {
    let memory = Memory::default();
    let limit = json!({
        "type": "Container",
        "default": {"memory": "64Mi"}, "defaultRequest": {"memory": "32Mi"},
        "max": {"memory": "128Mi"}, "min": {"memory": "16Mi"}, "maxLimitRequestRatio": {"memory": "2"},
    });
    memory.put(
        "",
        "limitranges",
        json!({"metadata": {"namespace": "a", "name": "l"}, "spec": {"limits": [limit]}}),
    );
    let plugin = limit_ranger::LimitRanger { objects: Arc::new(memory) };
    let pod = |resources: Value| {
        let containers = json!([{"name": "c", "resources": resources}]);
        create("pods", "a", json!({"metadata": {"name": "p"}, "spec": {"containers": containers}}))
    };
    check(
        &plugin,
        pod(json!({})),
        expect![[r#"{"containers":[{"name":"c","resources":{"limits":{"memory":"64Mi"},"requests":{"memory":"32Mi"}}}]}"#]],
    )
    .await;
    let validate =
        async |resources| plugin.validate(&pod(resources)).await.map_err(|error| error.to_string());
    assert!(validate(json!({"requests": {"memory": "40Mi"}, "limits": {"memory": "64Mi"}})).await.is_ok());
    expect![[r#"pods "p" is forbidden: [minimum memory usage per Container is 16Mi, but request is 8Mi, maximum memory usage per Container is 128Mi, but limit is 1Gi, memory max limit to request ratio per Container is 2, but provided ratio is 128.000000]"#]]
        .assert_eq(&validate(json!({"requests": {"memory": "8Mi"}, "limits": {"memory": "1Gi"}})).await.unwrap_err());
    expect![[r#"pods "p" is forbidden: [minimum memory usage per Container is 16Mi.  No request is specified, maximum memory usage per Container is 128Mi.  No limit is specified, memory max limit to request ratio per Container is 2, but no request is specified or request is 0]"#]]
        .assert_eq(&validate(json!({})).await.unwrap_err());
}
