//! What merges, and what is refused.

use serde_json::json;

use super::*;
use crate::schema::Schema;

fn check(object: Value, patch: &Value, expected: &Value) {
    let pod = Schema::builtin().kind("", "v1", "Pod").expect("described");
    let mut object = object;
    strategic(pod, &mut object, patch.to_string().as_bytes())
        .unwrap_or_else(|error| panic!("{patch}: {error}"));
    assert_eq!(&object, expected, "{patch}");
}

fn pod() -> Value {
    json!({"metadata": {"labels": {"a": "1"}, "finalizers": ["x", "y"]},
        "spec": {"containers": [{"name": "one", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]}, {"name": "two", "image": "i"}]}})
}

#[test]
fn lists_merge_by_their_key() {
    let mut expected = pod();
    expected["spec"]["containers"][0]["image"] = "new".into();
    check(pod(), &json!({"spec": {"containers": [{"name": "one", "image": "new"}]}}), &expected);
    let mut expected = pod();
    expected["spec"]["containers"].as_array_mut().expect("a list").remove(0);
    check(pod(), &json!({"spec": {"containers": [{"name": "one", "$patch": "delete"}]}}), &expected);
}

#[test]
fn directives() {
    check(
        json!({"spec": {"nodeName": "a", "hostname": "b"}}),
        &json!({"spec": {"$retainKeys": ["nodeName"], "nodeName": "c"}}),
        &json!({"spec": {"nodeName": "c"}}),
    );
    check(
        json!({"metadata": {"labels": {"a": "1"}}}),
        &json!({"metadata": {"labels": {"$patch": "replace", "b": "2"}}}),
        &json!({"metadata": {"labels": {"b": "2"}}}),
    );
    check(
        json!({"metadata": {"finalizers": ["x", "y"]}}),
        &json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}),
        &json!({"metadata": {"finalizers": ["y"]}}),
    );
    check(
        json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}),
        &json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}], "containers": [{"name": "c"}]}}),
        &json!({"spec": {"containers": [{"name": "c"}, {"name": "a"}, {"name": "b"}]}}),
    );
}

#[test]
fn a_missing_merge_key_is_refused() {
    let pod_type = Schema::builtin().kind("", "v1", "Pod").expect("described");
    let error = strategic(pod_type, &mut pod(), br#"{"spec":{"containers":[{"image":"x"}]}}"#);
    assert_eq!(
        error,
        Err(PatchError::Unprocessable("map: map[image:x] does not contain declared merge key: name".into()))
    );
}

#[test]
fn what_is_listed_comes_in_the_patchs_order() {
    let names = |names: &[&str]| json!(names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>());
    let case = |live: &[&str], order: Option<&[&str]>, patch: &[&str], expected: &[&str]| {
        let mut spec = json!({"containers": names(patch)});
        if let Some(order) = order {
            spec["$setElementOrder/containers"] = names(order);
        }
        check(
            json!({"spec": {"containers": names(live)}}),
            &json!({"spec": spec}),
            &json!({"spec": {"containers": names(expected)}}),
        );
    };
    case(&["a", "b"], None, &["c"], &["c", "a", "b"]);
    case(&["a", "b"], None, &["b", "a"], &["b", "a"]);
    case(&["a", "x", "b"], Some(&["b", "a"]), &["a"], &["x", "b", "a"]);
    case(&["a", "x"], Some(&["a", "b"]), &["b"], &["a", "b", "x"]);
    check(
        json!({"metadata": {"finalizers": ["x", "y"]}}),
        &json!({"metadata": {"finalizers": ["y", "z"]}}),
        &json!({"metadata": {"finalizers": ["x", "y", "z"]}}),
    );
    check(
        json!({"metadata": {"finalizers": ["x", "y"]}}),
        &json!({"metadata": {"$setElementOrder/finalizers": ["y", "z"], "$deleteFromPrimitiveList/finalizers": ["x"], "finalizers": ["z"]}}),
        &json!({"metadata": {"finalizers": ["y", "z"]}}),
    );
}

#[test]
fn ports_have_one_merge_key() {
    let ports = |ports: Value| json!({"spec": {"containers": [{"name": "one", "ports": ports}]}});
    check(
        ports(json!([{"containerPort": 53, "protocol": "UDP"}])),
        &ports(json!([{"containerPort": 53, "protocol": "TCP"}])),
        &ports(json!([{"containerPort": 53, "protocol": "TCP"}])),
    );
}

#[test]
fn bad_directives_are_refused_in_upstreams_words() {
    for (patch, expected) in [
        (r#"{"spec":{"$patch":"no","a":null}}"#, "unknown patch type: no in map: map[$patch:no a:<nil>]"),
        (r#"{"spec":{"$retainKeys":"a"}}"#, "invalid patch format of retainKeys"),
        (r#"{"spec":{"$retainKeys":["a"],"nodeName":"b"}}"#, "patch content doesn't match retainKeys list"),
        (
            r#"{"spec":{"$setElementOrder/containers":[{"name":"a"}],"containers":[{"name":"b"}]}}"#,
            "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder/containers list:\n[map[name:a]]\n",
        ),
        (
            r#"{"spec":{"containers":[{"name":"a","$patch":"merge"}]}}"#,
            "merging lists cannot yet be specified in the patch",
        ),
    ] {
        let pod_type = Schema::builtin().kind("", "v1", "Pod").expect("described");
        let error = strategic(pod_type, &mut pod(), patch.as_bytes()).expect_err(patch);
        assert_eq!(error.to_string(), expected, "{patch}");
    }
}
