//! The tree of an expression. Every node knows where it stands, for messages.

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    /// Characters before it.
    pub at: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Name(String),
    /// `a.b`; `has(a.b)` only tests; `a.?b` is optional.
    Select {
        of: Box<Expr>,
        field: String,
        mode: Mode,
    },
    /// A function, an operator (`_+_`), or a method with its receiver first.
    Call {
        function: String,
        args: Vec<Expr>,
        is_method: bool,
    },
    /// Items; `[?a]` leaves out what is not there.
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    Loop(Box<Loop>),
    /// `cel.bind(name, value, body)`.
    Bind {
        name: String,
        value: Box<Expr>,
        body: Box<Expr>,
    },
    /// `a.optMap(name, body)`, and the flat one.
    OptMap {
        of: Box<Expr>,
        name: String,
        body: Box<Expr>,
        flat: Flatness,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Value,
    Test,
    Optional,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flatness {
    Wrapped,
    Flat,
}

/// A comprehension.
#[derive(Debug, Clone)]
pub(crate) struct Loop {
    pub what: What,
    pub range: Expr,
    /// One variable, or index (key) and value.
    pub names: Vec<String>,
    pub filter: Option<Expr>,
    pub body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformMap,
    /// `sortBy`, from the lists extension.
    SortBy,
}
