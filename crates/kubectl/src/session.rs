//! A command in a container: its input, output, terminal size and end, over one WebSocket.
//!
//! Upstream: client-go/tools/remotecommand.

use std::io::Write;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::signal::unix::{SignalKind, signal};

use crate::context::Context;
use crate::error::{Error, Result};
use crate::resources::Info;
use crate::rest::{Channels, Socket, Status};
use crate::terminal;
use crate::text::query;

const PROTOCOLS: &str = "v5.channel.k8s.io, v4.channel.k8s.io";

/// What is asked of the container.
#[derive(Clone, Debug, Default)]
pub struct Session<'a> {
    /// `exec` or `attach`.
    pub verb: &'a str,
    pub container: &'a str,
    pub command: &'a [String],
    pub stdin: bool,
    pub tty: bool,
}

impl Session<'_> {
    /// # Errors
    /// The server refuses.
    pub async fn open(&self, cx: &Context, pod: &Info) -> Result<Socket> {
        let on = |is: bool| if is { "true" } else { "" };
        let mut pairs: Vec<(&str, &str)> =
            self.command.iter().map(|word| ("command", word.as_str())).collect();
        pairs.extend([
            ("container", self.container),
            ("stderr", on(!self.tty)),
            ("stdin", on(self.stdin)),
            ("stdout", "true"),
            ("tty", on(self.tty)),
        ]);
        let mut path = format!("{}/{}", pod.path(), self.verb);
        // An empty word of a command is a word.
        path.push_str(&query(&pairs));
        for _ in self.command.iter().filter(|word| word.is_empty()) {
            path.push_str("&command=");
        }
        cx.rest().await?.socket(&path, PROTOCOLS).await
    }

    /// Joins the session to this program's own input and output.
    ///
    /// # Errors
    /// The connection breaks, or the command ends with an error.
    pub async fn run(&self, cx: &Context, pod: &Info) -> Result {
        let mut socket = self.open(cx, pod).await?;
        let _raw = if self.tty { terminal::Raw::enter() } else { None };
        let mut resized =
            signal(SignalKind::window_change()).map_err(|error| Error::said(error.to_string()))?;
        if self.tty {
            send_size(&mut socket).await?;
        }
        let mut input: Box<dyn AsyncRead + Unpin> =
            if self.stdin { Box::new(tokio::io::stdin()) } else { Box::new(tokio::io::empty()) };
        let mut is_open = self.stdin;
        let mut buffer = vec![0; 32 * 1024];
        loop {
            tokio::select! {
                frame = socket.next() => {
                    let Some((channel, data)) = frame? else { return Ok(()) };
                    if let Some(result) = output(channel, &data)? {
                        socket.close().await;
                        return result;
                    }
                }
                read = input.read(&mut buffer), if is_open => {
                    let count = read.map_err(|error| Error::said(error.to_string()))?;
                    if count == 0 {
                        is_open = false;
                        socket.send(Channels::CLOSE, &[Channels::STDIN]).await?;
                    } else {
                        socket.send(Channels::STDIN, &buffer[..count]).await?;
                    }
                }
                _ = resized.recv(), if self.tty => send_size(&mut socket).await?,
            }
        }
    }
}

async fn send_size(socket: &mut Socket) -> Result {
    match terminal::size() {
        Some((columns, rows)) => {
            socket
                .send(Channels::RESIZE, json!({"Width": columns, "Height": rows}).to_string().as_bytes())
                .await
        }
        None => Ok(()),
    }
}

/// Passes output on; the command's end where it is told.
fn output(channel: u8, data: &[u8]) -> Result<Option<Result>> {
    let passed = match channel {
        Channels::STDOUT => {
            let mut out = std::io::stdout().lock();
            out.write_all(data).and_then(|()| out.flush())
        }
        Channels::STDERR => std::io::stderr().lock().write_all(data),
        Channels::ERROR => return Ok(Some(ending(data))),
        _ => Ok(()),
    };
    passed.map_err(|_| Error::Exit(141))?;
    Ok(None)
}

/// How a command ended, by the Status on the error channel.
///
/// # Errors
/// It did not end well.
pub fn ending(data: &[u8]) -> Result {
    // What is no Status is told as it stands.
    let status: Value = serde_json::from_slice(data).unwrap_or(Value::Null);
    if status["status"] == "Success" {
        return Ok(());
    }
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let code = causes
        .filter(|cause| cause["reason"] == "ExitCode")
        .find_map(|cause| cause["message"].as_str()?.parse().ok());
    match (code, status.is_null()) {
        (Some(code), _) if status["reason"] == "NonZeroExitCode" => {
            Err(Error::Code { code, message: format!("command terminated with exit code {code}") })
        }
        (_, true) => Err(Error::said(String::from_utf8_lossy(data).into_owned())),
        _ => Err(Error::Said(Status::of(&status).message)),
    }
}
