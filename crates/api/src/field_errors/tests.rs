use super::*;
use expect_test::{Expect, expect};

fn check(errors: FieldErrors, want: Expect) {
    want.assert_eq(&errors.to_string());
}

#[test]
fn prints_as_upstream() {
    let root = Path::Root;
    let spec = root.child("spec");
    let containers = spec.child("containers");
    let mut errors = FieldErrors::new();
    errors.invalid(&spec.child("replicas"), -3, "must be greater than or equal to 0");
    check(errors.clone(), expect!["spec.replicas: Invalid value: -3: must be greater than or equal to 0"]);
    check(
        {
            let mut errors = FieldErrors::new();
            errors.invalid(&spec.child("x"), Value::Null, "field is immutable");
            errors
        },
        expect![[r#"spec.x: Invalid value: "null": field is immutable"#]],
    );
    errors.required(&containers.index(0).child("name"), "");
    errors.not_supported(&spec.child("color"), "red", &["b", "a"]);
    errors.duplicate(&spec.child("labels").key("x"), "v");
    errors.too_long(&spec.child("a"), 63);
    errors.too_many(&spec.child("b"), 5, 4);
    errors.not_found(&spec.child("c"), "name");
    errors.forbidden(&spec.child("d"), "may not change");
    errors.forbidden(&spec.child("d"), "may not change");
    check(
        errors,
        expect![[
            r#"[spec.replicas: Invalid value: -3: must be greater than or equal to 0, spec.containers[0].name: Required value, spec.color: Unsupported value: "red": supported values: "a", "b", spec.labels[x]: Duplicate value: "v", spec.a: Too long: may not be more than 63 bytes, spec.b: Too many: 5: must have at most 4 items, spec.c: Not found: "name", spec.d: Forbidden: may not change]"#
        ]],
    );
}

#[test]
fn becomes_a_status() {
    let mut errors = FieldErrors::new();
    let root = Path::Root;
    errors.required(&root.child("spec.selector"), "");
    expect![[r#"{"apiVersion":"v1","code":422,"details":{"causes":[{"field":"spec.selector","message":"Required value","reason":"FieldValueRequired"}],"group":"apps","kind":"Deployment","name":"web"},"kind":"Status","message":"Deployment.apps \"web\" is invalid: spec.selector: Required value","metadata":{},"reason":"Invalid","status":"Failure"}"#]]
        .assert_eq(&errors.status("apps", "Deployment", "web").to_string());
}
