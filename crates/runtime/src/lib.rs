//! The embedded container runtime: CRI v1 over a Unix socket, one small shim process per pod.
//!
//! Knows nothing of the Kubernetes API. Never forks in a process with threads: namespaces, mounts and containers
//! are the work of the single-threaded shim, which outlives the server. Reading order: `node` (what is known),
//! `record` (what is remembered), `sandboxes` and `containers` (the two lives), `link` and `watch` (the shims),
//! `restore` (the start), `service` (CRI), [`streaming`], [`shim`], [`images`].

mod containers;
mod error;
mod exec;
pub mod images;
mod link;
mod node;
mod record;
mod restore;
mod sandboxes;
mod service;
mod sessions;
pub mod shim;
mod spec;
mod stats;
mod stop;
pub mod streaming;
mod terminal;
mod view;
mod watch;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use cri::v1::image_service_server::ImageServiceServer;
use cri::v1::runtime_service_server::RuntimeServiceServer;
use linux::cgroup::Hierarchies;
use stdx::{Shutdown, Tasks};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;

use node::Node;

pub use error::Error;
pub use node::Config;
pub use shim::shim_main;
pub use stop::{remove_cgroups, stop_all};

/// Largest message taken: an image with thousands of layers, a pod with thousands of variables.
const MAX_MESSAGE: usize = 16 << 20;

/// Restores what was and serves CRI until told to stop; containers run on after that.
///
/// `ready` is given once the socket answers.
///
/// # Errors
/// When the root or the socket cannot be made, or records cannot be read.
pub async fn serve(
    config: Config,
    shutdown: Shutdown,
    ready: tokio::sync::oneshot::Sender<()>,
) -> Result<(), Error> {
    fs::create_dir_all(&config.root).map_err(Error::io(format!("cannot make {:?}", config.root)))?;
    let hierarchies = Hierarchies::discover()?;
    let tasks = Tasks::new();
    let node = Node::new(config, hierarchies, tasks.clone(), shutdown.clone());
    let (clock, random) = (node.config.clock.clone(), node.config.random.clone());
    let streaming =
        streaming::Server::start(Arc::new(node.clone()), clock, random, tasks.clone(), shutdown.clone())
            .await;
    let streaming = Arc::new(streaming.map_err(Error::io("cannot listen for streams"))?);
    node.restore().await?;
    let socket =
        bind(&node.config.socket).map_err(Error::io(format!("cannot bind {:?}", node.config.socket)))?;
    // Nobody waiting for it is no error.
    let _ = ready.send(());
    let served = tonic::transport::Server::builder()
        .add_service(
            RuntimeServiceServer::new(service::RuntimeServer { node: node.clone(), streaming })
                .max_decoding_message_size(MAX_MESSAGE),
        )
        .add_service(
            ImageServiceServer::new(service::ImageServer(node.clone()))
                .max_decoding_message_size(MAX_MESSAGE),
        )
        .serve_with_incoming_shutdown(UnixListenerStream::new(socket), shutdown.wait())
        .await;
    tasks.wait().await;
    served.map_err(|error| Error::io("the CRI server failed")(io::Error::other(error)))
}

/// The folder of a socket is private while it is made, and the socket after.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}
