//! Our own records, written with compressed names.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::packed::{Mark, Packed, Section};
use super::{Code, HEADER, Query, kind, name};

/// A record of class IN. Names are in lower case, without the last dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub owner: String,
    pub ttl: u32,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(String),
    Ns(String),
    Ptr(String),
    Srv { weight: u16, port: u16, target: String },
    Soa { server: String, mail: String, serial: u32, minimum: u32 },
    Txt(String),
}

impl Data {
    pub fn kind(&self) -> u16 {
        match self {
            Self::A(_) => kind::A,
            Self::Aaaa(_) => kind::AAAA,
            Self::Cname(_) => kind::CNAME,
            Self::Ns(_) => kind::NS,
            Self::Ptr(_) => kind::PTR,
            Self::Srv { .. } => kind::SRV,
            Self::Soa { .. } => kind::SOA,
            Self::Txt(_) => kind::TXT,
        }
    }
}

/// An answer of ours, section by section.
#[derive(Debug)]
pub(crate) struct Reply {
    pub code: Code,
    pub authoritative: bool,
    pub answers: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
}

impl Reply {
    pub fn pack(&self, query: &Query<'_>) -> Packed {
        let mut writer = Writer::after(query);
        let sections = [
            (Section::Answer, &self.answers),
            (Section::Authority, &self.authority),
            (Section::Additional, &self.additional),
        ];
        for (section, records) in sections {
            records.iter().for_each(|record| writer.record(section, record));
        }
        Packed::new(writer.bytes, writer.marks, self.code, self.authoritative)
    }
}

struct Writer {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// Where each name that was written starts.
    known: HashMap<String, u16>,
}

impl Writer {
    fn after(query: &Query<'_>) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes.extend(query.question);
        let mut writer = Self { bytes, marks: Vec::new(), known: HashMap::new() };
        writer.know(&query.name(), HEADER);
        writer
    }

    /// Remembers a name and what it ends in, written in full at `at`.
    fn know(&mut self, mut name: &str, mut at: usize) {
        // A pointer has 14 bits. An escaped label is longer in text than on the wire.
        while at < 0x4000 && !name.is_empty() && !name.contains('\\') {
            self.known.entry(name.to_owned()).or_insert(at as u16);
            let Some((label, rest)) = name.split_once('.') else { return };
            at += 1 + label.len();
            name = rest;
        }
    }

    fn name(&mut self, name: &str, compress: Compress) {
        let (start, mut rest) = (self.bytes.len(), name);
        while !rest.is_empty() {
            if let (Compress::Yes, Some(at)) = (compress, self.known.get(rest)) {
                self.bytes.extend((0xc000 | at).to_be_bytes());
                return;
            }
            let (label, tail) = rest.split_once('.').unwrap_or((rest, ""));
            self.bytes.push(label.len() as u8);
            self.bytes.extend(label.as_bytes());
            let at = start + (name.len() - rest.len());
            if at < 0x4000 {
                self.known.entry(rest.to_owned()).or_insert(at as u16);
            }
            rest = tail;
        }
        self.bytes.push(0);
    }

    fn record(&mut self, section: Section, record: &Record) {
        debug_assert!(name::is_sound(&record.owner) || record.owner.contains('\\'));
        self.name(&record.owner, Compress::Yes);
        self.bytes.extend(record.data.kind().to_be_bytes());
        self.bytes.extend([0, 1]);
        let ttl_at = self.bytes.len();
        self.bytes.extend(record.ttl.to_be_bytes());
        self.bytes.extend([0, 0]);
        let start = self.bytes.len();
        self.data(&record.data);
        let len = (self.bytes.len() - start) as u16;
        self.bytes[start - 2..start].copy_from_slice(&len.to_be_bytes());
        self.marks.push(Mark { ttl_at, end: self.bytes.len(), section });
    }

    fn data(&mut self, data: &Data) {
        match data {
            Data::A(address) => self.bytes.extend(address.octets()),
            Data::Aaaa(address) => self.bytes.extend(address.octets()),
            Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => self.name(name, Compress::Yes),
            Data::Srv { weight, port, target } => {
                self.bytes.extend([0, 0]);
                self.bytes.extend(weight.to_be_bytes());
                self.bytes.extend(port.to_be_bytes());
                // RFC 2782: not compressed.
                self.name(target, Compress::No);
            }
            Data::Soa { server, mail, serial, minimum } => {
                self.name(server, Compress::Yes);
                self.name(mail, Compress::Yes);
                // Refresh, retry and expire are CoreDNS's; nobody transfers this zone.
                for value in [*serial, 7200, 1800, 86_400, *minimum] {
                    self.bytes.extend(value.to_be_bytes());
                }
            }
            Data::Txt(text) => {
                self.bytes.push(text.len() as u8);
                self.bytes.extend(text.as_bytes());
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Compress {
    Yes,
    No,
}
