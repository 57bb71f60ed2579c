use super::*;
use expect_test::{Expect, expect};

fn check(found: &Value, want: Expect) {
    want.assert_eq(&serde_json::to_string_pretty(found).expect("JSON"));
}

fn apps() -> Value {
    v3(Schema::builtin(), "apps", "v1", "v1.36.0")
}

#[test]
fn what_kubectl_explains_and_patches_by() {
    let document = apps();
    let schemas = &document["components"]["schemas"];
    check(
        &schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["template"],
        expect![[r##"
        {
          "allOf": [
            {
              "$ref": "#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec"
            }
          ],
          "default": {}
        }"##]],
    );
    check(
        &schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"],
        expect![[r#"
        [
          {
            "group": "apps",
            "kind": "Deployment",
            "version": "v1"
          }
        ]"#]],
    );
    check(
        &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"],
        expect![[r##"
        {
          "items": {
            "allOf": [
              {
                "$ref": "#/components/schemas/io.k8s.api.core.v1.Container"
              }
            ],
            "default": {}
          },
          "type": "array",
          "x-kubernetes-list-map-keys": [
            "name"
          ],
          "x-kubernetes-list-type": "map",
          "x-kubernetes-patch-merge-key": "name",
          "x-kubernetes-patch-strategy": "merge"
        }"##]],
    );
    check(
        &schemas["io.k8s.api.apps.v1.DeploymentList"]["required"],
        expect![[r#"
        [
          "items"
        ]"#]],
    );
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    check(&patch["operationId"], expect![[r#""patchAppsV1NamespacedDeployment""#]]);
    check(
        &patch["x-kubernetes-group-version-kind"],
        expect![[r#"
        {
          "group": "apps",
          "kind": "Deployment",
          "version": "v1"
        }"#]],
    );
    assert!(
        patch["parameters"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|parameter| parameter["name"] == "fieldValidation")
    );
}

#[test]
fn paths_of_a_version() {
    let document = apps();
    let paths: Vec<String> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .map(|(path, entry)| {
            let methods: Vec<&str> = entry
                .as_object()
                .expect("an entry")
                .keys()
                .map(String::as_str)
                .filter(|key| *key != "parameters")
                .collect();
            format!("{path} {}", methods.join(","))
        })
        .filter(|line| !line.contains("sets") && !line.contains("revisions"))
        .collect();
    expect![[r#"
        /apis/apps/v1/ get
        /apis/apps/v1/deployments get
        /apis/apps/v1/namespaces/{namespace}/deployments delete,get,post
        /apis/apps/v1/namespaces/{namespace}/deployments/{name} delete,get,patch,put
        /apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale get,patch,put
        /apis/apps/v1/namespaces/{namespace}/deployments/{name}/status get,patch,put"#]]
    .assert_eq(&paths.join("\n"));
}

/// Every reference leads somewhere.
#[test]
fn no_reference_is_open() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let (v2, v3) = (v2(Schema::builtin(), &[], "v1.36.0"), apps());
    for (document, at) in [(&v2, &v2["definitions"]), (&v3, &v3["components"]["schemas"])] {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        assert!(found.len() > 50);
        for reference in found {
            let name = reference.rsplit('/').next().expect("a name");
            assert!(at[name].is_object(), "{reference}");
        }
    }
}

#[test]
fn index() {
    check(
        &v3_index([("api/v1", "AB"), ("apis/apps/v1", "CD")]),
        expect![[r#"
        {
          "paths": {
            "api/v1": {
              "serverRelativeURL": "/openapi/v3/api/v1?hash=AB"
            },
            "apis/apps/v1": {
              "serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=CD"
            }
          }
        }"#]],
    );
}
