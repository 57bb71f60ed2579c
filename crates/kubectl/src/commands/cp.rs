//! `kubectl cp`: files and folders to and from containers, by tar on the other side.
//!
//! What leads out of the destination is left out: links that point outside, names with `..`.
//! Upstream: kubectl/pkg/cmd/cp.

use std::io::{Cursor, IsTerminal, Read};
use std::path::{Component, Path, PathBuf};

use crate::cli::{Command, Flag};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::pods::{Quiet, container_of, pod_of};
use crate::rest::Channels;
use crate::session::{Session, ending};

pub const COMMAND: Command = Command::new(
    "cp",
    "Copy files and directories to and from containers",
    "<file-spec-src> <file-spec-dest>",
)
.details("Copy files and directories to and from containers. The container needs tar.")
.examples(
    "# To a pod\nkubectl cp ./page web-1:/srv/page\n\n# From it\nkubectl cp web-1:/var/log/web.log ./web.log",
)
.flags(&[&[
    Flag::text("container", "The container.").short('c'),
    Flag::switch("no-preserve", "Owner and permissions need not be kept in the container."),
    Flag::int("retries", "0", "How often a broken copy from a container goes on; -1 is without end."),
]])
.run(|cx| Box::pin(run(cx)));

/// `[namespace/]pod:path`, or a path here.
struct Place {
    namespace: String,
    pod: String,
    path: String,
}

impl Place {
    fn read(text: &str) -> Result<Self> {
        let here = || Ok(Self { namespace: String::new(), pod: String::new(), path: text.to_owned() });
        let Some((pod, path)) = text.split_once(':') else { return here() };
        if Path::new(text).exists() && pod.contains('/') && pod.matches('/').count() > 1 {
            return here();
        }
        if path.is_empty() {
            return Err(Error::said("filepath can not be empty"));
        }
        match pod.split('/').collect::<Vec<_>>().as_slice() {
            [pod] => Ok(Self { namespace: String::new(), pod: (*pod).to_owned(), path: path.to_owned() }),
            [namespace, pod] => {
                Ok(Self { namespace: (*namespace).to_owned(), pod: (*pod).to_owned(), path: path.to_owned() })
            }
            _ => Err(Error::said("Filespec must match the canonical format: [[namespace/]pod:]file/path")),
        }
    }
}

async fn run(cx: Context) -> Result {
    let [from, to] = cx.args.as_slice() else {
        return Err(Error::said("source and destination are required"));
    };
    let (from, to) = (Place::read(from)?, Place::read(to)?);
    match (from.pod.is_empty(), to.pod.is_empty()) {
        (false, false) => Err(Error::said("one of src or dest must be a local file specification")),
        (true, true) => Err(Error::said("one of src or dest must be a remote file specification")),
        (true, false) => upload(&cx, &from.path, &to).await,
        (false, true) => download(&cx, &from, &to.path).await,
    }
}

async fn pod(cx: &Context, place: &Place) -> Result<(crate::resources::Info, String)> {
    let pod = if place.namespace.is_empty() {
        pod_of(cx, &place.pod, std::time::Duration::ZERO).await?
    } else {
        let resource = cx.resource("pods").await?;
        crate::resources::get_one(cx, &resource, Some(&place.namespace), &place.pod).await?
    };
    let container = container_of(&pod, cx.flags.text("container"), Quiet::No)?;
    Ok((pod, container))
}

/// Bytes so far, on a terminal.
fn progress(bytes: usize) {
    if std::io::stderr().is_terminal() {
        eprint!("\r{} KiB", bytes / 1024);
    }
}

fn progress_end() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K");
    }
}

async fn upload(cx: &Context, from: &str, to: &Place) -> Result {
    if !Path::new(from).exists() {
        return Err(Error::said(format!("{from} doesn't exist in local filesystem")));
    }
    let (pod, container) = pod(cx, to).await?;
    let mut target = to.path.trim_end_matches('/').to_owned();
    let name =
        Path::new(from).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Into a folder that is there already, under the source's own name.
    let test: Vec<String> = ["test", "-d", &to.path].map(str::to_owned).to_vec();
    if collect(cx, &pod, &container, &test, &[]).await.is_ok() {
        target = format!("{target}/{name}");
    }
    let (folder, base) = target.rsplit_once('/').unwrap_or((".", &target));
    let archive = pack(Path::new(from), base)?;
    let mut command = vec!["tar".to_owned(), "-xmf".into(), "-".into()];
    if cx.flags.on("no-preserve") {
        command =
            ["tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"].map(str::to_owned).to_vec();
    }
    if !folder.is_empty() && folder != "." {
        command.extend(["-C".to_owned(), folder.to_owned()]);
    } else if to.path.starts_with('/') {
        command.extend(["-C".to_owned(), "/".to_owned()]);
    }
    collect(cx, &pod, &container, &command, &archive).await.map(drop)
}

fn pack(from: &Path, base: &str) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    archive.follow_symlinks(false);
    let added = if from.is_dir() {
        archive.append_dir_all(base, from)
    } else {
        archive.append_path_with_name(from, base)
    };
    added
        .and_then(|()| archive.into_inner())
        .map_err(|error| Error::said(format!("cannot pack {}: {error}", from.display())))
}

/// Runs a command with `input`, and gives what it printed.
async fn collect(
    cx: &Context,
    pod: &crate::resources::Info,
    container: &str,
    command: &[String],
    input: &[u8],
) -> Result<Vec<u8>> {
    let session = Session { verb: "exec", container, command, stdin: !input.is_empty(), tty: false };
    let mut socket = session.open(cx, pod).await?;
    for chunk in input.chunks(64 * 1024) {
        socket.send(Channels::STDIN, chunk).await?;
    }
    if !input.is_empty() {
        socket.send(Channels::CLOSE, &[Channels::STDIN]).await?;
    }
    let (mut out, mut said) = (Vec::new(), Vec::new());
    while let Some((channel, data)) = socket.next().await? {
        match channel {
            Channels::STDOUT => {
                out.extend_from_slice(&data);
                progress(out.len());
            }
            Channels::STDERR => said.extend_from_slice(&data),
            Channels::ERROR => {
                progress_end();
                return ending(&data)
                    .map(|()| out)
                    .inspect_err(|_| eprint!("{}", String::from_utf8_lossy(&said)));
            }
            _ => {}
        }
    }
    Err(Error::said("the connection ended before the command did"))
}

async fn download(cx: &Context, from: &Place, to: &str) -> Result {
    let (pod, container) = pod(cx, from).await?;
    let command: Vec<String> = ["tar", "cf", "-", &from.path].map(str::to_owned).to_vec();
    let mut tries = cx.flags.int("retries");
    let archive = loop {
        match collect(cx, &pod, &container, &command, &[]).await {
            Ok(archive) => break archive,
            Err(Error::Unreachable(_)) if tries != 0 => tries -= 1,
            Err(error) => return Err(error),
        }
    };
    if from.path.starts_with('/') {
        eprintln!("tar: removing leading '/' from member names");
    }
    unpack(&archive, from.path.trim_matches('/'), to)
}

fn unpack(archive: &[u8], prefix: &str, to: &str) -> Result {
    let failed = |error: std::io::Error| Error::said(format!("cannot unpack: {error}"));
    let mut target = PathBuf::from(to);
    if target.is_dir() {
        target.push(Path::new(prefix).file_name().unwrap_or_default());
    }
    let mut archive = tar::Archive::new(Cursor::new(archive));
    let mut found = false;
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        found = true;
        let path = entry.path().map_err(failed)?.into_owned();
        let inside = path.strip_prefix(prefix.trim_start_matches("./")).unwrap_or(&path).to_owned();
        if inside.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            eprintln!(
                "warning: skipping entry {:?}: it leads out of the destination",
                path.display().to_string()
            );
            continue;
        }
        let place = if inside.as_os_str().is_empty() { target.clone() } else { target.join(&inside) };
        match entry.header().entry_type() {
            tar::EntryType::Directory => std::fs::create_dir_all(&place).map_err(failed)?,
            tar::EntryType::Symlink | tar::EntryType::Link => {
                eprintln!(
                    "warning: skipping symlink: {:?} -> {:?}",
                    place.display().to_string(),
                    entry.link_name().ok().flatten().unwrap_or_default().display().to_string()
                );
            }
            _ => write(&mut entry, &place).map_err(failed)?,
        }
    }
    if found { Ok(()) } else { Err(Error::said(format!("{prefix:?} no such file or directory"))) }
}

fn write(entry: &mut impl Read, place: &Path) -> std::io::Result<()> {
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = std::fs::File::create(place)?;
    std::io::copy(entry, &mut file).map(drop)
}
