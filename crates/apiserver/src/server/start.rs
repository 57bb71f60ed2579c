//! Putting a server together, in the order in which its parts need each other.

use std::sync::Arc;

use stdx::{Clock, Random, Shutdown, Tasks};
use store::{Compactor, Engine, Retention};
use tokio::net::TcpListener;

use super::{Core, Handle, bootstrap, expiry, following};
use crate::addresses::Addresses;
use crate::admission::{self, Chain, ResourceQuota};
use crate::auth::node::NodeAuthorizer;
use crate::auth::rbac::Rbac;
use crate::auth::reviews::Reviews;
use crate::auth::token::{Issuer, Requests, Verifier};
use crate::auth::{Authenticator, Authorizer, BootstrapTokens, Certificates, Objects, Privileged, Union};
use crate::cache::{Feed, Selection};
use crate::config::Config;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::path::{self, Path};
use crate::paths::{Documents, Handler};
use crate::registry::{LiveObjects, Registry};
use crate::streaming::{self, Streaming};
use crate::tls::{Tls, TlsError};
use crate::verbs::Virtuals;
use crate::webhooks::{Caller, Client, Conversions, Mutating, Validating};

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}")]
    Listen { address: std::net::SocketAddr, source: std::io::Error },
    #[error("cannot use the server's certificate")]
    Tls(#[from] TlsError),
    #[error("cannot use the key of the service accounts")]
    Key(#[from] pki::KeyError),
    #[error("cannot read the store")]
    Load { source: ApiError },
    #[error("cannot create the objects that every cluster has")]
    Bootstrap { source: crate::auth::rbac::BootstrapError },
}

/// The server; [`Server::start`] is all there is.
pub struct Server;

/// Who asks and whether they may.
struct Gate {
    authenticators: Vec<Arc<dyn Authenticator>>,
    authorizer: Arc<dyn Authorizer>,
    rbac: Rbac,
    issuer: Arc<Issuer>,
    virtuals: Virtuals,
    objects: Arc<dyn Objects>,
}

impl Server {
    /// Starts; returns once requests are answered and what every cluster has is there.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: Config,
        engine: Arc<dyn Engine>,
        clock: Clock,
        random: Random,
        shutdown: Shutdown,
    ) -> Result<Handle, StartError> {
        let tasks = Tasks::new();
        // Bound first: a taken port is the likeliest failure, and the store is still untouched then.
        let listener = listen(&config).await?;
        let feed = Feed::default();
        let registry = Arc::new(Registry::builtin(&feed, &engine));
        let from = feed.load(engine.as_ref(), registry.as_ref()).await;
        let from = from.map_err(|source| StartError::Load { source })?;
        tasks.spawn(
            "store feed",
            following::follow(feed, engine.clone(), registry.clone(), from, clock.clone(), shutdown.clone()),
        );
        tasks.spawn("store compaction", compact(engine.clone(), clock.clone(), shutdown.clone()));
        let gate = gate(&config, &registry, &tasks, &clock, &random, &shutdown)?;
        let addresses = addresses(&config, &registry, &random);
        let caller = Caller {
            client: Arc::new(Client::new(gate.objects.clone(), clock.clone(), tasks.clone())),
            objects: gate.objects.clone(),
            registry: registry.clone(),
            random: random.clone(),
        };
        let admission = Chain::builtin(admission::Parts {
            objects: gate.objects.clone(),
            authorizer: gate.authorizer.clone(),
            rbac: gate.rbac.clone(),
            clock: clock.clone(),
            random: random.clone(),
        })
        .and(Arc::new(Mutating(caller.clone())))
        .and(Arc::new(admission::Policies::new(
            registry.clone(),
            gate.objects.clone(),
            gate.authorizer.clone(),
        )))
        .and(Arc::new(Validating(caller.clone())))
        .and(Arc::new(ResourceQuota { registry: registry.clone() }));
        registry.converters.set(Arc::new(Conversions(caller)));
        let streaming = Streaming::new(streaming::Parts {
            objects: gate.objects.clone(),
            admission: admission.clone(),
            client: config.pki.apiserver_kubelet_client.clone(),
            kubelet_ca: config.pki.ca.certificate().to_string(),
            clock: clock.clone(),
            random: random.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        })?;
        let core = Arc::new(Core {
            streaming,
            metrics: Metrics::default(),
            documents: Documents::new(&registry),
            admission,
            config,
            clock: clock.clone(),
            random: random.clone(),
            shutdown: shutdown.clone(),
            registry,
            addresses,
            authorizer: gate.authorizer.clone(),
            issuer: gate.issuer,
            virtuals: gate.virtuals,
        });
        let path = Path::new(path::stages(path::Parts {
            authenticators: gate.authenticators,
            authorizer: gate.authorizer,
            clock: clock.clone(),
            random,
            handler: Arc::new(Handler::new(core.clone())),
        }));
        let mut handle = Handle { core, path, address: None, tasks: tasks.clone() };
        gate.rbac.synced().await;
        bootstrap::run(&handle).await?;
        tasks.spawn("definitions", crate::custom::keeper::keep(handle.clone()));
        tasks.spawn("events expiry", expiry::expire_events(handle.core.clone()));
        if let Some(listener) = listener {
            handle.address = listener.local_addr().ok(); // only unbound sockets have none
            let pki = &handle.core.config.pki;
            let tls = Tls::new(&pki.apiserver, pki.ca.certificate(), clock.clone())?;
            tasks.spawn("serve", crate::serve::serve(listener, tls, handle.handler(), clock, shutdown));
        }
        Ok(handle)
    }
}

async fn listen(config: &Config) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = config.listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|source| StartError::Listen { address, source })
}

fn gate(
    config: &Config,
    registry: &Arc<Registry>,
    tasks: &Tasks,
    clock: &Clock,
    random: &Random,
    shutdown: &Shutdown,
) -> Result<Gate, StartError> {
    let objects: Arc<dyn Objects> = Arc::new(LiveObjects(registry.clone()));
    let rbac = Rbac::start(&objects, tasks, shutdown);
    let authorizer: Arc<dyn Authorizer> = Arc::new(Union(vec![
        Arc::new(Privileged),
        Arc::new(NodeAuthorizer::start(&objects, tasks, shutdown)),
        Arc::new(rbac.clone()),
    ]));
    let issuer = Arc::new(Issuer::new(&config.pki, &config.cluster_domain)?);
    let verifier = Arc::new(Verifier::new(issuer.clone(), objects.clone(), clock.clone()));
    let bootstrap = Arc::new(BootstrapTokens::new(objects.clone(), clock.clone()));
    let authenticators: Vec<Arc<dyn Authenticator>> =
        vec![Arc::new(Certificates::new(clock.clone())), verifier.clone(), bootstrap.clone()];
    let reviews =
        Reviews::new(verifier, bootstrap, issuer.audiences.clone(), authorizer.clone(), rbac.clone());
    let tokens = Requests::new(issuer.clone(), objects.clone(), clock.clone(), random.clone());
    let virtuals = Virtuals::new(reviews, tokens);
    Ok(Gate { authenticators, authorizer, rbac, issuer, virtuals, objects })
}

fn addresses(config: &Config, registry: &Registry, random: &Random) -> Addresses {
    let addresses = Addresses::new(config, random.clone());
    if let Some(services) = registry.storage("", "services") {
        for entry in services.cache.list(&Selection::everything("", true), 0).entries {
            addresses.load(&entry.value());
        }
    }
    addresses
}

/// Drops old history now and then; a tick in which nothing has changed does nothing.
async fn compact(engine: Arc<dyn Engine>, clock: Clock, shutdown: Shutdown) {
    let retention = Retention::default();
    let mut compactor = Compactor::new(retention);
    loop {
        tokio::select! {
            () = clock.sleep(retention.age / 5) => {}
            () = shutdown.wait() => return,
        }
        if let Err(error) = compactor.tick(engine.as_ref(), clock.monotonic()).await {
            tracing::warn!(error = stdx::error_chain(&error), "cannot compact the store");
        }
    }
}
