//! Tells which ranges Services get their addresses from, and keeps a range while addresses of it are in use.
//!
//! Upstream: pkg/controller/servicecidrs.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use client::{BoxError, Controller, Key, Next, Reconcile, Store};
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Api;
use kube::api::PostParams;

use crate::context::Context;

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
const READY: &str = "Ready";

struct Reconciler {
    context: Context,
    ranges: Store<ServiceCIDR>,
    addresses: Store<IPAddress>,
}

pub(crate) async fn start(context: Context) {
    let (ranges, addresses) = (context.hub.store::<ServiceCIDR>(), context.hub.store::<IPAddress>());
    if !(ranges.synced().await && addresses.synced().await) {
        return;
    }
    let all = ranges.clone();
    Controller::new("service-cidrs", &context.hub)
        .reconciles(&ranges)
        .watches(&addresses, move |_| {
            let leaving = all.list().into_iter().filter(|range| range.metadata.deletion_timestamp.is_some());
            leaving.map(|range| Key::of(&*range)).collect()
        })
        .workers(1)
        .run(Arc::new(Reconciler { context, ranges, addresses }));
}

/// Whether a CIDR holds an address. What is neither was refused when it was written.
fn holds(cidr: &str, address: IpAddr) -> bool {
    let Some((base, prefix)) = cidr.split_once('/') else { return false };
    let (Ok(base), Ok(prefix)) = (base.parse::<IpAddr>(), prefix.parse::<u32>()) else { return false };
    let same =
        |a: u128, b: u128, bits: u32| (a ^ b).checked_shr(bits.saturating_sub(prefix)).unwrap_or(0) == 0;
    match (base, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
        _ => false,
    }
}

fn cidrs(range: &ServiceCIDR) -> Vec<String> {
    range.spec.as_ref().and_then(|spec| spec.cidrs.clone()).unwrap_or_default()
}

/// Whether a range may go: every address of it is in another range too that stays.
fn may_go(range: &ServiceCIDR, others: &[Arc<ServiceCIDR>], addresses: &[IpAddr]) -> bool {
    let own = cidrs(range);
    let staying = others.iter().filter(|other| {
        other.metadata.name != range.metadata.name && other.metadata.deletion_timestamp.is_none()
    });
    let kept: Vec<String> = staying.flat_map(|other| cidrs(other)).collect();
    let within = |all: &[String], address: IpAddr| all.iter().any(|cidr| holds(cidr, address));
    addresses.iter().all(|address| !within(&own, *address) || within(&kept, *address))
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(&self, key: &Key) -> Result<Next, BoxError> {
        let Some(range) = self.ranges.get(key) else { return Ok(Next::AwaitChange) };
        let mine = range.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
        if range.metadata.deletion_timestamp.is_none() {
            if !mine {
                let mut kept = (*range).clone();
                kept.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
                self.write(key, &kept).await?;
                return Ok(Next::AwaitChange);
            }
            self.tell(key, &range, true, "", "Kubernetes Service CIDR is ready").await?;
            return Ok(Next::AwaitChange);
        }
        if !mine {
            return Ok(Next::AwaitChange);
        }
        // The name of an IPAddress is its address; validation sees to that.
        let name = |object: &Arc<IPAddress>| object.metadata.name.as_ref()?.parse().ok();
        let addresses: Vec<IpAddr> = self.addresses.list().iter().filter_map(name).collect();
        if !may_go(&range, &self.ranges.list(), &addresses) {
            let message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
            self.tell(key, &range, false, "Terminating", message).await?;
            return Ok(Next::AwaitChange);
        }
        let mut free = (*range).clone();
        free.metadata.finalizers.get_or_insert_default().retain(|finalizer| finalizer != FINALIZER);
        self.write(key, &free).await?;
        Ok(Next::AwaitChange)
    }
}

impl Reconciler {
    fn api(&self) -> Api<ServiceCIDR> {
        Api::all(self.context.client.clone())
    }

    async fn write(&self, key: &Key, range: &ServiceCIDR) -> kube::Result<()> {
        match self.api().replace(&key.name, &PostParams::default(), range).await {
            Err(error) if client::is_not_found(&error) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    async fn tell(
        &self,
        key: &Key,
        range: &ServiceCIDR,
        ready: bool,
        reason: &str,
        message: &str,
    ) -> kube::Result<()> {
        let status = if ready { "True" } else { "False" };
        let conditions =
            range.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        if conditions.iter().any(|c| c.type_ == READY && c.status == status && c.message == message) {
            return Ok(());
        }
        let mut changed = range.clone();
        let all = changed.status.get_or_insert_default().conditions.get_or_insert_default();
        all.retain(|condition| condition.type_ != READY);
        all.push(Condition {
            type_: READY.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: None,
            last_transition_time: Time(self.context.clock.now()),
        });
        match self.api().replace_status(&key.name, &PostParams::default(), &changed).await {
            Err(error) if client::is_not_found(&error) => Ok(()),
            result => result.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range(name: &str, cidr: &str, leaving: bool) -> Arc<ServiceCIDR> {
        let range = json!({"metadata": {"name": name, "deletionTimestamp": leaving.then_some("1970-01-01T00:00:00Z")}, "spec": {"cidrs": [cidr]}});
        Arc::new(serde_json::from_value(range).expect("a range"))
    }

    #[test]
    fn a_range_stays_while_only_it_holds_an_address() {
        let wide = range("wide", "10.96.0.0/12", false);
        let leaving = range("leaving", "10.96.0.0/16", true);
        let address = |text: &str| vec![text.parse::<IpAddr>().expect("an address")];
        assert!(may_go(&leaving, &[wide, leaving.clone()], &address("10.96.0.1")));
        assert!(!may_go(&leaving, std::slice::from_ref(&leaving), &address("10.96.0.1")));
        assert!(may_go(&leaving, std::slice::from_ref(&leaving), &address("10.97.0.1")));
        assert!(holds("fd00::/112", "fd00::1".parse().expect("an address")));
        assert!(!holds("10.0.0.0/8", "fd00::1".parse().expect("an address")));
    }
}
