//! Addresses of Services: ClusterIPs and node ports, each held by one Service at a time.
//!
//! What is taken follows from the Services themselves, read at start; in between a [`Pool`] remembers it under a lock.
//! So there is no second record that a crash could leave out of step with the first. A [`Claim`] that is not kept
//! (a failed write, a dry run) gives back what it took.
//!
//! Upstream: pkg/registry/core/service/storage/alloc.go; ipallocator, portallocator.

mod pool;
mod service;

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use stdx::Random;

pub use pool::Pool;
use pool::Taken;

use crate::config::Config;
use crate::error::Result;
use crate::registry::Storage;

/// Hands out addresses. A clone shares them.
#[derive(Clone)]
pub struct Addresses {
    pool: Arc<Mutex<Pool>>,
    random: Random,
}

/// What a write has taken. Dropped without [`Claim::keep`], it is free again.
#[derive(Default)]
pub struct Claim {
    pool: Option<Arc<Mutex<Pool>>>,
    taken: Taken,
    /// What the old state held and the new one does not.
    left: Taken,
}

impl Addresses {
    pub fn new(config: &Config, random: Random) -> Self {
        let pool = Pool::new(config.service_network, config.node_ports);
        Self { pool: Arc::new(Mutex::new(pool)), random }
    }

    /// Marks what an existing Service holds.
    pub fn load(&self, service: &Value) {
        self.pool.lock().mark(&service::held(service));
    }

    /// Gives a new Service what it needs.
    ///
    /// # Errors
    /// 422 for an address that is taken or out of range.
    pub fn claim_new(&self, storage: &Storage, object: &mut Value, dry_run: bool) -> Result<Claim> {
        if !storage.is("", "services") {
            return Ok(Claim::default());
        }
        let mut claim = self.claim();
        let mut pool = self.pool.lock();
        let assigned = service::assign(object, None, &mut pool, &self.random, &mut claim.taken);
        self.finish(pool, claim, assigned, object, storage, dry_run)
    }

    /// Carries over what the old state held, and gives what is new.
    ///
    /// # Errors
    /// 422 for an address that is taken or out of range.
    pub fn claim_changed(
        &self,
        storage: &Storage,
        object: &mut Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<Claim> {
        if !storage.is("", "services") {
            return Ok(Claim::default());
        }
        let mut claim = self.claim();
        service::carry_over(object, old);
        let mut pool = self.pool.lock();
        let assigned = service::assign(object, Some(old), &mut pool, &self.random, &mut claim.taken);
        claim.left = service::held(old).without(&service::held(object));
        self.finish(pool, claim, assigned, object, storage, dry_run)
    }

    fn finish(
        &self,
        mut pool: parking_lot::MutexGuard<'_, Pool>,
        mut claim: Claim,
        assigned: std::result::Result<(), service::Problem>,
        object: &Value,
        storage: &Storage,
        dry_run: bool,
    ) -> Result<Claim> {
        if assigned.is_err() || dry_run {
            pool.release(&std::mem::take(&mut claim.taken));
        }
        drop(pool);
        assigned.map_err(|problem| problem.into_error(storage, object))?;
        Ok(if dry_run { Claim::default() } else { claim })
    }

    /// A Service is gone.
    pub fn release(&self, storage: &Storage, object: &Value) {
        if storage.is("", "services") {
            self.pool.lock().release(&service::held(object));
        }
    }

    fn claim(&self) -> Claim {
        Claim { pool: Some(self.pool.clone()), taken: Taken::default(), left: Taken::default() }
    }
}

impl Claim {
    /// The write is done: the new addresses stay, those that it let go are free.
    pub fn keep(mut self) {
        self.taken = Taken::default();
        if let Some(pool) = &self.pool {
            pool.lock().release(&self.left);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool
            && !self.taken.is_empty()
        {
            pool.lock().release(&self.taken);
        }
    }
}
