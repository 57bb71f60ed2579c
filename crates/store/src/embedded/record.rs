//! How changes are laid out in the log and in the table. All numbers are little-endian.
//!
//! A frame: length (4 bytes) and CRC-32 (4) of its body; the body: last revision (8), reserved revision (8), whether it
//! is flushed before anything else is written (1), then the changes. A change: kind (1: put, 2: delete), lengths of key and value (4 + 4), create revision, modification
//! revision, version (8 each), key, value. A row of the table: the three numbers, then the value.

use bytes::Bytes;

use crate::mvcc::Commit;
use crate::{EventKind, KeyValue, Revision};

const HEAD: usize = 8;
const PUT: u8 = 1;
const DELETE: u8 = 2;

/// A key's new state; `None` if it was deleted.
pub(super) type Change = (Bytes, Option<KeyValue>);

/// What a frame says.
#[derive(Debug, Default)]
pub(super) struct Frame {
    pub revision: Revision,
    pub reserved: Revision,
    /// The next frame was written only after this one was on the platter.
    pub flushed: bool,
    pub changes: Vec<Change>,
}

/// Whether a frame has to be on the platter before the next one is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    Now,
    Later,
}

/// What stands at the start of some bytes.
pub(super) enum Parsed {
    Frame {
        frame: Frame,
        len: usize,
    },
    /// Nothing follows.
    End,
    /// Not a whole frame with a matching sum.
    Torn,
}

/// Appends a frame to `out`.
pub(super) fn write_frame<'a>(
    out: &mut Vec<u8>,
    (revision, reserved): (Revision, Revision),
    flush: Flush,
    commits: impl Iterator<Item = &'a Commit>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    put_u64(out, revision.0);
    put_u64(out, reserved.0);
    out.push(u8::from(flush == Flush::Now));
    for event in commits.flat_map(|commit| &commit.events) {
        write_change(out, event.kind, &event.kv);
    }
    let body = &out[start + HEAD..];
    let (len, sum) = (body.len() as u32, crc32fast::hash(body));
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// Reads the frame at the start of `bytes`.
pub(super) fn parse_frame(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        return Parsed::End;
    }
    parse_whole_frame(bytes).map_or(Parsed::Torn, |(frame, len)| Parsed::Frame { frame, len })
}

pub(super) fn write_row(kv: &KeyValue) -> Vec<u8> {
    let mut row = Vec::with_capacity(24 + kv.value.len());
    put_u64(&mut row, kv.create_revision.0);
    put_u64(&mut row, kv.mod_revision.0);
    put_u64(&mut row, kv.version);
    row.extend_from_slice(&kv.value);
    row
}

/// `None` if the row is too short.
pub(super) fn parse_row(key: &[u8], row: &[u8]) -> Option<KeyValue> {
    let mut reader = Reader(row);
    Some(KeyValue {
        create_revision: Revision(reader.u64()?),
        mod_revision: Revision(reader.u64()?),
        version: reader.u64()?,
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(reader.0),
    })
}

fn write_change(out: &mut Vec<u8>, kind: EventKind, kv: &KeyValue) {
    out.push(if kind == EventKind::Put { PUT } else { DELETE });
    out.extend_from_slice(&(kv.key.len() as u32).to_le_bytes());
    out.extend_from_slice(&(kv.value.len() as u32).to_le_bytes());
    put_u64(out, kv.create_revision.0);
    put_u64(out, kv.mod_revision.0);
    put_u64(out, kv.version);
    out.extend_from_slice(&kv.key);
    out.extend_from_slice(&kv.value);
}

fn parse_whole_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let mut reader = Reader(bytes);
    let (len, sum) = (reader.u32()? as usize, reader.u32()?);
    let body = reader.take(len)?;
    if crc32fast::hash(body) != sum {
        return None;
    }
    let mut reader = Reader(body);
    let mut frame = Frame {
        revision: Revision(reader.u64()?),
        reserved: Revision(reader.u64()?),
        flushed: reader.take(1)? == [1],
        changes: Vec::new(),
    };
    while !reader.0.is_empty() {
        frame.changes.push(reader.change()?);
    }
    Some((frame, HEAD + len))
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Takes bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn change(&mut self) -> Option<Change> {
        let kind = self.take(1)?[0];
        let (key_len, value_len) = (self.u32()? as usize, self.u32()? as usize);
        let (create, modified, version) = (self.u64()?, self.u64()?, self.u64()?);
        let key = Bytes::copy_from_slice(self.take(key_len)?);
        let value = Bytes::copy_from_slice(self.take(value_len)?);
        let kv = KeyValue {
            key: key.clone(),
            value,
            create_revision: Revision(create),
            mod_revision: Revision(modified),
            version,
        };
        match kind {
            PUT => Some((key, Some(kv))),
            DELETE => Some((key, None)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_or_changed_frame_is_torn() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, (Revision(7), Revision(9)), Flush::Now, std::iter::empty());
        assert!(matches!(parse_frame(&bytes), Parsed::Frame { frame, len: 25 } if frame.reserved.0 == 9));
        assert!(matches!(parse_frame(&bytes[..24]), Parsed::Torn));
        bytes[10] ^= 1;
        assert!(matches!(parse_frame(&bytes), Parsed::Torn));
        assert!(matches!(parse_frame(&[]), Parsed::End));
    }
}
