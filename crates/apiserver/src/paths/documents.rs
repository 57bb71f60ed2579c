//! Documents that are made once and served often, with an ETag each.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use sha2::{Digest, Sha512};

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
pub struct Documents {
    registry: Arc<Registry>,
    /// What depends on definitions, and their generation when it was made.
    changing: Mutex<(u64, HashMap<String, Document>)>,
    fixed: Mutex<HashMap<String, Document>>,
}

impl Documents {
    pub fn new(registry: &Arc<Registry>) -> Self {
        Self { registry: registry.clone(), changing: Mutex::default(), fixed: Mutex::default() }
    }

    /// The document `name`, made at the first request for it after the last change of what is served.
    pub fn get(&self, name: &str, make: impl FnOnce() -> Document) -> Document {
        let generation = self.registry.generation();
        {
            let mut held = self.changing.lock();
            if held.0 != generation {
                *held = (generation, HashMap::new());
            }
            if let Some(found) = held.1.get(name) {
                return found.clone();
            }
        }
        // Made outside of the lock: it may take a while, and making it twice does no harm.
        let document = make();
        let mut held = self.changing.lock();
        if held.0 == generation && self.registry.generation() == generation {
            held.1.insert(name.to_string(), document.clone());
        }
        document
    }

    /// The same for a document that no definition changes.
    pub fn get_fixed(&self, name: &str, make: impl FnOnce() -> Document) -> Document {
        if let Some(found) = self.fixed.lock().get(name) {
            return found.clone();
        }
        let document = make();
        self.fixed.lock().insert(name.to_string(), document.clone());
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
