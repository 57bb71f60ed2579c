//! Label and field selectors, in their string forms.

mod field;
mod label;

pub use field::{FieldSelector, FieldSelectorError, FieldTerm};
pub use label::{LabelSelector, LabelSelectorError, Operator, Requirement};
