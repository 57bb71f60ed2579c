//! What an expression may cost at most, before it has been seen at work.
//!
//! Sizes come from the schema (maxItems, maxLength, maxProperties), or from what fits into a request.
//!
//! Upstream: apiserver/pkg/cel/library/cost.go, apiextensions-apiserver/pkg/apiserver/schema/cel.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::ast::{Expr, Kind};

/// What one rule of a custom resource may cost.
pub const STATIC_LIMIT: u64 = 10_000_000;

/// How large a value can be.
#[derive(Debug, Clone, Default)]
pub struct Bound {
    /// Items, entries, characters.
    pub size: u64,
    pub item: Option<Arc<Bound>>,
    pub fields: BTreeMap<String, Arc<Bound>>,
}

/// A cost and the size of the result.
struct Found {
    cost: u64,
    bound: Option<Arc<Bound>>,
}

/// Of what is not known.
const UNKNOWN: u64 = 3 * 1024 * 1024;

pub(crate) fn estimate(expr: &Expr, names: &HashMap<String, Arc<Bound>>) -> u64 {
    Estimator { names, local: Vec::new() }.expr(expr).cost
}

struct Estimator<'a> {
    names: &'a HashMap<String, Arc<Bound>>,
    local: Vec<(String, Option<Arc<Bound>>)>,
}

fn size(bound: &Option<Arc<Bound>>) -> u64 {
    bound.as_ref().map_or(UNKNOWN, |bound| bound.size)
}

fn plain(cost: u64, size: u64) -> Found {
    Found { cost, bound: Some(Arc::new(Bound { size, ..Bound::default() })) }
}

impl Estimator<'_> {
    fn expr(&mut self, expr: &Expr) -> Found {
        match &expr.kind {
            Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Uint(_) | Kind::Double(_) => plain(0, 1),
            Kind::Text(text) => plain(0, text.chars().count() as u64),
            Kind::Bytes(bytes) => plain(0, bytes.len() as u64),
            Kind::Name(name) => {
                let local =
                    self.local.iter().rev().find(|(own, _)| own == name).map(|(_, bound)| bound.clone());
                Found { cost: 1, bound: local.unwrap_or_else(|| self.names.get(name).cloned()) }
            }
            Kind::Select { of, field, .. } => {
                let of = self.expr(of);
                let bound = of.bound.and_then(|of| of.fields.get(field).cloned().or_else(|| of.item.clone()));
                Found { cost: of.cost.saturating_add(1), bound }
            }
            Kind::List(items) => {
                let cost =
                    items.iter().fold(10, |sum: u64, (item, _)| sum.saturating_add(self.expr(item).cost));
                plain(cost, items.len() as u64)
            }
            Kind::Map(entries) => {
                let cost = entries.iter().fold(30, |sum: u64, (key, value, _)| {
                    sum.saturating_add(self.expr(key).cost).saturating_add(self.expr(value).cost)
                });
                plain(cost, entries.len() as u64)
            }
            Kind::Call { function, args, .. } => self.call(function, args),
            Kind::Loop(found) => {
                let range = self.expr(&found.range);
                let item = range.bound.as_ref().and_then(|bound| bound.item.clone());
                let depth = self.local.len();
                for name in &found.names {
                    self.local.push((name.clone(), item.clone()));
                }
                let body = self.expr(&found.body).cost;
                let filter = found.filter.as_ref().map_or(0, |filter| self.expr(filter).cost);
                self.local.truncate(depth);
                let count = size(&range.bound);
                let turn = body.saturating_add(filter).saturating_add(2);
                let cost = range.cost.saturating_add(turn.saturating_mul(count)).saturating_add(1);
                Found { cost, bound: range.bound }
            }
            Kind::Bind { name, value, body } | Kind::OptMap { of: value, name, body, .. } => {
                let value = self.expr(value);
                self.local.push((name.clone(), value.bound));
                let body = self.expr(body);
                self.local.pop();
                Found { cost: body.cost.saturating_add(value.cost).saturating_add(1), bound: body.bound }
            }
        }
    }

    fn call(&mut self, function: &str, args: &[Expr]) -> Found {
        let found: Vec<Found> = args.iter().map(|arg| self.expr(arg)).collect();
        let of = |index: usize| found.get(index).map_or(1, |found| size(&found.bound));
        let below = found.iter().fold(0u64, |sum, found| sum.saturating_add(found.cost));
        let tenth = |size: u64| size.div_ceil(10).max(1);
        let own = match function {
            "_?_:_" => {
                let larger = found[1].cost.max(found[2].cost);
                let bound = if of(1) >= of(2) { found[1].bound.clone() } else { found[2].bound.clone() };
                return Found { cost: found[0].cost.saturating_add(larger), bound };
            }
            "_&&_" | "_||_" => 0,
            "_==_" | "_!=_" => tenth(of(0).min(of(1))),
            "@in" => of(1),
            "matches" | "find" | "findAll" => tenth(of(0)).saturating_mul((of(1) / 4).max(1)),
            "contains" | "indexOf" | "lastIndexOf" => tenth(of(0)).saturating_mul(tenth(of(1))),
            "sets.contains" | "sets.equivalent" | "sets.intersects" => of(0).saturating_mul(of(1)),
            "startsWith" | "endsWith" => tenth(of(1)),
            "size" | "_[_]" | "_[?_]" | "hasValue" | "value" | "orValue" => 1,
            _ => tenth(of(0)),
        };
        let cost = below.saturating_add(own);
        match function {
            "_[_]" | "_[?_]" => {
                Found { cost, bound: found[0].bound.as_ref().and_then(|bound| bound.item.clone()) }
            }
            "_+_" => plain(cost, of(0).saturating_add(of(1))),
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "!_" | "_&&_" | "_||_" | "size" | "@in" => {
                plain(cost, 1)
            }
            _ => Found { cost, bound: found.into_iter().next().and_then(|found| found.bound) },
        }
    }
}
