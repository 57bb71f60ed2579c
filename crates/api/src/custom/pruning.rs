//! Dropping what a schema does not know.
//!
//! Upstream: apiextensions-apiserver/pkg/apiserver/schema/pruning/algorithm.go.

use serde_json::Value;

use super::structural::{Additional, Structural};

/// Removes unknown fields; answers their paths, in order.
pub fn prune(root: &Structural, object: &mut Value) -> Vec<String> {
    let root = root.as_root();
    let mut pruning = Pruning { path: Vec::new(), found: Vec::new() };
    pruning.value(object, Some(&root));
    pruning.found
}

const OF_RESOURCES: [&str; 3] = ["apiVersion", "kind", "metadata"];

struct Pruning {
    path: Vec<String>,
    found: Vec<String>,
}

impl Pruning {
    fn value(&mut self, value: &mut Value, schema: Option<&Structural>) {
        match value {
            Value::Array(items) => {
                let below = schema.and_then(|schema| schema.items.as_deref());
                for (index, item) in items.iter_mut().enumerate() {
                    match (below, schema.is_some_and(|schema| schema.preserve)) {
                        (None, true) => {}
                        _ => self.within(format!("[{index}]"), |pruning| pruning.value(item, below)),
                    }
                }
            }
            Value::Object(fields) => {
                let mut unknown = Vec::new();
                for (name, value) in fields.iter_mut() {
                    if !self.field(name, value, schema) {
                        unknown.push(name.clone());
                    }
                }
                for name in unknown {
                    fields.remove(&name);
                    let path = self.path_to(&name);
                    self.found.push(path);
                }
            }
            _ => {}
        }
    }

    /// Prunes below; false if the field itself is unknown.
    fn field(&mut self, name: &str, value: &mut Value, schema: Option<&Structural>) -> bool {
        let Some(schema) = schema else { return false };
        if schema.embedded && OF_RESOURCES.contains(&name) {
            return true;
        }
        let step = format!(".{name}");
        match (schema.properties.get(name), &schema.additional) {
            (Some(below), _) => self.within(step, |pruning| pruning.value(value, Some(below))),
            (None, Additional::Schema(below)) => {
                self.within(step, |pruning| pruning.value(value, Some(below)));
            }
            (None, _) if schema.preserve => {}
            (None, Additional::Allowed) => self.within(step, |pruning| pruning.value(value, None)),
            (None, _) => return false,
        }
        true
    }

    fn within(&mut self, step: String, work: impl FnOnce(&mut Self)) {
        self.path.push(step);
        work(self);
        self.path.pop();
    }

    fn path_to(&self, name: &str) -> String {
        let path = self.path.concat() + "." + name;
        path.trim_start_matches('.').to_owned()
    }
}
