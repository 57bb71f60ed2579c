//! Names on the wire.

/// A name has 255 bytes at most, its labels 63.
pub(crate) const LONGEST: usize = 255;
const LONGEST_LABEL: usize = 63;
/// Jumps that a compressed name may take; each goes backwards, so that more than a label's worth is an attack.
const JUMPS: usize = 128;

/// Where the name that starts at `at` ends in place, without following its pointer.
pub(crate) fn skip(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            len if len & 0xc0 == 0xc0 => return (at + 2 <= bytes.len()).then_some(at + 2),
            len if usize::from(len) <= LONGEST_LABEL => at += 1 + usize::from(len),
            _ => return None,
        }
    }
}

/// The name at `at` in lower case, labels joined by dots, without the last dot; pointers are followed.
///
/// A dot or anything unprintable within a label is written `\DDD`, so that it equals no name of ours.
pub(crate) fn text(bytes: &[u8], mut at: usize) -> Option<String> {
    let mut name = String::new();
    let mut jumps = 0;
    loop {
        let len = *bytes.get(at)?;
        if len & 0xc0 == 0xc0 {
            let target = usize::from(u16::from_be_bytes([len & 0x3f, *bytes.get(at + 1)?]));
            jumps += 1;
            if target >= at || jumps > JUMPS {
                return None;
            }
            at = target;
            continue;
        }
        if len == 0 {
            return (name.len() <= 4 * LONGEST).then_some(name);
        }
        let label = bytes.get(at + 1..at + 1 + usize::from(len)).filter(|l| l.len() <= LONGEST_LABEL)?;
        if !name.is_empty() {
            name.push('.');
        }
        label.iter().for_each(|byte| push(&mut name, *byte));
        at += 1 + usize::from(len);
    }
}

fn push(name: &mut String, byte: u8) {
    match byte.to_ascii_lowercase() {
        b'.' | b'\\' | 0..=b' ' | 0x7f.. => name.push_str(&format!("\\{byte:03}")),
        plain => name.push(char::from(plain)),
    }
}

/// Whether `name` is `zone` or lies below it; both in lower case, without the last dot.
pub(crate) fn is_within(name: &str, zone: &str) -> bool {
    zone.is_empty() || name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether a name can stand on the wire.
pub(crate) fn is_sound(name: &str) -> bool {
    name.len() < LONGEST - 1
        && name.split('.').all(|label| !label.is_empty() && label.len() <= LONGEST_LABEL && label.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_they_are_spoken() {
        let bytes = b"\x03WWW\x02a.\x00\x01b\xc0\x00";
        assert_eq!(text(bytes, 0).as_deref(), Some("www.a\\046"));
        assert_eq!(text(bytes, 8).as_deref(), Some("b.www.a\\046"));
        assert_eq!((skip(bytes, 0), skip(bytes, 8)), (Some(8), Some(12)));
    }

    #[test]
    fn a_pointer_that_leads_forward_or_round_is_no_name() {
        assert_eq!(text(b"\xc0\x00", 0), None);
        assert_eq!(text(b"\x01a\xc0\x00", 0), None);
        assert_eq!(text(b"\xc0\x02\x00", 0), None);
    }

    #[test]
    fn zones_end_at_labels() {
        assert!(is_within("a.cluster.local", "cluster.local") && is_within("cluster.local", "cluster.local"));
        assert!(!is_within("mycluster.local", "cluster.local"));
    }
}
