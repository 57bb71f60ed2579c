//! The table: its maps, and the few chains that read them.
//!
//! A new connection's destination finds in `services` the chain for its number of endpoints; that chain picks one of
//! them in `endpoints`. Clients inside of the cluster look into `inside` first, for the Services that answer them
//! differently. Two hash look-ups a connection, however many Services there are.
//!
//! No look-up's result is another one's key: the kernel allows it, but nft would end with a failed assertion when it
//! is asked to show any table of the machine.

use std::collections::BTreeMap;

use linux::net::nft::{
    Chain, CtKey, Expr, Family, Field, Hang, Hook, Into, Item, Meta, Packet, Reg, Rule, Ruleset, Set, Verdict,
};

use crate::network::Network;

pub(crate) const SERVICES: &str = "services";
pub(crate) const INSIDE: &str = "inside";
pub(crate) const ENDPOINTS: &str = "endpoints";
pub(crate) const INSIDE_ENDPOINTS: &str = "inside-endpoints";
pub(crate) const AFFINITY: &str = "affinity";
pub(crate) const MASQUERADE: &str = "masquerade";
pub(crate) const HAIRPIN: &str = "hairpin";
pub(crate) const REFUSED: &str = "refused";
pub(crate) const CLUSTER_IPS: &str = "cluster-ips";
pub(crate) const LIMITED: &str = "limited";
pub(crate) const SOURCES: &str = "sources";

pub(crate) const REJECT: &str = "reject";
pub(crate) const MASQUERADE_ALL: &str = "masquerade-all";
pub(crate) const MASQUERADE_OUTSIDERS: &str = "masquerade-outsiders";
pub(crate) const MASQUERADE_NODE: &str = "masquerade-node";
const PICK: &str = "services";
const REFUSALS: &str = "refusals";

/// Where a rule puts what it looks at first.
const FIRST: Reg = Reg(0);
/// RTN_LOCAL.
const LOCAL: u32 = 2;
const DESTINATION_NAT: u32 = 0x20;
/// A new connection in nft's `ct state`.
const NEW: u32 = 8;

/// How a connection gets its endpoint: one of `count`, kept for `affinity_s` seconds if that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Method {
    pub count: u32,
    pub affinity_s: u32,
}

impl Method {
    /// The chain that picks for the frontends of `map`.
    pub fn chain(self, map: &str) -> String {
        match self.affinity_s {
            0 => format!("{map}-{}", self.count),
            seconds => format!("{map}-{}-for-{seconds}s", self.count),
        }
    }

    /// The method of a chain of that map.
    pub fn of(chain: &str, map: &str) -> Option<Self> {
        let name = chain.strip_prefix(map)?.strip_prefix('-')?;
        let (count, affinity) = name.split_once("-for-").unwrap_or((name, "0s"));
        Some(Self { count: count.parse().ok()?, affinity_s: affinity.strip_suffix('s')?.parse().ok()? })
    }
}

/// What makes one family's table different from another's.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub family: Family,
    /// Where the cluster's own pods are.
    pub pods: Vec<Network>,
}

impl Layout {
    fn address(&self) -> Field {
        if self.family == Family::Ipv6 { Field::Ipv6 } else { Field::Ipv4 }
    }

    pub fn width(&self) -> u32 {
        if self.family == Family::Ipv6 { 16 } else { 4 }
    }

    fn source(&self, to: Reg) -> Expr {
        let offset = if self.family == Family::Ipv6 { 8 } else { 12 };
        Expr::Load { from: Packet::Network, offset, len: self.width(), to }
    }

    fn destination(&self, to: Reg) -> Expr {
        let offset = if self.family == Family::Ipv6 { 24 } else { 16 };
        Expr::Load { from: Packet::Network, offset, len: self.width(), to }
    }

    /// Address, protocol and port of the destination.
    fn key(&self, at: Reg) -> Rule {
        let protocol = at.after(self.width() as usize);
        let port = Expr::Load { from: Packet::Transport, offset: 2, len: 2, to: protocol.after(4) };
        vec![self.destination(at), Expr::Meta { key: Meta::Protocol, to: protocol }, port]
    }

    /// The same, of the connection's first packet before it was translated.
    fn original_key(&self) -> Rule {
        let protocol = FIRST.after(self.width() as usize);
        vec![
            Expr::Ct { key: CtKey::OriginalDestination(self.family), to: FIRST },
            Expr::Ct { key: CtKey::Protocol, to: protocol },
            Expr::Ct { key: CtKey::OriginalDestinationPort, to: protocol.after(4) },
        ]
    }

    /// Everything that does not depend on any Service.
    pub fn ruleset(&self) -> Ruleset {
        let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
        let mut add = |name: &str, hang: Option<Hang>, rules: Vec<Rule>| {
            chains.insert(name.to_owned(), Chain { hang, rules });
        };
        let nat = |hook, priority| Some(Hang { kind: "nat", hook, priority });
        let filter = |hook, priority| Some(Hang { kind: "filter", hook, priority });
        let jump = |chain: &str| vec![Expr::Verdict(Verdict::Jump(chain.to_owned()))];
        add("prerouting", nat(Hook::Prerouting, -100), vec![jump(PICK)]);
        add("output", nat(Hook::Output, -100), vec![jump(PICK)]);
        add(PICK, None, self.pick_rules());
        add("postrouting", nat(Hook::Postrouting, 100), self.masquerade_rules());
        add(MASQUERADE_ALL, None, vec![vec![Expr::Masquerade]]);
        add(MASQUERADE_OUTSIDERS, None, self.outsiders_rules());
        add(MASQUERADE_NODE, None, vec![chain(&[from_node(), vec![Expr::Masquerade]])]);
        add("limits", filter(Hook::Prerouting, -110), vec![self.limit_rule()]);
        for (name, hook) in
            [("input", Hook::Input), ("forward", Hook::Forward), ("refuse-output", Hook::Output)]
        {
            add(name, filter(hook, 0), vec![chain(&[new(), jump(REFUSALS)])]);
        }
        add(REFUSALS, None, self.refusal_rules());
        add(REJECT, None, vec![vec![Expr::Reject(self.family)]]);
        Ruleset { sets: self.sets(), chains, ..Ruleset::default() }
    }

    fn sets(&self) -> BTreeMap<&'static str, Set> {
        let address = self.address();
        let frontend = || vec![address, Field::Protocol, Field::Port];
        let numbered = || vec![address, Field::Protocol, Field::Port, Field::Number];
        let endpoint = || vec![address, Field::Port];
        let set = |key, item| Set { key, item };
        BTreeMap::from([
            (SERVICES, set(frontend(), Item::Verdict)),
            (INSIDE, set(frontend(), Item::Verdict)),
            (ENDPOINTS, set(numbered(), Item::Value(endpoint()))),
            (INSIDE_ENDPOINTS, set(numbered(), Item::Value(endpoint()))),
            (AFFINITY, set([vec![address], frontend()].concat(), Item::Timed(endpoint()))),
            (MASQUERADE, set(frontend(), Item::Verdict)),
            (HAIRPIN, set(vec![address, address], Item::Key)),
            (REFUSED, set(frontend(), Item::Verdict)),
            (CLUSTER_IPS, set(vec![address], Item::Key)),
            (LIMITED, set(frontend(), Item::Key)),
            (SOURCES, set(vec![address, Field::Protocol, Field::Port, address], Item::Range)),
        ])
    }

    fn pick_rules(&self) -> Vec<Rule> {
        let find = |map| {
            let go = Expr::Lookup { set: map, key: FIRST, into: Into::Verdict };
            chain(&[self.key(FIRST), vec![go]])
        };
        let inside = find(INSIDE);
        let pods = self.pods.iter().map(|range| chain(&[self.from(*range), inside.clone()]));
        let mut rules: Vec<Rule> = pods.collect();
        rules.push(chain(&[from_node(), inside.clone()]));
        rules.push(find(SERVICES));
        rules
    }

    fn from(&self, range: Network) -> Rule {
        vec![
            self.source(FIRST),
            Expr::Mask { at: FIRST, mask: range.mask() },
            Expr::Equal { at: FIRST, value: range.start() },
        ]
    }

    /// The chain of a method: a client's known endpoint, else any, else (there were more while we looked) the first.
    pub fn method_chain(&self, method: Method, map: &str) -> Chain {
        let mut rules = Vec::new();
        if method.affinity_s > 0 {
            let known = Expr::Lookup { set: AFFINITY, key: FIRST, into: Into::Register(self.endpoint()) };
            rules.push(chain(&[self.client_key(), vec![known], self.remember(method), self.translate()]));
        }
        let endpoints = if map == INSIDE { INSIDE_ENDPOINTS } else { ENDPOINTS };
        let number = self.endpoint_number();
        rules.push(self.pick(method, endpoints, Expr::Random { below: method.count, to: number }));
        let first = Expr::Put { value: 0_u32.to_ne_bytes().to_vec(), to: number };
        rules.push(self.pick(method, endpoints, first));
        Chain { hang: None, rules }
    }

    fn pick(&self, method: Method, endpoints: &'static str, number: Expr) -> Rule {
        let frontend = FIRST.after(self.width() as usize);
        let key = if method.affinity_s > 0 { self.client_key() } else { self.key(frontend) };
        let found = Expr::Lookup { set: endpoints, key: frontend, into: Into::Register(self.endpoint()) };
        chain(&[key, vec![number, found], self.remember(method), self.translate()])
    }

    /// The client's address before the destination.
    fn client_key(&self) -> Rule {
        chain(&[vec![self.source(FIRST)], self.key(FIRST.after(self.width() as usize))])
    }

    /// Behind the client's address and the destination: which endpoint.
    fn endpoint_number(&self) -> Reg {
        FIRST.after(2 * self.width() as usize + 8)
    }

    /// Behind that: the endpoint itself.
    fn endpoint(&self) -> Reg {
        self.endpoint_number().after(4)
    }

    fn remember(&self, method: Method) -> Rule {
        if method.affinity_s == 0 {
            return Vec::new();
        }
        let timeout_ms = u64::from(method.affinity_s) * 1000;
        vec![Expr::Update { set: AFFINITY, key: FIRST, data: Some(self.endpoint()), timeout_ms }]
    }

    fn translate(&self) -> Rule {
        let port = self.endpoint().after(self.width() as usize);
        vec![Expr::DestinationNat { family: self.family, address: self.endpoint(), port }]
    }

    fn masquerade_rules(&self) -> Vec<Rule> {
        let translated = vec![
            Expr::Ct { key: CtKey::Status, to: FIRST },
            Expr::Mask { at: FIRST, mask: DESTINATION_NAT.to_ne_bytes().to_vec() },
            Expr::NotEqual { at: FIRST, value: 0_u32.to_ne_bytes().to_vec() },
        ];
        // A pod that reached itself would answer itself, and not the Service's address.
        let hairpin = vec![
            self.source(FIRST),
            self.destination(FIRST.after(self.width() as usize)),
            Expr::Lookup { set: HAIRPIN, key: FIRST, into: Into::Present },
            Expr::Masquerade,
        ];
        let ours = vec![Expr::Lookup { set: MASQUERADE, key: FIRST, into: Into::Verdict }];
        vec![chain(&[translated.clone(), hairpin]), chain(&[translated, self.original_key(), ours])]
    }

    /// Pods see each other's addresses; others get the node's, so that answers come back this way.
    fn outsiders_rules(&self) -> Vec<Rule> {
        if self.pods.is_empty() {
            return Vec::new();
        }
        let stay = |range: &Network| chain(&[self.from(*range), vec![Expr::Verdict(Verdict::Return)]]);
        let mut rules: Vec<Rule> = self.pods.iter().map(stay).collect();
        rules.push(vec![Expr::Masquerade]);
        rules
    }

    fn limit_rule(&self) -> Rule {
        let client = FIRST.after(self.width() as usize + 8);
        let limited = vec![
            Expr::Lookup { set: LIMITED, key: FIRST, into: Into::Present },
            self.source(client),
            Expr::Lookup { set: SOURCES, key: FIRST, into: Into::Absent },
            Expr::Verdict(Verdict::Drop),
        ];
        chain(&[new(), self.key(FIRST), limited])
    }

    fn refusal_rules(&self) -> Vec<Rule> {
        let refused = vec![Expr::Lookup { set: REFUSED, key: FIRST, into: Into::Verdict }];
        // A port that the Service does not have.
        let unknown = vec![
            self.destination(FIRST),
            Expr::Lookup { set: CLUSTER_IPS, key: FIRST, into: Into::Present },
            Expr::Verdict(Verdict::Goto(REJECT.into())),
        ];
        vec![chain(&[self.key(FIRST), refused]), unknown]
    }
}

fn new() -> Rule {
    vec![
        Expr::Ct { key: CtKey::State, to: FIRST },
        Expr::Mask { at: FIRST, mask: NEW.to_ne_bytes().to_vec() },
        Expr::NotEqual { at: FIRST, value: 0_u32.to_ne_bytes().to_vec() },
    ]
}

fn from_node() -> Rule {
    vec![Expr::SourceType { to: FIRST }, Expr::Equal { at: FIRST, value: LOCAL.to_ne_bytes().to_vec() }]
}

fn chain(parts: &[Rule]) -> Rule {
    parts.concat()
}
