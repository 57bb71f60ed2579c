//! Stories of several writers on one object. PITFALLS 13.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;
use crate::{Schema, TypeRef, Validation};

struct OneVersion;

impl Versions for OneVersion {
    fn convert(&self, _object: &Value, _api_version: &str) -> Option<(Node<'_>, Value)> {
        None
    }
}

/// An object and what has been said about its writes.
struct Story {
    owner: TypeRef<'static>,
    api_version: &'static str,
    object: Value,
    told: String,
    hour: u32,
    subresource: &'static str,
    ignored: FieldSet,
}

impl Story {
    fn of(api_version: &'static str, kind: &'static str) -> Self {
        let (group, version) = crate::split_api_version(api_version);
        Self {
            owner: Schema::builtin().kind(group, version, kind).expect("a kind"),
            api_version,
            object: json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}),
            told: String::new(),
            hour: 0,
            subresource: "",
            ignored: FieldSet::of_fields(&["status"]),
        }
    }

    fn pod() -> Self {
        Self::of("v1", "Pod")
    }

    fn config(&self, yaml: &str) -> Value {
        let (mut tree, _) = crate::codec::yaml_tree(yaml).expect("YAML");
        tree["apiVersion"] = json!(self.api_version);
        tree["kind"] = self.object["kind"].clone();
        if tree["metadata"].is_null() {
            tree["metadata"] = json!({});
        }
        tree["metadata"]["name"] = json!("x");
        tree
    }

    fn write(&mut self, manager: &str, write: impl FnOnce(&Writer<'_>, &Value) -> Result<Value, ApplyError>) {
        self.hour += 1;
        let time = format!("2026-01-01T{:02}:00:00Z", self.hour);
        let writer = Writer {
            node: Node::of_type(self.owner),
            api_version: self.api_version,
            subresource: self.subresource,
            manager,
            time: &time,
            ignored: &self.ignored,
            versions: &OneVersion,
        };
        match write(&writer, &self.object) {
            Ok(mut object) => {
                crate::apply_defaults(self.owner, &mut object);
                let decoded = crate::decode_value(self.owner, &object, Validation::Strict);
                self.object = decoded.expect("fits its schema").value;
            }
            Err(ApplyError::Conflicts(conflicts)) => {
                for Conflict { manager, path } in conflicts {
                    self.told += &format!("conflict with {manager}: {path}\n");
                }
            }
            Err(error) => self.told += &format!("{error}\n"),
        }
    }

    fn apply(mut self, manager: &str, yaml: &str) -> Self {
        let config = self.config(yaml);
        self.write(manager, |writer, live| writer.apply(live, &config, false));
        self
    }

    fn force(mut self, manager: &str, yaml: &str) -> Self {
        let config = self.config(yaml);
        self.write(manager, |writer, live| writer.apply(live, &config, true));
        self
    }

    fn update(mut self, manager: &str, change: impl FnOnce(&mut Value)) -> Self {
        self.write(manager, |writer, live| {
            let mut new = live.clone();
            change(&mut new);
            writer.track(live, &mut new);
            Ok(new)
        });
        self
    }

    /// What was told, `part` of the object, and who has what.
    fn check(self, part: &str, expected: Expect) {
        let mut told = self.told;
        let mut shown = self.object.pointer(part).cloned().unwrap_or_default();
        if let Some(metadata) = shown.as_object_mut() {
            metadata.remove("managedFields");
        }
        told += &format!("{shown}\n");
        for entry in self.object["metadata"]["managedFields"].as_array().into_iter().flatten() {
            let mut fields = Vec::new();
            write_fields(&mut fields, &entry["fieldsV1"]);
            let text = |name: &str| entry[name].as_str().unwrap_or("").to_owned();
            told += &format!(
                "{} {} {}{} {}\n",
                text("manager"),
                text("operation"),
                &text("time").get(11..13).unwrap_or(""),
                text("subresource"),
                String::from_utf8_lossy(&fields)
            );
        }
        expected.assert_eq(&told);
    }
}

#[test]
fn the_first_apply_owns_what_it_says() {
    Story::of("v1", "ConfigMap").apply("one", "{metadata: {labels: {a: b}}, data: {k: v}}").check(
        "/data",
        expect![[r#"
            {"k":"v"}
            one Apply 01 {"f:data":{"f:k":{}},"f:metadata":{"f:labels":{"f:a":{}}}}
        "#]],
    );
}

#[test]
fn another_applier_conflicts_and_may_force() {
    let story = || Story::of("v1", "ConfigMap").apply("one", "{data: {a: '1', b: '1'}}");
    story().apply("two", "{data: {a: '2', b: '1'}}").check(
        "/data",
        expect![[r#"
        conflict with "one": .data.a
        {"a":"1","b":"1"}
        one Apply 01 {"f:data":{"f:a":{},"f:b":{}}}
    "#]],
    );
    story().force("two", "{data: {a: '2', b: '1'}}").check(
        "/data",
        expect![[r#"
        {"a":"2","b":"1"}
        one Apply 01 {"f:data":{"f:b":{}}}
        two Apply 02 {"f:data":{"f:a":{},"f:b":{}}}
    "#]],
    );
}

#[test]
fn what_is_applied_no_longer_goes_unless_another_has_it() {
    Story::of("v1", "ConfigMap")
        .apply("one", "{data: {a: '1', b: '1', c: '1'}}")
        .apply("two", "{data: {b: '1'}}")
        .update("three", |new| new["data"]["d"] = json!("1"))
        .apply("one", "{data: {a: '1'}}")
        .check(
            "/data",
            expect![[r#"
            {"a":"1","b":"1","d":"1"}
            two Apply 02 {"f:data":{"f:b":{}}}
            one Apply 04 {"f:data":{"f:a":{}}}
            three Update 03 {"f:data":{"f:d":{}}}
        "#]],
        );
}

#[test]
fn updates_take_what_they_change() {
    Story::of("v1", "ConfigMap")
        .apply("one", "{data: {a: '1', b: '1'}}")
        .update("two", |new| new["data"]["a"] = json!("2"))
        .apply("one", "{data: {a: '1', b: '1'}}")
        .check(
            "/data",
            expect![[r#"
            conflict with "two" using v1: .data.a
            {"a":"2","b":"1"}
            one Apply 01 {"f:data":{"f:b":{}}}
            two Update 02 {"f:data":{"f:a":{}}}
        "#]],
        );
}

#[test]
fn created_maps_are_owned_themselves_by_updates() {
    Story::pod()
        .update("two", |new| {
            new["metadata"]["labels"] = json!({"a": "b"});
            new["spec"] = json!({"containers": [{"name": "c", "image": "i", "ports": [
                {"containerPort": 443, "protocol": "TCP"}, {"containerPort": 80, "protocol": "TCP"}]}]});
        })
        .check("/metadata/labels", expect![[r#"
            {"a":"b"}
            two Update 01 {"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}},"k:{\"containerPort\":443,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{}}}}}
        "#]]);
}

const TWO_PORTS: &str = "{spec: {containers: [{name: c, image: i, ports: [{containerPort: 80}, \
     {containerPort: 80, protocol: UDP}]}]}}";

#[test]
fn keys_have_defaults_and_may_be_composite() {
    Story::pod().apply("one", TWO_PORTS).check("/spec/containers/0/ports", expect![[r#"
        [{"containerPort":80,"protocol":"TCP"},{"containerPort":80,"protocol":"UDP"}]
        one Apply 01 {"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}},"k:{\"containerPort\":80,\"protocol\":\"UDP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}}}}}}
    "#]]);
    let shorter = "{spec: {containers: [{name: c, image: i, ports: [{containerPort: 80, protocol: UDP}]}]}}";
    Story::pod().apply("one", TWO_PORTS).apply("one", shorter).check(
        "/spec/containers/0/ports",
        expect![[r#"
            [{"containerPort":80,"protocol":"UDP"}]
            one Apply 02 {"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"UDP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}}}}}}
        "#]],
    );
}

#[test]
fn lists_by_key_keep_what_others_have_and_the_configurations_order() {
    Story::pod()
        .apply("one", "{spec: {containers: [{name: a, image: i}, {name: b, image: i}]}}")
        .apply("two", "{spec: {containers: [{name: c, image: i}, {name: b}, {name: a}]}}")
        .apply("one", "{spec: {containers: [{name: a, image: i}]}}")
        .check("/spec/containers/1/name", expect![[r#"
            "b"
            two Apply 02 {"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}},"k:{\"name\":\"b\"}":{".":{},"f:name":{}},"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{}}}}}
            one Apply 03 {"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:image":{},"f:name":{}}}}}
        "#]]);
}

#[test]
fn sets_are_owned_value_by_value() {
    Story::pod()
        .apply("one", "{metadata: {finalizers: [x/a, x/b]}}")
        .apply("two", "{metadata: {finalizers: [x/b, x/c]}}")
        .apply("one", "{metadata: {finalizers: [x/d]}}")
        .check(
            "/metadata/finalizers",
            expect![[r#"
            ["x/b","x/c","x/d"]
            two Apply 02 {"f:metadata":{"f:finalizers":{"v:\"x/b\"":{},"v:\"x/c\"":{}}}}
            one Apply 03 {"f:metadata":{"f:finalizers":{"v:\"x/d\"":{}}}}
        "#]],
        );
}

#[test]
fn atomic_lists_and_structs_are_owned_as_a_whole() {
    let story = Story::pod()
        .apply("one", "{spec: {tolerations: [{key: a, operator: Exists}], nodeSelector: {a: b}}}")
        .apply("two", "{spec: {tolerations: [{key: b, operator: Exists}]}}");
    story.check(
        "/spec/tolerations",
        expect![[r#"
        conflict with "one": .spec.tolerations
        [{"key":"a","operator":"Exists"}]
        one Apply 01 {"f:spec":{"f:nodeSelector":{},"f:tolerations":{}}}
    "#]],
    );
}

#[test]
fn configurations_are_checked() {
    Story::of("apps/v1", "Deployment")
        .apply("one", "{spec: {replica: 1}}")
        .apply("one", "{spec: {replicas: many}}")
        .apply("one", "{spec: {template: {spec: {containers: [{name: a}, {name: a}]}}}}")
        .apply("one", "{metadata: {managedFields: []}}")
        .apply("one", "{spec: {template: {spec: {containers: [{name: a, imag: x}]}}}, foo: 1}")
        .check(
            "/spec",
            expect![[r#"
            .spec.replica: field not declared in schema
            .spec.replicas: expected numeric (int or float), got string
            .spec.template.spec.containers: duplicate entries for key [name="a"]
            metadata.managedFields must be nil
            errors:
              .foo: field not declared in schema
              .spec.template.spec.containers[name="a"].imag: field not declared in schema

            null
        "#]],
        );
}

#[test]
fn subresources_have_managers_of_their_own() {
    let mut story = Story::pod().apply("one", "{spec: {nodeName: n}, status: {phase: Running}}");
    (story.subresource, story.ignored) = ("status", FieldSet::of_fields(&["spec"]));
    story.apply("one", "{spec: {nodeName: m}, status: {phase: Running}}").check(
        "/status",
        expect![[r#"
        {"phase":"Running"}
        one Apply 01 {"f:spec":{"f:nodeName":{}}}
        one Apply 02status {"f:status":{"f:phase":{}}}
    "#]],
    );
}

#[test]
fn the_entries_are_reset_by_an_empty_one() {
    Story::of("v1", "ConfigMap")
        .apply("one", "{data: {a: '1'}}")
        .update("two", |new| new["metadata"]["managedFields"] = json!([{}]))
        .check(
            "/data",
            expect![[r#"
            {"a":"1"}
        "#]],
        );
}

#[test]
fn the_oldest_updates_are_put_together() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    let story = names.into_iter().fold(Story::of("v1", "ConfigMap"), |story, name| {
        story.update(name, |new| new["data"][name] = json!("1"))
    });
    let managers = |object: &Value| {
        let entries = object["metadata"]["managedFields"].as_array().expect("entries");
        entries.iter().map(|entry| entry["manager"].as_str().unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(managers(&story.object), ["ancient-changes", "c", "d", "e", "f", "g", "h", "i", "j", "k"]);
}

#[test]
fn kubectl_takes_over_from_its_client_side_self() {
    let last = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":{\"a\":\"1\",\"b\":\"1\"}}";
    Story::of("v1", "ConfigMap")
        .update("kubectl-client-side-apply", |new| {
            new["metadata"]["annotations"] =
                json!({"kubectl.kubernetes.io/last-applied-configuration": last});
            new["data"] = json!({"a": "1", "b": "1"});
        })
        .apply("kubectl", "{data: {a: '2', b: '1'}}")
        .check("/data", expect![[r#"
            {"a":"2","b":"1"}
            kubectl Apply 02 {"f:data":{"f:a":{},"f:b":{}}}
            kubectl-client-side-apply Update 01 {"f:data":{".":{},"f:b":{}},"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}}}
        "#]]);
}

#[test]
fn free_form_values_merge_by_what_they_look_like() {
    let live = json!({"a": {"x": 1, "l": [1]}, "b": 1});
    let config = json!({"a": {"y": 2, "l": [2]}, "b": {"z": 1}});
    assert_eq!(
        merge::merge(Node::Deduced, &live, &config),
        json!({"a": {"x": 1, "y": 2, "l": [2]}, "b": {"z": 1}})
    );
    let compared = compare::compare(Node::Deduced, &live, &config);
    assert_eq!(
        (compared.added.paths(), compared.modified.paths(), compared.removed.paths()),
        (vec![".a.y".into(), ".b.z".into()], vec![".b".into(), ".a.l".into()], vec![".a.x".into()])
    );
}

#[test]
fn field_sets_read_back_as_written() {
    for text in [
        r#"{"f:a":{".":{},"f:b":{}},"f:c":{"k:{\"n\":\"x\"}":{},"k:{\"n\":2}":{".":{},"f:n":{}}}}"#,
        r#"{"f:l":{"v:1":{},"v:\"a\"":{},"i:3":{}}}"#,
    ] {
        let tree: Value = serde_json::from_str(text).expect("JSON");
        let set = fields_v1::decode(&tree).expect("a set");
        assert_eq!(fields_v1::encode(&set), tree);
    }
}

#[test]
fn custom_schemas_say_how_their_values_merge() {
    let schema = json!({"type": "object", "properties": {"spec": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "crew": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "deck"],
                "items": {"type": "object", "properties": {
                    "name": {"type": "string"}, "deck": {"type": "string", "default": "low"}}},
            },
            "flags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        },
    }}});
    let names = crate::custom::KindNames { kind: "Boat".into(), version: "v1".into(), ..Default::default() };
    let schema = crate::custom::compile(&crate::custom::Structural::of(&schema), &names);
    let owner = schema.kind("", "v1", "Boat").expect("compiled");
    let write = |manager: &str, live: &Value, spec: Value| {
        let ignored = FieldSet::new();
        let writer = Writer {
            node: Node::of_type(owner),
            api_version: "v1",
            subresource: "",
            manager,
            time: "2026-01-01T00:00:00Z",
            ignored: &ignored,
            versions: &OneVersion,
        };
        let config = json!({"apiVersion": "v1", "kind": "Boat", "metadata": {"name": "x"}, "spec": spec});
        writer.apply(live, &config, false)
    };
    let one = write("one", &json!({}), json!({"crew": [{"name": "a"}], "flags": ["x"], "more": {"k": [1]}}));
    let two = write("two", &one.expect("applies"), json!({"crew": [{"name": "a", "deck": "top"}]}));
    let one = write("one", &two.expect("applies"), json!({"flags": ["y"]})).expect("applies");
    assert_eq!(one["spec"], json!({"crew": [{"name": "a", "deck": "top"}], "flags": ["y"]}));
    let unknown = write("one", &one, json!({"crew": [{"name": "a", "size": 1}]}));
    assert_eq!(
        unknown,
        Err(ApplyError::Malformed(
            ".spec.crew[deck=\"low\",name=\"a\"].size: field not declared in schema".into()
        ))
    );
}
