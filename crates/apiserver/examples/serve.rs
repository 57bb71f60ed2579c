//! A server over a store that forgets, for looking at it with kubectl: `cargo run -p apiserver --example serve -- DIR`.
//! DIR gets `admin.kubeconfig`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use apiserver::{Config, Server};
use stdx::{Clock, Random, Shutdown};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir: PathBuf = std::env::args().nth(1).ok_or("a folder is needed")?.into();
    let port = std::env::args().nth(2).map_or(Ok(0), |port| port.parse())?;
    let clock = Clock::system();
    let names = pki::Names::new("example", vec![Ipv4Addr::LOCALHOST.into()]);
    let pki = Arc::new(pki::ensure(&dir.join("pki"), &names, &clock)?);
    let mut config = Config::local(pki.clone());
    config.listen = Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    let (trigger, shutdown) = Shutdown::new();
    let handle = Server::start(config, store::memory::open(), clock, Random::system(), shutdown).await?;
    let address = handle.address().ok_or("not listening")?;
    let admin = pki::Kubeconfig {
        server: &format!("https://{address}"),
        ca: pki.ca.certificate(),
        cluster: "example",
        user: "admin",
        credential: &pki.admin,
    };
    admin.write(&dir.join("admin.kubeconfig"))?;
    println!("https://{address}");
    tokio::signal::ctrl_c().await?;
    trigger.shut_down();
    handle.stopped().await;
    Ok(())
}
