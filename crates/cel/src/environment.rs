//! Declared names, and the programs that are compiled with them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::ast::{Expr, Kind};
use crate::cost::{self, Bound};
use crate::interpreter::Interpreter;
use crate::lexer::Failure;
use crate::types::Type;
use crate::value::{EvalError, Value};
use crate::{checker, parser};

/// What expressions may speak of. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    names: HashMap<String, Type>,
    bounds: HashMap<String, Arc<Bound>>,
}

/// Why a text is no program: every problem with its place, as cel-go shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError(String);

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CompileError {}

/// A checked expression. Cheap to clone; evaluating it changes nothing.
#[derive(Debug, Clone)]
pub struct Program {
    expr: Arc<Expr>,
    result: Type,
    /// The most that it can cost.
    pub estimate: u64,
}

impl Environment {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn declare(&mut self, name: &str, kind: Type) {
        self.names.insert(name.to_owned(), kind);
    }

    /// How large a declared value can be; without it what fits into a request.
    pub fn bound(&mut self, name: &str, bound: Arc<Bound>) {
        self.bounds.insert(name.to_owned(), bound);
    }

    /// # Errors
    /// What cannot be read, or does not fit the declared types.
    pub fn compile(&self, text: &str) -> Result<Program, CompileError> {
        let mut expr = parser::parse(text).map_err(|failure| told(text, &[failure]))?;
        let result = checker::check(&mut expr, &self.names).map_err(|failures| told(text, &failures))?;
        let estimate = cost::estimate(&expr, &self.bounds);
        Ok(Program { expr: Arc::new(expr), result, estimate })
    }
}

/// `ERROR: <input>:1:5: why`, with the line and a mark below it.
fn told(text: &str, failures: &[Failure]) -> CompileError {
    let one = |(at, why): &Failure| {
        let (mut line, mut column) = (1, 0);
        for c in text.chars().take(*at) {
            column += 1;
            if c == '\n' {
                (line, column) = (line + 1, 0);
            }
        }
        let shown = text.lines().nth(line - 1).unwrap_or("");
        format!(
            "ERROR: <input>:{line}:{}: {why}\n | {shown}\n | {}^",
            column + 1,
            ".".repeat(column.min(1000))
        )
    };
    let all: Vec<String> = failures.iter().take(100).map(one).collect();
    CompileError(format!("compilation failed: {}", all.join("\n")))
}

impl Program {
    /// The type of what it comes to.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// Evaluates; `budget` is what may be spent, and afterwards what is left.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn evaluate<'a>(
        &self,
        names: &[(&str, Value<'a>)],
        budget: &mut u64,
    ) -> Result<Value<'a>, EvalError> {
        Interpreter { names, local: Vec::new(), budget }.eval(&self.expr)
    }

    /// Whether a declared name stands in it.
    pub fn uses(&self, name: &str) -> bool {
        uses(&self.expr, name)
    }
}

fn uses(expr: &Expr, name: &str) -> bool {
    match &expr.kind {
        Kind::Name(own) => own == name,
        Kind::Select { of, .. } => uses(of, name),
        Kind::Call { args, .. } => args.iter().any(|arg| uses(arg, name)),
        Kind::List(items) => items.iter().any(|(item, _)| uses(item, name)),
        Kind::Map(entries) => entries.iter().any(|(key, value, _)| uses(key, name) || uses(value, name)),
        Kind::Loop(found) => {
            uses(&found.range, name)
                || uses(&found.body, name)
                || found.filter.as_ref().is_some_and(|f| uses(f, name))
        }
        Kind::Bind { value, body, .. } | Kind::OptMap { of: value, body, .. } => {
            uses(value, name) || uses(body, name)
        }
        _ => false,
    }
}
