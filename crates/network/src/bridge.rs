//! The built-in pod network: a bridge per node, a veth pair per pod, masquerade to the outside.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linux::net::nft::{Batch, Chain, Expr, Family, Hang, Hook, Live, Packet, Reg, Ruleset, Table};
use linux::net::{self, VethPair, with_links};
use parking_lot::Mutex;

use crate::addresses::Addresses;
use crate::cidr::Ipv4Cidr;
use crate::{Attachment, Error, Pod, PodNetwork};

/// What tells one cluster's network from another's on the same machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// `cni0`.
    pub bridge: String,
    /// Where addresses are kept.
    pub state: PathBuf,
    /// The nftables table; holds `dromon` in its name.
    pub table: String,
    pub mtu: u32,
}

/// Upstream's word for a runtime without a network.
const NOT_READY: &str = "Network plugin returns error: cni plugin not initialized";
const INTERFACE: &str = "eth0";

pub struct Bridge {
    config: Config,
    addresses: Mutex<Option<Arc<Addresses>>>,
}

fn failed<E>(step: impl Into<String>) -> impl FnOnce(E) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    let step = step.into();
    move |source| Error { step, source: Box::new(source) }
}

impl Bridge {
    pub fn new(config: Config) -> Self {
        Self { config, addresses: Mutex::new(None) }
    }

    fn addresses(&self) -> Option<Arc<Addresses>> {
        self.addresses.lock().clone()
    }

    /// Knows the range again without touching the machine: for giving back and checking what was given.
    pub(crate) fn resume(&self, range: Ipv4Cidr) -> Result<(), Error> {
        let addresses = Addresses::open(self.config.state.clone(), range)
            .map_err(failed("cannot set up pod addresses"))?;
        *self.addresses.lock() = Some(Arc::new(addresses));
        Ok(())
    }

    /// Fails unless the pod still has what [`PodNetwork::attach`] gave it.
    pub(crate) fn check(&self, pod: &Pod) -> Result<(), Error> {
        let lost = |what: &str| Error {
            step: format!("pod {}/{} is not connected", pod.namespace, pod.name),
            source: what.into(),
        };
        let addresses = self.addresses().ok_or_else(|| lost(NOT_READY))?;
        let address = addresses.of(&pod.sandbox_id).map_err(failed("cannot list pod addresses"))?;
        address.ok_or_else(|| lost("it has no address"))?;
        let connected = is_connected(&host_device(&pod.sandbox_id), &pod.netns);
        if connected.map_err(failed("cannot look at the pod's devices"))? {
            Ok(())
        } else {
            Err(lost("a device is missing"))
        }
    }

    /// Gives back what sandboxes that no longer live had: what a crash left behind.
    pub fn retain(&self, live: &HashSet<String>) -> Result<(), Error> {
        let Some(addresses) = self.addresses() else { return Ok(()) };
        let all = addresses.all().map_err(failed("cannot list pod addresses"))?;
        for (_, owner) in all.into_iter().filter(|(_, owner)| !live.contains(owner)) {
            release(&addresses, &owner)?;
        }
        Ok(())
    }

    /// Removes the bridge, its ports and the table; the addresses are forgotten with the state folder.
    pub fn teardown(config: &Config) -> Result<(), Error> {
        let bridge = config.bridge.clone();
        with_links(None, |links| async move {
            let Some(index) = links.index(&bridge).await? else { return Ok(()) };
            for port in links.ports(index).await? {
                links.delete(&port).await?;
            }
            links.delete(&bridge).await
        })
        .map_err(failed("cannot remove the pod network"))?;
        table(&config.table).remove().map_err(failed("cannot remove the nftables table"))
    }
}

#[async_trait::async_trait]
impl PodNetwork for Bridge {
    async fn attach(&self, pod: &Pod) -> Result<Attachment, Error> {
        let addresses = self
            .addresses()
            .ok_or_else(|| Error { step: "cannot connect the pod".into(), source: NOT_READY.into() })?;
        let (config, pod) = (self.config.clone(), pod.clone());
        let attached = tokio::task::spawn_blocking(move || attach(&config, &addresses, &pod));
        attached.await.map_err(failed("the pod network ended early"))?
    }

    async fn detach(&self, pod: &Pod) -> Result<(), Error> {
        let Some(addresses) = self.addresses() else { return Ok(()) };
        let id = pod.sandbox_id.clone();
        let detached = tokio::task::spawn_blocking(move || release(&addresses, &id));
        detached.await.map_err(failed("the pod network ended early"))?
    }

    fn not_ready(&self) -> Option<String> {
        self.addresses().is_none().then(|| NOT_READY.to_owned())
    }

    fn set_pod_cidr(&self, cidr: &str) -> Result<(), Error> {
        let range: Ipv4Cidr = cidr.parse().map_err(failed("cannot use the node's pod range"))?;
        let mut current = self.addresses.lock();
        if current.as_ref().is_some_and(|addresses| addresses.range() == range) {
            return Ok(());
        }
        let addresses = Addresses::open(self.config.state.clone(), range)
            .map_err(failed("cannot set up pod addresses"))?;
        set_up(&self.config, range)?;
        *current = Some(Arc::new(addresses));
        Ok(())
    }
}

fn set_up(config: &Config, range: Ipv4Cidr) -> Result<(), Error> {
    let (name, mtu, gateway) = (config.bridge.clone(), config.mtu, range.gateway());
    with_links(None, |links| async move {
        let index = links.add_bridge(&name, mtu, bridge_mac(range)).await?;
        links.add_address(index, IpAddr::V4(gateway), range.prefix()).await
    })
    .map_err(failed(format!("cannot set up bridge {}", config.bridge)))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").map_err(failed("cannot turn IP forwarding on"))?;
    masquerade(&table(&config.table), range).map_err(failed("cannot load the nftables rules"))
}

fn table(name: &str) -> Table {
    Table { family: Family::Ipv4, name: name.to_owned() }
}

/// Locally administered, and the same for the same range.
fn bridge_mac(range: Ipv4Cidr) -> [u8; 6] {
    let [a, b, c, d] = range.gateway().octets();
    [0x02, 0x42, a, b, c, d]
}

/// What leaves the pod range carries the node's address.
fn masquerade(table: &Table, range: Ipv4Cidr) -> std::io::Result<()> {
    let wanted = masquerade_rules(range);
    let live = Live::read(table)?;
    let mut batch = Batch::new(table);
    batch.add_table();
    live.change_to(&wanted, &mut batch);
    batch.apply()
}

fn masquerade_rules(range: Ipv4Cidr) -> Ruleset {
    const AT: Reg = Reg(0);
    let source = Expr::Load { from: Packet::Network, offset: 12, len: 4, to: AT };
    let destination = Expr::Load { from: Packet::Network, offset: 16, len: 4, to: AT };
    let mask = Expr::Mask { at: AT, mask: range.mask().to_be_bytes().to_vec() };
    let network = range.network().octets().to_vec();
    let rule = vec![
        source,
        mask.clone(),
        Expr::Equal { at: AT, value: network.clone() },
        destination.clone(),
        mask,
        Expr::NotEqual { at: AT, value: network },
        destination,
        Expr::Mask { at: AT, mask: vec![0xf0, 0, 0, 0] },
        Expr::NotEqual { at: AT, value: vec![0xe0, 0, 0, 0] },
        Expr::Masquerade,
    ];
    let hang = Some(Hang { kind: "nat", hook: Hook::Postrouting, priority: 100 });
    let chains = [("postrouting".to_owned(), Chain { hang, rules: vec![rule] })];
    Ruleset { chains: chains.into(), ..Ruleset::default() }
}

/// The host's end of a sandbox's pair: 15 letters at most.
fn host_device(sandbox: &str) -> String {
    let hash = sandbox
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("veth{:08x}", hash as u32 ^ (hash >> 32) as u32)
}

fn attach(config: &Config, addresses: &Addresses, pod: &Pod) -> Result<Attachment, Error> {
    let address = addresses.reserve(&pod.sandbox_id).map_err(failed("cannot reserve an address"))?;
    let range = addresses.range();
    let device = host_device(&pod.sandbox_id);
    let connected = connect(config, &device, &pod.netns, IpAddr::V4(address), range);
    if let Err(source) = connected {
        // Nothing half done stays; the release's own failure would only hide the cause.
        let _ = release(addresses, &pod.sandbox_id);
        return Err(Error {
            step: format!("cannot connect pod {}/{}", pod.namespace, pod.name),
            source: Box::new(source),
        });
    }
    Ok(Attachment { addresses: vec![IpAddr::V4(address)] })
}

fn connect(
    config: &Config,
    device: &str,
    netns: &Path,
    address: IpAddr,
    range: Ipv4Cidr,
) -> Result<(), net::Error> {
    let namespace =
        File::open(netns).map_err(|source| net::Error::Namespace { path: netns.to_owned(), source })?;
    if !add_pair(config, device, &namespace)? && !is_connected(device, netns)? {
        // Half of an earlier attempt: the peer is in a namespace that is gone.
        with_links(None, |links| async move { links.delete(device).await })?;
        if !add_pair(config, device, &namespace)? {
            return Err(net::Error::Taken { name: INTERFACE.into(), netns: netns.to_owned() });
        }
    }
    with_links(Some(netns), |links| async move {
        let loopback = links.require("lo").await?;
        links.up(loopback).await?;
        let own = links.require(INTERFACE).await?;
        links.add_address(own, address, range.prefix()).await?;
        links.up(own).await?;
        links.add_default_route(IpAddr::V4(range.gateway())).await
    })
}

/// False where one of the two devices is there already.
fn add_pair(config: &Config, device: &str, namespace: &File) -> Result<bool, net::Error> {
    with_links(None, |links| async move {
        let bridge = links.require(&config.bridge).await?;
        let netns = namespace.as_fd();
        let pair = VethPair { name: device, bridge, mtu: config.mtu, peer: INTERFACE, netns };
        let added = links.add_veth(&pair).await?;
        if added {
            let port = links.require(device).await?;
            links.set_hairpin(port).await?;
        }
        Ok(added)
    })
}

fn is_connected(device: &str, netns: &Path) -> Result<bool, net::Error> {
    let here = with_links(None, |links| async move { links.index(device).await })?;
    let there = with_links(Some(netns), |links| async move { links.index(INTERFACE).await })?;
    Ok(here.is_some() && there.is_some())
}

fn release(addresses: &Addresses, sandbox: &str) -> Result<(), Error> {
    let device = host_device(sandbox);
    with_links(None, |links| async move { links.delete(&device).await })
        .map_err(failed("cannot disconnect the pod"))?;
    addresses.release(sandbox).map_err(failed("cannot release the pod's address"))
}
