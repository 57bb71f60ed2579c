//! Network devices, addresses and routes over netlink, here or in another network namespace.

pub mod conntrack;
mod netlink;
pub mod nft;

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use futures::future::{Either, select};
use futures::{TryStreamExt, pin_mut};
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot open network namespace {path:?}")]
    Namespace { path: PathBuf, source: io::Error },
    #[error("cannot enter the network namespace")]
    Enter(#[source] io::Error),
    #[error("cannot open a netlink socket")]
    Socket(#[source] io::Error),
    #[error("{step}")]
    Netlink { step: String, source: rtnetlink::Error },
    #[error("no network device {name}")]
    NoDevice { name: String },
    #[error("network namespace {netns:?} has a device {name} of its own")]
    Taken { name: String, netns: PathBuf },
    #[error("the netlink thread ended early")]
    Thread,
}

/// Runs `work` on a thread of its own, in the namespace that `netns` holds open, or in ours.
///
/// Blocks; a namespace belongs to a thread, so that no other thread may do this work.
pub fn with_links<T, F, W>(netns: Option<&Path>, work: W) -> Result<T, Error>
where
    T: Send,
    F: Future<Output = Result<T, Error>>,
    W: FnOnce(Links) -> F + Send,
{
    let namespace = netns.map(open).transpose()?;
    std::thread::scope(|scope| {
        scope.spawn(|| on_this_thread(namespace.as_ref(), work)).join().unwrap_or(Err(Error::Thread))
    })
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Namespace { path: path.to_owned(), source })
}

fn on_this_thread<T, F, W>(namespace: Option<&File>, work: W) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
    W: FnOnce(Links) -> F,
{
    if let Some(namespace) = namespace {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| Error::Enter(error.into()))?;
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Socket)?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(Error::Socket)?;
        let work = work(Links { handle });
        pin_mut!(connection, work);
        match select(connection, work).await {
            Either::Left(_) => Err(Error::Thread),
            Either::Right((result, _)) => result,
        }
    })
}

/// Two connected devices: one here, a port of a bridge and up; its peer elsewhere.
pub struct VethPair<'a> {
    pub name: &'a str,
    pub bridge: u32,
    pub mtu: u32,
    pub peer: &'a str,
    /// Holds the peer's namespace open.
    pub netns: BorrowedFd<'a>,
}

/// The devices of one namespace.
pub struct Links {
    handle: Handle,
}

/// Turns an answer of the kernel into an error that names the step; `EEXIST` may be what was wanted.
fn done(result: Result<(), rtnetlink::Error>, step: impl FnOnce() -> String) -> Result<(), Error> {
    match result {
        Err(error) if code(&error) == Some(libc::EEXIST) => Ok(()),
        Err(source) => Err(Error::Netlink { step: step(), source }),
        Ok(()) => Ok(()),
    }
}

fn code(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => Some(-message.raw_code()),
        _ => None,
    }
}

impl Links {
    /// The device's index, or none.
    pub async fn index(&self, name: &str) -> Result<Option<u32>, Error> {
        let mut found = self.handle.link().get().match_name(name.to_owned()).execute();
        match found.try_next().await {
            Ok(link) => Ok(link.map(|link| link.header.index)),
            Err(error) if code(&error) == Some(libc::ENODEV) => Ok(None),
            Err(source) => Err(Error::Netlink { step: format!("cannot look up {name}"), source }),
        }
    }

    pub async fn require(&self, name: &str) -> Result<u32, Error> {
        self.index(name).await?.ok_or_else(|| Error::NoDevice { name: name.to_owned() })
    }

    /// A bridge with a fixed hardware address, so that it does not change with its ports. There already is fine.
    pub async fn add_bridge(&self, name: &str, mtu: u32, mac: [u8; 6]) -> Result<u32, Error> {
        let bridge = LinkBridge::new(name).mtu(mtu).address(mac.to_vec()).build();
        done(self.handle.link().add(bridge).execute().await, || format!("cannot add bridge {name}"))?;
        let index = self.require(name).await?;
        self.up(index).await?;
        Ok(index)
    }

    /// A pair of connected devices in one step. False where a device of either name is there already.
    pub async fn add_veth(&self, pair: &VethPair<'_>) -> Result<bool, Error> {
        let peer = LinkUnspec::new_with_name(pair.peer).mtu(pair.mtu).setns_by_fd(pair.netns.as_raw_fd());
        let message = LinkVeth::new(pair.name, pair.peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())))
            .mtu(pair.mtu)
            .controller(pair.bridge)
            .up()
            .build();
        match self.handle.link().add(message).execute().await {
            Ok(()) => Ok(true),
            Err(error) if code(&error) == Some(libc::EEXIST) => Ok(false),
            Err(source) => Err(Error::Netlink { step: format!("cannot add veth {}", pair.name), source }),
        }
    }

    pub async fn up(&self, index: u32) -> Result<(), Error> {
        let up = LinkUnspec::new_with_index(index).up().build();
        done(self.handle.link().set(up).execute().await, || format!("cannot bring device {index} up"))
    }

    /// Lets a bridge send back through a port what came from it: a pod may reach itself through a Service.
    pub async fn set_hairpin(&self, port: u32) -> Result<(), Error> {
        let hairpin = LinkBridgePort::new(port).hairpin(true).build();
        done(self.handle.link().set_port(hairpin).execute().await, || {
            format!("cannot set hairpin on device {port}")
        })
    }

    pub async fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> Result<(), Error> {
        let added = self.handle.address().add(index, address, prefix).execute().await;
        done(added, || format!("cannot add address {address}/{prefix}"))
    }

    /// Takes an address from a device; not there is fine.
    pub async fn delete_address(&self, index: u32, address: IpAddr) -> Result<(), Error> {
        let failed = |source| Error::Netlink { step: format!("cannot delete address {address}"), source };
        let request = self.handle.address().get().set_link_index_filter(index).set_address_filter(address);
        let mut found = request.execute();
        while let Some(message) = found.try_next().await.map_err(failed)? {
            match self.handle.address().del(message).execute().await {
                Err(error) if code(&error) == Some(libc::EADDRNOTAVAIL) => {}
                deleted => deleted.map_err(failed)?,
            }
        }
        Ok(())
    }

    pub async fn add_default_route(&self, gateway: IpAddr) -> Result<(), Error> {
        let step = || format!("cannot add a default route over {gateway}");
        match gateway {
            IpAddr::V4(gateway) => {
                let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway).build();
                done(self.handle.route().add(route).execute().await, step)
            }
            IpAddr::V6(gateway) => {
                let route = RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway).build();
                done(self.handle.route().add(route).execute().await, step)
            }
        }
    }

    /// Removes a device; none of that name is fine.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let Some(index) = self.index(name).await? else { return Ok(()) };
        match self.handle.link().del(index).execute().await {
            Err(error) if code(&error) == Some(libc::ENODEV) => Ok(()),
            Err(source) => Err(Error::Netlink { step: format!("cannot delete {name}"), source }),
            Ok(()) => Ok(()),
        }
    }

    /// The names of a bridge's ports.
    pub async fn ports(&self, bridge: u32) -> Result<Vec<String>, Error> {
        use rtnetlink::packet_route::link::LinkAttribute;
        let mut links = self.handle.link().get().execute();
        let mut names = Vec::new();
        let failed = |source| Error::Netlink { step: "cannot list devices".into(), source };
        while let Some(link) = links.try_next().await.map_err(failed)? {
            let is_port =
                link.attributes.iter().any(|a| matches!(a, LinkAttribute::Controller(of) if *of == bridge));
            let name = link.attributes.iter().find_map(|a| match a {
                LinkAttribute::IfName(name) => Some(name.clone()),
                _ => None,
            });
            names.extend(name.filter(|_| is_port));
        }
        Ok(names)
    }
}
