//! The token with which a list goes on: where, and as of which revision.
//!
//! Upstream: apiserver/pkg/storage/continue.go.

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::error::{ApiError, Result};

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

/// Where the next page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continue {
    /// As of which revision; none for "whatever is there now", after an expiry.
    pub revision: Option<u64>,
    /// First key of the page, within the resource (or its namespace).
    pub start: String,
}

impl Continue {
    /// The page behind `last_key`.
    pub fn after(last_key: &str, revision: u64) -> Self {
        Self { revision: Some(revision), start: format!("{last_key}\0") }
    }

    pub fn encode(&self) -> String {
        let rv = self.revision.map_or(-1, |revision| revision as i64);
        let token = Token { v: "meta.k8s.io/v1".into(), rv, start: self.start.clone() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).expect("strings and a number"))
    }

    /// # Errors
    /// 400 for anything that this server did not make.
    pub fn decode(text: &str) -> Result<Self> {
        let invalid = |why: &str| {
            ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .or_else(|_| URL_SAFE.decode(text))
            .map_err(|error| invalid(&error.to_string()))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
        if token.v != "meta.k8s.io/v1" {
            return Err(invalid(&format!("server does not recognize this encoded version {:?}", token.v)));
        }
        if token.start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)"));
        }
        if token.start.split('/').any(|part| part == "..") {
            return Err(invalid(&format!("{:?}", token.start)));
        }
        match token.rv {
            0 => Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")),
            rv => Ok(Self { revision: u64::try_from(rv).ok(), start: token.start }),
        }
    }
}

/// 410, with a token that goes on from the same place in today's state.
pub fn expired(start: &str) -> ApiError {
    let fresh = Continue { revision: None, start: start.into() }.encode();
    ApiError::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .with_continue(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        let token = Continue::after("ns/a", 7);
        assert_eq!(Continue::decode(&token.encode()).expect("own token"), token);
        for broken in ["%", "e30", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJhIn0"] {
            assert_eq!(Continue::decode(broken).expect_err("broken").code(), 400);
        }
    }
}
