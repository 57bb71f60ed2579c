//! An answer as the bytes that are sent, with the few places marked that differ from one sending to the next.

use super::query::Edns;
use super::{Code, HEADER, Query, kind, long, name, number};

/// The longest datagram that we send, whatever the client takes.
const LONGEST_DATAGRAM: u16 = 4096;
/// What every client takes (RFC 1035), and what we tell that we take (DNS flag day 2020).
const SHORTEST_DATAGRAM: u16 = 512;
const OUR_PAYLOAD: u16 = 1232;
const OPT_LEN: usize = 11;

const QR: u16 = 0x8000;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RA: u16 = 0x0080;
const AD: u16 = 0x0020;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// Where a record keeps its time to live, and where it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub ttl_at: usize,
    pub end: usize,
    pub section: Section,
}

/// An answer to one question, whoever asks.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    /// The header is empty, the question as the first one asked it.
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    code: u8,
    flags: u16,
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

impl Packed {
    pub fn new(bytes: Vec<u8>, marks: Vec<Mark>, code: Code, authoritative: bool) -> Self {
        Self { bytes, marks, code: code as u8, flags: if authoritative { AA } else { 0 } }
    }

    /// Another server's answer to `query`; none if it is not one.
    pub fn read(bytes: &[u8], query: &Query<'_>) -> Option<Self> {
        let flags = number(bytes, 2)?;
        let end = HEADER + query.question.len();
        let same = bytes.get(HEADER..end)?.eq_ignore_ascii_case(query.question);
        if flags & QR == 0 || number(bytes, 4)? != 1 || !same {
            return None;
        }
        let mut packed = Self {
            bytes: bytes.to_vec(),
            marks: Vec::new(),
            code: (flags & 0xf) as u8,
            flags: flags & (TC | AD),
        };
        packed.mark(end)?;
        packed.bytes.truncate(packed.marks.last().map_or(end, |mark| mark.end));
        packed.bytes[..HEADER].fill(0);
        Some(packed)
    }

    /// Marks all records up to an OPT record: that one is between the two servers.
    fn mark(&mut self, mut at: usize) -> Option<()> {
        for (section, count_at) in [(Section::Answer, 6), (Section::Authority, 8), (Section::Additional, 10)]
        {
            for _ in 0..number(&self.bytes, count_at)? {
                let fixed = name::skip(&self.bytes, at)?;
                if number(&self.bytes, fixed)? == kind::OPT {
                    return Some(());
                }
                at = fixed + 10 + usize::from(number(&self.bytes, fixed + 8)?);
                if at > self.bytes.len() {
                    return None;
                }
                self.marks.push(Mark { ttl_at: fixed + 4, end: at, section });
            }
        }
        Some(())
    }

    pub fn is(&self, code: Code) -> bool {
        self.code == code as u8
    }

    pub fn code(&self) -> u8 {
        self.code
    }

    pub fn is_truncated(&self) -> bool {
        self.flags & TC != 0
    }

    pub fn answers(&self) -> usize {
        self.marks.iter().filter(|mark| mark.section == Section::Answer).count()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Seconds that the answer holds: its records' least; of a denial what the zone's SOA record says (RFC 2308).
    /// None for an answer that says neither.
    pub fn holds(&self) -> Option<u32> {
        let ttl = |mark: &Mark| long(&self.bytes, mark.ttl_at);
        let answers = self.marks.iter().filter(|mark| mark.section == Section::Answer);
        if let Some(least) = answers.filter_map(ttl).min() {
            return Some(least);
        }
        let is_soa = |mark: &&Mark| {
            mark.section == Section::Authority && number(&self.bytes, mark.ttl_at - 4) == Some(kind::SOA)
        };
        let soa = self.marks.iter().rfind(is_soa)?;
        Some(ttl(soa)?.min(long(&self.bytes, soa.end - 4)?))
    }

    /// The message for `query`, `age` seconds after the answer was made.
    pub fn render(&self, query: &Query<'_>, age: u32, transport: Transport) -> Vec<u8> {
        let opt = if query.edns.is_some() { OPT_LEN } else { 0 };
        let room = longest(query.edns, transport).saturating_sub(opt);
        let fits = self.marks.partition_point(|mark| mark.end <= room);
        let (sent, cut) = self.marks.split_at(fits);
        let end = sent.last().map_or(HEADER + query.question.len(), |mark| mark.end);
        let mut out = Vec::with_capacity(end + opt);
        out.extend(&self.bytes[..end]);
        let mut counts = [0u16; 3];
        for mark in sent {
            counts[mark.section as usize] += 1;
            let ttl = long(&out, mark.ttl_at).unwrap_or_default().saturating_sub(age);
            out[mark.ttl_at..mark.ttl_at + 4].copy_from_slice(&ttl.to_be_bytes());
        }
        let truncated = if cut.iter().any(|mark| mark.section != Section::Additional) { TC } else { 0 };
        let flags = QR | RA | self.flags | query.flags | truncated | u16::from(self.code);
        head(&mut out, query, flags, counts);
        append_opt(&mut out, query);
        out
    }
}

fn head(out: &mut [u8], query: &Query<'_>, flags: u16, counts: [u16; 3]) {
    out[0..2].copy_from_slice(&query.id.to_be_bytes());
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[4..6].copy_from_slice(&1u16.to_be_bytes());
    for (at, count) in [6, 8, 10].into_iter().zip(counts) {
        out[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }
    out[HEADER..HEADER + query.question.len()].copy_from_slice(query.question);
}

fn append_opt(out: &mut Vec<u8>, query: &Query<'_>) {
    let Some(edns) = query.edns else { return };
    let additional = number(out, 10).unwrap_or_default() + 1;
    out[10..12].copy_from_slice(&additional.to_be_bytes());
    let bad_version = u8::from(edns.version != 0);
    out.extend([0, 0, kind::OPT as u8]);
    out.extend(OUR_PAYLOAD.to_be_bytes());
    // BADVERS is 16: the upper bits of the code stand here.
    out.extend([bad_version, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
}

fn longest(edns: Option<Edns>, transport: Transport) -> usize {
    match (transport, edns) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => usize::from(SHORTEST_DATAGRAM),
        (Transport::Udp, Some(edns)) => usize::from(edns.payload.clamp(SHORTEST_DATAGRAM, LONGEST_DATAGRAM)),
    }
}

/// An answer that carries nothing but its code, and not even the question.
pub(crate) fn bare(id: u16, code: Code) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out[0..2].copy_from_slice(&id.to_be_bytes());
    out[2..4].copy_from_slice(&(QR | RA | code as u16).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_answer_brings_the_reader_down(rest in proptest::collection::vec(any::<u8>(), 0..300), counts in any::<[u8; 3]>()) {
            let asked = Query::write(1, "a.b", kind::A);
            let query = Query::read(&asked).expect("sound");
            let [a, b, c] = counts.map(|count| count % 4);
            let header = [0, 1, 0x81, 0x80, 0, 1, 0, a, 0, b, 0, c];
            let bytes = [&header[..], query.question, &rest].concat();
            if let Some(packed) = Packed::read(&bytes, &query) {
                packed.holds();
                packed.render(&query, 3, Transport::Udp);
                crate::wire::records::addresses(&packed);
            }
        }
    }
}
