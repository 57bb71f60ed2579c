//! Protobuf by splicing: stored bytes become answers without decoding them.
//!
//! The order of fields is free, so a resourceVersion is appended to the metadata, and a list is its metadata followed
//! by its items.
//!
//! Upstream: apimachinery/pkg/runtime/serializer/protobuf; <https://protobuf.dev/programming-guides/encoding>.

use bytes::Bytes;

/// What every stored and sent message begins with.
pub const MAGIC: &[u8] = b"k8s\0";

/// `metadata` of all objects and lists.
const METADATA: u32 = 1;
/// `items` of all lists.
const ITEMS: u32 = 2;
/// `ObjectMeta.resourceVersion`.
const OBJECT_VERSION: u32 = 6;

/// The stored object without its envelope; none if these bytes have none.
pub fn raw(stored: &[u8]) -> Option<&[u8]> {
    let mut rest = stored.strip_prefix(MAGIC)?;
    while !rest.is_empty() {
        let (tag, after) = read_varint(rest)?;
        let (length, after) = read_varint(after)?;
        let value = after.get(..length as usize)?;
        if tag == u64::from(2u32 << 3 | 2) {
            return Some(value);
        }
        rest = &after[length as usize..];
    }
    None
}

/// The envelope `Unknown` around a message.
pub fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut type_meta = Vec::new();
    put_bytes(&mut type_meta, 1, api_version.as_bytes());
    put_bytes(&mut type_meta, 2, kind.as_bytes());
    let mut out = Vec::with_capacity(raw.len() + type_meta.len() + 24);
    out.extend_from_slice(MAGIC);
    put_bytes(&mut out, 1, &type_meta);
    put_bytes(&mut out, 2, raw);
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, b"");
    out
}

/// `raw` (an object) with its resourceVersion.
pub fn with_version(raw: &[u8], revision: u64) -> Vec<u8> {
    let digits = revision.to_string();
    let (old, rest) = split_metadata(raw);
    let mut metadata = Vec::with_capacity(old.len() + digits.len() + 2);
    metadata.extend_from_slice(old);
    put_bytes(&mut metadata, OBJECT_VERSION, digits.as_bytes());
    let mut out = Vec::with_capacity(raw.len() + digits.len() + 16);
    put_bytes(&mut out, METADATA, &metadata);
    out.extend_from_slice(rest);
    out
}

/// The metadata, which every writer puts first, and what comes behind it.
fn split_metadata(raw: &[u8]) -> (&[u8], &[u8]) {
    let split = || {
        let after = raw.strip_prefix(&[(METADATA << 3 | 2) as u8])?;
        let (length, after) = read_varint(after)?;
        after.split_at_checked(length as usize)
    };
    // Without metadata at the front, a decoder merges what is appended with what comes later.
    split().unwrap_or((&[], raw))
}

/// A list of raw objects.
pub fn list(meta: &super::ListMeta, items: &[Vec<u8>]) -> Vec<u8> {
    let size: usize = items.iter().map(|item| item.len() + 6).sum();
    let mut out = Vec::with_capacity(size + 64);
    let mut metadata = Vec::new();
    put_bytes(&mut metadata, 1, b"");
    put_bytes(&mut metadata, 2, meta.revision.to_string().as_bytes());
    put_bytes(&mut metadata, 3, meta.continue_token.as_bytes());
    if let Some(remaining) = meta.remaining {
        put_varint(&mut metadata, 4 << 3);
        put_varint(&mut metadata, remaining as u64);
    }
    put_bytes(&mut out, METADATA, &metadata);
    for item in items {
        put_bytes(&mut out, ITEMS, item);
    }
    out
}

/// A watch frame: four bytes of length, then `WatchEvent` with the enveloped object inside.
pub fn frame(event: &str, object: &[u8]) -> Bytes {
    let mut extension = Vec::with_capacity(object.len() + 8);
    put_bytes(&mut extension, 1, object);
    let mut message = Vec::with_capacity(extension.len() + 24);
    put_bytes(&mut message, 1, event.as_bytes());
    put_bytes(&mut message, 2, &extension);
    let mut out = Vec::with_capacity(message.len() + 4);
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(&message);
    out.into()
}

fn put_bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    put_varint(out, u64::from(field << 3 | 2));
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_open_again() {
        let stored = envelope("v1", "Pod", b"\x0a\x02ab");
        assert_eq!(raw(&stored), Some(&b"\x0a\x02ab"[..]));
        assert_eq!(with_version(b"", 12), b"\x0a\x04\x32\x0212");
        assert_eq!(with_version(b"\x0a\x03\x0a\x01a\x12\x00", 7), b"\x0a\x06\x0a\x01a\x32\x017\x12\x00");
        assert_eq!(raw(b"{}"), None);
    }
}
