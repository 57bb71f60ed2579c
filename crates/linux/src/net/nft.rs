//! nftables over netlink: one batch, applied whole or not at all.
//!
//! Only what the callers need is described; constants are the kernel's (include/uapi/linux/netfilter/nf_tables.h).

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const DEL_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NESTED: u16 = 0x8000;
const HEADER: usize = 16;
/// An nlmsgerr's type.
const ERROR: u16 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Inet = 1,
    Ipv4 = 2,
    Ipv6 = 10,
}

/// Where a base chain hangs.
#[derive(Clone, Copy, Debug)]
pub enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// One step of a rule. Values go through register 1.
#[derive(Clone, Debug)]
pub enum Expr {
    /// Loads from the network header.
    Network {
        offset: u32,
        len: u32,
    },
    /// Keeps the bits of the mask.
    Mask(Vec<u8>),
    Equal(Vec<u8>),
    NotEqual(Vec<u8>),
    Masquerade,
}

/// Changes that belong together.
#[derive(Default)]
pub struct Batch {
    messages: Vec<Vec<u8>>,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add_table(&mut self, family: Family, name: &str) {
        let mut body = Vec::new();
        text(&mut body, 1, name);
        self.push(NEW_TABLE, CREATE, family, body);
    }

    /// Removes a table with all that it holds; it must be there.
    pub fn delete_table(&mut self, family: Family, name: &str) {
        let mut body = Vec::new();
        text(&mut body, 1, name);
        self.push(DEL_TABLE, 0, family, body);
    }

    /// A base chain; `kind` is `filter`, `nat` or `route`.
    pub fn add_chain(
        &mut self,
        family: Family,
        table: &str,
        name: &str,
        kind: &str,
        hook: Hook,
        priority: i32,
    ) {
        let mut body = Vec::new();
        text(&mut body, 1, table);
        text(&mut body, 3, name);
        nested(&mut body, 4, |body| {
            number(body, 1, hook as u32);
            number(body, 2, priority as u32);
        });
        text(&mut body, 7, kind);
        self.push(NEW_CHAIN, CREATE, family, body);
    }

    pub fn add_rule(&mut self, family: Family, table: &str, chain: &str, steps: &[Expr]) {
        let mut body = Vec::new();
        text(&mut body, 1, table);
        text(&mut body, 2, chain);
        nested(&mut body, 4, |body| {
            steps.iter().for_each(|step| nested(body, 1, |body| expression(body, step)))
        });
        self.push(NEW_RULE, CREATE | APPEND, family, body);
    }

    fn push(&mut self, kind: u16, flags: u16, family: Family, body: Vec<u8>) {
        self.messages.push(message(SUBSYSTEM << 8 | kind, REQUEST | ACK | flags, family as u8, 0, &body));
    }

    /// Applies all changes, or none and says which one the kernel refused.
    pub fn apply(self) -> io::Result<()> {
        let count = self.messages.len();
        let mut bytes = Vec::new();
        let begin = message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM, &[]);
        let end = message(BATCH_END, REQUEST, 0, SUBSYSTEM, &[]);
        let all = std::iter::once(begin).chain(self.messages).chain(std::iter::once(end));
        for (sequence, mut message) in (0u32..).zip(all) {
            message[8..12].copy_from_slice(&sequence.to_ne_bytes());
            bytes.extend(message);
        }
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.send(&bytes, 0)?;
        read_answers(&socket, count)
    }
}

/// One acknowledgement per change; the first refusal counts.
fn read_answers(socket: &Socket, mut expected: usize) -> io::Result<()> {
    while expected > 0 {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = &bytes[..];
        while rest.len() >= HEADER + 4 {
            let len = u32::from_ne_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            let kind = u16::from_ne_bytes(rest[4..6].try_into().expect("two bytes"));
            if kind == ERROR {
                let code = i32::from_ne_bytes(rest[HEADER..HEADER + 4].try_into().expect("four bytes"));
                if code != 0 {
                    return Err(io::Error::from_raw_os_error(-code));
                }
                expected = expected.saturating_sub(1);
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }
    Ok(())
}

fn message(kind: u16, flags: u16, family: u8, resource: u16, body: &[u8]) -> Vec<u8> {
    let len = (HEADER + 4 + body.len()) as u32;
    let mut out = Vec::with_capacity(len as usize);
    out.extend(len.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend([0; 8]);
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
    out.extend(body);
    out
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn text(out: &mut Vec<u8>, kind: u16, value: &str) {
    attribute(out, kind, &[value.as_bytes(), b"\0"].concat());
}

fn number(out: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(out, kind, &value.to_be_bytes());
}

fn nested(out: &mut Vec<u8>, kind: u16, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    write(&mut inner);
    attribute(out, kind | NESTED, &inner);
}

fn expression(out: &mut Vec<u8>, step: &Expr) {
    let (name, data): (&str, Vec<u8>) = match step {
        Expr::Network { offset, len } => ("payload", {
            let mut data = Vec::new();
            number(&mut data, 1, 1);
            number(&mut data, 2, 1);
            number(&mut data, 3, *offset);
            number(&mut data, 4, *len);
            data
        }),
        Expr::Mask(mask) => ("bitwise", {
            let mut data = Vec::new();
            number(&mut data, 1, 1);
            number(&mut data, 2, 1);
            number(&mut data, 3, mask.len() as u32);
            nested(&mut data, 4, |data| attribute(data, 1, mask));
            nested(&mut data, 5, |data| attribute(data, 1, &vec![0; mask.len()]));
            data
        }),
        Expr::Equal(value) => ("cmp", compare(0, value)),
        Expr::NotEqual(value) => ("cmp", compare(1, value)),
        Expr::Masquerade => ("masq", Vec::new()),
    };
    text(out, 1, name);
    nested(out, 2, |out| out.extend(data));
}

fn compare(operator: u32, value: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    number(&mut data, 1, 1);
    number(&mut data, 2, operator);
    nested(&mut data, 3, |data| attribute(data, 1, value));
    data
}
