use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::policy::{Level, Policy, Standard, Version};
use super::{problems, violates};

fn check(level: Level, spec: Value, expected: Expect) {
    check_at(Standard { level, version: Version::Latest }, spec, expected);
}

fn check_at(standard: Standard, spec: Value, expected: Expect) {
    let found = problems(standard, &json!({}), &spec);
    let told = if found.is_empty() { String::new() } else { violates("violates", standard, &found) };
    expected.assert_eq(&told);
}

#[test]
fn a_plain_pod_is_baseline_and_not_restricted() {
    let plain = json!({"containers": [{"name": "p", "image": "i"}]});
    check(Level::Baseline, plain.clone(), expect![""]);
    check(
        Level::Restricted,
        plain,
        expect![[
            r#"violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "p" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "p" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "p" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "p" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#
        ]],
    );
}

#[test]
fn a_hardened_pod_is_restricted() {
    let hardened = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "a", "emptyDir": {}}],
        "containers": [{"name": "p", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}}],
    });
    check(Level::Restricted, hardened, expect![""]);
}

#[test]
fn everything_that_baseline_forbids() {
    let bad = json!({
        "hostNetwork": true, "hostPID": true,
        "securityContext": {
            "sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}],
            "seLinuxOptions": {"type": "x", "user": "u"},
            "seccompProfile": {"type": "Unconfined"},
            "windowsOptions": {"hostProcess": true},
        },
        "volumes": [{"name": "a", "hostPath": {"path": "/"}}, {"name": "b", "hostPath": {"path": "/"}}],
        "initContainers": [{"name": "i", "securityContext": {"privileged": true, "procMount": "Unmasked"}}],
        "containers": [{
            "name": "c", "ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81}],
            "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}},
            "livenessProbe": {"httpGet": {"host": "h"}},
        }],
    });
    check(
        Level::Baseline,
        bad,
        expect![[
            r#"violates PodSecurity "baseline:latest": non-default capabilities (container "c" must not include "SYS_ADMIN" in securityContext.capabilities.add), host namespaces (hostNetwork=true, hostPID=true), hostPath volumes (volumes "a", "b"), hostPort (container "c" uses hostPort 80), probe or lifecycle host (container "c" uses probe or lifecycle host "h"), privileged (containers "i", "c" must not set securityContext.privileged=true), procMount (container "i" must not set securityContext.procMount to "Unmasked"), seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "x"; user may not be set), seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined"), forbidden sysctls (kernel.msgmax), hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)"#
        ]],
    );
}

#[test]
fn older_versions_know_fewer_rules() {
    let spec = json!({
        "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem"}]},
        "containers": [{"name": "c", "livenessProbe": {"httpGet": {"host": "h"}}}],
    });
    let at = |minor| Standard { level: Level::Baseline, version: Version::Minor(minor) };
    check_at(
        at(31),
        spec.clone(),
        expect![[r#"violates PodSecurity "baseline:v1.31": forbidden sysctls (net.ipv4.tcp_rmem)"#]],
    );
    check_at(
        at(34),
        spec,
        expect![[
            r#"violates PodSecurity "baseline:v1.34": probe or lifecycle host (container "c" uses probe or lifecycle host "h")"#
        ]],
    );
}

#[test]
fn labels_say_the_policy() {
    let read = |labels: Value| {
        let (policy, errors) = Policy::read(&labels);
        format!("{} {} {errors:?}", policy.enforce, policy.warn)
    };
    let key = |name: &str| format!("pod-security.kubernetes.io/{name}");
    assert_eq!(read(json!({})), "privileged:latest privileged:latest []");
    assert_eq!(
        read(json!({key("enforce"): "restricted", key("enforce-version"): "v1.30"})),
        "restricted:v1.30 restricted:v1.30 []"
    );
    assert_eq!(
        read(json!({key("enforce"): "baseline", key("warn"): "restricted"})),
        "baseline:latest restricted:latest []"
    );
    expect![[r#"restricted:latest privileged:latest [("FieldValueInvalid", "Invalid value: \"strict\": must be one of privileged, baseline, restricted", "metadata.labels[pod-security.kubernetes.io/enforce]"), ("FieldValueInvalid", "Invalid value: \"1.2\": must be \"latest\" or \"v1.x\"", "metadata.labels[pod-security.kubernetes.io/warn-version]")]"#]].assert_eq(&read(json!({key("enforce"): "strict", key("warn-version"): "1.2"})));
}
