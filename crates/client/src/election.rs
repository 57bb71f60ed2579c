//! One leader among several copies of a component, by a Lease.
//!
//! Upstream: client-go/tools/leaderelection (15 s lease, 10 s to renew, every 2 s).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client};
use stdx::{Clock, Shutdown, error_chain};

use crate::is_conflict;

const LEASE: Duration = Duration::from_secs(15);
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);

/// Why the lead ended other than by shutdown.
#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    #[error("lost the lease {lease}")]
    Lost { lease: String },
}

/// A candidate.
pub struct LeaderElection {
    api: Api<Lease>,
    lease: String,
    identity: String,
    clock: Clock,
    /// The holder's last renewal as we saw it, by our own clock: other machines' clocks are not trusted.
    seen: Option<(LeaseSpec, Duration)>,
}

impl LeaderElection {
    /// `lease` is the name of the Lease in kube-system, `identity` must differ between candidates.
    pub fn new(client: Client, lease: &str, identity: &str, clock: Clock) -> Self {
        Self {
            api: Api::namespaced(client, "kube-system"),
            lease: lease.to_owned(),
            identity: identity.to_owned(),
            clock,
            seen: None,
        }
    }

    /// Returns once this candidate leads, or on shutdown (false).
    pub async fn acquire(&mut self, shutdown: &Shutdown) -> bool {
        while !shutdown.is_triggered() {
            match self.try_hold().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(lease = self.lease, error = error_chain(&error), "lease not acquired");
                }
            }
            tokio::select! {
                () = shutdown.wait() => {}
                () = self.clock.sleep(RETRY) => {}
            }
        }
        false
    }

    /// Keeps the lease until shutdown, then releases it.
    ///
    /// # Errors
    /// The lease was lost: whatever this leader does must stop.
    pub async fn hold(&mut self, shutdown: &Shutdown) -> Result<(), ElectionError> {
        let mut renewed = self.clock.monotonic();
        loop {
            tokio::select! {
                () = shutdown.wait() => return { self.release().await; Ok(()) },
                () = self.clock.sleep(RETRY) => {}
            }
            if matches!(self.try_hold().await, Ok(true)) {
                renewed = self.clock.monotonic();
            } else if self.clock.monotonic().saturating_sub(renewed) > RENEW_DEADLINE {
                return Err(ElectionError::Lost { lease: self.lease.clone() });
            }
        }
    }

    async fn try_hold(&mut self) -> kube::Result<bool> {
        let now = self.clock.now();
        let Some(mut lease) = self.api.get_opt(&self.lease).await? else {
            return won(self.api.create(&PostParams::default(), &self.first(now)).await.map(|_| ()));
        };
        let spec = lease.spec.take().unwrap_or_default();
        if !self.may_take(&spec) {
            return Ok(false);
        }
        lease.spec = Some(self.claim(spec, now));
        won(self.api.replace(&self.lease, &PostParams::default(), &lease).await.map(|_| ()))
    }

    /// Ours, nobody's, or not renewed for a whole lease while we looked on.
    fn may_take(&mut self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        let now = self.clock.monotonic();
        let length = spec.lease_duration_seconds.map_or(LEASE, |s| Duration::from_secs(s.max(0) as u64));
        match &self.seen {
            Some((seen, at)) if seen == spec => now.saturating_sub(*at) > length,
            _ => {
                self.seen = Some((spec.clone(), now));
                false
            }
        }
    }

    fn first(&self, now: Timestamp) -> Lease {
        let metadata = ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() };
        Lease { metadata, spec: Some(self.claim(LeaseSpec::default(), now)) }
    }

    fn claim(&self, mut spec: LeaseSpec, now: Timestamp) -> LeaseSpec {
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            let first = spec.holder_identity.is_none();
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + i32::from(!first));
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(LEASE.as_secs() as i32);
        spec.renew_time = Some(MicroTime(now));
        spec
    }

    /// Lets the next candidate start at once. A failure only makes it wait.
    async fn release(&self) {
        let released = async {
            let mut lease = self.api.get(&self.lease).await?;
            if let Some(spec) = &mut lease.spec {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
            }
            self.api.replace(&self.lease, &PostParams::default(), &lease).await
        };
        if let Err(error) = released.await {
            tracing::debug!(lease = self.lease, error = error_chain(&error), "lease not released");
        }
    }
}

/// Another candidate was faster: not an error.
fn won(result: kube::Result<()>) -> kube::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
