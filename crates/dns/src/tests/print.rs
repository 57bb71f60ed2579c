//! Messages as text, read by other code than the server's.

use std::net::{Ipv4Addr, Ipv6Addr};

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The code and flags, then one record a line, sections parted by their names.
pub(super) fn message(bytes: &[u8]) -> String {
    let mut reader = Reader { bytes, at: 0 };
    let _id = reader.u16();
    let flags = reader.u16();
    let counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()];
    let code = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"][usize::from(flags & 0xf)];
    let names = [(0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra")];
    let set = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name);
    let mut out = format!("{code} {}\n", set.collect::<Vec<_>>().join(" "));
    for _ in 0..counts[0] {
        let name = reader.name();
        let (_kind, _class) = (reader.u16(), reader.u16());
        out.push_str(&format!("? {name}\n"));
    }
    for (mark, count) in ["", "authority ", "additional "].into_iter().zip(&counts[1..]) {
        let mut lines: Vec<String> = (0..*count).map(|_| format!("{mark}{}\n", reader.record())).collect();
        // The order of addresses is left to chance.
        lines.sort();
        out.push_str(&lines.concat());
    }
    assert_eq!(reader.at, bytes.len(), "nothing may follow");
    out
}

impl Reader<'_> {
    fn u8(&mut self) -> u8 {
        self.at += 1;
        self.bytes[self.at - 1]
    }

    fn u16(&mut self) -> u16 {
        u16::from(self.u8()) << 8 | u16::from(self.u8())
    }

    fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        loop {
            match self.u8() {
                0 => return if name.is_empty() { ".".into() } else { name },
                len if len >= 0xc0 => {
                    let at = usize::from(u16::from(len & 0x3f) << 8 | u16::from(self.u8()));
                    assert!(at < self.at - 2, "a pointer leads back");
                    return name + &Reader { bytes: self.bytes, at }.name();
                }
                len => {
                    (0..len).for_each(|_| name.push(char::from(self.u8())));
                    name.push('.');
                }
            }
        }
    }

    fn record(&mut self) -> String {
        let owner = self.name();
        let (kind, class, ttl) = (self.u16(), self.u16(), self.u32());
        let len = usize::from(self.u16());
        let end = self.at + len;
        let text = match kind {
            1 => format!("{owner} {ttl} A {}", Ipv4Addr::from(self.u32())),
            28 => {
                let octets: [u8; 16] = std::array::from_fn(|_| self.u8());
                format!("{owner} {ttl} AAAA {}", Ipv6Addr::from(octets))
            }
            2 | 5 | 12 => {
                let kind = if kind == 2 {
                    "NS"
                } else if kind == 5 {
                    "CNAME"
                } else {
                    "PTR"
                };
                format!("{owner} {ttl} {kind} {}", self.name())
            }
            6 => {
                let (server, mail) = (self.name(), self.name());
                let numbers: Vec<String> = (0..5).map(|_| self.u32().to_string()).collect();
                format!("{owner} {ttl} SOA {server} {mail} {}", numbers.join(" "))
            }
            16 => {
                let len = self.u8();
                let text: String = (0..len).map(|_| char::from(self.u8())).collect();
                format!("{owner} {ttl} TXT {text:?}")
            }
            33 => format!("{owner} {ttl} SRV {} {} {} {}", self.u16(), self.u16(), self.u16(), self.name()),
            41 => format!("OPT payload {class} flags {ttl:#x}"),
            other => format!("{owner} {ttl} {other} ({len} bytes)"),
        };
        self.at = self.at.max(end);
        assert_eq!(self.at, end, "{text} keeps its length");
        text
    }
}
