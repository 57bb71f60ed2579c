//! The loop against a server in this process that serves two lists, one watch each, and writes down what is written.

use std::sync::Arc;

use bytes::Bytes;
use expect_test::expect;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};
use stdx::{Clock, Random, Shutdown};
use tokio::sync::{Notify, broadcast, mpsc};

use crate::testing::pod_value;
use crate::{Config, Scheduler};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The server's side: what was written, and what watchers are told.
struct Api {
    written: Mutex<Vec<String>>,
    wrote: Notify,
    changes: broadcast::Sender<(&'static str, Value)>,
}

impl Api {
    fn new() -> Arc<Self> {
        let (changes, _) = broadcast::channel(16);
        Arc::new(Self { written: Mutex::default(), wrote: Notify::new(), changes })
    }

    fn client(self: &Arc<Self>) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let api = api.clone();
            async move { Ok::<_, std::io::Error>(http::Response::new(api.answer(request).await)) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: http::Request<kube::client::Body>) -> Body {
        let path = request.uri().path().trim_start_matches("/api/v1/").to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        if request.method() == http::Method::GET {
            return if query.contains("watch=true") { self.watch(&path) } else { self.list(&path) };
        }
        let method = request.method().to_string();
        let bytes = request.into_body().collect().await.expect("a body").to_bytes();
        let sent: Value = serde_json::from_slice(&bytes).expect("JSON");
        let answer = if path.ends_with("/binding") {
            json!({"kind": "Status", "status": "Success"})
        } else {
            sent.clone()
        };
        self.written.lock().push(told(&method, &path, &sent));
        self.wrote.notify_one();
        whole(&answer)
    }

    fn list(&self, resource: &str) -> Body {
        let items = match resource {
            "pods" => json!([pod_value("p", "1")]),
            _ => json!([]),
        };
        whole(&json!({"metadata": {"resourceVersion": "1"}, "items": items}))
    }

    fn watch(&self, resource: &str) -> Body {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (mut changes, resource) = (self.changes.subscribe(), resource.to_owned());
        let follow = async move {
            while let Ok((of, event)) = changes.recv().await {
                if of == resource && sender.send(event).is_err() {
                    return;
                }
            }
        };
        let events =
            futures::stream::unfold((receiver, Box::pin(follow)), |(mut receiver, mut follow)| async {
                let event = tokio::select! {
                    event = receiver.recv() => event?,
                    () = &mut follow => return None,
                };
                let line = Bytes::from(format!("{event}\n"));
                Some((Ok(http_body::Frame::data(line)), (receiver, follow)))
            });
        StreamBody::new(events).boxed_unsync()
    }

    /// Waits until so much has been written.
    async fn wrote(&self, lines: usize) -> String {
        while self.written.lock().len() < lines {
            self.wrote.notified().await;
        }
        let mut written = std::mem::take(&mut *self.written.lock());
        written.sort();
        written.join("\n")
    }
}

fn whole(value: &Value) -> Body {
    http_body_util::Full::new(Bytes::from(value.to_string())).map_err(|never| match never {}).boxed_unsync()
}

fn told(method: &str, path: &str, sent: &Value) -> String {
    match path.rsplit('/').next() {
        Some("events") => format!("event {} {}: {}", sent["type"], sent["reason"], sent["message"]),
        Some("binding") => format!("{method} {path} {} {}", sent["metadata"]["uid"], sent["target"]),
        _ => format!("{method} {path} {}", sent["status"]["conditions"][0]["message"]),
    }
}

#[tokio::test]
async fn a_pod_waits_for_a_node_and_is_bound_to_it() {
    let api = Api::new();
    let (trigger, shutdown) = Shutdown::new();
    let config = Config::new(api.client(), Clock::system(), Random::seeded(1));
    let running = Scheduler::new(config).run(shutdown);
    let script = async {
        expect![[r#"
            PATCH namespaces/default/pods/p/status "no nodes available to schedule pods"
            event "Warning" "FailedScheduling": "no nodes available to schedule pods""#]]
        .assert_eq(&api.wrote(2).await);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "resourceVersion": "2"},
            "status": {"allocatable": {"cpu": "4", "memory": "1Gi", "pods": "10"}}});
        let added = json!({"type": "ADDED", "object": node});
        api.changes.send(("nodes", added)).expect("somebody watches");
        expect![[r#"
            POST namespaces/default/pods/p/binding "p" {"kind":"Node","name":"n"}
            event "Normal" "Scheduled": "Successfully assigned default/p to n""#]]
        .assert_eq(&api.wrote(2).await);
        trigger.shut_down();
    };
    let (ended, ()) = tokio::join!(running, script);
    ended.expect("no lease to lose");
}
