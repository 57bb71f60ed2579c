use super::*;
use expect_test::{Expect, expect};

fn check(columns: &[Column], object: Value, want: Expect) {
    let now = "2026-01-01T01:00:00Z".parse().expect("a time");
    let table = render(columns, &[&object], json!({}), Include::None, now);
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let cells: Vec<String> = table["rows"][0]["cells"].as_array().expect("cells").iter().map(text).collect();
    want.assert_eq(&format!("{}\n{}", names.join(" | "), cells.join(" | ")));
}

const CREATED: &str = "2026-01-01T00:50:00Z";

#[test]
fn built_in() {
    check(
        &columns("core/v1", "services"),
        json!({"metadata": {"name": "web", "creationTimestamp": CREATED}, "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}], "selector": {"app": "web"}}}),
        expect![[r#"
            Name | Type | Cluster-IP | External-IP | Port(s) | Age | Selector
            web | NodePort | 10.96.0.9 | <none> | 80:30080/TCP | 10m | app=web"#]],
    );
    check(
        &columns("apps/v1", "deployments"),
        json!({"metadata": {"name": "web", "creationTimestamp": CREATED}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": [{"name": "a", "image": "i"}]}}}, "status": {"readyReplicas": 2}}),
        expect![[r#"
            Name | Ready | Up-to-date | Available | Age | Containers | Images | Selector
            web | 2/3 | 0 | 0 | 10m | a | i | app=web"#]],
    );
    check(
        &columns("core/v1", "nodes"),
        json!({"metadata": {"name": "n", "creationTimestamp": CREATED, "labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.36.0"}}}),
        expect![[r#"
            Name | Status | Roles | Age | Version | Internal-IP | External-IP | OS-Image | Kernel-Version | Container-Runtime
            n | Ready,SchedulingDisabled | control-plane | 10m | v1.36.0 | <none> | <none> | <unknown> | <unknown> | <unknown>"#]],
    );
    check(
        &columns("core/v1", "events"),
        json!({"metadata": {"name": "e"}, "type": "Normal", "reason": "Started", "message": "m ", "involvedObject": {"kind": "Pod", "name": "p"}, "source": {"component": "kubelet", "host": "n"}, "lastTimestamp": CREATED, "firstTimestamp": CREATED, "count": 2}),
        expect![[r#"
            Last Seen | Type | Reason | Object | Subobject | Source | Message | First Seen | Count | Name
            10m | Normal | Started | pod/p |  | kubelet, n | m | 10m | 2 | e"#]],
    );
    check(
        &columns("core/v1", "limitranges"),
        json!({"metadata": {"name": "l", "creationTimestamp": CREATED}}),
        expect![[r#"
            Name | Created At
            l | 2026-01-01T00:50:00Z"#]],
    );
}

#[test]
fn custom() {
    check(
        &custom_columns(&[]),
        json!({"metadata": {"name": "c", "creationTimestamp": CREATED}}),
        expect![[r#"
            Name | Age
            c | 10m"#]],
    );
    check(
        &custom_columns(&[
            json!({"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"}),
            json!({"name": "N", "type": "integer", "jsonPath": ".spec['n']"}),
        ]),
        json!({"metadata": {"name": "c"}, "spec": {"n": 3}, "status": {"conditions": [{"type": "A", "status": "x"}, {"type": "Ready", "status": "True"}]}}),
        expect![[r#"
            Name | Ready | N
            c | True | 3"#]],
    );
}
