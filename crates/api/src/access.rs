//! Reading an object by dotted names: absent, null and of another type all read as "not there".

use serde_json::{Map, Value};
use std::sync::LazyLock;

static NO_MAP: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

pub(crate) trait Access {
    /// The value at a dotted path of object fields.
    fn at(&self, path: &str) -> Option<&Value>;

    fn text(&self, path: &str) -> &str;
    fn int(&self, path: &str) -> i64;
    fn flag(&self, path: &str) -> bool;
    fn items(&self, path: &str) -> &[Value];
    fn map(&self, path: &str) -> &Map<String, Value>;
    fn has(&self, path: &str) -> bool;
    fn int_at(&self, path: &str) -> Option<i64>;

    /// The object of a list whose `key` is `value`.
    fn item_where(&self, path: &str, key: &str, value: &str) -> Option<&Value>;
}

impl Access for Value {
    fn at(&self, path: &str) -> Option<&Value> {
        let found = path.split('.').try_fold(self, |value, name| value.get(name))?;
        (!found.is_null()).then_some(found)
    }

    fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or("")
    }

    fn int(&self, path: &str) -> i64 {
        self.int_at(path).unwrap_or(0)
    }

    fn flag(&self, path: &str) -> bool {
        self.at(path).and_then(Value::as_bool) == Some(true)
    }

    fn items(&self, path: &str) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn map(&self, path: &str) -> &Map<String, Value> {
        self.at(path).and_then(Value::as_object).unwrap_or(&NO_MAP)
    }

    fn has(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    fn int_at(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(Value::as_i64)
    }

    fn item_where(&self, path: &str, key: &str, value: &str) -> Option<&Value> {
        self.items(path).iter().find(|item| item.text(key) == value)
    }
}
