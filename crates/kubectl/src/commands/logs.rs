//! `kubectl logs`: what containers printed, of one pod or of several at once.

use std::io::Write;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http_body_util::BodyExt;

use crate::cli::shared::SELECTOR;
use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::pods::{Quiet, container_of, containers, pod_of, pods_of};
use crate::resources::{Info, Wanted, get_one, list_all};
use crate::rest::Ask;
use crate::text::query;

pub const COMMAND: Command = Command::new(
    "logs",
    "Print the logs for a container in a pod",
    "[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
)
.examples("# Follow\nkubectl logs -f web-1\n\n# All pods of a label\nkubectl logs -l app=web --prefix")
.flags(&[
    SELECTOR,
    &[
        Flag::switch("all-containers", "All containers of each pod."),
        Flag::switch("all-pods", "All pods of the object; with --prefix."),
        Flag::text("container", "The container.").short('c'),
        Flag::switch("follow", "Go on with what is printed.").short('f'),
        Flag::switch("ignore-errors", "Go on after errors while following."),
        Flag::switch("insecure-skip-tls-verify-backend", "Do not verify the kubelet's certificate."),
        Flag::int("limit-bytes", "0", "At most this many bytes."),
        Flag::int("max-log-requests", "5", "At most this many logs at once with a selector."),
        Flag::duration("pod-running-timeout", "20s", "Longest wait for a pod."),
        Flag::switch("prefix", "Pod and container before each line."),
        Flag::switch("previous", "Of the container before this one.").short('p'),
        Flag::duration("since", "0s", "Only what is younger."),
        Flag::text("since-time", "Only what was printed after this time (RFC 3339)."),
        Flag::int("tail", "-1", "Only the last lines; -1 shows all, or ten with a selector."),
        Flag::switch("timestamps", "When each line was printed."),
    ],
])
.run(|cx| Box::pin(run(cx)));

/// One container's log.
struct Source {
    pod: Info,
    container: String,
}

async fn run(cx: Context) -> Result {
    let selector = cx.flags.text("selector");
    const USAGE: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command";
    match (cx.args.len(), selector.is_empty()) {
        (0, true) => return Err(cx.usage(USAGE)),
        (1.., false) => return Err(cx.usage("only a selector (-l) or a POD name is allowed")),
        (3.., _) => return Err(cx.usage(USAGE)),
        _ => {}
    }
    check(&cx)?;
    let sources = sources(&cx).await?;
    let most = usize::try_from(cx.flags.int("max-log-requests")).unwrap_or(0);
    if cx.flags.on("follow") && sources.len() > 1 && sources.len() > most {
        return Err(Error::said(format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {most}, use --max-log-requests to increase the limit",
            sources.len()
        )));
    }
    if !cx.flags.on("follow") {
        for source in &sources {
            stream(&cx, source).await?;
        }
        return Ok(());
    }
    let mut all: FuturesUnordered<_> = sources.iter().map(|source| stream(&cx, source)).collect();
    while let Some(result) = all.next().await {
        if let Err(error) = result {
            if !cx.flags.on("ignore-errors") {
                return Err(error);
            }
            eprintln!("{}", error.told());
        }
    }
    Ok(())
}

fn check(cx: &Context) -> Result {
    let flags = &cx.flags;
    if !flags.text("since-time").is_empty() && flags.seconds("since") != 0.0 {
        return Err(Error::said("at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if flags.on("all-containers") && !flags.text("container").is_empty() {
        return Err(Error::said("--all-containers=true should not be specified with container name"));
    }
    if flags.has("tail") && flags.int("tail") < -1 {
        return Err(Error::said("--tail must be greater than or equal to -1"));
    }
    if flags.has("limit-bytes") && flags.int("limit-bytes") < 1 {
        return Err(Error::said("--limit-bytes must be greater than 0"));
    }
    Ok(())
}

async fn sources(cx: &Context) -> Result<Vec<Source>> {
    let all_containers = cx.flags.on("all-containers");
    let mut asked = cx.flags.text("container").to_owned();
    let selector = cx.flags.text("selector");
    let pods = if selector.is_empty() {
        if let Some(container) = cx.args.get(1) {
            asked.clone_from(container);
        }
        named(cx, &cx.args[0]).await?
    } else {
        let resource = cx.resource("pods").await?;
        let wanted = Wanted { labels: selector.to_owned(), ..Wanted::default() };
        let found = list_all(cx, &resource, Some(cx.namespace().await?), &wanted).await?;
        if found.is_empty() {
            eprintln!("No resources found in {} namespace.", cx.namespace().await?);
        }
        found
    };
    let mut sources = Vec::new();
    for pod in pods {
        let chosen = if all_containers {
            containers(&pod.object)
        } else {
            vec![container_of(&pod, &asked, Quiet::No).map_err(|error| not_valid(error, &pod, &asked))?]
        };
        sources.extend(chosen.into_iter().map(|container| Source { pod: pod.clone(), container }));
    }
    Ok(sources)
}

fn not_valid(error: Error, pod: &Info, asked: &str) -> Error {
    match error {
        Error::Said(_) => Error::Said(format!("container {asked} is not valid for pod {}", pod.name)),
        other => other,
    }
}

async fn named(cx: &Context, named: &str) -> Result<Vec<Info>> {
    let patience = cx.flags.duration("pod-running-timeout");
    let (kind, name) = named.split_once('/').unwrap_or(("pods", named));
    let resource = cx.resource(kind).await?;
    if resource.kind == "Pod" {
        return Ok(vec![pod_of(cx, named, patience).await?]);
    }
    let owner = get_one(cx, &resource, cx.namespace_for(&resource).await?.as_deref(), name).await?;
    let all = pods_of(cx, &owner).await?;
    if cx.flags.on("all-pods") {
        return Ok(all);
    }
    if all.len() > 1 {
        eprintln!("Found {} pods, using pod/{}", all.len(), all[0].name);
    }
    match all.into_iter().next() {
        Some(first) => Ok(vec![first]),
        None => Ok(vec![pod_of(cx, named, patience).await?]),
    }
}

async fn stream(cx: &Context, source: &Source) -> Result {
    let flags = &cx.flags;
    let on = |flag: &str| if flags.on(flag) { "true" } else { "" }.to_owned();
    let mut tail = flags.int("tail");
    if tail == -1 && !flags.has("tail") && !flags.text("selector").is_empty() && !flags.on("follow") {
        tail = 10;
    }
    let seconds = flags.duration("since");
    let since =
        if seconds > Duration::ZERO { seconds.as_secs_f64().ceil().to_string() } else { String::new() };
    let limit =
        if flags.int("limit-bytes") > 0 { flags.int("limit-bytes").to_string() } else { String::new() };
    let query = query(&[
        ("container", &source.container),
        ("follow", &on("follow")),
        ("insecureSkipTLSVerifyBackend", &on("insecure-skip-tls-verify-backend")),
        ("limitBytes", &limit),
        ("previous", &on("previous")),
        ("sinceSeconds", &since),
        ("sinceTime", flags.text("since-time")),
        ("tailLines", &if tail >= 0 { tail.to_string() } else { String::new() }),
        ("timestamps", &on("timestamps")),
    ]);
    let path = format!("{}/log{query}", source.pod.path());
    let ask = Ask { accept: "application/json, */*", ..Ask::get(path) };
    let mut body = cx.rest().await?.send(&ask).await?.into_body();
    let prefix = if flags.on("prefix") {
        format!("[pod/{}/{}] ", source.pod.name, source.container)
    } else {
        String::new()
    };
    let mut lines = Lines { prefix, rest: Vec::new() };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::said(stdx::error_chain(&error)))?;
        if let Ok(data) = frame.into_data() {
            lines.take(&data)?;
        }
    }
    lines.end()
}

/// Whole lines behind their prefix; bytes as they come where there is none.
struct Lines {
    prefix: String,
    rest: Vec<u8>,
}

impl Lines {
    fn take(&mut self, data: &[u8]) -> Result {
        if self.prefix.is_empty() {
            return write(data);
        }
        self.rest.extend_from_slice(data);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            write(&[self.prefix.as_bytes(), &line].concat())?;
        }
        Ok(())
    }

    fn end(self) -> Result {
        if self.rest.is_empty() { Ok(()) } else { write(&[self.prefix.as_bytes(), &self.rest].concat()) }
    }
}

fn write(data: &[u8]) -> Result {
    let mut out = std::io::stdout().lock();
    if out.write_all(data).and_then(|()| out.flush()).is_err() {
        return Err(Error::Exit(141));
    }
    Ok(())
}
