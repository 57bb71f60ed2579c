//! A ruleset as text, for people and golden files.

use std::fmt;

use super::{Chain, Expr, Field, Into, Item, Key, Ruleset, Set, Value, Verdict};

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, set) in &self.sets {
            writeln!(f, "{} {name} {{ {} }}", set.word(), set)?;
            let mut elements: Vec<_> = self.elements.get(name).into_iter().flatten().collect();
            elements.sort_by(|a, b| a.0.cmp(b.0));
            for (key, value) in elements {
                writeln!(f, "  {}", element(set, key, value))?;
            }
        }
        for (name, chain) in &self.chains {
            write!(f, "chain {name}{chain}")?;
        }
        Ok(())
    }
}

impl Set {
    fn word(&self) -> &'static str {
        match self.item {
            Item::Key | Item::Range => "set",
            _ => "map",
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&names(&self.key))?;
        match &self.item {
            Item::Key => Ok(()),
            Item::Range => f.write_str(" ranges"),
            Item::Value(fields) => write!(f, " : {}", names(fields)),
            Item::Timed(fields) => write!(f, " : {} timed", names(fields)),
            Item::Verdict => f.write_str(" : verdict"),
        }
    }
}

fn names(fields: &[Field]) -> String {
    let names: Vec<_> = fields.iter().map(|field| format!("{field:?}").to_lowercase()).collect();
    names.join(" . ")
}

fn element(set: &Set, key: &Key, value: &Value) -> String {
    let start = parts(&set.key, &key.start);
    let ends = key.end.as_ref().map_or_else(|| start.clone(), |end| parts(&set.key, end));
    let key: Vec<_> = start
        .into_iter()
        .zip(ends)
        .map(|(first, last)| if first == last { first } else { format!("{first}-{last}") })
        .collect();
    let key = key.join(" . ");
    match (value, &set.item) {
        (Value::Bytes(bytes), Item::Value(fields)) => format!("{key} : {}", parts(fields, bytes).join(" . ")),
        (Value::Verdict(verdict), _) => format!("{key} : {verdict}"),
        _ => key,
    }
}

fn parts(fields: &[Field], bytes: &[u8]) -> Vec<String> {
    let mut rest = bytes;
    let mut shown = Vec::new();
    for field in fields {
        let (part, after) = rest.split_at(rest.len().min(field.width().next_multiple_of(4) as usize));
        rest = after;
        shown.push(part_text(*field, part));
    }
    shown
}

fn part_text(field: Field, part: &[u8]) -> String {
    match (field, part) {
        (Field::Ipv4, [a, b, c, d, ..]) => format!("{a}.{b}.{c}.{d}"),
        (Field::Ipv6, part) => match <[u8; 16]>::try_from(part) {
            Ok(octets) => std::net::Ipv6Addr::from(octets).to_string(),
            Err(_) => format!("{part:02x?}"),
        },
        (Field::Protocol, [6, ..]) => "tcp".into(),
        (Field::Protocol, [17, ..]) => "udp".into(),
        (Field::Protocol, [132, ..]) => "sctp".into(),
        (Field::Protocol, [other, ..]) => other.to_string(),
        (Field::Port, [a, b, ..]) => u16::from_be_bytes([*a, *b]).to_string(),
        (Field::Number, [a, b, c, d, ..]) => u32::from_ne_bytes([*a, *b, *c, *d]).to_string(),
        (_, part) => format!("{part:02x?}"),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Accept => f.write_str("accept"),
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hang {
            Some(hang) => {
                writeln!(f, " ({} {:?} {})", hang.kind, hang.hook, hang.priority)?;
            }
            None => writeln!(f)?,
        }
        for rule in &self.rules {
            let steps: Vec<_> = rule.iter().map(ToString::to_string).collect();
            writeln!(f, "  {}", steps.join("; "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { from, offset, len, to } => {
                write!(f, "r{} = {} {offset}+{len}", to.0, format!("{from:?}").to_lowercase())
            }
            Self::Meta { key, to } => write!(f, "r{} = {}", to.0, format!("{key:?}").to_lowercase()),
            Self::Ct { key, to } => write!(f, "r{} = ct {key:?}", to.0),
            Self::SourceType { to } => write!(f, "r{} = type of source", to.0),
            Self::DestinationType { to } => write!(f, "r{} = type of destination", to.0),
            Self::Mask { at, mask } => write!(f, "r{} &= {mask:02x?}", at.0),
            Self::Equal { at, value } => write!(f, "r{} == {value:02x?}", at.0),
            Self::NotEqual { at, value } => write!(f, "r{} != {value:02x?}", at.0),
            Self::Lookup { set, key, into: Into::Present } => write!(f, "r{} in @{set}", key.0),
            Self::Lookup { set, key, into: Into::Absent } => write!(f, "r{} not in @{set}", key.0),
            Self::Lookup { set, key, into: Into::Register(to) } => {
                write!(f, "r{} = @{set}[r{}]", to.0, key.0)
            }
            Self::Lookup { set, key, into: Into::Verdict } => write!(f, "do @{set}[r{}]", key.0),
            Self::Random { below, to } => write!(f, "r{} = random below {below}", to.0),
            Self::Put { value, to } => write!(f, "r{} = {value:02x?}", to.0),
            Self::Verdict(verdict) => write!(f, "{verdict}"),
            Self::DestinationNat { address, port, .. } => write!(f, "dnat to r{}:r{}", address.0, port.0),
            Self::Masquerade => f.write_str("masquerade"),
            Self::Reject(_) => f.write_str("reject"),
            Self::Update { set, key, data, timeout_ms } => {
                let data = data.map_or_else(String::new, |data| format!(" = r{}", data.0));
                write!(f, "@{set}[r{}]{data} for {timeout_ms} ms", key.0)
            }
        }
    }
}
