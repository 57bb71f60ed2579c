//! A query, looked at where it lies.

use super::{Code, HEADER, kind, name, number};

/// What a sound query says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub id: u16,
    /// The recursion-desired and checking-disabled bits, as an answer repeats them.
    pub flags: u16,
    /// Name, type and class as they were sent: an answer repeats them to the letter.
    pub question: &'a [u8],
    pub kind: u16,
    pub class: u16,
    pub edns: Option<Edns>,
}

/// What the client says of itself (RFC 6891).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edns {
    /// The longest datagram that it takes.
    pub payload: u16,
    pub version: u8,
    pub dnssec_ok: bool,
}

/// Why a message is not answered as a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reject {
    /// An answer, or too short to be anything.
    Ignore,
    Answer {
        id: u16,
        code: Code,
    },
}

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RD: u16 = 0x0100;
const CD: u16 = 0x0010;
/// Bits of an OPT record's TTL.
const DNSSEC_OK: u16 = 0x8000;

impl<'a> Query<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Reject> {
        let header = |at| number(bytes, at).ok_or(Reject::Ignore);
        let (id, flags) = (header(0)?, header(2)?);
        let counts = [header(4)?, header(6)?, header(8)?, header(10)?];
        if flags & QR != 0 {
            return Err(Reject::Ignore);
        }
        if flags & OPCODE != 0 {
            return Err(Reject::Answer { id, code: Code::NotImplemented });
        }
        let read = if counts[0] == 1 { Self::body(bytes, counts) } else { None };
        let mut query = read.ok_or(Reject::Answer { id, code: Code::FormatError })?;
        query.id = id;
        query.flags = flags & (RD | CD);
        Ok(query)
    }

    fn body(bytes: &'a [u8], counts: [u16; 4]) -> Option<Self> {
        let end = name::skip(bytes, HEADER)?;
        let (kind, class) = (number(bytes, end)?, number(bytes, end + 2)?);
        let question = &bytes[HEADER..end + 4];
        // A question has no name before it to point to.
        if question.len() > name::LONGEST + 4 || name::text(bytes, HEADER).is_none() {
            return None;
        }
        let mut at = end + 4;
        let mut edns = None;
        for _ in 0..counts[1..].iter().map(|count| usize::from(*count)).sum() {
            let fixed = name::skip(bytes, at)?;
            let data = usize::from(number(bytes, fixed + 8)?);
            if number(bytes, fixed)? == kind::OPT {
                let payload = number(bytes, fixed + 2)?;
                let version = *bytes.get(fixed + 5)?;
                let dnssec_ok = number(bytes, fixed + 6)? & DNSSEC_OK != 0;
                edns = Some(Edns { payload, version, dnssec_ok });
            }
            at = fixed + 10 + data;
        }
        (at <= bytes.len()).then_some(Self { id: 0, flags: 0, question, kind, class, edns })
    }

    /// The name asked for, in lower case.
    pub fn name(&self) -> String {
        name::text(self.question, 0).expect("checked when it was read")
    }

    /// A query for `name`, as this server asks others.
    pub fn write(id: u16, name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + name.len() + 6);
        bytes.extend(id.to_be_bytes());
        bytes.extend(RD.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.split('.').filter(|label| !label.is_empty()) {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    /// What two queries with the same answer have in common: the question in lower case, and the DNSSEC bit.
    pub fn key<'k>(&self, room: &'k mut [u8; name::LONGEST + 5]) -> &'k [u8] {
        let len = self.question.len();
        for (to, from) in room.iter_mut().zip(self.question) {
            *to = from.to_ascii_lowercase();
        }
        // Type and class are numbers, and none of ours has a letter's code in it that would change.
        room[len - 4..len].copy_from_slice(&self.question[len - 4..]);
        room[len] = u8::from(self.edns.is_some_and(|edns| edns.dnssec_ok));
        &room[..=len]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_query_is_told_apart() {
        let query = Query::write(7, "a.b", kind::A);
        let read = Query::read(&query).expect("sound");
        assert_eq!((read.id, read.name().as_str(), read.kind, read.class), (7, "a.b", kind::A, 1));
        let with = |at: usize, byte: u8| {
            let mut bytes = query.clone();
            bytes[at] = byte;
            Query::read(&bytes).expect_err("rejected")
        };
        assert_eq!(with(2, 0x81), Reject::Ignore);
        assert_eq!(with(2, 0x28), Reject::Answer { id: 7, code: Code::NotImplemented });
        assert_eq!(with(5, 2), Reject::Answer { id: 7, code: Code::FormatError });
        assert_eq!(with(12, 60), Reject::Answer { id: 7, code: Code::FormatError });
        assert_eq!(Query::read(&query[..9]).expect_err("short"), Reject::Ignore);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_the_reader_down(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(query) = Query::read(&bytes) {
                query.name();
                query.key(&mut [0; name::LONGEST + 5]);
            }
        }

        #[test]
        fn nor_do_bytes_that_look_like_a_query(rest in proptest::collection::vec(any::<u8>(), 0..300), more in 0u8..4) {
            let bytes = [&[0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, more][..], &rest].concat();
            if let Ok(query) = Query::read(&bytes) {
                query.name();
                query.key(&mut [0; name::LONGEST + 5]);
            }
        }
    }
}
