//! The Common Expression Language as Kubernetes speaks it: parsed, checked against declared types, estimated, and
//! evaluated within a budget.
//!
//! Does no I/O, keeps no state between evaluations, knows no resource. Hostile expressions end: depth and length are
//! bounded when parsing, and every step of an evaluation is paid for.
//!
//! The interface is small:
//! ```
//! use cel::{Environment, Type, Value};
//! let mut env = Environment::new();
//! env.declare("object", Type::Dyn);
//! let program = env.compile("object.metadata.name.startsWith('a')").expect("compiles");
//! let object = serde_json::json!({"metadata": {"name": "abc"}});
//! let vars = [("object", Value::of(&object, &Type::Dyn))];
//! let mut budget = cel::PER_CALL_BUDGET;
//! assert_eq!(program.evaluate(&vars, &mut budget), Ok(Value::Bool(true)));
//! ```
//! Match conditions of webhooks, admission policies and rules of custom resources all go through [`Environment`] and
//! [`Program`]; types come from [`Type`] (`Dyn` where nothing is known), objects that answer method calls (an authorizer)
//! from [`Host`].
//!
//! In reading order: [`lexer`], [`ast`], [`parser`] (with the macros), [`types`], [`overloads`] and [`checker`],
//! [`cost`], [`value`], [`interpreter`] with [`functions`] and [`libraries`], [`schema`] (types of structural schemas).
//!
//! Upstream: github.com/google/cel-go; apiserver/pkg/cel.

mod ast;
mod checker;
mod cost;
mod environment;
mod functions;
mod interpreter;
mod lexer;
mod libraries;
mod overloads;
mod parser;
mod schema;
#[cfg(test)]
mod tests;
mod types;
mod value;

pub use cost::{Bound, STATIC_LIMIT};
pub use environment::{CompileError, Environment, Program};
pub use schema::{bound_of, escape, type_of};
pub use types::{ObjectType, Type};
pub use value::{EvalError, Host, Value};

/// What one expression may cost.
pub const PER_CALL_BUDGET: u64 = 1_000_000;
/// What all expressions of one request may cost together.
pub const REQUEST_BUDGET: u64 = 10_000_000;
