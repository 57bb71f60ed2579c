//! Evaluates a tree. Every step is paid for; nothing is evaluated that is not needed.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::ast::{Expr, Flatness, Kind, Loop, Mode, What};
use crate::functions;
use crate::value::{EvalError, Value};

type Result<'a> = std::result::Result<Value<'a>, EvalError>;

pub(crate) fn failed<T>(why: impl Into<String>) -> std::result::Result<T, EvalError> {
    Err(EvalError::Failed(why.into()))
}

/// One evaluation.
pub(crate) struct Interpreter<'a, 'v> {
    pub names: &'v [(&'v str, Value<'a>)],
    pub local: Vec<(String, Value<'a>)>,
    pub budget: &'v mut u64,
}

impl<'a> Interpreter<'a, '_> {
    pub fn pay(&mut self, cost: u64) -> std::result::Result<(), EvalError> {
        match self.budget.checked_sub(cost) {
            Some(left) => {
                *self.budget = left;
                Ok(())
            }
            None => {
                *self.budget = 0;
                Err(EvalError::OverBudget)
            }
        }
    }

    pub fn eval(&mut self, expr: &Expr) -> Result<'a> {
        match &expr.kind {
            Kind::Null => Ok(Value::Null),
            Kind::Bool(flag) => Ok(Value::Bool(*flag)),
            Kind::Int(int) => Ok(Value::Int(*int)),
            Kind::Uint(uint) => Ok(Value::Uint(*uint)),
            Kind::Double(double) => Ok(Value::Double(*double)),
            Kind::Text(text) => Ok(Value::text(text)),
            Kind::Bytes(bytes) => Ok(Value::Bytes(bytes.as_slice().into())),
            Kind::Name(name) => self.name(name),
            Kind::Select { of, field, mode } => self.select(of, field, *mode),
            Kind::Call { function, args, is_method } => self.call(function, args, *is_method),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Loop(found) => self.looped(found),
            Kind::Bind { name, value, body } => {
                let value = self.eval(value)?;
                self.pay(1)?;
                self.with(name, value, |inner| inner.eval(body))
            }
            Kind::OptMap { of, name, body, flat } => match self.eval(of)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(value)) => {
                    self.pay(1)?;
                    let result = self.with(name, (*value).clone(), |inner| inner.eval(body))?;
                    Ok(if *flat == Flatness::Flat { result } else { Value::some(result) })
                }
                other => failed(format!("no such overload: {}.optMap", other.type_name())),
            },
        }
    }

    fn with<T>(&mut self, name: &str, value: Value<'a>, work: impl FnOnce(&mut Self) -> T) -> T {
        self.local.push((name.to_owned(), value));
        let result = work(self);
        self.local.pop();
        result
    }

    fn name(&mut self, name: &str) -> Result<'a> {
        self.pay(1)?;
        if let Some((_, value)) = self.local.iter().rev().find(|(own, _)| own == name) {
            return Ok(value.clone());
        }
        if let Some((_, value)) = self.names.iter().find(|(own, _)| *own == name) {
            return Ok(value.clone());
        }
        match functions::type_named(name) {
            Some(kind) => Ok(Value::Type(kind.to_owned())),
            None => failed(format!("no such attribute(s): {name}")),
        }
    }

    fn select(&mut self, of: &Expr, field: &str, mode: Mode) -> Result<'a> {
        let owner = self.eval(of)?;
        self.pay(1)?;
        let (owner, through) = match owner {
            Value::Optional(None) if mode == Mode::Test => return Ok(Value::Bool(false)),
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => ((*inner).clone(), true),
            plain => (plain, false),
        };
        if let Value::Host(host) = &owner {
            return host.call(field, &[]).map_err(EvalError::Failed);
        }
        let found = owner.get(&Value::text(field));
        let is_map = owner.entries_possible();
        match (mode, found) {
            (Mode::Test, found) if is_map => {
                Ok(Value::Bool(found.is_some_and(|value| !matches!(value, Value::Null))))
            }
            (Mode::Optional, found) if is_map => Ok(Value::Optional(found.map(Arc::new))),
            (Mode::Value, found) if through && is_map => Ok(Value::Optional(found.map(Arc::new))),
            (Mode::Value, Some(value)) => Ok(value),
            (_, None) if is_map => failed(format!("no such key: {field}")),
            _ => failed(format!("no such overload: {}.{field}", owner.type_name())),
        }
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Result<'a> {
        self.pay(10)?;
        let mut list = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.eval(item)?, optional) {
                (Value::Optional(inner), true) => list.extend(inner.map(|value| (*value).clone())),
                (value, _) => list.push(value),
            }
        }
        Ok(Value::list(list))
    }

    fn map(&mut self, entries: &[(Expr, Expr, bool)]) -> Result<'a> {
        self.pay(30)?;
        let mut map: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            let value = match (self.eval(value)?, optional) {
                (Value::Optional(None), true) => continue,
                (Value::Optional(Some(inner)), true) => (*inner).clone(),
                (value, _) => value,
            };
            self.pay(map.len() as u64 / 10)?;
            if map.iter().any(|(own, _)| own.is_same(&key)) {
                return failed(format!("insert failed: key {} already exists", functions::shown(&key)));
            }
            map.push((key, value));
        }
        Ok(Value::Map(map.into()))
    }

    /// Logic takes what it needs: an error on one side does not matter if the other decides.
    fn logic(&mut self, args: &[Expr], decisive: bool) -> Result<'a> {
        let left = self.eval(&args[0]);
        if matches!(left, Ok(Value::Bool(flag)) if flag == decisive) || left == Err(EvalError::OverBudget) {
            return left;
        }
        let right = self.eval(&args[1]);
        match (left, right) {
            (_, Ok(Value::Bool(flag))) if flag == decisive => Ok(Value::Bool(flag)),
            (_, Err(EvalError::OverBudget)) => Err(EvalError::OverBudget),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(Value::Bool(_)), Ok(right @ Value::Bool(_))) => Ok(right),
            _ => failed("no such overload"),
        }
    }

    fn call(&mut self, function: &str, args: &[Expr], is_method: bool) -> Result<'a> {
        match function {
            "_&&_" => return self.logic(args, false),
            "_||_" => return self.logic(args, true),
            "_?_:_" => {
                return match self.eval(&args[0])? {
                    Value::Bool(true) => self.eval(&args[1]),
                    Value::Bool(false) => self.eval(&args[2]),
                    _ => failed("no such overload"),
                };
            }
            // The alternative is not evaluated when there is a value.
            "or" | "orValue" if is_method && args.len() == 2 => {
                if let Value::Optional(Some(value)) = self.eval(&args[0])? {
                    return Ok(if function == "or" {
                        Value::Optional(Some(value))
                    } else {
                        (*value).clone()
                    });
                }
                return self.eval(&args[1]);
            }
            _ => {}
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(self.eval(arg)?);
        }
        self.pay(functions::cost(function, &values))?;
        let result = functions::call(function, &values, is_method)?;
        // What has been made takes memory.
        self.pay(result.size().unwrap_or(0) as u64 / 10)?;
        Ok(result)
    }

    fn looped(&mut self, found: &Loop) -> Result<'a> {
        let range = self.eval(&found.range)?;
        let pairs = pairs(&range, found.names.len() == 2)?;
        self.pay(pairs.len() as u64 / 10 + 1)?;
        let mut state = State {
            what: found.what,
            list: Vec::new(),
            map: Vec::new(),
            count: 0,
            error: None,
            keys: Vec::new(),
        };
        for (first, second) in pairs {
            self.pay(2)?;
            self.local.push((found.names[0].clone(), first.clone()));
            if let Some(name) = found.names.get(1) {
                self.local.push((name.clone(), second));
            }
            let step = self.step(found, first, &mut state);
            self.local.truncate(self.local.len() - found.names.len());
            if let Some(result) = step? {
                return Ok(result);
            }
        }
        state.finish()
    }

    /// One turn; a value ends the loop.
    fn step(
        &mut self,
        found: &Loop,
        first: Value<'a>,
        state: &mut State<'a>,
    ) -> std::result::Result<Option<Value<'a>>, EvalError> {
        if let Some(filter) = &found.filter
            && self.eval(filter)? != Value::Bool(true)
        {
            return Ok(None);
        }
        let result = self.eval(&found.body);
        let decisive = match found.what {
            What::All => Some(false),
            What::Exists => Some(true),
            _ => None,
        };
        if let Some(decisive) = decisive {
            match result {
                Ok(Value::Bool(flag)) if flag == decisive => return Ok(Some(Value::Bool(flag))),
                Ok(Value::Bool(_)) => {}
                Ok(_) => state.error = Some(EvalError::Failed("no such overload".into())),
                Err(EvalError::OverBudget) => return Err(EvalError::OverBudget),
                Err(error) => state.error = Some(error),
            }
            return Ok(None);
        }
        let result = result?;
        match found.what {
            What::ExistsOne => state.count += usize::from(result == Value::Bool(true)),
            What::Filter => {
                if result == Value::Bool(true) {
                    state.list.push(first);
                }
            }
            What::Map => state.list.push(result),
            What::TransformMap => state.map.push((first, result)),
            What::SortBy => {
                state.keys.push(result);
                state.list.push(first);
            }
            What::All | What::Exists => {}
        }
        Ok(None)
    }
}

struct State<'a> {
    what: What,
    list: Vec<Value<'a>>,
    map: Vec<(Value<'a>, Value<'a>)>,
    keys: Vec<Value<'a>>,
    count: usize,
    error: Option<EvalError>,
}

impl<'a> State<'a> {
    fn finish(self) -> Result<'a> {
        if let Some(error) = self.error {
            return Err(error);
        }
        Ok(match self.what {
            What::All => Value::Bool(true),
            What::Exists => Value::Bool(false),
            What::ExistsOne => Value::Bool(self.count == 1),
            What::Map | What::Filter => Value::list(self.list),
            What::TransformMap => Value::Map(self.map.into()),
            What::SortBy => {
                let mut pairs: Vec<(Value<'a>, Value<'a>)> = self.keys.into_iter().zip(self.list).collect();
                pairs.sort_by(|(a, _), (b, _)| a.compare(b).unwrap_or(Ordering::Equal));
                Value::list(pairs.into_iter().map(|(_, value)| value).collect())
            }
        })
    }
}

/// What a loop goes over: items or keys, or index (key) and value.
fn pairs<'a>(range: &Value<'a>, two: bool) -> std::result::Result<Vec<(Value<'a>, Value<'a>)>, EvalError> {
    if let Some(items) = range.items() {
        return Ok(match two {
            true => {
                items.into_iter().enumerate().map(|(index, item)| (Value::Int(index as i64), item)).collect()
            }
            false => items.into_iter().map(|item| (item, Value::Null)).collect(),
        });
    }
    match range.entries() {
        Some(entries) => Ok(entries),
        None => failed(format!("no such overload: {} is no range", range.type_name())),
    }
}

impl Value<'_> {
    pub(crate) fn entries_possible(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Data(serde_json::Value::Object(_), _))
    }
}
