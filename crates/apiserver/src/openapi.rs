//! OpenAPI documents of everything that is served.

/// `/openapi/v2`.
pub fn v2() -> Vec<u8> {
    serde_json::json!({"swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.36.0"}, "paths": {}})
        .to_string()
        .into_bytes()
}

/// The groups and versions that `/openapi/v3/…` describes.
pub fn v3_paths() -> Vec<String> {
    Vec::new()
}

/// One of them.
pub fn v3(_path: &str) -> Vec<u8> {
    Vec::new()
}
