//! An API server that answers every write with what was written, and remembers it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use parking_lot::Mutex;
use serde_json::{Value, json};
use stdx::Clock;

/// What was written: `METHOD path` and the body.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<(String, Value)>>>);

impl Notes {
    pub fn all(&self) -> Vec<(String, Value)> {
        self.0.lock().clone()
    }

    /// `reason: message` of every event.
    pub fn events(&self) -> Vec<String> {
        let text = |body: &Value, key: &str| body[key].as_str().unwrap_or_default().to_owned();
        self.all()
            .iter()
            .filter(|(what, _)| what.starts_with("POST") && what.ends_with("/events"))
            .map(|(_, body)| format!("{}: {}", text(body, "reason"), text(body, "message")))
            .collect()
    }

    /// The pod's status after all patches so far, list by list replaced.
    pub fn status(&self) -> Value {
        let mut status = json!({});
        for (what, body) in self.all() {
            if what.starts_with("PATCH") && what.ends_with("/status") {
                for (key, value) in body["status"].as_object().into_iter().flatten() {
                    status[key] = value.clone();
                }
            }
        }
        status
    }

    pub fn deletions(&self) -> usize {
        self.all().iter().filter(|(what, _)| what.starts_with("DELETE")).count()
    }
}

pub(crate) fn server(clock: Clock) -> (kube::Client, Notes) {
    let notes = Notes::default();
    let log = notes.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let (log, clock) = (log.clone(), clock.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap_or_default();
            let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let number = log.0.lock().len();
            let answer = answer(&parts.method, parts.uri.path(), &body, number, &clock);
            log.0.lock().push((format!("{} {}", parts.method, parts.uri.path()), body));
            Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from(answer.to_string()))))
        }
    });
    (kube::Client::new(service, "default"), notes)
}

fn answer(method: &Method, path: &str, body: &Value, number: usize, clock: &Clock) -> Value {
    match *method {
        Method::POST if path.ends_with("/token") => {
            let life =
                jiff::SignedDuration::from_secs(body["spec"]["expirationSeconds"].as_i64().unwrap_or(0));
            let mut answer = body.clone();
            answer["status"] = json!({
                "token": format!("token {number}"), "expirationTimestamp": (clock.now() + life).to_string(),
            });
            answer
        }
        Method::POST => body.clone(),
        Method::PATCH if path.ends_with("/status") => {
            let metadata = json!({"name": "p", "namespace": "n", "resourceVersion": "2"});
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
        }
        Method::DELETE => json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}),
        _ => json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}),
    }
}
