//! Carries out: one transaction for each change, and what follows from it for connections that are there.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;

use linux::net::conntrack;
use linux::net::nft::{Batch, Family, Live, Table};

use crate::desired::{Change, Desired};
use crate::layout::AFFINITY;

/// One family's table in the kernel.
pub struct Kernel {
    table: Table,
    /// Whether the table holds what it was last told.
    in_step: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("cannot read table {table}")]
    Read { table: String, source: io::Error },
    #[error("cannot change table {table}")]
    Change { table: String, source: io::Error },
    #[error("cannot forget clients of endpoints that are gone")]
    Affinity(#[source] io::Error),
    #[error("cannot forget datagram flows")]
    Datagrams(#[source] io::Error),
}

const UDP: u8 = 17;

impl Kernel {
    pub fn new(family: Family, name: String) -> Self {
        Self { table: Table { family, name }, in_step: false }
    }

    /// Makes the table what is desired; blocks. The first time it takes over whatever an earlier process left.
    ///
    /// # Errors
    /// The kernel refuses; the next call starts from what is there.
    pub fn sync(&mut self, desired: &mut Desired) -> Result<(), KernelError> {
        let change = desired.take_change();
        let whole = !self.in_step || !self.change(desired, &change);
        if whole {
            self.in_step = false;
            self.adopt(desired)?;
            self.in_step = true;
        }
        if (whole || change.affinity) && desired.has_affinity() {
            self.forget_clients(desired).map_err(KernelError::Affinity)?;
        }
        if whole || change.datagrams {
            forget_datagrams(desired).map_err(KernelError::Datagrams)?;
        }
        Ok(())
    }

    /// False if the table was not what we thought: somebody else flushed it.
    fn change(&self, desired: &Desired, change: &Change) -> bool {
        let mut batch = Batch::new(&self.table);
        desired.write(change, &mut batch);
        match batch.apply() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(table = self.table.name, %error, "the table was changed by somebody else");
                false
            }
        }
    }

    fn adopt(&self, desired: &Desired) -> Result<(), KernelError> {
        let table = || self.table.name.clone();
        let live = Live::read(&self.table).map_err(|source| KernelError::Read { table: table(), source })?;
        let mut batch = Batch::new(&self.table);
        batch.add_table();
        live.change_to(&desired.ruleset(), &mut batch);
        batch.apply().map_err(|source| KernelError::Change { table: table(), source })
    }

    /// Clients whose endpoint left choose again.
    fn forget_clients(&self, desired: &Desired) -> io::Result<()> {
        let clients = self.table.elements(AFFINITY)?;
        for (key, _) in clients.iter().filter(|(key, endpoint)| !desired.may_keep(key, endpoint)) {
            let mut batch = Batch::new(&self.table);
            batch.delete_elements(AFFINITY, [key]);
            match batch.apply() {
                // Its time ran out meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }
}

/// Nothing ends a flow of datagrams to an endpoint that has gone but forgetting it.
///
/// Upstream: pkg/proxy/conntrack/cleanup.go, `CleanStaleEntries`.
fn forget_datagrams(desired: &Desired) -> io::Result<()> {
    let mut allowed: HashMap<(IpAddr, u16), HashSet<(IpAddr, u16)>> = HashMap::new();
    for datagrams in desired.datagrams() {
        for frontend in &datagrams.frontends {
            allowed.entry(*frontend).or_default().extend(&datagrams.endpoints);
        }
    }
    if allowed.is_empty() {
        return Ok(());
    }
    for flow in conntrack::flows(desired.family())?.iter().filter(|flow| flow.protocol == UDP) {
        let asked = (flow.original.destination, flow.original.destination_port);
        let answers = (flow.reply.source, flow.reply.source_port);
        if allowed.get(&asked).is_some_and(|endpoints| !endpoints.contains(&answers)) {
            flow.forget()?;
        }
    }
    Ok(())
}
