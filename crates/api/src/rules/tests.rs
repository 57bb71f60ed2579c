//! What the overlay covers: these lists change when a kind gains or loses rules.

use super::*;
use expect_test::{Expect, expect};

/// The built-in resources for which `wanted` holds, a line a version.
fn check(wanted: impl Fn(ResourceRef<'_>) -> bool, want: Expect) {
    let schema = Schema::builtin();
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for resource in schema.resources() {
        let resource = ResourceRef { schema, resource };
        if !wanted(resource) {
            continue;
        }
        let version = resource.resource.api_version();
        match lines.last_mut().filter(|(last, _)| *last == version) {
            Some((_, names)) => names.push(&resource.resource.plural),
            None => lines.push((version, vec![&resource.resource.plural])),
        }
    }
    let lines: Vec<String> =
        lines.iter().map(|(version, names)| format!("{version}: {}", names.join(" "))).collect();
    want.assert_eq(&lines.join("\n"));
}

fn has_checks(resource: ResourceRef<'_>) -> bool {
    !checks_of(&resource.object().get().package, &resource.resource.kind).is_empty()
}

#[test]
fn resources_without_checks_of_their_own() {
    check(
        |resource| !has_checks(resource),
        expect![[r#"
            admissionregistration.k8s.io/v1: mutatingadmissionpolicies
            admissionregistration.k8s.io/v1alpha1: mutatingadmissionpolicies mutatingadmissionpolicybindings
            admissionregistration.k8s.io/v1beta1: mutatingadmissionpolicies mutatingadmissionpolicybindings
            internal.apiserver.k8s.io/v1alpha1: storageversions
            authentication.k8s.io/v1: selfsubjectreviews tokenreviews
            authorization.k8s.io/v1: localsubjectaccessreviews selfsubjectaccessreviews selfsubjectrulesreviews subjectaccessreviews
            certificates.k8s.io/v1alpha1: clustertrustbundles
            certificates.k8s.io/v1beta1: clustertrustbundles podcertificaterequests
            coordination.k8s.io/v1alpha2: leasecandidates
            coordination.k8s.io/v1beta1: leasecandidates
            v1: componentstatuses serviceaccounts
            flowcontrol.apiserver.k8s.io/v1: flowschemas prioritylevelconfigurations
            metrics.k8s.io/v1beta1: nodes pods
            networking.k8s.io/v1beta1: ipaddresses servicecidrs
            resource.k8s.io/v1: deviceclasses resourceclaims resourceclaimtemplates resourceslices
            resource.k8s.io/v1alpha3: devicetaintrules resourcepoolstatusrequests
            resource.k8s.io/v1beta1: deviceclasses resourceclaims resourceclaimtemplates resourceslices
            resource.k8s.io/v1beta2: deviceclasses devicetaintrules resourceclaims resourceclaimtemplates resourceslices
            scheduling.k8s.io/v1alpha2: podgroups workloads
            storage.k8s.io/v1: csistoragecapacities volumeattributesclasses
            storage.k8s.io/v1beta1: volumeattributesclasses
            storagemigration.k8s.io/v1beta1: storageversionmigrations"#]],
    );
}

#[test]
fn resources_with_checks() {
    check(
        has_checks,
        expect![[r#"
        admissionregistration.k8s.io/v1: mutatingadmissionpolicybindings mutatingwebhookconfigurations validatingadmissionpolicies validatingadmissionpolicybindings validatingwebhookconfigurations
        apiextensions.k8s.io/v1: customresourcedefinitions
        apiregistration.k8s.io/v1: apiservices
        apps/v1: controllerrevisions daemonsets deployments replicasets statefulsets
        autoscaling/v1: horizontalpodautoscalers
        autoscaling/v2: horizontalpodautoscalers
        batch/v1: cronjobs jobs
        certificates.k8s.io/v1: certificatesigningrequests
        coordination.k8s.io/v1: leases
        v1: bindings configmaps endpoints events limitranges namespaces nodes persistentvolumeclaims persistentvolumes pods podtemplates replicationcontrollers resourcequotas secrets services
        discovery.k8s.io/v1: endpointslices
        events.k8s.io/v1: events
        networking.k8s.io/v1: ingressclasses ingresses ipaddresses networkpolicies servicecidrs
        node.k8s.io/v1: runtimeclasses
        policy/v1: poddisruptionbudgets
        rbac.authorization.k8s.io/v1: clusterrolebindings clusterroles rolebindings roles
        scheduling.k8s.io/v1: priorityclasses
        storage.k8s.io/v1: csidrivers csinodes storageclasses volumeattachments"#]],
    );
}

#[test]
fn resources_with_default_columns() {
    check(
        |resource| of(resource).is_none_or(|rules| rules.columns.is_empty()),
        expect![[r#"
            apiextensions.k8s.io/v1: customresourcedefinitions
            authentication.k8s.io/v1: selfsubjectreviews tokenreviews
            authorization.k8s.io/v1: localsubjectaccessreviews selfsubjectaccessreviews selfsubjectrulesreviews subjectaccessreviews
            v1: bindings limitranges
            rbac.authorization.k8s.io/v1: clusterroles roles
            resource.k8s.io/v1alpha3: devicetaintrules resourcepoolstatusrequests
            resource.k8s.io/v1beta2: devicetaintrules
            scheduling.k8s.io/v1alpha2: podgroups workloads
            storagemigration.k8s.io/v1beta1: storageversionmigrations"#]],
    );
}

#[test]
fn resources_with_short_names() {
    check(
        |resource| of(resource).is_some_and(|rules| !rules.short_names.is_empty()),
        expect![[r#"
        apiextensions.k8s.io/v1: customresourcedefinitions
        apps/v1: daemonsets deployments replicasets statefulsets
        autoscaling/v1: horizontalpodautoscalers
        autoscaling/v2: horizontalpodautoscalers
        batch/v1: cronjobs
        certificates.k8s.io/v1: certificatesigningrequests
        v1: componentstatuses configmaps endpoints events limitranges namespaces nodes persistentvolumeclaims persistentvolumes pods replicationcontrollers resourcequotas serviceaccounts services
        events.k8s.io/v1: events
        networking.k8s.io/v1: ingresses ipaddresses networkpolicies
        networking.k8s.io/v1beta1: ipaddresses
        policy/v1: poddisruptionbudgets
        scheduling.k8s.io/v1: priorityclasses
        storage.k8s.io/v1: storageclasses volumeattributesclasses
        storage.k8s.io/v1beta1: volumeattributesclasses"#]],
    );
}

#[test]
fn resources_in_all() {
    check(
        |resource| of(resource).is_some_and(|rules| rules.categories.contains(&"all")),
        expect![[r#"
        apps/v1: daemonsets deployments replicasets statefulsets
        autoscaling/v1: horizontalpodautoscalers
        autoscaling/v2: horizontalpodautoscalers
        batch/v1: cronjobs jobs
        v1: pods replicationcontrollers services"#]],
    );
}

#[test]
fn resources_with_selectable_fields() {
    check(
        |resource| of(resource).is_some_and(|rules| !rules.selectable.is_empty()),
        expect![[r#"
        apps/v1: replicasets
        batch/v1: jobs
        certificates.k8s.io/v1: certificatesigningrequests
        certificates.k8s.io/v1alpha1: clustertrustbundles
        certificates.k8s.io/v1beta1: clustertrustbundles podcertificaterequests
        v1: events namespaces nodes persistentvolumeclaims persistentvolumes pods replicationcontrollers secrets services
        events.k8s.io/v1: events
        resource.k8s.io/v1: resourceslices
        resource.k8s.io/v1beta1: resourceslices
        resource.k8s.io/v1beta2: resourceslices"#]],
    );
}

/// A statement about a resource that its description does not have would never be seen.
#[test]
fn every_resource_is_described() {
    for package in PACKAGES {
        for rules in package.resources {
            let described = Schema::builtin().resources().iter().any(|resource| {
                resource.plural == rules.plural
                    && Schema::builtin().type_ref(resource.type_id).get().package == package.package
            });
            assert!(described, "{} has no {}", package.package, rules.plural);
        }
    }
}
