//! The v2 document in protobuf, as client-go reads it: gnostic's `openapi.v2.Document`.
//!
//! Media type `application/com.github.proto-openapi.spec.v2.v1.0+protobuf`. Only what [`super::v2`] writes is
//! encoded. Field numbers: github.com/google/gnostic-models, openapiv2/OpenAPIv2.proto.

use crate::access::Access;
use serde_json::Value;

/// Encodes a document that [`super::v2`] made.
pub fn v2_protobuf(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, document.text("swagger"));
    let mut info = Message::default();
    info.text(1, document.text("info.title"));
    info.text(2, document.text("info.version"));
    out.message(2, info);
    let mut paths = Message::default();
    for (path, item) in document.map("paths") {
        paths.message(2, named(path, path_item(item)));
    }
    out.message(8, paths);
    out.message(9, schemas(document.map("definitions")));
    out.0
}

/// A protobuf message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.varint(number << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Empty texts are not written, as proto3 has it.
    fn text(&mut self, number: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u64, list: &[Value]) {
        for text in list.iter().filter_map(Value::as_str) {
            self.bytes(number, text.as_bytes());
        }
    }

    fn flag(&mut self, number: u64, flag: bool) {
        if flag {
            self.varint(number << 3);
            self.varint(1);
        }
    }

    fn message(&mut self, number: u64, message: Message) {
        self.bytes(number, &message.0);
    }

    /// The `x-…` members, each a name and YAML.
    fn extensions(&mut self, number: u64, object: &Value) {
        let Some(map) = object.as_object() else { return };
        for (name, value) in map.iter().filter(|(name, _)| name.starts_with("x-")) {
            self.message(number, named(name, any(value)));
        }
    }
}

/// A name (1) and its value (2).
fn named(name: &str, value: Message) -> Message {
    let mut pair = Message::default();
    pair.text(1, name);
    pair.message(2, value);
    pair
}

/// A message that holds one other, in a oneof or a wrapper.
fn holding(number: u64, inner: Message) -> Message {
    let mut outer = Message::default();
    outer.message(number, inner);
    outer
}

/// Any value: its YAML, of which JSON is a part.
fn any(value: &Value) -> Message {
    let mut any = Message::default();
    any.text(2, &format!("{value}\n"));
    any
}

fn path_item(item: &Value) -> Message {
    let mut out = Message::default();
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(found) = item.at(method) {
            out.message(number, operation(found));
        }
    }
    for found in item.items("parameters") {
        out.message(9, parameter(found));
    }
    out
}

fn operation(operation: &Value) -> Message {
    let mut out = Message::default();
    out.texts(1, operation.items("tags"));
    out.text(5, operation.text("operationId"));
    out.texts(6, operation.items("produces"));
    out.texts(7, operation.items("consumes"));
    for found in operation.items("parameters") {
        out.message(8, parameter(found));
    }
    let mut responses = Message::default();
    for (code, found) in operation.map("responses") {
        responses.message(1, named(code, holding(1, response(found))));
    }
    out.message(9, responses);
    out.texts(10, operation.items("schemes"));
    out.extensions(13, operation);
    out
}

fn response(response: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, response.text("description"));
    if let Some(found) = response.at("schema") {
        out.message(2, holding(1, schema(found)));
    }
    out
}

fn parameter(parameter: &Value) -> Message {
    let mut out = Message::default();
    let place = parameter.text("in");
    if place == "body" {
        out.text(2, parameter.text("name"));
        out.text(3, place);
        out.flag(4, parameter.flag("required"));
        if let Some(found) = parameter.at("schema") {
            out.message(5, schema(found));
        }
        return holding(1, holding(1, out));
    }
    out.flag(1, parameter.flag("required"));
    out.text(2, place);
    out.text(4, parameter.text("name"));
    // in the path there is no allowEmptyValue: what follows is one lower
    let (number, of_type) = if place == "path" { (4, 5) } else { (3, 6) };
    out.text(of_type, parameter.text("type"));
    holding(1, holding(2, holding(number, out)))
}

fn schemas(map: &serde_json::Map<String, Value>) -> Message {
    let mut out = Message::default();
    for (name, found) in map {
        out.message(1, named(name, schema(found)));
    }
    out
}

fn schema(schema: &Value) -> Message {
    let mut out = Message::default();
    // the name of this member holds a dollar, which no dotted path does
    out.text(1, schema.text("$ref"));
    out.text(2, schema.text("format"));
    out.texts(19, schema.items("required"));
    for value in schema.items("enum") {
        out.message(20, any(value));
    }
    if let Some(found) = schema.at("additionalProperties") {
        out.message(21, holding(1, self::schema(found)));
    }
    if !schema.text("type").is_empty() {
        let mut kind = Message::default();
        kind.text(1, schema.text("type"));
        out.message(22, kind);
    }
    if let Some(found) = schema.at("items") {
        out.message(23, holding(1, self::schema(found)));
    }
    if !schema.map("properties").is_empty() {
        out.message(25, schemas(schema.map("properties")));
    }
    out.extensions(31, schema);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn bytes() {
        let document = json!({
            "swagger": "2.0", "info": {"title": "K", "version": "v"},
            "definitions": {"A": {"type": "object", "properties": {"b": {"$ref": "#/definitions/B"}}, "x-k": "y"}},
        });
        let text: String = v2_protobuf(&document).iter().map(|byte| format!("{byte:02x}")).collect();
        expect!["0a03322e3012060a014b12017642004a3d0a3b0a01411236b201080a066f626a656374ca01180a160a016212110a0f232f646566696e6974696f6e732f42fa010d0a03782d6b120612042279220a"].assert_eq(&text);
    }
}
