//! Tokens to a tree; macros are expanded on the way.

use crate::ast::{Expr, Flatness, Kind, Loop, Mode, What};
use crate::lexer::{Failure, Token, TokenKind, tokens};

/// Nesting that is followed; upstream's parser stops at 250 as well.
const MOST_DEPTH: usize = 96;

/// Words that name nothing in expressions.
pub(crate) const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
    "in",
    "true",
    "false",
    "null",
];

pub(crate) fn parse(text: &str) -> Result<Expr, Failure> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0 };
    let expr = parser.expr()?;
    match parser.peek() {
        TokenKind::End => Ok(expr),
        _ => Err(parser.unexpected()),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &TokenKind {
        &self.tokens[self.at].kind
    }

    fn place(&self) -> usize {
        self.tokens[self.at].at
    }

    fn next(&mut self) -> TokenKind {
        let kind = self.tokens[self.at].kind.clone();
        if kind != TokenKind::End {
            self.at += 1;
        }
        kind
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), TokenKind::Sign(own) if *own == sign)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), Failure> {
        if self.take(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Failure {
        let found = match self.peek() {
            TokenKind::End => "<EOF>".to_owned(),
            TokenKind::Name(name) => name.clone(),
            TokenKind::Sign(sign) => (*sign).to_owned(),
            TokenKind::Int(value) => value.to_string(),
            TokenKind::Uint(value) => format!("{value}u"),
            TokenKind::Double(value) => value.to_string(),
            TokenKind::Text(text) => format!("{text:?}"),
            TokenKind::Bytes(_) => "b\"…\"".to_owned(),
        };
        (self.place(), format!("Syntax error: mismatched input '{found}' expecting something else"))
    }

    fn nested<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err((self.place(), format!("expression recursion limit exceeded: {MOST_DEPTH}")));
        }
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn expr(&mut self) -> Result<Expr, Failure> {
        self.nested(|parser| {
            let condition = parser.chain(0)?;
            let at = parser.place();
            if !parser.take("?") {
                return Ok(condition);
            }
            let then = parser.chain(0)?;
            parser.expect(":")?;
            let otherwise = parser.expr()?;
            Ok(call(at, "_?_:_", vec![condition, then, otherwise]))
        })
    }

    /// Operators of the same rank, from the left.
    fn chain(&mut self, rank: usize) -> Result<Expr, Failure> {
        const RANKS: [&[&str]; 5] =
            [&["||"], &["&&"], &["<", "<=", ">=", ">", "==", "!=", "in"], &["+", "-"], &["*", "/", "%"]];
        let Some(operators) = RANKS.get(rank) else { return self.unary() };
        let mut left = self.chain(rank + 1)?;
        let mut count = 0;
        loop {
            let at = self.place();
            let operator = match self.peek() {
                TokenKind::Sign(sign) => operators.iter().find(|own| *own == sign),
                TokenKind::Name(name) if name == "in" => operators.iter().find(|own| **own == "in"),
                _ => None,
            };
            let Some(operator) = operator else { return Ok(left) };
            count += 1;
            // A long chain is a deep tree to everybody behind.
            if self.depth + count > MOST_DEPTH * 4 {
                return Err((at, format!("expression recursion limit exceeded: {}", MOST_DEPTH * 4)));
            }
            self.at += 1;
            let right = self.chain(rank + 1)?;
            let name = if *operator == "in" { "@in".to_owned() } else { format!("_{operator}_") };
            left = call(at, &name, vec![left, right]);
        }
    }

    fn unary(&mut self) -> Result<Expr, Failure> {
        let at = self.place();
        for (sign, name) in [("!", "!_"), ("-", "-_")] {
            if self.take(sign) {
                let operand = self.nested(Self::unary)?;
                return Ok(match (sign, operand.kind) {
                    ("-", Kind::Int(value)) if value >= 0 => Expr { at, kind: Kind::Int(-value) },
                    ("-", Kind::Double(value)) => Expr { at, kind: Kind::Double(-value) },
                    (_, kind) => call(at, name, vec![Expr { at: operand.at, kind }]),
                });
            }
        }
        self.member()
    }

    fn member(&mut self) -> Result<Expr, Failure> {
        let mut of = self.primary()?;
        let mut count = 0;
        loop {
            count += 1;
            if count > MOST_DEPTH * 2 {
                return Err((
                    self.place(),
                    format!("expression recursion limit exceeded: {}", MOST_DEPTH * 2),
                ));
            }
            let at = self.place();
            if self.take(".") {
                let field = self.field()?;
                of = if self.is("(") {
                    let place = self.place();
                    let args = self.args()?;
                    method(place, of, field, args)?
                } else {
                    Expr { at, kind: Kind::Select { of: Box::new(of), field, mode: Mode::Value } }
                };
            } else if self.take(".?") {
                let field = self.field()?;
                of = Expr { at, kind: Kind::Select { of: Box::new(of), field, mode: Mode::Optional } };
            } else if self.take("[?") {
                let index = self.expr()?;
                self.expect("]")?;
                of = call(at, "_[?_]", vec![of, index]);
            } else if self.take("[") {
                let index = self.expr()?;
                self.expect("]")?;
                of = call(at, "_[_]", vec![of, index]);
            } else {
                return Ok(of);
            }
        }
    }

    fn field(&mut self) -> Result<String, Failure> {
        match self.next() {
            TokenKind::Name(name) => Ok(name),
            _ => {
                self.at = self.at.saturating_sub(1);
                Err(self.unexpected())
            }
        }
    }

    fn args(&mut self) -> Result<Vec<Expr>, Failure> {
        self.expect("(")?;
        let mut args = Vec::new();
        while !self.is(")") {
            args.push(self.expr()?);
            if !self.take(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(args)
    }

    fn primary(&mut self) -> Result<Expr, Failure> {
        let at = self.place();
        let kind = match self.next() {
            TokenKind::Int(value) => Kind::Int(value),
            TokenKind::Uint(value) => Kind::Uint(value),
            TokenKind::Double(value) => Kind::Double(value),
            TokenKind::Text(text) => Kind::Text(text),
            TokenKind::Bytes(bytes) => Kind::Bytes(bytes),
            TokenKind::Sign("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                return Ok(inner);
            }
            TokenKind::Sign("[") => self.list(false)?,
            TokenKind::Sign("[?") => self.list(true)?,
            TokenKind::Sign("{") => self.map(false)?,
            TokenKind::Sign("{?") => self.map(true)?,
            TokenKind::Sign(".") => {
                let name = self.field()?;
                Kind::Name(name)
            }
            TokenKind::Name(name) => return self.named(at, name),
            _ => {
                self.at = self.at.saturating_sub(usize::from(*self.peek() != TokenKind::End));
                return Err(self.unexpected());
            }
        };
        Ok(Expr { at, kind })
    }

    fn named(&mut self, at: usize, name: String) -> Result<Expr, Failure> {
        let kind = match name.as_str() {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "null" => Kind::Null,
            reserved if RESERVED.contains(&reserved) => {
                return Err((at, format!("reserved identifier: {reserved}")));
            }
            _ if self.is("(") => {
                let place = self.place();
                let args = self.args()?;
                return function(place, name, args);
            }
            _ => Kind::Name(name),
        };
        Ok(Expr { at, kind })
    }

    fn list(&mut self, mut optional: bool) -> Result<Kind, Failure> {
        let mut items = Vec::new();
        loop {
            if self.take("]") {
                return Ok(Kind::List(items));
            }
            optional |= self.take("?");
            items.push((self.expr()?, std::mem::take(&mut optional)));
            if !self.take(",") {
                self.expect("]")?;
                return Ok(Kind::List(items));
            }
        }
    }

    fn map(&mut self, mut optional: bool) -> Result<Kind, Failure> {
        let mut entries = Vec::new();
        loop {
            if self.take("}") {
                return Ok(Kind::Map(entries));
            }
            optional |= self.take("?");
            let key = self.expr()?;
            self.expect(":")?;
            entries.push((key, self.expr()?, std::mem::take(&mut optional)));
            if !self.take(",") {
                self.expect("}")?;
                return Ok(Kind::Map(entries));
            }
        }
    }
}

fn call(at: usize, function: &str, args: Vec<Expr>) -> Expr {
    Expr { at, kind: Kind::Call { function: function.to_owned(), args, is_method: false } }
}

fn function(at: usize, name: String, mut args: Vec<Expr>) -> Result<Expr, Failure> {
    if name != "has" || args.len() != 1 {
        return Ok(Expr { at, kind: Kind::Call { function: name, args, is_method: false } });
    }
    match args.remove(0).kind {
        Kind::Select { of, field, mode: Mode::Value } => {
            Ok(Expr { at, kind: Kind::Select { of, field, mode: Mode::Test } })
        }
        _ => Err((at, "invalid argument to has() macro".into())),
    }
}

fn variable(expr: &Expr) -> Result<String, Failure> {
    match &expr.kind {
        Kind::Name(name) => Ok(name.clone()),
        _ => Err((expr.at, "argument must be a simple name".into())),
    }
}

/// A method call, or the macro that it is.
fn method(at: usize, of: Expr, name: String, mut args: Vec<Expr>) -> Result<Expr, Failure> {
    let is_cel = matches!(&of.kind, Kind::Name(name) if name == "cel");
    let make = |kind: Kind| Ok(Expr { at, kind });
    match (name.as_str(), args.len()) {
        ("bind", 3) if is_cel => {
            let body = Box::new(args.remove(2));
            let value = Box::new(args.remove(1));
            make(Kind::Bind { name: variable(&args[0])?, value, body })
        }
        ("optMap" | "optFlatMap", 2) => {
            let flat = if name == "optMap" { Flatness::Wrapped } else { Flatness::Flat };
            let body = Box::new(args.remove(1));
            make(Kind::OptMap { of: Box::new(of), name: variable(&args[0])?, body, flat })
        }
        (
            "all" | "exists" | "exists_one" | "existsOne" | "map" | "filter" | "sortBy" | "transformList"
            | "transformMap",
            2..=4,
        ) => looped(at, of, &name, args),
        _ => {
            args.insert(0, of);
            make(Kind::Call { function: name, args, is_method: true })
        }
    }
}

fn looped(at: usize, range: Expr, name: &str, mut args: Vec<Expr>) -> Result<Expr, Failure> {
    let what = match name {
        "all" => What::All,
        "exists" => What::Exists,
        "exists_one" | "existsOne" => What::ExistsOne,
        "map" | "transformList" => What::Map,
        "filter" => What::Filter,
        "sortBy" => What::SortBy,
        _ => What::TransformMap,
    };
    let (variables, filtered) = match (name, args.len()) {
        ("transformList" | "transformMap", 3) => (2, false),
        ("transformList" | "transformMap", 4) => (2, true),
        ("map", 3) => (1, true),
        ("all" | "exists" | "exists_one" | "existsOne", 3) => (2, false),
        (_, 2) if !name.starts_with("transform") => (1, false),
        _ => {
            args.insert(0, range);
            return Ok(Expr { at, kind: Kind::Call { function: name.to_owned(), args, is_method: true } });
        }
    };
    let names = args[..variables].iter().map(variable).collect::<Result<Vec<_>, _>>()?;
    let body = args.remove(args.len() - 1);
    let filter = filtered.then(|| args.remove(variables));
    Ok(Expr { at, kind: Kind::Loop(Box::new(Loop { what, range, names, filter, body })) })
}
