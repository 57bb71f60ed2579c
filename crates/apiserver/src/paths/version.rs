//! `/version`, and the few other documents about the server itself.

use http::{HeaderValue, header};
use serde_json::json;

use super::health::text;
use crate::media::{self, pretty};
use crate::server::Core;
use crate::{Response, body};

/// The Kubernetes version that the API is.
const KUBERNETES: &str = "v1.36.0";

pub fn version() -> Response {
    let version = json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": format!("{KUBERNETES}+dromon{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("linux/{}", architecture()),
    });
    // Upstream indents this one for everybody.
    json_response(pretty(version.to_string().as_bytes()), media::JSON)
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub fn openid(core: &Core) -> Response {
    let keys = format!("https://{}/openid/v1/jwks", core.config.advertised());
    json_response(core.issuer.discovery(&keys).to_string().into(), media::JSON)
}

pub fn jwks(core: &Core) -> Response {
    json_response(core.issuer.jwks().to_string().into(), "application/jwk-set+json")
}

/// A few figures, in Prometheus' text format.
pub fn metrics(core: &Core) -> Response {
    let mut out = String::from(
        "# HELP apiserver_storage_objects Number of stored objects.\n# TYPE apiserver_storage_objects gauge\n",
    );
    for served in core.registry.all().iter() {
        if let Some(storage) = served.storage.as_ref().filter(|_| served.is_stored_version()) {
            out += &format!(
                "apiserver_storage_objects{{resource=\"{}\"}} {}\n",
                storage.resource,
                storage.cache.len()
            );
        }
    }
    text(out)
}

pub fn json_response(bytes: Vec<u8>, media_type: &'static str) -> Response {
    let mut response = Response::new(body::full(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
