//! Documents that are made once and served often, with an ETag each.

use std::collections::HashMap;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use sha2::{Digest, Sha512};

use crate::config::Config;
use crate::media::header_text;
use crate::registry::Registry;
use crate::{Response, body};

/// A document as bytes.
#[derive(Clone, Debug)]
pub struct Document {
    pub bytes: Bytes,
    pub media_type: &'static str,
    /// Without quotes.
    pub etag: String,
    /// Made when the first client accepts it.
    compressed: std::sync::Arc<std::sync::OnceLock<Bytes>>,
}

/// All documents, by a name of their own.
#[derive(Default)]
pub struct Documents(Mutex<HashMap<String, Document>>);

impl Documents {
    pub fn new(_config: &Config, _registry: &Registry) -> Self {
        Self::default()
    }

    /// The document `name`, made at the first request for it.
    pub fn get(&self, name: &str, make: impl FnOnce() -> Document) -> Document {
        if let Some(found) = self.0.lock().get(name) {
            return found.clone();
        }
        // Made outside of the lock: it may take a while, and making it twice does no harm.
        let document = make();
        self.0.lock().insert(name.to_string(), document.clone());
        document
    }
}

impl Document {
    pub fn new(bytes: impl Into<Bytes>, media_type: &'static str) -> Self {
        let bytes = bytes.into();
        let digest = Sha512::digest(&bytes);
        let etag = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        Self { bytes, media_type, etag, compressed: std::sync::Arc::default() }
    }

    /// The document, or that the client has it already.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let quoted = format!("\"{}\"", self.etag);
        let unchanged = header_text(headers, header::IF_NONE_MATCH) == quoted;
        let gzip = !unchanged && header_text(headers, header::ACCEPT_ENCODING).contains("gzip");
        let bytes = match (unchanged, gzip) {
            (true, _) => Bytes::new(),
            (false, true) => self.gzip(),
            (false, false) => self.bytes.clone(),
        };
        let mut response = Response::new(body::full(bytes));
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let out = response.headers_mut();
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        if let Ok(etag) = HeaderValue::from_str(&quoted) {
            out.insert(header::ETAG, etag);
        }
        if gzip {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn gzip(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            let written = encoder.write_all(&self.bytes).and_then(|()| encoder.finish());
            written.expect("a Vec takes everything").into()
        };
        self.compressed.get_or_init(compress).clone()
    }
}
