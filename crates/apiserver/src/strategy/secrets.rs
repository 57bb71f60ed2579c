//! Secrets: `stringData` is only ever written.
//!
//! Upstream: pkg/apis/core/v1/conversion.go, `Convert_v1_Secret_To_core_Secret`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Strategy, Writer};

pub(super) struct Secrets;

impl Strategy for Secrets {
    fn resource(&self) -> (&'static str, &'static str) {
        ("", "secrets")
    }

    fn prepare_create(&self, secret: &mut Value, _writer: Writer<'_>) {
        fold_string_data(secret);
    }

    fn prepare_update(&self, secret: &mut Value, _old: &Value) {
        fold_string_data(secret);
    }
}

fn fold_string_data(secret: &mut Value) {
    let Some(object) = secret.as_object_mut() else { return };
    let Some(Value::Object(texts)) = object.remove("stringData") else { return };
    if texts.is_empty() {
        return;
    }
    let data = object.entry("data").or_insert_with(|| json!({}));
    for (key, text) in texts {
        data[key] = json!(STANDARD.encode(text.as_str().unwrap_or("")));
    }
}
