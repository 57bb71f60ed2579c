//! Where in an object: `spec.containers[0].env["A"]`. A chain on the stack, printed only on error.

use std::fmt;

/// A place in an object. `path![a, b]` and [`Path::child`] make them.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    /// A field of this; `name` may hold dots (`template.spec`).
    pub fn child(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Field(Path::Root, name) => f.write_str(name),
            Path::Field(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

/// `path!["spec", "replicas"]`: a [`Path`] from the root. It borrows temporaries, so it is used
/// within the same expression.
#[macro_export]
macro_rules! path {
    (@ $base:expr) => { $base };
    (@ $base:expr, $name:expr $(, $rest:expr)*) => { $crate::path!(@ $crate::Path::Field(&$base, $name) $(, $rest)*) };
    ($($name:expr),* $(,)?) => { $crate::path!(@ $crate::Path::Root $(, $name)*) };
}
