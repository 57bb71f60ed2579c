//! The listener on loopback, and the URLs that lead to it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use stdx::{Clock, Random, Shutdown, Tasks};
use tokio::net::{TcpListener, TcpStream};

use super::backend::{Backend, Wants};
use super::handshake;
use super::requests::{Request, Requests};

/// What every connection needs.
pub(super) struct Context {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) requests: Requests,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) shutdown: Shutdown,
}

/// The CRI streaming server: exec, attach and port-forward for whoever holds a URL that it gave out.
pub struct Server {
    address: SocketAddr,
    context: Arc<Context>,
}

impl Server {
    pub async fn start(
        backend: Arc<dyn Backend>,
        clock: Clock,
        random: Random,
        tasks: Tasks,
        shutdown: Shutdown,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let requests = Requests::new(clock.clone(), random);
        let context = Arc::new(Context { backend, requests, clock, tasks: tasks.clone(), shutdown });
        tasks.spawn("streaming-server", accept(listener, context.clone()));
        Ok(Self { address, context })
    }

    pub fn exec(&self, container: &str, command: &[String], wants: Wants) -> String {
        self.url("exec", Request::Exec { container: container.to_owned(), command: command.to_vec(), wants })
    }

    pub fn attach(&self, container: &str, wants: Wants) -> String {
        self.url("attach", Request::Attach { container: container.to_owned(), wants })
    }

    pub fn port_forward(&self, sandbox: &str, ports: &[i32]) -> String {
        self.url("portforward", Request::PortForward { sandbox: sandbox.to_owned(), ports: ports.to_vec() })
    }

    fn url(&self, verb: &str, request: Request) -> String {
        format!("http://{}/{verb}/{}", self.address, self.context.requests.insert(request))
    }
}

async fn accept(listener: TcpListener, context: Arc<Context>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = context.shutdown.wait() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                context.tasks.spawn("streaming-connection", serve(stream, context.clone()));
            }
            Err(error) => tracing::warn!(%error, "streaming server cannot accept"),
        }
    }
}

async fn serve(stream: TcpStream, context: Arc<Context>) {
    let service = service_fn(|request: http::Request<Incoming>| {
        let response = handshake::answer(request, context.clone());
        async move { Ok::<_, std::convert::Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        served = connection => {
            if let Err(error) = served {
                tracing::debug!(%error, "streaming connection ended");
            }
        }
        () = context.shutdown.wait() => {}
    }
}
