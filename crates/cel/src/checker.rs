//! Types of expressions, and what does not fit.

use std::collections::HashMap;

use crate::ast::{Expr, Flatness, Kind, Loop, Mode, What};
use crate::lexer::Failure;
use crate::overloads::{self, SPACES};
use crate::types::{Bindings, Type};

/// Names that stand for types.
const TYPE_NAMES: [&str; 11] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type", "optional_type"];

const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";

/// Checks a tree; `optional.of(x)` and its like become functions on the way.
pub(crate) fn check(expr: &mut Expr, names: &HashMap<String, Type>) -> Result<Type, Vec<Failure>> {
    let mut checker = Checker { names, local: Vec::new(), failures: Vec::new(), in_format: false };
    let result = checker.expr(expr);
    if checker.failures.is_empty() { Ok(result) } else { Err(checker.failures) }
}

struct Checker<'a> {
    names: &'a HashMap<String, Type>,
    /// Of comprehensions, the innermost last.
    local: Vec<(String, Type)>,
    failures: Vec<Failure>,
    /// The arguments of `format` may be of many types.
    in_format: bool,
}

impl Checker<'_> {
    fn fail(&mut self, at: usize, why: String) -> Type {
        self.failures.push((at, why));
        Type::Dyn
    }

    fn lookup(&self, name: &str) -> Option<Type> {
        let local = self.local.iter().rev().find(|(own, _)| own == name).map(|(_, kind)| kind.clone());
        local
            .or_else(|| self.names.get(name).cloned())
            .or_else(|| TYPE_NAMES.contains(&name).then_some(Type::Type))
    }

    fn expr(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        match &mut expr.kind {
            Kind::Null => Type::Null,
            Kind::Bool(_) => Type::Bool,
            Kind::Int(_) => Type::Int,
            Kind::Uint(_) => Type::Uint,
            Kind::Double(_) => Type::Double,
            Kind::Text(_) => Type::String,
            Kind::Bytes(_) => Type::Bytes,
            Kind::Name(name) => match self.lookup(name) {
                Some(kind) => kind,
                None => {
                    let why = format!("undeclared reference to '{name}' (in container '')");
                    self.fail(at, why)
                }
            },
            Kind::Select { of, field, mode } => {
                let (field, mode) = (field.clone(), *mode);
                self.select(at, of, &field, mode)
            }
            Kind::Call { .. } => self.call(expr),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Loop(found) => self.looped(at, found),
            Kind::Bind { name, value, body } => {
                let kind = self.expr(value);
                self.with(&[(name.clone(), kind)], |checker| checker.expr(body))
            }
            Kind::OptMap { of, name, body, flat } => {
                let inner = match self.expr(of) {
                    Type::Optional(inner) => (*inner).clone(),
                    _ => Type::Dyn,
                };
                let result = self.with(&[(name.clone(), inner)], |checker| checker.expr(body));
                if *flat == Flatness::Flat { result } else { Type::optional(result) }
            }
        }
    }

    fn with<T>(&mut self, names: &[(String, Type)], work: impl FnOnce(&mut Self) -> T) -> T {
        self.local.extend_from_slice(names);
        let result = work(self);
        self.local.truncate(self.local.len() - names.len());
        result
    }

    fn select(&mut self, at: usize, of: &mut Expr, field: &str, mode: Mode) -> Type {
        let (owner, through) = match self.expr(of) {
            Type::Optional(inner) => ((*inner).clone(), true),
            other => (other, false),
        };
        let found = match &owner {
            Type::Dyn => Type::Dyn,
            // A variable whose name has a dot.
            Type::Named(AUTHORIZER) if field == "requestResource" => Type::Named(RESOURCE_CHECK),
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => match object.fields.get(field) {
                Some((_, kind)) => kind.clone(),
                None => self.fail(at, format!("undefined field '{field}'")),
            },
            other => self.fail(at, format!("type '{other}' does not support field selection")),
        };
        match mode {
            Mode::Test => Type::Bool,
            Mode::Optional => Type::optional(found),
            Mode::Value if through => Type::optional(found),
            Mode::Value => found,
        }
    }

    fn list(&mut self, items: &mut [(Expr, bool)]) -> Type {
        let mut of: Option<Type> = None;
        for (item, optional) in items {
            let mut found = self.expr(item);
            if *optional && let Type::Optional(inner) = found {
                found = (*inner).clone();
            }
            of = Some(self.same(item.at, of, found));
        }
        Type::list(of.unwrap_or(Type::Dyn))
    }

    /// Literals are of one type.
    fn same(&mut self, at: usize, before: Option<Type>, found: Type) -> Type {
        match before {
            None => found,
            Some(before) if Bindings::default().accepts(&before, &found) => {
                if before == Type::Null {
                    found
                } else {
                    before
                }
            }
            Some(_) if self.in_format => Type::Dyn,
            Some(before) => self.fail(at, format!("expected type '{before}' but found '{found}'")),
        }
    }

    fn map(&mut self, entries: &mut [(Expr, Expr, bool)]) -> Type {
        let (mut keys, mut values) = (None, None);
        for (key, value, optional) in entries {
            let found = self.expr(key);
            keys = Some(self.same(key.at, keys, found));
            let mut found = self.expr(value);
            if *optional && let Type::Optional(inner) = found {
                found = (*inner).clone();
            }
            values = Some(self.same(value.at, values, found));
        }
        Type::map(keys.unwrap_or(Type::Dyn), values.unwrap_or(Type::Dyn))
    }

    fn looped(&mut self, at: usize, found: &mut Loop) -> Type {
        let range = self.expr(&mut found.range);
        let two = found.names.len() == 2;
        let (first, second) = match &range {
            Type::List(item) if two => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn => (Type::Dyn, Type::Dyn),
            other => {
                let why = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.fail(found.range.at, why);
                (Type::Dyn, Type::Dyn)
            }
        };
        let names: Vec<(String, Type)> = found.names.iter().cloned().zip([first.clone(), second]).collect();
        let (filter, body) = (&mut found.filter, &mut found.body);
        let result = self.with(&names, |checker| {
            if let Some(filter) = filter {
                let kind = checker.expr(filter);
                checker.want_bool(filter.at, &kind);
            }
            checker.expr(body)
        });
        match found.what {
            What::All | What::Exists | What::ExistsOne => {
                self.want_bool(at, &result);
                Type::Bool
            }
            What::Filter => {
                self.want_bool(at, &result);
                Type::list(first)
            }
            What::SortBy => Type::list(first),
            What::Map => Type::list(result),
            What::TransformMap => Type::map(first, result),
        }
    }

    fn want_bool(&mut self, at: usize, found: &Type) {
        if !matches!(found, Type::Bool | Type::Dyn) {
            self.fail(at, format!("expected type 'bool' but found '{found}'"));
        }
    }

    fn call(&mut self, expr: &mut Expr) -> Type {
        let at = expr.at;
        let Kind::Call { function, args, is_method } = &mut expr.kind else { return Type::Dyn };
        // `sets.contains(…)`: the receiver is no value but a part of the name.
        if *is_method
            && let Kind::Name(space) = &args[0].kind
            && SPACES.contains(&space.as_str())
            && !overloads::of(&format!("{space}.{function}")).is_empty()
            && self.lookup(space).is_none()
        {
            *function = format!("{space}.{function}");
            *is_method = false;
            args.remove(0);
        }
        let outer = std::mem::replace(&mut self.in_format, *is_method && function == "format");
        let found: Vec<Type> = args.iter_mut().map(|arg| self.expr(arg)).collect();
        self.in_format = outer;
        let name = if *is_method { format!(".{function}") } else { function.clone() };
        let candidates = overloads::of(&name);
        if candidates.is_empty() {
            let why = format!("undeclared reference to '{function}' (in container '')");
            return self.fail(at, why);
        }
        let results: Vec<Type> = candidates
            .iter()
            .filter(|overload| overload.args.len() == found.len())
            .filter_map(|overload| {
                let mut bindings = Bindings::default();
                let fits =
                    overload.args.iter().zip(&found).all(|(wanted, found)| bindings.accepts(wanted, found));
                fits.then(|| bindings.resolve(&overload.result))
            })
            .collect();
        match results.as_slice() {
            [] => {
                let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
                let applied = match (*is_method, shown.split_first()) {
                    (true, Some((receiver, rest))) => format!("{receiver}.({})", rest.join(", ")),
                    _ => format!("({})", shown.join(", ")),
                };
                let why = format!("found no matching overload for '{function}' applied to '{applied}'");
                self.fail(at, why)
            }
            [first, rest @ ..] => {
                if rest.iter().all(|other| other == first) {
                    first.clone()
                } else {
                    Type::Dyn
                }
            }
        }
    }
}
