use std::time::Duration;

use hyper_util::rt::TokioExecutor;
use pki::{Authority, Credential, Names, Profile};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

use super::*;
use crate::auth::{Authenticator, Certificates, Credentials};
use crate::tls::{PeerCertificate, certificates, private_key, roots};
use crate::{Body, body};

/// Answers who asks over which version; `/slow` waits until it is told.
#[derive(Default)]
struct Who {
    begun: Notify,
    go_on: Notify,
}

#[async_trait]
impl Handler for Who {
    async fn handle(&self, request: Request) -> Response {
        if request.uri().path() == "/slow" {
            self.begun.notify_one();
            self.go_on.notified().await;
        }
        let peer = request.extensions().get::<PeerCertificate>().cloned();
        let version = request.version();
        let credentials = Credentials { peer: peer.as_ref(), token: None };
        let user = Certificates::new(Clock::system()).authenticate(credentials).await;
        let who = match user {
            Ok(Some(user)) => format!("{} {:?}", user.name, user.groups),
            Ok(None) => "nobody".to_owned(),
            Err(error) => format!("{error}"),
        };
        Response::new(body::full(format!("{version:?} {who}")))
    }
}

struct Fixture {
    ca: Authority,
    address: SocketAddr,
    who: Arc<Who>,
    trigger: stdx::Trigger,
    served: tokio::task::JoinHandle<()>,
}

async fn fixture() -> Fixture {
    let clock = Clock::system();
    let ca = Authority::create("kubernetes", clock.now()).unwrap();
    let serving = ca.issue(&Profile::apiserver(&Names::new("n", Vec::new())), clock.now()).unwrap();
    let tls = Tls::new(&serving, ca.certificate(), clock.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ((trigger, shutdown), who) = (stdx::Shutdown::new(), Arc::new(Who::default()));
    let served = Tasks::new().spawn("server", serve(listener, tls, who.clone(), clock, shutdown));
    Fixture { ca, address, who, trigger, served }
}

impl Fixture {
    async fn get(&self, path: &str, protocol: &str, client: Option<&Credential>) -> Result<String, BoxError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(self.ca.certificate())?);
        let mut config = match client {
            Some(client) => {
                config.with_client_auth_cert(certificates(&client.certificate)?, private_key(&client.key)?)?
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("kubernetes.default.svc.cluster.local")?;
        let stream = TokioIo::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?);
        let request = http::Request::get(path).header("host", "api").body(body::empty())?;
        let response = match protocol {
            "h2" => {
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake::<_, _, Body>(TokioExecutor::new(), stream).await?;
                Tasks::new().spawn("connection", async move { drop(connection.await) });
                sender.send_request(request).await?
            }
            _ => {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
                Tasks::new().spawn("connection", async move { drop(connection.await) });
                sender.send_request(request).await?
            }
        };
        Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
    }
}

#[tokio::test]
async fn both_protocols_and_every_kind_of_client() {
    let fixture = fixture().await;
    let now = Clock::system().now();
    let admin = Profile::client("kubernetes-admin", &["system:masters"]);
    let known = fixture.ca.issue(&admin, now).unwrap();
    let foreign = Authority::create("another", now).unwrap().issue(&admin, now).unwrap();
    let name = r#"kubernetes-admin ["system:masters", "system:authenticated"]"#;
    let get = async |protocol, client| fixture.get("/", protocol, client).await.unwrap();
    assert_eq!(get("h2", Some(&known)).await, format!("HTTP/2.0 {name}"));
    assert_eq!(get("http/1.1", Some(&known)).await, format!("HTTP/1.1 {name}"));
    assert_eq!(get("h2", None).await, "HTTP/2.0 nobody");
    // The handshake succeeds: the client is to read a 401.
    let refused = get("h2", Some(&foreign)).await;
    assert!(refused.starts_with("HTTP/2.0 client certificate refused"), "{refused}");
}

#[tokio::test]
async fn a_stopping_server_finishes_what_it_began() {
    let fixture = fixture().await;
    let slow = fixture.get("/slow", "h2", None);
    let stop = async {
        fixture.who.begun.notified().await;
        fixture.trigger.shut_down();
        // The listener closes at once, the request goes on.
        while TcpStream::connect(fixture.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        fixture.who.go_on.notify_one();
    };
    let (answer, ()) = tokio::join!(slow, stop);
    assert_eq!(answer.unwrap(), "HTTP/2.0 nobody");
    tokio::time::timeout(Duration::from_secs(5), fixture.served).await.unwrap().unwrap();
}
