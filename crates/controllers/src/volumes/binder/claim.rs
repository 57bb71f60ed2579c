//! A claim: which volume it gets, or what it waits for.

use std::sync::Arc;

use async_trait::async_trait;
use claims::{Ground, annotations};
use client::{BoxError, EventType, Key, Next, Reconcile, reference};
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, PersistentVolumeStatus,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::PostParams;

use super::World;
use crate::context::Context;
use crate::pods;
use crate::volumes::{BY_CLAIM, volume_name};

pub(super) struct Reconciler {
    pub context: Context,
    pub world: World,
}

/// What is said about a claim.
#[derive(Debug, PartialEq)]
struct Say(EventType, &'static str, String);

#[derive(Debug)]
enum Plan {
    Bind(Arc<PersistentVolume>),
    /// Stays pending.
    Wait(Option<Say>),
    /// Names no class; this is the default one now.
    AssignClass(String),
    /// Asks this provisioner.
    Provision(String),
    Lost(Say),
}

/// What a plan is made from.
struct View<'a> {
    claim: &'a PersistentVolumeClaim,
    volumes: &'a [Arc<PersistentVolume>],
    classes: &'a [Arc<StorageClass>],
    /// Pods that use the claim and have no node.
    waiting: Vec<String>,
}

fn annotation<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(name).map(String::as_str)
}

impl View<'_> {
    fn plan(&self) -> Plan {
        let named = volume_name(self.claim);
        if annotation(&self.claim.metadata, annotations::BIND_COMPLETED).is_some() {
            return self.completed(named);
        }
        match named {
            Some(name) => self.by_name(name),
            None => self.search(),
        }
    }

    fn volume(&self, name: &str) -> Option<&Arc<PersistentVolume>> {
        self.volumes.iter().find(|volume| volume.metadata.name.as_deref() == Some(name))
    }

    /// Was bound: is what it was bound to still there, and its own?
    fn completed(&self, named: Option<&str>) -> Plan {
        let lost = |reason, message: &str| Plan::Lost(Say(EventType::Warning, reason, message.to_owned()));
        let Some(name) = named else {
            return lost(
                "ClaimLost",
                "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
            );
        };
        let Some(volume) = self.volume(name) else {
            return lost(
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            );
        };
        let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        if reference.is_none() || claims::is_bound_to(volume, self.claim) {
            return Plan::Bind(volume.clone());
        }
        lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
    }

    fn by_name(&self, name: &str) -> Plan {
        let Some(volume) = self.volume(name) else { return Plan::Wait(None) };
        let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
        if reference.is_none() {
            return match claims::misfit(volume, self.claim) {
                None => Plan::Bind(volume.clone()),
                Some(why) => Plan::Wait(Some(Say(
                    EventType::Warning,
                    "VolumeMismatch",
                    format!("Cannot bind to requested volume \"{name}\": {why}"),
                ))),
            };
        }
        if claims::is_bound_to(volume, self.claim) {
            return Plan::Bind(volume.clone());
        }
        let message = format!("volume \"{name}\" already bound to a different claim.");
        Plan::Wait(Some(Say(EventType::Warning, "FailedBinding", message)))
    }

    fn search(&self) -> Plan {
        let class_name = claims::of_claim(self.claim);
        let class = class_name
            .and_then(|name| self.classes.iter().find(|class| class.metadata.name.as_deref() == Some(name)));
        let delayed = class.is_some_and(|class| claims::is_delayed(class));
        let ground = if delayed { Ground::Later } else { Ground::Any };
        if let Some(volume) = claims::best(self.volumes, self.claim, ground) {
            return Plan::Bind(volume.clone());
        }
        let Some(class_name) = class_name else {
            let default = claims::default_class(self.classes).and_then(|class| class.metadata.name.clone());
            return default.map_or_else(nothing_available, Plan::AssignClass);
        };
        let chosen = annotation(&self.claim.metadata, annotations::SELECTED_NODE).is_some();
        match class {
            _ if class_name.is_empty() => nothing_available(),
            None => failed(format!("storageclass.storage.k8s.io \"{class_name}\" not found")),
            Some(_) if delayed && !chosen => self.first_consumer(),
            Some(class) if class.provisioner == "kubernetes.io/no-provisioner" => {
                failed("no volume plugin matched name: kubernetes.io/no-provisioner".to_owned())
            }
            Some(class) => Plan::Provision(class.provisioner.clone()),
        }
    }

    fn first_consumer(&self) -> Plan {
        let (reason, message) = match self.waiting.as_slice() {
            [] => {
                ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned())
            }
            [pod] => ("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
            pods => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
        };
        Plan::Wait(Some(Say(EventType::Normal, reason, message)))
    }
}

fn nothing_available() -> Plan {
    let message = "no persistent volumes available for this claim and no storage class is set";
    Plan::Wait(Some(Say(EventType::Normal, "FailedBinding", message.to_owned())))
}

fn failed(message: String) -> Plan {
    Plan::Wait(Some(Say(EventType::Warning, "ProvisioningFailed", message)))
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(claim) = self.world.claims.get(key) else { return Ok(Next::AwaitChange) };
        let using = self.world.pods.by_index(BY_CLAIM, &key.to_string());
        let waits = using.iter().filter(|pod| pods::node_name(pod).is_none() && !pods::is_finished(pod));
        let plan = View {
            claim: &claim,
            volumes: &self.world.volumes.list(),
            classes: &self.world.classes.list(),
            waiting: waits.filter_map(|pod| pod.metadata.name.clone()).collect(),
        }
        .plan();
        self.carry_out(&claim, plan).await?;
        Ok(Next::AwaitChange)
    }
}

impl Reconciler {
    async fn carry_out(&self, claim: &PersistentVolumeClaim, plan: Plan) -> kube::Result<()> {
        match plan {
            Plan::Bind(volume) => self.bind(claim, &volume).await,
            Plan::Wait(say) => {
                self.say(claim, say);
                self.set_status(claim, "Pending", None).await
            }
            Plan::AssignClass(name) => {
                let mut claim = claim.clone();
                claim.spec.get_or_insert_default().storage_class_name = Some(name);
                self.replace(&claim).await.map(drop)
            }
            Plan::Provision(provisioner) => self.provision(claim, &provisioner).await,
            Plan::Lost(say) => {
                let lost = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost");
                if !lost {
                    self.say(claim, Some(say));
                }
                self.set_status(claim, "Lost", None).await
            }
        }
    }

    fn say(&self, claim: &PersistentVolumeClaim, say: Option<Say>) {
        if let Some(Say(kind, reason, message)) = say {
            self.context.recorder.event(&reference(claim), kind, reason, message);
        }
    }

    fn api(&self, claim: &PersistentVolumeClaim) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.context.client.clone(), claim.metadata.namespace.as_deref().unwrap_or_default())
    }

    async fn replace(&self, claim: &PersistentVolumeClaim) -> kube::Result<PersistentVolumeClaim> {
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        self.api(claim).replace(name, &PostParams::default(), claim).await
    }

    async fn provision(&self, claim: &PersistentVolumeClaim, provisioner: &str) -> kube::Result<()> {
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
             system administrator. If volume creation is delayed, please verify that the provisioner is running and \
             correctly registered."
        );
        if annotation(&claim.metadata, annotations::PROVISIONER) == Some(provisioner) {
            return self.set_status(claim, "Pending", None).await;
        }
        let mut asked = claim.clone();
        let marks = asked.metadata.annotations.get_or_insert_default();
        for mark in [annotations::PROVISIONER, annotations::PROVISIONER_BETA] {
            marks.insert(mark.to_owned(), provisioner.to_owned());
        }
        self.replace(&asked).await?;
        self.say(claim, Some(Say(EventType::Normal, "ExternalProvisioning", message)));
        Ok(())
    }

    /// Four writes, each of which a later look makes up for if it failed: the volume names the claim, is Bound, the
    /// claim names the volume, is Bound.
    async fn bind(&self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> kube::Result<()> {
        let volumes: Api<PersistentVolume> = Api::all(self.context.client.clone());
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        let mut current = volume.clone();
        if let Some(bound) = claims::bound_to(volume, claim) {
            current = volumes.replace(name, &PostParams::default(), &bound).await?;
        }
        if let Some(bound) = with_phase(&current, "Bound", None, self.now()) {
            volumes.replace_status(name, &PostParams::default(), &bound).await?;
        }
        let mut written = claim.clone();
        if let Some(bound) = naming(claim, name) {
            written = self.replace(&bound).await?;
        }
        self.set_status(&written, "Bound", Some(volume)).await
    }

    fn now(&self) -> Time {
        Time(self.context.clock.now())
    }

    async fn set_status(
        &self,
        claim: &PersistentVolumeClaim,
        phase: &str,
        volume: Option<&PersistentVolume>,
    ) -> kube::Result<()> {
        let mut changed = claim.clone();
        let status = changed.status.get_or_insert_default();
        let was_bound = status.phase.as_deref() == Some("Bound");
        status.phase = Some(phase.to_owned());
        fill_in(status, volume, was_bound);
        if changed == *claim {
            return Ok(());
        }
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        self.api(claim).replace_status(name, &PostParams::default(), &changed).await.map(drop)
    }
}

/// A bound claim has its volume's modes and, from the day that it was bound, its size; growing is another's work.
fn fill_in(status: &mut PersistentVolumeClaimStatus, volume: Option<&PersistentVolume>, was_bound: bool) {
    let Some(spec) = volume.and_then(|volume| volume.spec.as_ref()) else {
        status.access_modes = None;
        status.capacity = None;
        return;
    };
    status.access_modes.clone_from(&spec.access_modes);
    if !was_bound || status.capacity.is_none() {
        status.capacity.clone_from(&spec.capacity);
    }
}

/// The volume in another phase; none if it is in it already.
pub(super) fn with_phase(
    volume: &PersistentVolume,
    phase: &str,
    message: Option<(&str, String)>,
    now: Time,
) -> Option<PersistentVolume> {
    let old = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    if old == Some(phase) {
        return None;
    }
    let mut changed = volume.clone();
    let (reason, message) = message.map(|(reason, message)| (reason.to_owned(), message)).unzip();
    changed.status = Some(PersistentVolumeStatus {
        phase: Some(phase.to_owned()),
        last_phase_transition_time: Some(now),
        reason,
        message,
    });
    Some(changed)
}

/// The claim naming its volume; none if it does so completely.
fn naming(claim: &PersistentVolumeClaim, volume: &str) -> Option<PersistentVolumeClaim> {
    let mut bound = claim.clone();
    let marks = bound.metadata.annotations.get_or_insert_default();
    marks.insert(annotations::BIND_COMPLETED.to_owned(), "yes".to_owned());
    if volume_name(claim) != Some(volume) {
        marks.insert(annotations::BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
        bound.spec.get_or_insert_default().volume_name = Some(volume.to_owned());
    }
    (bound != *claim).then_some(bound)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn told(plan: Plan) -> String {
        match plan {
            Plan::Bind(volume) => format!("bind {}", volume.metadata.name.clone().unwrap_or_default()),
            Plan::Wait(None) => "wait".to_owned(),
            Plan::Wait(Some(Say(_, reason, message))) => format!("wait: {reason}: {message}"),
            Plan::AssignClass(name) => format!("class {name}"),
            Plan::Provision(provisioner) => format!("provision by {provisioner}"),
            Plan::Lost(Say(_, reason, message)) => format!("lost: {reason}: {message}"),
        }
    }

    fn class(name: &str, more: Value) -> Arc<StorageClass> {
        let mut value = json!({"metadata": {"name": name}, "provisioner": "example.com/p"});
        for (key, part) in more.as_object().expect("an object") {
            value[key] = part.clone();
        }
        Arc::new(serde_json::from_value(value).expect("a class"))
    }

    fn volume(name: &str, claim_ref: Value) -> Arc<PersistentVolume> {
        let mut value = json!({"metadata": {"name": name}, "status": {"phase": "Available"},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}});
        if !claim_ref.is_null() {
            value["spec"]["claimRef"] = claim_ref;
        }
        Arc::new(serde_json::from_value(value).expect("a volume"))
    }

    fn claim(annotations: Value, spec: Value) -> PersistentVolumeClaim {
        let mut value = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": annotations},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        for (key, part) in spec.as_object().expect("an object") {
            value["spec"][key] = part.clone();
        }
        serde_json::from_value(value).expect("a claim")
    }

    #[track_caller]
    fn check(
        claim: &PersistentVolumeClaim,
        volumes: &[Arc<PersistentVolume>],
        classes: &[Arc<StorageClass>],
        expected: Expect,
    ) {
        expected.assert_eq(&told(View { claim, volumes, classes, waiting: vec![] }.plan()));
    }

    #[test]
    fn finds_provisions_or_waits() {
        let plain = claim(json!({}), json!({}));
        check(&plain, &[volume("v", Value::Null)], &[], expect!["bind v"]);
        check(
            &plain,
            &[],
            &[],
            expect![
                "wait: FailedBinding: no persistent volumes available for this claim and no storage class is set"
            ],
        );
        let default = class(
            "d",
            json!({"metadata": {"name": "d",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}),
        );
        check(&plain, &[], &[default], expect!["class d"]);
        let of_class = claim(json!({}), json!({"storageClassName": "c"}));
        check(
            &of_class,
            &[],
            &[],
            expect![[r#"wait: ProvisioningFailed: storageclass.storage.k8s.io "c" not found"#]],
        );
        check(&of_class, &[], &[class("c", json!({}))], expect!["provision by example.com/p"]);
        let late = [class("c", json!({"volumeBindingMode": "WaitForFirstConsumer"}))];
        check(
            &of_class,
            &[],
            &late,
            expect!["wait: WaitForFirstConsumer: waiting for first consumer to be created before binding"],
        );
        let view = View { claim: &of_class, volumes: &[], classes: &late, waiting: vec!["w".to_owned()] };
        expect!["wait: WaitForPodScheduled: waiting for pod w to be scheduled"].assert_eq(&told(view.plan()));
        let chosen = claim(json!({annotations::SELECTED_NODE: "n"}), json!({"storageClassName": "c"}));
        check(&chosen, &[], &late, expect!["provision by example.com/p"]);
    }

    #[test]
    fn a_volume_by_name_and_a_lost_one() {
        let named = claim(json!({}), json!({"volumeName": "v"}));
        check(&named, &[], &[], expect!["wait"]);
        check(&named, &[volume("v", Value::Null)], &[], expect!["bind v"]);
        let other = volume("v", json!({"name": "q", "namespace": "n", "uid": "x"}));
        check(
            &named,
            std::slice::from_ref(&other),
            &[],
            expect![[r#"wait: FailedBinding: volume "v" already bound to a different claim."#]],
        );
        let bound = claim(json!({annotations::BIND_COMPLETED: "yes"}), json!({"volumeName": "v"}));
        check(
            &bound,
            &[],
            &[],
            expect![
                "lost: ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            ],
        );
        check(
            &bound,
            &[other],
            &[],
            expect![
                "lost: ClaimMisbound: Two claims are bound to the same volume, this one is bound incorrectly"
            ],
        );
        let big = claim(json!({}), json!({"volumeName": "v", "resources": {"requests": {"storage": "2Gi"}}}));
        check(
            &big,
            &[volume("v", Value::Null)],
            &[],
            expect![[
                r#"wait: VolumeMismatch: Cannot bind to requested volume "v": requested PV is too small"#
            ]],
        );
    }
}
