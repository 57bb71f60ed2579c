//! The codecs against each other and against upstream's own bytes.

use std::path::Path;

use serde_json::{Value, json};

use super::{Validation, decode_json, decode_protobuf, encode_json, encode_protobuf};
use crate::schema::Schema;

fn pod() -> crate::TypeRef<'static> {
    Schema::builtin().kind("", "v1", "Pod").expect("described")
}

fn strict(body: &str) -> String {
    match decode_json(pod(), body.as_bytes(), Validation::Strict) {
        Ok(decoded) => String::from_utf8(encode_json(pod(), &decoded.value)).expect("UTF-8"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn unknown_and_duplicate_fields_are_told_by_path() {
    assert_eq!(
        strict(r#"{"spec":{"nodename":"x","containers":[{"name":"a","name":"b","foo":1}]}}"#),
        r#"strict decoding error: unknown field "spec.nodename", duplicate field "spec.containers[0].name", unknown field "spec.containers[0].foo""#
    );
    assert_eq!(
        strict(r#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#),
        r#"strict decoding error: duplicate field "metadata.labels.a""#
    );
}

#[test]
fn wrong_types_are_told_in_gos_words() {
    assert_eq!(
        strict(r#"{"spec":{"containers":"x"}}"#),
        "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container"
    );
    for (body, expected) in [
        (
            r#"{"spec":{"containers":[{"env":[{"value":1}]}]}}"#,
            "number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"spec":{"priority":1.0}}"#,
            "number 1.0 into Go struct field PodSpec.spec.priority of type int32",
        ),
        (
            r#"{"spec":{"restartPolicy":1}}"#,
            "number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        ("[]", "array into Go value of type v1.Pod"),
    ] {
        assert_eq!(strict(body), format!("json: cannot unmarshal {expected}"));
    }
    assert_eq!(strict("{"), "unexpected end of JSON input");
}

#[test]
fn fields_come_in_upstreams_order_and_zeros_are_left_out() {
    let body = r#"{"spec":{"hostNetwork":false,"containers":[{"image":"i","name":"<c>","resources":{"limits":{"memory":"1024Mi"}},"ports":[]}]},"metadata":{"creationTimestamp":null,"name":"p"}}"#;
    assert_eq!(
        strict(body),
        r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"\u003cc\u003e","image":"i","resources":{"limits":{"memory":"1Gi"}}}]},"status":{}}"#
    );
}

#[test]
fn protobuf_and_json_say_the_same() {
    let owner = Schema::builtin().kind("apps", "v1", "Deployment").expect("described");
    let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}}}});
    let decoded = decode_json(owner, body.to_string().as_bytes(), Validation::Strict).expect("decodes").value;
    let again = decode_protobuf(owner, &encode_protobuf(owner, &decoded)).expect("decodes");
    let text = |value: &Value| String::from_utf8(encode_json(owner, value)).expect("UTF-8");
    assert_eq!(text(&again), text(&decoded));
}

#[test]
fn a_message_that_holds_itself_ends_before_the_stack_does() {
    let schema = Schema::builtin().kind("apiextensions.k8s.io", "v1", "JSONSchemaProps").expect("described");
    let not = schema.field("not").expect("described").number;
    let nested = |levels: usize| {
        (0..levels).fold(Vec::new(), |inner: Vec<u8>, _| {
            let mut out = Vec::new();
            super::wire::put_bytes(&mut out, not, &inner);
            out
        })
    };
    assert!(super::decode_protobuf_message(schema, &nested(100)).is_ok());
    let error = super::decode_protobuf_message(schema, &nested(20_000)).expect_err("refused");
    assert_eq!(error.to_string(), "proto: message is nested too deeply");
}

/// Upstream's round-trip data, where KUBERNETES_TESTDATA names its folder.
#[test]
fn every_kind_is_upstreams_byte_for_byte() {
    let Some(folder) = std::env::var_os("KUBERNETES_TESTDATA") else {
        eprintln!("KUBERNETES_TESTDATA is not set: upstream's round-trip data is not compared");
        return;
    };
    let mut failures = Vec::new();
    let mut kinds = 0;
    for entry in std::fs::read_dir(&folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "json") {
            kinds += 1;
            failures.extend(compare(&path));
        }
    }
    assert!(failures.is_empty(), "{} of {kinds} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(kinds >= 99, "only {kinds} kinds in {}", folder.display());
}

fn compare(json: &Path) -> Option<String> {
    let name = json.file_stem()?.to_str()?;
    let text = std::fs::read(json).expect("readable");
    let proto = std::fs::read(json.with_extension("pb")).expect("readable");
    let tree: Value = serde_json::from_slice(&text).expect("JSON");
    let (group, version) = crate::split_api_version(tree["apiVersion"].as_str()?);
    let Some(owner) = Schema::builtin().kind(group, version, tree["kind"].as_str()?) else {
        return Some(format!("{name}: not described"));
    };
    let decoded = match decode_json(owner, &text, Validation::Strict) {
        Ok(decoded) => decoded.value,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    let encoded = encode_protobuf(owner, &decoded);
    if encoded != proto {
        let at = encoded.iter().zip(&proto).take_while(|(a, b)| a == b).count();
        let near = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[at.saturating_sub(24)..(at + 24).min(bytes.len())]).into_owned()
        };
        return Some(format!(
            "{name}: protobuf differs at {at}: {:?} for {:?}",
            near(&encoded),
            near(&proto)
        ));
    }
    let back = match decode_protobuf(owner, &proto) {
        Ok(back) => back,
        Err(error) => return Some(format!("{name}: {error}")),
    };
    let ours = encode_json(owner, &back);
    let theirs = compact(&text);
    (ours != theirs).then(|| {
        let at = ours.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        let near = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[at.saturating_sub(40)..(at + 40).min(bytes.len())]).into_owned()
        };
        format!("{name}: JSON differs at {at}: {} for {}", near(&ours), near(&theirs))
    })
}

/// The text without its indentation; the order of fields stays.
fn compact(text: &[u8]) -> Vec<u8> {
    let (mut out, mut quoted, mut escaped) = (Vec::new(), false, false);
    for byte in text {
        if quoted || !byte.is_ascii_whitespace() {
            out.push(*byte);
        }
        (quoted, escaped) = match byte {
            b'"' if !escaped => (!quoted, false),
            b'\\' => (quoted, !escaped),
            _ => (quoted, false),
        };
    }
    out
}
