use serde_json::{Value, json};

use super::*;

fn of(resource: &str, object: Value) -> String {
    told(&usage("", resource, &object))
}

#[test]
fn what_objects_take() {
    assert_eq!(of("configmaps", json!({})), "configmaps=1,count/configmaps=1");
    assert_eq!(told(&usage("batch", "jobs", &json!({}))), "count/jobs.batch=1");
    let ports = json!([{"nodePort": 1}, {}]);
    assert_eq!(
        of(
            "services",
            json!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": ports}})
        ),
        "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1"
    );
    let claim = json!({"spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(
        of("persistentvolumeclaims", claim),
        "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
         fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi"
    );
}

#[test]
fn pods_take_what_runs_at_once_or_what_the_start_takes() {
    let asks = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": "2"}});
    let pod = json!({"spec": {
        "containers": [{"name": "a", "resources": asks("100m")}, {"name": "b", "resources": asks("200m")}],
        "initContainers": [
            {"name": "s", "restartPolicy": "Always", "resources": asks("50m")},
            {"name": "i", "resources": asks("500m")}],
        "overhead": {"cpu": "10m"},
    }});
    assert_eq!(of("pods", pod), "count/pods=1,cpu=560m,limits.cpu=6010m,pods=1,requests.cpu=560m");
    assert_eq!(of("pods", json!({"status": {"phase": "Failed"}})), "count/pods=1");
}

#[test]
fn quotas_have_scopes() {
    let check = |quota: Value, pod: Value| matches(&quota, "", "pods", &pod);
    let scoped = |scope: &str| json!({"spec": {"hard": {"pods": "1"}, "scopes": [scope]}});
    let bounded = json!({"spec": {"activeDeadlineSeconds": 5}});
    assert!(
        check(scoped("Terminating"), bounded.clone()) && !check(scoped("NotTerminating"), bounded.clone())
    );
    assert!(check(scoped("BestEffort"), bounded.clone()) && !check(scoped("NotBestEffort"), bounded));
    let terms = json!([{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]);
    let quota = json!({"spec": {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": terms}}});
    assert!(check(quota.clone(), json!({"spec": {"priorityClassName": "high"}})));
    assert!(!check(quota, json!({"spec": {"priorityClassName": "low"}})));
    assert!(!matches(&scoped("Terminating"), "", "services", &json!({})));
}

#[test]
fn quotas_of_compute_make_containers_speak() {
    let pod = json!({"spec": {"containers": [
        {"name": "a"}, {"name": "b", "resources": {"requests": {"memory": "1"}, "limits": {"cpu": "1"}}}]}});
    let hard = amounts(&json!({"limits.cpu": "1", "requests.memory": "1", "pods": "1"}));
    assert_eq!(missing(&hard, &pod).as_deref(), Some("limits.cpu for: a; requests.memory for: a"));
    assert_eq!(missing(&Amounts::new(), &pod), None);
}
