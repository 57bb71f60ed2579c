//! A whole server in this process, over a store that forgets: for component tests.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, Method, header};
use http_body_util::BodyExt;
use serde_json::Value;
use stdx::{Clock, Random, Shutdown, Trigger};
use tempfile::TempDir;

use crate::auth::{UserInfo, group};
use crate::{Body, Config, Handle, Server, body};

/// Longest that a test waits for something that should be there at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running server. Dropping it stops it.
pub struct TestServer {
    pub handle: Handle,
    pub clock: Clock,
    pub store: Arc<dyn store::Engine>,
    user: UserInfo,
    _trigger: Trigger,
    _dir: TempDir,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

/// A running watch.
pub struct Watch {
    body: Body,
    read: BytesMut,
}

impl TestServer {
    /// A server on the system's clock.
    pub async fn start() -> Self {
        Self::with(Clock::system(), |_| {}).await
    }

    /// A server with a clock and settings of its own.
    pub async fn with(clock: Clock, configure: impl FnOnce(&mut Config)) -> Self {
        Self::on(store::memory::open(), clock, configure).await
    }

    /// A server over a store that others have written to.
    pub async fn on(
        store: Arc<dyn store::Engine>,
        clock: Clock,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let names = pki::Names::new("test", vec![Ipv4Addr::new(10, 1, 1, 1).into()]);
        let pki = pki::ensure(dir.path(), &names, &clock).expect("new certificates");
        let mut config = Config::local(Arc::new(pki));
        config.advertise_address = Ipv4Addr::new(10, 1, 1, 1).into();
        configure(&mut config);
        let (trigger, shutdown) = Shutdown::new();
        let handle = Server::start(config, store.clone(), clock.clone(), Random::seeded(1), shutdown)
            .await
            .expect("a server in memory starts");
        let user = UserInfo::new("tester", &[group::MASTERS, group::AUTHENTICATED]);
        Self { handle, clock, store, user, _trigger: trigger, _dir: dir }
    }

    /// Sends JSON (nothing if `object` is null) as a cluster administrator.
    pub async fn send(&self, method: &str, path: &str, object: &Value) -> Answer {
        let text = if object.is_null() { String::new() } else { object.to_string() };
        self.send_bytes(method, path, &[("content-type", "application/json")], text.into_bytes()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &Value::Null).await
    }

    pub async fn send_bytes(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        bytes: Vec<u8>,
    ) -> Answer {
        let response = self.respond(method, path, headers, bytes).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("an answer in memory arrives").to_bytes().to_vec();
        Answer { code: parts.status.as_u16(), headers: parts.headers, bytes }
    }

    /// Begins a watch; `path` has its query.
    pub async fn watch(&self, path: &str) -> Watch {
        let response = self.respond("GET", path, &[], Vec::new()).await;
        assert_eq!(response.status(), 200, "{path}");
        Watch { body: response.into_body(), read: BytesMut::new() }
    }

    async fn respond(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, &str)],
        bytes: Vec<u8>,
    ) -> crate::Response {
        let mut request = http::Request::builder()
            .method(Method::from_bytes(method.as_bytes()).expect("a method"))
            .uri(path)
            .extension(self.user.clone())
            .body(body::full(bytes))
            .expect("a request");
        for (name, value) in headers {
            let name = header::HeaderName::from_static(name);
            request.headers_mut().append(name, value.parse().expect("a header"));
        }
        self.handle.handler().handle(request).await
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// `404 pods "x" not found`, or the code alone when there is no message.
    pub fn summary(&self) -> String {
        let message = serde_json::from_slice::<Value>(&self.bytes)
            .ok() // not JSON: no message
            .and_then(|value| value["message"].as_str().map(str::to_string));
        message.map_or_else(|| self.code.to_string(), |message| format!("{} {message}", self.code))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

impl Watch {
    /// The next event; none if the watch has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Some(serde_json::from_slice(&line).expect("a frame is JSON"));
            }
            let frame =
                tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("an event within ten seconds");
            let data = frame?.expect("a stream in memory does not break").into_data();
            self.read.extend_from_slice(&data.expect("a watch has no trailers"));
        }
    }

    /// `ADDED a 12`: type, name and resourceVersion of the next event.
    pub async fn next_line(&mut self) -> String {
        match self.next().await {
            None => "END".into(),
            Some(event) if event["type"] == "ERROR" => {
                format!(
                    "ERROR {} {}",
                    event["object"]["code"],
                    event["object"]["message"].as_str().unwrap_or("")
                )
            }
            Some(event) => {
                let meta = &event["object"]["metadata"];
                let text = |value: &Value| value.as_str().unwrap_or("-").to_string();
                format!("{} {} {}", text(&event["type"]), text(&meta["name"]), text(&meta["resourceVersion"]))
            }
        }
    }
}
