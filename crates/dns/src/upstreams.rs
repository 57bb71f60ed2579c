//! Which other servers know a name.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::settings::Shared;
use crate::wire::name::is_within;

const PORT: u16 = 53;

pub(crate) struct Upstreams {
    resolv_conf: PathBuf,
    /// Where we answer ourselves: asking there would never end.
    own: Vec<IpAddr>,
    settings: Shared,
    node: Mutex<Node>,
}

/// The node's resolvers as they were when its file had this age.
#[derive(Default)]
struct Node {
    modified: Option<SystemTime>,
    servers: Vec<SocketAddr>,
}

impl Upstreams {
    pub fn new(resolv_conf: PathBuf, own: Vec<IpAddr>, settings: Shared) -> Self {
        Self { resolv_conf, own, settings, node: Mutex::default() }
    }

    /// The servers to ask for `name`: of the closest stub domain, or those for everything else.
    pub fn of(&self, name: &str) -> Vec<SocketAddr> {
        let settings = self.settings.load();
        let stubs = settings.stubs.iter().filter(|(domain, _)| is_within(name, domain));
        let mut servers = match stubs.max_by_key(|(domain, _)| domain.len()) {
            Some((_, servers)) => servers.clone(),
            None if settings.upstreams.is_empty() => self.node_servers(),
            None => settings.upstreams.clone(),
        };
        servers.retain(|server| !self.own.contains(&server.ip()));
        servers
    }

    /// Read again when the file has changed: a laptop changes networks.
    fn node_servers(&self) -> Vec<SocketAddr> {
        let modified = fs::metadata(&self.resolv_conf).and_then(|found| found.modified());
        let mut node = self.node.lock();
        match modified {
            Ok(modified) if node.modified != Some(modified) => match fs::read_to_string(&self.resolv_conf) {
                Ok(text) => *node = Node { modified: Some(modified), servers: parse(&text) },
                Err(error) => {
                    tracing::warn!(%error, path = ?self.resolv_conf, "cannot read the node's resolvers")
                }
            },
            Ok(_) => {}
            // A node without the file has no resolvers.
            Err(_) => *node = Node::default(),
        }
        node.servers.clone()
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let words = text.lines().map(str::split_whitespace);
    let servers = words.filter_map(|mut words| (words.next()? == "nameserver").then(|| words.next())?);
    // An address with a zone (fe80::1%eth0) is none that we can ask without knowing the device.
    servers.filter_map(|server| Some(SocketAddr::new(server.parse().ok()?, PORT))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn the_closest_stub_is_asked_and_never_ourselves() {
        let server = |last| SocketAddr::from(([10, 0, 0, last], 53));
        let settings = Settings {
            upstreams: vec![server(1), server(99)],
            stubs: BTreeMap::from([
                ("corp".to_owned(), vec![server(2)]),
                ("eu.corp".to_owned(), vec![server(3)]),
            ]),
            ..Settings::default()
        };
        let shared = Shared::default();
        shared.store(Arc::new(settings));
        let upstreams = Upstreams::new("/nowhere".into(), vec![server(99).ip()], shared);
        assert_eq!(upstreams.of("a.eu.corp"), [server(3)]);
        assert_eq!(upstreams.of("corp"), [server(2)]);
        assert_eq!(upstreams.of("mycorp"), [server(1)]);
    }

    #[test]
    fn resolv_conf_is_read_as_the_resolver_reads_it() {
        let text = "# nameserver 1.1.1.1\nsearch a b\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\n nameserver ::1\n";
        assert_eq!(parse(text), ["10.0.0.1:53".parse().expect("sound"), "[::1]:53".parse().expect("sound")]);
    }
}
