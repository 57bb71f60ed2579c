//! A transaction: changes in the order in which the kernel is to see them.

use std::io;

use crate::net::netlink::{
    APPEND, CREATE, EXCL, REQUEST, ask_for_answer, attribute, message, nested, number, number_messages, text,
    transact,
};

use super::ruleset::{code, fingerprint, width};
use super::{
    Chain, DEL_CHAIN, DEL_ELEMENT, DEL_RULE, DEL_SET, DEL_TABLE, Family, Hang, Item, Key, NEW_CHAIN,
    NEW_ELEMENT, NEW_RULE, NEW_SET, NEW_TABLE, Rule, Ruleset, SUBSYSTEM, Set, Value,
};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// Elements of one message: an attribute holds 64 KiB, and the largest element (two keys of 48 bytes and a verdict)
/// takes some 200 bytes.
const CHUNK: usize = 250;
/// The kind of the fingerprint among a rule's user data; nft knows the lower ones.
pub(super) const FINGERPRINT: u8 = 64;

/// A table of one family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    pub family: Family,
    pub name: String,
}

/// Changes to one table that belong together.
pub struct Batch<'a> {
    table: &'a Table,
    messages: Vec<Vec<u8>>,
    sets: u32,
}

impl<'a> Batch<'a> {
    pub fn new(table: &'a Table) -> Self {
        Self { table, messages: Vec::new(), sets: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// There already is fine.
    pub fn add_table(&mut self) {
        let mut body = Vec::new();
        text(&mut body, 1, &self.table.name);
        self.push(NEW_TABLE, CREATE, body);
    }

    /// Removes the table with all that it holds; it must be there.
    pub fn delete_table(&mut self) {
        let mut body = Vec::new();
        text(&mut body, 1, &self.table.name);
        self.push(DEL_TABLE, 0, body);
    }

    /// The table with exactly this content, whatever it was before.
    pub fn replace(&mut self, ruleset: &Ruleset) {
        self.add_table();
        self.delete_table();
        self.add_table();
        ruleset.sets.iter().for_each(|(name, set)| self.add_set(name, set));
        ruleset.chains.iter().for_each(|(name, chain)| self.add_chain(name, chain.hang));
        for (name, chain) in &ruleset.chains {
            chain.rules.iter().for_each(|rule| self.add_rule(name, rule));
        }
        for (set, elements) in &ruleset.elements {
            self.add_elements(set, elements);
        }
    }

    pub fn add_chain(&mut self, name: &str, hang: Option<Hang>) {
        let mut body = self.named(3, name);
        if let Some(hang) = hang {
            nested(&mut body, 4, |body| {
                number(body, 1, hang.hook as u32);
                number(body, 2, hang.priority as u32);
            });
            text(&mut body, 7, hang.kind);
        }
        self.push(NEW_CHAIN, CREATE, body);
    }

    /// A new chain, or new rules in one that is there.
    pub fn set_rules(&mut self, name: &str, chain: &Chain) {
        self.flush_chain(name);
        chain.rules.iter().for_each(|rule| self.add_rule(name, rule));
    }

    pub fn flush_chain(&mut self, name: &str) {
        let body = self.named(2, name);
        self.push(DEL_RULE, 0, body);
    }

    /// The chain must be empty, and nothing may lead to it.
    pub fn delete_chain(&mut self, name: &str) {
        let body = self.named(3, name);
        self.push(DEL_CHAIN, 0, body);
    }

    pub fn add_rule(&mut self, chain: &str, rule: &Rule) {
        let mut body = self.named(2, chain);
        nested(&mut body, 4, |body| rule.iter().for_each(|step| nested(body, 1, |body| step.write(body))));
        let mut note = vec![FINGERPRINT, 8];
        note.extend(fingerprint(rule).to_be_bytes());
        attribute(&mut body, 7, &note);
        self.push(NEW_RULE, CREATE | APPEND, body);
    }

    pub fn add_set(&mut self, name: &str, set: &Set) {
        self.sets += 1;
        let mut body = self.named(2, name);
        number(&mut body, 3, set.flags());
        number(&mut body, 4, code(&set.key));
        number(&mut body, 5, width(&set.key));
        match &set.item {
            Item::Key => {}
            Item::Verdict => number(&mut body, 6, 0xffff_ff00),
            Item::Value(fields) | Item::Timed(fields) => {
                number(&mut body, 6, code(fields));
                number(&mut body, 7, width(fields));
            }
            Item::Range => nested(&mut body, 9, |body| {
                nested(body, 2, |body| {
                    set.key.iter().for_each(|f| nested(body, 1, |body| number(body, 1, f.width())));
                });
            }),
        }
        number(&mut body, 10, self.sets);
        self.push(NEW_SET, CREATE, body);
    }

    pub fn delete_set(&mut self, name: &str) {
        let body = self.named(2, name);
        self.push(DEL_SET, 0, body);
    }

    /// None of the keys may be there with another value.
    pub fn add_elements<'e>(&mut self, set: &str, elements: impl IntoIterator<Item = (&'e Key, &'e Value)>) {
        self.elements(NEW_ELEMENT, CREATE | EXCL, set, elements);
    }

    /// All of the keys must be there.
    pub fn delete_elements<'e>(&mut self, set: &str, keys: impl IntoIterator<Item = &'e Key>) {
        self.elements(DEL_ELEMENT, 0, set, keys.into_iter().map(|key| (key, &Value::None)));
    }

    fn elements<'e>(
        &mut self,
        kind: u16,
        flags: u16,
        set: &str,
        elements: impl IntoIterator<Item = (&'e Key, &'e Value)>,
    ) {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            let mut body = self.named(2, set);
            nested(&mut body, 3, |body| {
                elements.by_ref().take(CHUNK).for_each(|(key, value)| element(body, key, value));
            });
            self.push(kind, flags, body);
        }
    }

    /// The table's name as attribute 1, another one behind it.
    fn named(&self, kind: u16, name: &str) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, 1, &self.table.name);
        text(&mut body, kind, name);
        body
    }

    fn push(&mut self, kind: u16, flags: u16, body: Vec<u8>) {
        let family = self.table.family as u8;
        self.messages.push(message(SUBSYSTEM << 8 | kind, REQUEST | flags, family, 0, &body));
    }

    /// Applies all changes, or none and tells the first that the kernel refused.
    pub fn apply(self) -> io::Result<()> {
        let Some(last) = u32::try_from(self.messages.len()).ok().filter(|len| *len > 0) else {
            return Ok(());
        };
        let mut all = vec![message(BATCH_BEGIN, REQUEST, 0, SUBSYSTEM, &[])];
        all.extend(self.messages);
        all.push(message(BATCH_END, REQUEST, 0, SUBSYSTEM, &[]));
        number_messages(&mut all);
        // One acknowledgement for all: messages are answered in order.
        ask_for_answer(&mut all[last as usize]);
        transact(&all.concat(), last)
    }
}

impl Set {
    pub(super) fn flags(&self) -> u32 {
        const INTERVAL: u32 = 0x4;
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVAL: u32 = 0x20;
        const CONCAT: u32 = 0x80;
        match self.item {
            Item::Key => 0,
            Item::Range => INTERVAL | CONCAT,
            Item::Value(_) | Item::Verdict => MAP,
            Item::Timed(_) => MAP | TIMEOUT | EVAL,
        }
    }
}

fn element(out: &mut Vec<u8>, key: &Key, value: &Value) {
    nested(out, 1, |out| {
        nested(out, 1, |out| attribute(out, 1, &key.start));
        match value {
            Value::None => {}
            Value::Bytes(bytes) => nested(out, 2, |out| attribute(out, 1, bytes)),
            Value::Verdict(verdict) => nested(out, 2, |out| verdict.write(out)),
        }
        if let Some(end) = &key.end {
            nested(out, 10, |out| attribute(out, 1, end));
        }
    });
}
