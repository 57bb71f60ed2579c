//! `kubectl port-forward`: local ports that lead into a pod.
//!
//! Each connection has a WebSocket of its own, channels 0 (data) and 1 (errors) of its one port.

use serde_json::Value;
use stdx::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::pods::pod_of;
use crate::resources::{Info, get_one};
use crate::rest::Rest;

pub const COMMAND: Command = Command::new(
    "port-forward",
    "Forward one or more local ports to a pod",
    "TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]",
)
.flags(&[&[
    Flag::list("address", "Addresses to listen on.").default("localhost"),
    Flag::duration("pod-running-timeout", "1m0s", "Longest wait for a pod."),
]])
.run(|cx| Box::pin(run(cx)));

async fn run(cx: Context) -> Result {
    if cx.args.len() < 2 {
        return Err(cx.usage("TYPE/NAME and list of ports are required for port-forward"));
    }
    let pod = pod_of(&cx, &cx.args[0], cx.flags.duration("pod-running-timeout")).await?;
    let phase = pod.object["status"]["phase"].as_str().unwrap_or("");
    if phase != "Running" {
        return Err(Error::said(format!(
            "unable to forward port because pod is not running. Current status={phase}"
        )));
    }
    let service = service(&cx).await?;
    let tasks = Tasks::new();
    let rest = cx.rest().await?.clone();
    for text in &cx.args[1..] {
        let (local, remote) = ports(text, &pod, service.as_ref())?;
        for address in cx.flags.list("address") {
            listen(&tasks, &rest, &pod, &address, local, remote).await?;
        }
    }
    // Until the user ends it.
    tokio::signal::ctrl_c().await.map_err(|error| Error::said(error.to_string()))
}

async fn service(cx: &Context) -> Result<Option<Info>> {
    let Some((kind, name)) = cx.args[0].split_once('/') else { return Ok(None) };
    let resource = cx.resource(kind).await?;
    if resource.kind != "Service" {
        return Ok(None);
    }
    get_one(cx, &resource, cx.namespace_for(&resource).await?.as_deref(), name).await.map(Some)
}

/// `8080`, `8080:80`, `:80`, `http`.
fn ports(text: &str, pod: &Info, service: Option<&Info>) -> Result<(u16, u16)> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let wrong = |part: &str| {
        Error::said(format!(
            "error parsing local port {part:?}: strconv.ParseUint: parsing {part:?}: invalid syntax"
        ))
    };
    let mut target = remote.to_owned();
    if let Some(service) = service {
        let ports = service.object["spec"]["ports"].as_array().into_iter().flatten();
        let mut found = ports.filter(|port| {
            port["port"].as_u64().is_some_and(|own| own.to_string() == remote) || port["name"] == remote
        });
        let port = found.next().ok_or_else(|| {
            Error::said(format!("Service {} does not have a service port {remote}", service.name))
        })?;
        target = match &port["targetPort"] {
            Value::String(name) => name.clone(),
            Value::Number(number) => number.to_string(),
            _ => remote.to_owned(),
        };
    }
    let number = match target.parse() {
        Ok(number) => number,
        Err(_) => named_port(pod, &target).ok_or_else(|| {
            Error::said(format!("Pod '{}' does not have a named port '{target}'", pod.name))
        })?,
    };
    let local = match local {
        "" => 0,
        local => match local.parse() {
            Ok(local) => local,
            Err(_) if local == remote => number,
            Err(_) => return Err(wrong(local)),
        },
    };
    Ok((local, number))
}

fn named_port(pod: &Info, name: &str) -> Option<u16> {
    let containers = pod.object["spec"]["containers"].as_array()?;
    let mut ports =
        containers.iter().flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.find(|port| port["name"] == name)?["containerPort"].as_u64()?.try_into().ok()
}

async fn listen(
    tasks: &Tasks,
    rest: &std::sync::Arc<Rest>,
    pod: &Info,
    address: &str,
    local: u16,
    remote: u16,
) -> Result {
    let hosts: &[&str] = if address == "localhost" { &["127.0.0.1", "::1"] } else { &[address] };
    let mut opened = 0;
    let mut failure = None;
    for host in hosts {
        let listener = match TcpListener::bind((*host, local)).await {
            Ok(listener) => listener,
            Err(error) => {
                failure = Some(error);
                continue;
            }
        };
        let own = listener.local_addr().map_err(|error| Error::said(error.to_string()))?;
        crate::say(&format!("Forwarding from {own} -> {remote}\n"));
        opened += 1;
        let (rest, path, tasks_of_port) = (rest.clone(), pod.path(), tasks.clone());
        tasks.spawn("port", async move {
            while let Ok((stream, _)) = listener.accept().await {
                crate::say(&format!("Handling connection for {}\n", own.port()));
                let (rest, path) = (rest.clone(), path.clone());
                tasks_of_port.spawn("connection", async move {
                    if let Err(error) = forward(&rest, &path, stream, remote).await {
                        eprintln!("an error occurred forwarding {} -> {remote}: {error}", own.port());
                    }
                });
            }
        });
    }
    match failure {
        Some(error) if opened == 0 => Err(Error::said(format!("unable to listen on port {local}: {error}"))),
        _ => Ok(()),
    }
}

async fn forward(rest: &Rest, path: &str, mut stream: TcpStream, port: u16) -> Result {
    let mut socket = rest.socket(&format!("{path}/portforward?ports={port}"), "v4.channel.k8s.io").await?;
    let mut buffer = vec![0; 32 * 1024];
    let mut greeted = [false; 2];
    loop {
        tokio::select! {
            frame = socket.next() => {
                let Some((channel, data)) = frame? else { return Ok(()) };
                // The first frame of each channel tells its port.
                let at = usize::from(channel.min(1));
                if !std::mem::replace(&mut greeted[at], true) {
                    continue;
                }
                if channel == 0 {
                    stream.write_all(&data).await.map_err(|error| Error::said(error.to_string()))?;
                } else {
                    return Err(Error::said(String::from_utf8_lossy(&data).into_owned()));
                }
            }
            read = stream.read(&mut buffer) => {
                match read.map_err(|error| Error::said(error.to_string()))? {
                    0 => {
                        socket.close().await;
                        return Ok(());
                    }
                    count => socket.send(0, &buffer[..count]).await?,
                }
            }
        }
    }
}
