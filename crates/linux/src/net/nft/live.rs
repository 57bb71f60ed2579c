//! What the kernel holds of a table, and the changes that make it what it should be.

use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::net::netlink::{attributes, dump, find, find_number, find_text, text};

use super::batch::FINGERPRINT;
use super::ruleset::{fingerprint, width};
use super::{
    Batch, Chain, GET_CHAIN, GET_ELEMENT, GET_RULE, GET_SET, Hang, Item, Key, Ruleset, SUBSYSTEM, Set, Table,
    Value, Verdict,
};

/// A table as it is. One that is not there is empty.
#[derive(Debug, Default)]
pub struct Live {
    sets: BTreeMap<String, Shape>,
    chains: BTreeMap<String, LiveChain>,
    elements: BTreeMap<String, HashMap<Key, Value>>,
}

/// What of a set cannot be changed.
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    flags: u32,
    key: u32,
    data: u32,
}

#[derive(Debug, Default)]
struct LiveChain {
    /// Hook and priority.
    hang: Option<(u32, i32)>,
    /// None for a rule that is not ours.
    rules: Vec<Option<u64>>,
}

impl Live {
    /// # Errors
    /// The kernel has no nftables, or we may not ask.
    pub fn read(table: &Table) -> io::Result<Self> {
        let mut live = Self::default();
        live.read_sets(table)?;
        live.read_chains(table)?;
        live.read_rules(table)?;
        let names: Vec<_> = live.sets.keys().cloned().collect();
        for name in names {
            let elements = elements(table, &name)?;
            live.elements.insert(name, elements);
        }
        Ok(live)
    }

    fn read_sets(&mut self, table: &Table) -> io::Result<()> {
        for body in ask(table, GET_SET)? {
            let number = |kind| find_number(&body, kind).unwrap_or(0);
            let Some(name) = find_text(&body, 2) else { continue };
            // A verdict's length is the kernel's own affair.
            let data = if number(6) == 0xffff_ff00 { 0 } else { number(7) };
            self.sets.insert(name, Shape { flags: number(3), key: number(5), data });
        }
        Ok(())
    }

    fn read_chains(&mut self, table: &Table) -> io::Result<()> {
        for body in ask(table, GET_CHAIN)? {
            let Some(name) = find_text(&body, 3) else { continue };
            let hang =
                find(&body, 4).and_then(|hook| Some((find_number(hook, 1)?, find_number(hook, 2)? as i32)));
            self.chains.insert(name, LiveChain { hang, rules: Vec::new() });
        }
        Ok(())
    }

    fn read_rules(&mut self, table: &Table) -> io::Result<()> {
        for body in ask(table, GET_RULE)? {
            let note = find(&body, 7).and_then(|note| note.strip_prefix(&[FINGERPRINT, 8]));
            let note = note.and_then(|note| note.first_chunk()).map(|note| u64::from_be_bytes(*note));
            let chain = find_text(&body, 2).and_then(|chain| self.chains.get_mut(&chain));
            if let Some(chain) = chain {
                chain.rules.push(note);
            }
        }
        Ok(())
    }

    /// What a set holds, of those that were declared without time.
    pub fn elements(&self, set: &str) -> Option<&HashMap<Key, Value>> {
        self.elements.get(set)
    }

    /// Adds to the batch what turns this into `wanted`, element by element where that is possible.
    pub fn change_to(&self, wanted: &Ruleset, batch: &mut Batch<'_>) {
        if !self.fits(wanted) {
            return batch.replace(wanted);
        }
        let added = wanted.sets.iter().filter(|(name, _)| !self.sets.contains_key(**name));
        added.for_each(|(name, set)| batch.add_set(name, set));
        let added = wanted.chains.iter().filter(|(name, _)| !self.chains.contains_key(*name));
        added.for_each(|(name, chain)| batch.add_chain(name, chain.hang));
        for (name, chain) in &wanted.chains {
            if !self.chains.get(name).is_some_and(|live| live.has_rules_of(chain)) {
                batch.set_rules(name, chain);
            }
        }
        for (name, set) in &wanted.sets {
            self.change_elements(name, set, wanted, batch);
        }
        let gone: Vec<_> = self.chains.keys().filter(|name| !wanted.chains.contains_key(*name)).collect();
        gone.iter().for_each(|name| batch.flush_chain(name));
        gone.iter().for_each(|name| batch.delete_chain(name));
        let gone = self.sets.keys().filter(|name| !wanted.sets.contains_key(name.as_str()));
        gone.for_each(|name| batch.delete_set(name));
    }

    fn change_elements(&self, name: &'static str, set: &Set, wanted: &Ruleset, batch: &mut Batch<'_>) {
        if matches!(set.item, Item::Timed(_)) {
            return;
        }
        let (none, nothing) = (HashMap::new(), HashMap::new());
        let live = self.elements.get(name).unwrap_or(&none);
        let wanted = wanted.elements.get(name).unwrap_or(&nothing);
        batch.delete_elements(name, live.iter().filter(|(k, v)| wanted.get(*k) != Some(*v)).map(|(k, _)| k));
        batch.add_elements(name, wanted.iter().filter(|(k, v)| live.get(*k) != Some(*v)));
    }

    /// Whether nothing is there that would have to be made anew under the same name.
    fn fits(&self, wanted: &Ruleset) -> bool {
        let hook = |hang: Hang| (hang.hook as u32, hang.priority);
        !self.chains.is_empty()
            && wanted
                .sets
                .iter()
                .all(|(name, set)| self.sets.get(*name).is_none_or(|live| *live == shape(set)))
            && wanted.chains.iter().all(|(name, chain)| {
                self.chains.get(name).is_none_or(|live| live.hang == chain.hang.map(hook))
            })
    }
}

impl LiveChain {
    fn has_rules_of(&self, chain: &Chain) -> bool {
        self.rules.len() == chain.rules.len()
            && self.rules.iter().zip(&chain.rules).all(|(live, rule)| *live == Some(fingerprint(rule)))
    }
}

fn shape(set: &Set) -> Shape {
    let data = match &set.item {
        Item::Value(fields) | Item::Timed(fields) => width(fields),
        _ => 0,
    };
    Shape { flags: set.flags(), key: width(&set.key), data }
}

/// The bodies of all answers about a table.
fn ask(table: &Table, kind: u16) -> io::Result<Vec<Vec<u8>>> {
    let mut body = Vec::new();
    text(&mut body, 1, &table.name);
    let answers = absent_is_empty(dump(SUBSYSTEM << 8 | kind, table.family as u8, &body))?;
    // Not every dump is kept to the table that was asked for.
    let ours = |body: &Vec<u8>| find_text(body, 1).as_deref() == Some(&table.name);
    Ok(answers.into_iter().filter(ours).collect())
}

fn absent_is_empty<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(T::default()),
        result => result,
    }
}

/// What a set holds now, with its values; also of a timed one.
pub(super) fn elements(table: &Table, set: &str) -> io::Result<HashMap<Key, Value>> {
    let mut body = Vec::new();
    text(&mut body, 1, &table.name);
    text(&mut body, 2, set);
    let answers = absent_is_empty(dump(SUBSYSTEM << 8 | GET_ELEMENT, table.family as u8, &body))?;
    let lists = answers.iter().filter_map(|answer| find(answer, 3));
    Ok(lists.flat_map(attributes).filter_map(|(_, element)| read_element(element)).collect())
}

fn read_element(element: &[u8]) -> Option<(Key, Value)> {
    let bytes = |kind| Some(find(find(element, kind)?, 1)?.to_vec());
    let key = Key { start: bytes(1)?, end: bytes(10) };
    let value = match find(element, 2) {
        None => Value::None,
        Some(data) => match find(data, 1) {
            Some(bytes) => Value::Bytes(bytes.to_vec()),
            None => Value::Verdict(read_verdict(find(data, 2)?)?),
        },
    };
    Some((key, value))
}

fn read_verdict(verdict: &[u8]) -> Option<Verdict> {
    Some(match find_number(verdict, 1)? as i32 {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        -5 => Verdict::Return,
        -3 => Verdict::Jump(find_text(verdict, 2)?),
        _ => Verdict::Goto(find_text(verdict, 2)?),
    })
}

impl Table {
    /// What a set holds now; also one whose elements rules put there.
    ///
    /// # Errors
    /// The kernel refuses to tell. A set that is not there is empty.
    pub fn elements(&self, set: &str) -> io::Result<HashMap<Key, Value>> {
        elements(self, set)
    }

    /// Removes the table if it is there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&self) -> io::Result<()> {
        let mut batch = Batch::new(self);
        batch.add_table();
        batch.delete_table();
        batch.apply()
    }
}
