use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::codec::Validation;
use crate::field_errors::FieldErrors;

fn boat() -> Value {
    json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["flag"], "properties": {
            "flag": {"type": "string", "enum": ["blue", "purple"], "maxLength": 6},
            "oars": {"type": "integer", "minimum": 0, "maximum": 300, "default": 50},
            "crew": {"type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}, "age": {"type": "integer", "default": 20}}}},
            "ports": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "maybe": {"type": "string", "nullable": true, "format": "ipv4"},
        }},
    }})
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "sea.test/v1", "kind": "Boat", "metadata": {"name": "a"}, "spec": spec})
}

fn told(errors: &FieldErrors) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn check_object(spec: Value, wanted: Expect) {
    wanted.assert_eq(&told(&validate_custom(&Structural::of(&boat()), &object(spec))));
}

#[test]
fn values_are_checked_in_upstreams_words() {
    check_object(json!({"flag": "blue", "oars": 3}), expect![[""]]);
    check_object(
        json!({"oars": "x", "flag": "red"}),
        expect![[r#"
            spec.flag: Unsupported value: "red": supported values: "blue", "purple"
            spec.oars: Invalid value: "string": spec.oars in body must be of type integer: "string""#]],
    );
    check_object(
        json!({"oars": 301, "maybe": "x"}),
        expect![[r#"
            spec.flag: Required value
            spec.maybe: Invalid value: "x": spec.maybe in body must be of type ipv4: "x"
            spec.oars: Invalid value: 301: spec.oars in body should be less than or equal to 300"#]],
    );
    check_object(
        json!({"flag": "blue", "crew": [{"name": "A"}, {"name": "b"}, {"name": "b"}, {}], "ports": {"a": 1, "b": "x", "c": true}}),
        expect![[r#"
            spec.crew[0].name: Invalid value: "A": spec.crew[0].name in body should match '^[a-z]+$'
            spec.crew[3].name: Required value
            spec.crew: Too many: 4: must have at most 3 items
            spec.ports.c: Invalid value: "boolean": spec.ports.c in body must be of type integer,string: "boolean"
            spec.crew[2]: Duplicate value: {"name":"b"}"#]],
    );
    check_object(
        json!({"flag": "blue", "one": {}, "maybe": null}),
        expect![[r#"
            <nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid
            spec.one.a: Required value"#]],
    );
    check_object(
        json!({"flag": "purple", "one": {"a": "", "b": ""}}),
        expect![[
            r#"<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found 2 valid alternatives"#
        ]],
    );
}

#[test]
fn an_update_may_keep_what_was_wrong() {
    let schema = Structural::of(&boat());
    let old = object(json!({"flag": "red", "oars": 3}));
    let new = object(json!({"flag": "red", "oars": 400}));
    expect![[r#"spec.oars: Invalid value: 400: spec.oars in body should be less than or equal to 300"#]]
        .assert_eq(&told(&validate_custom_update(&schema, &new, &old)));
}

#[test]
fn unknown_fields_are_dropped_and_told() {
    let schema = Structural::of(&boat());
    let text = br#"{"apiVersion":"sea.test/v1","kind":"Boat","metadata":{"name":"a","wrong":1},"spec":{"sail":1,"flag":"a","flag":"b",
        "crew":[{"name":"x","tall":true}],"any":{"free":{"x":1},"known":{"a":"1","b":2}}}}"#;
    let decoded = decode_custom_json(&schema, text, Validation::Warn).expect("reads");
    expect![[r#"
        duplicate field "spec.flag"
        unknown field "metadata.wrong"
        unknown field "spec.any.known.b"
        unknown field "spec.crew[0].tall"
        unknown field "spec.sail""#]]
    .assert_eq(&decoded.warnings.join("\n"));
    expect![[r#"{"apiVersion":"sea.test/v1","kind":"Boat","metadata":{"name":"a"},"spec":{"any":{"free":{"x":1},"known":{"a":"1"}},"crew":[{"name":"x"}],"flag":"b"}}"#]]
        .assert_eq(&decoded.value.to_string());
    assert!(decode_custom_json(&schema, text, Validation::Strict).is_err());
}

#[test]
fn defaults_are_filled_in() {
    let mut value = object(
        json!({"crew": [{"name": "x", "age": null}, {"name": "y", "age": 3}], "maybe": null, "flag": null}),
    );
    apply_custom_defaults(&Structural::of(&boat()), &mut value);
    expect![[r#"{"crew":[{"age":20,"name":"x"},{"age":3,"name":"y"}],"maybe":null,"oars":50}"#]]
        .assert_eq(&value["spec"].to_string());
}

fn definition(schema: Value) -> Value {
    json!({
        "metadata": {"name": "boats.sea.test"},
        "spec": {
            "group": "sea.test", "scope": "Namespaced", "conversion": {"strategy": "None"},
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat", "listKind": "BoatList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

fn check_schema(schema: Value, wanted: Expect) {
    let mut errors = FieldErrors::new();
    check_definition(&definition(schema), &mut errors);
    wanted.assert_eq(&told(&errors).replace("spec.versions[0].schema.openAPIV3Schema", "S"));
}

#[test]
fn schemas_must_be_structural() {
    check_schema(boat(), expect![[""]]);
    check_schema(json!({}), expect![["S.type: Required value: must not be empty at the root"]]);
    check_schema(
        json!({"type": "object", "properties": {"a": {}, "b": {"type": "array"}, "c": {"type": "string", "pattern": "("}}}),
        expect![[r#"
            S.properties[a].type: Required value: must not be empty for specified object fields
            S.properties[b].items: Required value: must be specified
            S.properties[c].pattern: Invalid value: "(": must be a valid regular expression, but isn't: regex parse error:
                (
                ^
            error: unclosed group"#]],
    );
    check_schema(
        json!({"type": "object", "anyOf": [{"type": "object", "properties": {"x": {"minimum": 1}}}]}),
        expect![[r#"
            S.anyOf[0].type: Forbidden: must be empty to be structural
            S.properties[x]: Required value: because it is defined in S.anyOf[0].properties[x]"#]],
    );
    check_schema(
        json!({"type": "object", "properties": {"l": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}}}}}}),
        expect![[
            r#"S.properties[l].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"#
        ]],
    );
    check_schema(
        json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}, "u": {"type": "array", "uniqueItems": false, "items": {"type": "string"}}}}),
        expect![[
            r#"S.properties[a].default: Invalid value: "string": S.properties[a].default in body must be of type integer: "string""#
        ]],
    );
    check_schema(
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"i": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}}}),
        expect![[""]],
    );
}

#[test]
fn a_schema_becomes_types() {
    let names = KindNames {
        group: "sea.test".into(),
        version: "v1".into(),
        kind: "Boat".into(),
        plural: "boats".into(),
        namespaced: true,
        subresources: vec!["status", "scale"],
    };
    let schema = compile(&Structural::of(&boat()), &names);
    let boats = schema.resource("sea.test", "v1", "boats").expect("compiled");
    assert_eq!(crate::openapi::definition_name(boats.object()), "test.sea.v1.Boat");
    let crate::Shape::Struct(spec) = boats.object().field("spec").expect("there").shape else {
        panic!("a struct")
    };
    let crew = schema.type_ref(spec).field("crew").expect("there");
    assert_eq!(crew.list, crate::ListKind::Map(vec!["name".into()].into()));
    assert!(boats.object().field("metadata").is_some());
}

#[test]
fn patterns_are_gos() {
    let matches = |pattern: &str, text: &str| go_regex(pattern).expect("a pattern").is_match(text);
    assert!(matches(r"^[\w.-]+$", "a.b-c") && !matches(r"^\d$", "٣"));
    assert!(matches(r"^[[:alpha:]]+$", "abc") && matches(r"^[[]$", "[") && matches(r"^[]a]+$", "]a"));
    assert!(matches(r"^[a&&b]+$", "&") && matches(r"^\/\-\_$", "/-_"));
    assert!(go_regex("((a{1000}){1000}){1000}").is_err());
}
