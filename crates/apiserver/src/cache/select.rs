//! What a list or watch is restricted to, evaluated on the index.

use api::selector::{FieldSelector, LabelSelector};

use super::{Entry, Index, Signature};
use crate::error::{ApiError, Result};
use crate::verbs::Call;
use crate::verbs::list_options::ListOptions;

/// Namespace, labels and fields; all must match.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Empty for all.
    pub namespace: String,
    /// Whether the resource is namespaced at all.
    pub namespaced: bool,
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
    needed: Signature,
    /// From `metadata.name=…`.
    name: Option<String>,
}

impl Selection {
    /// All objects, or those of a namespace.
    pub fn everything(namespace: &str, namespaced: bool) -> Self {
        Self { namespace: namespace.into(), namespaced, ..Self::default() }
    }

    /// # Errors
    /// 400 for selectors that cannot be read, or for fields that cannot be selected by.
    pub fn parse(call: &Call, options: &ListOptions) -> Result<Self> {
        let mut selection = Self::everything(call.namespace(), call.served.namespaced);
        if !options.label_selector.is_empty() {
            let labels = LabelSelector::parse(&options.label_selector)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            selection.labels = Some(labels);
        }
        if !options.field_selector.is_empty() {
            let fields = FieldSelector::parse(&options.field_selector)
                .map_err(|error| ApiError::bad_request(error.to_string()))?;
            call.served.check_fields(&fields)?;
            selection.name = fields.exact("metadata.name").map(str::to_string);
            selection.fields = Some(fields);
        }
        selection.needed = Signature::needed(selection.labels.as_ref(), selection.fields.as_ref());
        Ok(selection)
    }

    /// False if an object with this signature cannot match; it need not be looked at.
    pub fn may_match(&self, signature: Signature) -> bool {
        signature.may_match(self.needed)
    }

    pub fn matches(&self, entry: &Entry) -> bool {
        self.may_match(entry.signature) && self.matches_index(&entry.index)
    }

    fn matches_index(&self, index: &Index) -> bool {
        (self.namespace.is_empty() || *self.namespace == *index.namespace)
            && self.labels.as_ref().is_none_or(|labels| labels.matches(|key| index.label(key)))
            && self.fields.as_ref().is_none_or(|fields| fields.matches(|key| Some(index.field(key).into())))
    }

    /// Nothing but perhaps a namespace restricts it.
    pub fn is_open(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    /// The only name that can match.
    pub fn only_name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}
